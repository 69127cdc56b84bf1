//! What a component may call: its imports, and the invocation whose data they read and whose effects they collect.

pub(super) mod buffer;
mod client;
mod draft_interfaces;
pub(super) mod environment;
pub(super) mod invocation;
pub(super) mod linking;
pub(super) mod log;
pub(super) mod messaging;
mod numbers;
pub(super) mod wasi;
