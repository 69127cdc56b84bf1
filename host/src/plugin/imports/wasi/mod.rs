//! All of WASI 0.2, for components that were not built specifically for Sandbus, and for language runtimes. Clocks and
//! random numbers work. There are no files, sockets, variables or arguments. Output becomes log lines, and HTTP
//! requests may go to granted hosts.

mod bounds;
mod http;
mod wait;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtxView, WasiView, p2};

pub(crate) use self::bounds::{NAME_BYTES, PATH_BYTES};
pub use self::http::{Exchange, ResponseHead};
pub(crate) use self::wait::wait;
use crate::plugin::invocation::InvocationContext;

impl WasiView for InvocationContext {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi();
        let Self { wasi, table, .. } = self;
        let wasi = wasi.as_mut().expect("it has just been made");
        WasiCtxView { ctx: &mut wasi.context, table }
    }
}

/// Links all interfaces of WASI 0.2. Calls that wait end at the invocation's deadline.
pub(super) fn link(linker: &mut Linker<InvocationContext>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    wait::link(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(linker)?;
    bounds::link(linker)
}
