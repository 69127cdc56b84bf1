//! The plugins' keys and values.

use crate::outcome::StateView;

/// The state of all plugins. Effects write it: [`EventLog::commit`](super::EventLog::commit) and
/// [`Claim::settle`](crate::bus::Claim::settle).
pub trait PluginState {
    /// A snapshot of a plugin's state as of the first read. Reading it may block the thread.
    ///
    /// All reads see one committed moment. An engine may end a snapshot that is open for too long; further reads then
    /// fail with an error that says so. The commit verifies that the values that were read are unchanged, and is
    /// refused with [`CommitError::Conflict`](crate::bus::CommitError::Conflict) otherwise.
    fn state(&self, plugin: &str) -> Box<dyn StateView>;
}
