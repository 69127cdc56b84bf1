//! Commands to the reconciler, and their results.

use tokio::sync::oneshot;

/// The length of the command queue.
pub(super) const QUEUE: usize = 16;

/// A command, with the sender of its result.
#[derive(Debug)]
pub(super) enum Command {
    RollBack {
        plugin: String,
        /// A prefix of the digest to roll back to; without one, the previous generation.
        to: Option<String>,
        answer: oneshot::Sender<Result<RollbackReport, RollbackError>>,
    },
    /// Loads all files again, because the configuration has changed.
    Reload,
    ChangeFile {
        /// The name of the component's file without `.wasm`.
        stem: String,
        change: FileChange,
        answer: oneshot::Sender<Result<(), FileChangeError>>,
    },
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

/// A change of a plugin's files.
#[derive(Clone, Debug)]
pub enum FileChange {
    /// Writes the component.
    PutComponent(Vec<u8>),
    /// Writes the sidecar.
    PutSidecar(String),
    /// Removes the sidecar.
    RemoveSidecar,
    /// Removes the component and its sidecar.
    RemovePlugin,
}

/// Why a change has no effect. The files are as before.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileChangeError {
    /// The file cannot have this name.
    #[error("{0}")]
    Name(String),
    /// The file to remove does not exist.
    #[error("there is no file {0}")]
    NoFile(String),
    /// Another change of the same plugin has not ended.
    #[error("another change of this plugin is in progress; try again when it has ended")]
    Busy,
    /// The plugin folder cannot be written to.
    #[error("cannot write to the plugin folder: {0}; check its permissions and the disk")]
    Unwritable(String),
    /// Somebody else changed the files before they were loaded. Their files stay.
    #[error("the plugin's files were changed in the folder at the same moment; see `sandbus plugins`, and try again")]
    Superseded,
    /// The host refuses to run the new file.
    #[error("{0}")]
    Refused(String),
    /// The host is stopping. The change may still take effect at the next start.
    #[error("the host is stopping")]
    Stopping,
}
