//! The sandbox and the plugins in it: from a file in the folder to an invocation in a fresh instance.
//!
//! Only this module names wasmtime. It never calls the bus: an invocation returns an outcome with its
//! effects, and whoever asked for it commits them.

mod bindings;
mod buffer;
mod compile;
mod descriptor;
mod engine;
mod folder;
mod generation;
mod idle;
mod imports;
mod keeper;
mod limits;
mod linking;
mod loader;
mod log;
mod registry;
#[cfg(test)]
mod reset;
mod rules;
mod settings;
mod sidecar;
mod wasi;

pub use compile::{CompileError, Digest};
pub use descriptor::{ConfigKey, Descriptor, Invalid, Route, Subscription};
pub use engine::{EngineConfig, EngineError, settings as engine_settings};
pub use generation::{Answered, Call, Generation, Handled, Live, NativeHandler, PrepareError, Request, Response};
pub use imports::{REPLY_LIMIT, ReplyTo};
pub use keeper::{Declare, Folder, Keeper, Status};
pub use limits::Limits;
pub use loader::{LoadError, Loader, RERUN_LIMIT, Room};
pub use registry::{Found, Registry, RouteConflict, Snapshot};
pub use rules::Invalid as InvalidRule;
pub use settings::{Defaults, Mismatch, Settings};
pub use sidecar::{Grants, LimitOverrides, Sidecar, SubscriptionOverrides};
pub use wasi::{Exchange, Head};
