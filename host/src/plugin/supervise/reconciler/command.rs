//! Commands to the reconciler, and their results.

use tokio::sync::oneshot;

/// The length of the command queue.
pub(super) const QUEUE: usize = 16;

/// A request to roll a plugin back.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) plugin: String,
    /// A prefix of the digest to roll back to; without one, the previous generation.
    pub(super) to: Option<String>,
    pub(super) answer: oneshot::Sender<Result<RollbackReport, RollbackError>>,
}

/// A completed rollback.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RollbackReport {
    /// The digest of the generation that ran before.
    pub from: String,
    /// The digest of the generation that runs now.
    pub to: String,
    /// The version of the generation that runs now.
    pub version: String,
    /// Whether that generation is the file in the folder.
    pub is_file: bool,
}

/// Why a rollback failed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// No plugin of this name is loaded.
    #[error("there is no plugin `{0}`")]
    NoPlugin(String),
    /// No archived generation qualifies.
    #[error("{0}")]
    NoGeneration(String),
    /// The target generation cannot be loaded.
    #[error("generation {0} cannot be loaded: {1}; the running generation stays")]
    Load(String, String),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}
