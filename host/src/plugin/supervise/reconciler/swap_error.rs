//! Why a file is not loaded, and whether that may pass.

use crate::plugin::load::loader::LoadError;
use crate::plugin::load::source::{SIDECAR_LIMIT_BYTES, SourceError};
use crate::plugin::run::linked::LinkError;
use crate::plugin::supervise::record::RecordError;
use crate::plugin::supervise::registry::RouteConflict;
use crate::plugin::supervise::route_ownership::RouteTakeover;

/// Why a file's newest content is not what runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    #[error("it cannot be read: {0}")]
    Read(std::io::Error),
    #[error("its sidecar cannot be read: {0}")]
    ReadSidecar(std::io::Error),
    #[error(transparent)]
    Unusable(SourceError),
    #[error("its sidecar has {0} bytes; a sidecar has {SIDECAR_LIMIT_BYTES} at most")]
    SidecarTooLarge(u64),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its plugin `{name}` is loaded from {other}.wasm already; remove one of them or rename the plugin")]
    NameTaken { name: String, other: String },
    #[error(transparent)]
    Route(#[from] RouteConflict),
    #[error(transparent)]
    Takeover(#[from] Box<RouteTakeover>),
    #[error("which routes belong to it cannot be stored: {0}")]
    StoreRoutes(std::io::Error),
    #[error("its subscriptions could not be stored: {0}")]
    Declare(String),
    #[error("{0}")]
    Canary(String),
    #[error("which generation runs cannot be stored: {0}")]
    Keep(std::io::Error),
    #[error("loading it did not finish: {0}")]
    Unfinished(String),
    #[error(transparent)]
    GenerationRecord(#[from] RecordError),
    #[error(
        "it was rolled back from, and generation {0}, which runs in its place, cannot be read: {1}; put another file into the folder"
    )]
    Former(String, std::io::Error),
    #[error("something else is wanted by now")]
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
    /// Whether a file that is still being written could end so.
    pub(super) fn may_be_half_written(&self) -> bool {
        let is_cut = matches!(self, Self::Unusable(SourceError::Unsuitable(_)));
        is_cut || matches!(self, Self::Read(_) | Self::ReadSidecar(_) | Self::Load(_))
    }

    /// Whether the file may be good, and only the moment was not. A component that describes itself may have run out
    /// of time on a busy machine.
    pub(super) fn is_transient(&self) -> bool {
        let is_unread =
            matches!(self, Self::Read(_) | Self::ReadSidecar(_) | Self::GenerationRecord(_) | Self::Former(..));
        let is_hosts = matches!(self, Self::Declare(_) | Self::Keep(_) | Self::StoreRoutes(_) | Self::Unfinished(_));
        is_unread || is_hosts || matches!(self, Self::Load(LoadError::Link(LinkError::Describe(_))))
    }

    /// Whether another plugin is in the way.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::NameTaken { .. } | Self::Route(_) | Self::Takeover(_))
    }
}
