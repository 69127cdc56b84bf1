//! The state of plugins.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct StateKeyQuery {
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of a plugin's keys, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StateKeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

/// A value of a plugin's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StateValueView {
    /// The key.
    pub key: String,
    /// The version of the value. Each change makes a new one.
    pub version: u64,
    /// The value, if it is UTF-8; else null.
    pub value: Option<String>,
    /// The value in base64, if it is not UTF-8; else null.
    pub value_base64: Option<String>,
}

/// A new value: one of the first two members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateRequest {
    /// The value as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// Change the value only if it still has this version. Zero means: only if there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}
