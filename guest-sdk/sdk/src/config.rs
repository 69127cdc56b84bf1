//! The plugin's configuration: what it declares in [`plugin!`](crate::plugin!), overridden by the
//! operator's sidecar.

use std::fmt;

use crate::{Result, host};

/// The value of a key, if it has one.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    host::config_get(key)
}

/// The value of a key that must have one.
///
/// # Errors
/// If neither the plugin nor the operator gives it a value.
pub fn require(key: &str) -> Result<String, Missing> {
    get(key).ok_or_else(|| Missing(key.to_owned()))
}

/// A configuration key has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration has no `{}`; set it in the sidecar's [config]", self.0)
    }
}

impl std::error::Error for Missing {}
