//! Bounds the data that the host holds for the `wasi:http` handles of an instance, which do not count as its memory.
//! The number of handles is limited elsewhere; this module limits the size of each.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method, OutgoingRequest, Scheme};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView as _};

use crate::plugin::invocation::InvocationContext;

/// The interface, by the name under which wasmtime links it.
const TYPES: &str = "wasi:http/types@0.2.12";

/// The longest name of a method or a scheme, in bytes.
pub(crate) const NAME_BYTES: usize = 64;
/// The longest name of a host with its port, in bytes.
const AUTHORITY_BYTES: usize = 512;
/// The longest path with its query, in bytes.
pub(crate) const PATH_BYTES: usize = 8 << 10;

type Request = Resource<OutgoingRequest>;
/// The result of a setter in the standard.
type SetResult = Result<(), ()>;

/// Replaces the setters of a request by ones that refuse long values, with the same result as for malformed values.
pub(super) fn link(linker: &mut Linker<InvocationContext>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    bound(
        &mut types,
        "set-method",
        |method: &Method| !matches!(method, Method::Other(name) if name.len() > NAME_BYTES),
        |view, request, method| view.set_method(request, method),
    )?;
    bound(
        &mut types,
        "set-scheme",
        |scheme: &Option<Scheme>| !matches!(scheme, Some(Scheme::Other(name)) if name.len() > NAME_BYTES),
        |view, request, scheme| view.set_scheme(request, scheme),
    )?;
    bound(
        &mut types,
        "set-authority",
        |authority: &Option<String>| authority.as_ref().is_none_or(|text| text.len() <= AUTHORITY_BYTES),
        |view, request, authority| view.set_authority(request, authority),
    )?;
    bound(
        &mut types,
        "set-path-with-query",
        |path: &Option<String>| path.as_ref().is_none_or(|text| text.len() <= PATH_BYTES),
        |view, request, path| view.set_path_with_query(request, path),
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Links a setter of an outgoing request that refuses values that do not fit.
fn bound<T: ComponentType + Lift + 'static>(
    types: &mut LinkerInstance<'_, InvocationContext>,
    method: &str,
    fits: fn(&T) -> bool,
    set: fn(&mut WasiHttpCtxView<'_>, Request, T) -> wasmtime::Result<SetResult>,
) -> wasmtime::Result<()> {
    types.func_wrap(
        &format!("[method]outgoing-request.{method}"),
        move |mut store: StoreContextMut<'_, InvocationContext>, (request, value): (Request, T)| {
            let result = if fits(&value) { set(&mut store.data_mut().http(), request, value)? } else { Err(()) };
            Ok((result,))
        },
    )
}
