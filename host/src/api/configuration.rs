//! The configuration of a host.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The effective configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ConfigurationView {
    /// All settings, in the order of their keys.
    pub settings: Vec<SettingView>,
}

/// A setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SettingView {
    /// The key, such as `bus.max_backlog`.
    pub key: String,
    /// The value in JSON; null if it has none.
    pub value: Value,
    /// The origin of the value: `default`, `file`, `environment` or `flag`.
    pub origin: String,
    /// The file, the variable or the flag; null for a default.
    pub source: Option<String>,
}
