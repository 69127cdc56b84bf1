//! What the reconciler may be asked to do, and how it answers.

use tokio::sync::oneshot;

/// How many commands may wait for the reconciler.
pub(super) const QUEUE: usize = 16;

/// What the reconciler is asked to do.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) plugin: String,
    /// The beginning of a digest; the generation before the one that runs if there is none.
    pub(super) to: Option<String>,
    pub(super) answer: oneshot::Sender<Result<RollbackReport, RollbackError>>,
}

/// A rollback that was done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RollbackReport {
    /// The digest of what ran before.
    pub from: String,
    /// The digest of what runs now.
    pub to: String,
    /// Its version.
    pub version: String,
    /// Whether that is what is in the folder.
    pub is_file: bool,
}

/// Why there is no going back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    NoPlugin(String),
    /// There is no generation to go back to.
    #[error("{0}")]
    NoGeneration(String),
    /// The generation cannot be loaded.
    #[error("generation {0} cannot be loaded any more: {1}; what runs goes on")]
    Load(String, String),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}
