//! Problems.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A problem (RFC 9457), `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
