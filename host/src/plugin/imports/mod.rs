//! The imports of components: a file for each interface, or for interfaces that belong together.
//!
//! To add an import, bind it in `bindings`, implement its `Host` for [`InvocationContext`] in a file here with a `link`
//! function, and add that function to [`CONTRACT`]. Each linker then offers it.

mod bus;
mod client;
mod config;
mod draft_interfaces;
mod keyvalue;
pub(super) mod linkers;
mod logging;
pub(super) mod messaging;
pub(super) mod missing;
mod numbers;
mod program;
mod random;
mod wall_clock;
pub(super) mod wasi;

use wasmtime::component::Linker;

use super::invocation::InvocationContext;

/// Adds interfaces to a linker.
type Link = fn(&mut Linker<InvocationContext>) -> wasmtime::Result<()>;

/// The interfaces of the contract, for every component.
const CONTRACT: [Link; 6] = [bus::link, client::link, config::link, keyvalue::link, logging::link, numbers::link];

/// The clock and random numbers for plugins built with an SDK. `describe` may not call them.
const PURE: [Link; 2] = [random::link, wall_clock::link];

/// Further interfaces for language runtimes: WASI, with its own clock and random numbers, and the interfaces of other
/// hosts.
const RUNTIMES: [Link; 3] = [draft_interfaces::link, messaging::link, wasi::link];

/// Additional imports of prepared runtimes.
const PREPARED: [Link; 1] = [program::link];

/// Later versions of interfaces in [`RUNTIMES`] that have the same names.
const LATER: [Link; 1] = [draft_interfaces::link_later];
