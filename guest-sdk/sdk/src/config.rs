//! The plugin's configuration: the keys that it declares in [`plugin!`](crate::plugin!), with the values of the
//! operator's sidecar, or the declared defaults.

use std::fmt;

use crate::host;

/// Returns the value of a key, if it has one.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    host::config_get(key)
}

/// Returns the value of a required key.
///
/// # Errors
/// If the sidecar does not set the key, and the plugin declares no default.
pub fn require(key: &str) -> Result<String, MissingKey> {
    get(key).ok_or_else(|| MissingKey(key.to_owned()))
}

/// A required key has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingKey(String);

impl fmt::Display for MissingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration key `{}` has no value; set it under [config] in the sidecar", self.0)
    }
}

impl std::error::Error for MissingKey {}
