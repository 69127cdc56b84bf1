//! The sandbox and the plugins in it: from a file in the folder to an invocation in a fresh instance.
//!
//! Only this module names wasmtime. It never calls the bus: an invocation returns an outcome with its
//! effects, and whoever asked for it commits them.

mod archive;
mod bindings;
mod buffer;
mod claims;
mod client;
mod compile;
mod descriptor;
mod drafts;
mod ended;
mod engine;
mod folder;
mod generation;
mod health;
mod idle;
mod imports;
mod keeper;
mod limits;
mod linking;
mod loader;
mod log;
mod messaging;
mod numbers;
mod overlap;
mod prepared;
mod registry;
#[cfg(test)]
mod reset;
mod rules;
mod screening;
mod sealed;
mod settings;
mod sidecar;
mod wasi;
mod world;

pub use archive::{Kept, Pin};
pub(crate) use compile::as_component;
pub use compile::{CompileError, Digest};
pub use descriptor::{ConfigKey, Descriptor, Invalid, Route, Subscription};
pub(crate) use descriptor::{METHODS, RESERVED};
pub use engine::{EngineConfig, EngineError, settings as engine_settings};
pub(crate) use generation::CONNECTION_HEADERS;
pub use generation::{Answered, Call, Generation, Handled, NativeHandler, Rehearsed, Request, Response};
pub use health::RollbackRule;
pub use imports::{REPLY_LIMIT, ReplyTo};
pub use keeper::{Declare, FILE_LIMIT_BYTES, Folder, Keeper, Places, Rehearse, RollbackError, RolledBack, Status};
pub use limits::Limits;
pub use loader::{Admission, LoadError, Loader, RERUN_LIMIT, Room};
pub use prepared::{Live, PrepareError};
pub use registry::{Found, Overlapping, Registry, RouteConflict, Snapshot};
pub use rules::Invalid as InvalidRule;
pub use screening::{Features, Unsuitable};
pub use settings::{Defaults, Mismatch, Settings};
pub use sidecar::{CanaryRule, Grants, LimitOverrides, Sidecar, SubscriptionOverrides};
pub use wasi::{Exchange, Head};
pub use world::World;
