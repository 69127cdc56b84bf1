//! Problems.

use serde::{Deserialize, Serialize};

/// A problem (RFC 9457), `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProblemView {
    /// The reason phrase of the status.
    pub title: String,
    /// The status.
    pub status: u16,
    /// A stable code for programs.
    pub code: Option<String>,
    /// An explanation for a person.
    pub detail: Option<String>,
}
