//! Backups.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// What a backup contains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct BackupQuery {
    /// Whether it contains the ledger; false by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<bool>,
}
