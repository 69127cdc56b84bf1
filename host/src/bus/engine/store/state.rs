//! The state of plugins.

use crate::bus::StoreError;
use crate::outcome::{Listing, Version};

/// The state of plugins.
pub(in crate::bus) trait StateRows {
    fn state_value(&self, plugin: &str, key: &str) -> Result<(Option<Vec<u8>>, Version), StoreError>;

    fn state_version(&self, plugin: &str, key: &str) -> Result<Version, StoreError>;

    fn state_keys(&self, plugin: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError>;

    fn state_listing(&self, plugin: &str) -> Result<Listing, StoreError>;

    fn set_state(&self, plugin: &str, key: &str, value: &[u8], version: Version) -> Result<(), StoreError>;

    fn delete_state(&self, plugin: &str, key: &str) -> Result<(), StoreError>;

    /// Begins a run, and returns the version of its first write. Each run has 2^40 versions, all above those of earlier
    /// runs.
    fn first_version(&self) -> Result<Version, StoreError>;
}
