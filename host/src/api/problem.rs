//! Refusals.

use serde::{Deserialize, Serialize};

/// A refusal (RFC 9457), `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProblemView {
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// A stable code for programs.
    pub code: Option<String>,
    /// A sentence for a person.
    pub detail: Option<String>,
}
