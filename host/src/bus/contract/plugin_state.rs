//! The plugins' keys and values.

use crate::outcome::StateView;

/// The state of all plugins. It is written by effects: [`EventLog::commit`](super::EventLog::commit) and
/// [`Claim::settle`](crate::bus::Claim::settle).
pub trait PluginState {
    /// A plugin's state as of the first read. The view is used on a thread that may block.
    ///
    /// All reads are of one moment, and committed. An engine may end a view that is held for too long: a read then fails
    /// with an error that says so. What was read is checked at the commit, which is refused with
    /// [`CommitError::Conflict`](crate::bus::CommitError::Conflict) if it has changed.
    fn state(&self, plugin: &str) -> Box<dyn StateView>;
}
