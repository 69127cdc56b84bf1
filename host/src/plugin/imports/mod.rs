//! The imports of components: a file for each interface, or for interfaces that belong together.
//!
//! To add an import, bind it in `bindings`, implement its `Host` for [`InstanceData`] in a file here with a `link`
//! function, and add that function to [`CONTRACT`]. Each linker then offers it.

mod bus;
mod client;
mod config;
mod draft_interfaces;
pub(super) mod interfaces;
mod keyvalue;
pub(super) mod labelled;
pub(super) mod linkers;
mod logging;
pub(super) mod messaging;
pub(super) mod missing;
mod numbers;
mod otel;
mod program;
mod random;
mod spin;
mod wall_clock;
pub(super) mod wasi;

use wasmtime::component::Linker;

use super::invocation::InstanceData;

/// Adds interfaces to a linker.
type Link = fn(&mut Linker<InstanceData>) -> wasmtime::Result<()>;

/// The interfaces of the contract, for every component.
const CONTRACT: [Link; 6] = [bus::link, client::link, config::link, keyvalue::link, logging::link, numbers::link];

/// The clock and random numbers for plugins built with an SDK. `describe` may not call them.
const CLOCK_AND_RANDOM: [Link; 2] = [random::link, wall_clock::link];

/// Interfaces of other hosts, for all other components.
const OTHER_HOSTS: [Link; 4] = [draft_interfaces::link, messaging::link, otel::link, spin::link];

/// WASI, with its own clock and random numbers, for synchronous calls.
const SYNCHRONOUS: [Link; 1] = [wasi::link];

/// WASI, and asynchronous interfaces of other hosts, for concurrent calls.
const CONCURRENT: [Link; 3] = [wasi::link_concurrent, messaging::link_concurrent, spin::link_concurrent];

/// Additional imports of prepared runtimes.
const PREPARED: [Link; 1] = [program::link];

/// Later drafts of interfaces in [`OTHER_HOSTS`] that have the same names.
const LATER_DRAFTS: [Link; 1] = [draft_interfaces::link_later];
