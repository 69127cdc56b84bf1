//! The host's data for the contract's resources.

use std::sync::Arc;

/// A part of the plugin's state.
#[derive(Clone, Debug, Default)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Bucket {
    /// What its keys begin with in the state; nothing for the whole state.
    pub(crate) prefix: Arc<str>,
}

/// A compare-and-swap in progress.
#[derive(Clone, Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Cas {
    pub(crate) key: String,
    pub(crate) current: Option<Vec<u8>>,
}

impl Cas {
    /// The bytes that count as the instance's memory.
    pub(crate) fn size_bytes(&self) -> usize {
        self.key.len() + self.current.as_ref().map_or(0, Vec::len)
    }
}
