//! Why a file is not loaded, and whether to try again.

use crate::plugin::deploy::generation_record::RecordError;
use crate::plugin::deploy::registry::RouteConflictError;
use crate::plugin::deploy::route_ownership::RouteTakeoverError;
use crate::plugin::load::loader::LoadError;
use crate::plugin::load::source::{SIDECAR_LIMIT_BYTES, SourceError};
use crate::plugin::run::linked::LinkError;

/// Why a file's newest content is not running.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    #[error("the file cannot be read: {0}")]
    Read(std::io::Error),
    #[error("its sidecar cannot be read: {0}")]
    ReadSidecar(std::io::Error),
    #[error(transparent)]
    Unusable(SourceError),
    #[error("its sidecar has {0} bytes; a sidecar has {SIDECAR_LIMIT_BYTES} at most")]
    SidecarTooLarge(u64),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its plugin `{name}` is already loaded from {other}.wasm; remove one of the files or rename the plugin")]
    NameTaken { name: String, other: String },
    #[error(transparent)]
    Route(#[from] RouteConflictError),
    #[error(transparent)]
    Takeover(#[from] Box<RouteTakeoverError>),
    #[error("the owner of its routes could not be stored: {0}")]
    StoreRoutes(std::io::Error),
    #[error("its subscriptions could not be stored: {0}")]
    Declare(String),
    #[error("{0}")]
    Canary(String),
    #[error("the rollback could not be stored: {0}")]
    StoreRollback(std::io::Error),
    #[error("loading did not finish: {0}")]
    Unfinished(String),
    #[error(transparent)]
    GenerationRecord(#[from] RecordError),
    #[error(
        "this file was rolled back from, and generation {0}, which replaces it, cannot be read: {1}; put another file into the folder"
    )]
    ReadPinned(String, std::io::Error),
    #[error("superseded by a newer version of the file")]
    Outdated,
}

impl From<SourceError> for SwapError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unread(error) => Self::Read(error),
            other => Self::Unusable(other),
        }
    }
}

impl SwapError {
    /// Whether an incomplete file could cause this error.
    pub(super) fn may_be_half_written(&self) -> bool {
        let is_cut = matches!(self, Self::Unusable(SourceError::Unsuitable(_)));
        is_cut || matches!(self, Self::Read(_) | Self::ReadSidecar(_) | Self::Load(_))
    }

    /// Whether the failure may be transient, and not caused by the file. A component that describes itself may have run
    /// out of time on a busy machine.
    pub(super) fn is_transient(&self) -> bool {
        let is_unread =
            matches!(self, Self::Read(_) | Self::ReadSidecar(_) | Self::GenerationRecord(_) | Self::ReadPinned(..));
        let is_hosts =
            matches!(self, Self::Declare(_) | Self::StoreRollback(_) | Self::StoreRoutes(_) | Self::Unfinished(_));
        is_unread || is_hosts || matches!(self, Self::Load(LoadError::Link(LinkError::Describe(_))))
    }

    /// Whether the error is a conflict with another plugin.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::NameTaken { .. } | Self::Route(_) | Self::Takeover(_))
    }
}
