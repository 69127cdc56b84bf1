//! Sequences, from which plugins draw numbers.

use crate::bus::StoreError;

/// Sequences, from which plugins draw numbers.
pub(in crate::bus) trait SequenceRows {
    /// The first number of a sequence that is not reserved. None if there is no such sequence.
    fn first_unreserved(&self, plugin: &str, name: &str) -> Result<Option<u64>, StoreError>;

    /// The number of a plugin's sequences.
    fn count_sequences(&self, plugin: &str) -> Result<u64, StoreError>;

    /// Stores the first number that is not reserved.
    fn put_first_unreserved(&self, plugin: &str, name: &str, next: u64) -> Result<(), StoreError>;
}
