//! All of WASI 0.2, for components that were not made for Sandbus alone: language runtimes start by it. There
//! are clocks and random numbers; there are no files, no sockets, no variables and no arguments. What is
//! printed becomes log lines. Requests over HTTP go where the operator lets them.

mod bounds;
mod http;
mod wait;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtxView, WasiView, p2};

pub(crate) use self::bounds::{NAME_BYTES, PATH_BYTES};
pub use self::http::{Exchange, ResponseHead};
pub(crate) use self::wait::wait;
use crate::plugin::invocation::Invocation;

impl WasiView for Invocation {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi();
        let Self { wasi, table, .. } = self;
        let wasi = wasi.as_mut().expect("it has just been made");
        WasiCtxView { ctx: &mut wasi.context, table }
    }
}

/// Links all interfaces of WASI 0.2. Their calls that wait do so until the invocation's time is up.
pub(super) fn link(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    wait::link(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(linker)?;
    bounds::link(linker)
}
