//! All of WASI 0.2 and 0.3, for components that were not built specifically for Sandbus, and for language runtimes.
//! Clocks and random numbers work. There are no files, sockets, variables or arguments. Output becomes log lines, and
//! HTTP requests may go to granted hosts.

mod bounds;
mod error_codes;
mod http;
mod wait;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtxView, WasiView, p2, p3};

pub(crate) use self::bounds::{NAME_BYTES, PATH_BYTES};
pub(crate) use self::http::ExchangeOutcome;
pub use self::http::{Exchange, ResponseHead};
pub(crate) use self::wait::wait;
use super::Link;
use crate::plugin::invocation::InstanceData;

impl WasiView for InstanceData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi();
        let Self { wasi, table, .. } = self;
        let wasi = wasi.as_mut().expect("it has just been made");
        WasiCtxView { ctx: &mut wasi.context, table }
    }
}

/// Links all interfaces of WASI 0.2 for synchronous calls. Imports that wait end at the invocation's deadline.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(linker)?;
    replace(linker, &[wait::link, wait::link_errors, bounds::link_0_2])
}

/// Links all interfaces of WASI 0.2 and 0.3 for concurrent calls. Only the task that calls an import waits for it. The
/// deadline ends the whole call.
pub(super) fn link_concurrent(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    p3::add_to_linker(linker)?;
    // These only have types, which need nothing from the host.
    for interface in ["wasi:cli/types@0.3.0", "wasi:clocks/types@0.3.0"] {
        linker.instance(interface)?;
    }
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    replace(linker, &[wait::link_errors, bounds::link_0_2, bounds::link_0_3, error_codes::link])
}

/// Replaces functions of wasmtime by the host's own.
fn replace(linker: &mut Linker<InstanceData>, functions: &[Link]) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    functions.iter().try_for_each(|link| link(linker))?;
    linker.allow_shadowing(false);
    Ok(())
}
