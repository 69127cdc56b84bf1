//! Bounds the data that the host holds for the `wasi:http` handles of an instance, which do not count as its memory.
//! The number of handles is limited elsewhere; this module limits the size of each.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView as _};

use crate::plugin::invocation::InstanceData;

/// The longest name of a method or a scheme, in bytes.
pub(crate) const NAME_BYTES: usize = 64;
/// The longest name of a host with its port, in bytes.
const AUTHORITY_BYTES: usize = 512;
/// The longest path with its query, in bytes.
pub(crate) const PATH_BYTES: usize = 8 << 10;

/// The result of a setter in the standard.
type SetResult = Result<(), ()>;
/// A setter of a request.
type Set<R, T> = fn(&mut WasiHttpCtxView<'_>, Resource<R>, T) -> wasmtime::Result<SetResult>;

/// Replaces the setters of requests in one release of WASI. A macro, because each release has its own types, with the
/// same names.
macro_rules! replace_setters {
    ($linker:expr, $interface:literal, $bindings:ident, $host:ident, $request:ident, $resource:literal) => {{
        use wasmtime_wasi_http::$bindings::bindings::http::types::{$host as _, $request, Method, Scheme};
        let types = &mut $linker.instance($interface)?;
        let mut setters = Setters { types, resource: $resource };
        setters.bound::<$request, _>(
            "set-method",
            |method| !matches!(method, Method::Other(name) if name.len() > NAME_BYTES),
            |view, request, value| view.set_method(request, value),
        )?;
        setters.bound::<$request, _>(
            "set-scheme",
            |scheme| !matches!(scheme, Some(Scheme::Other(name)) if name.len() > NAME_BYTES),
            |view, request, value| view.set_scheme(request, value),
        )?;
        setters.bound::<$request, _>("set-authority", is_short::<AUTHORITY_BYTES>, |view, request, value| {
            view.set_authority(request, value)
        })?;
        setters.bound::<$request, _>("set-path-with-query", is_short::<PATH_BYTES>, |view, request, value| {
            view.set_path_with_query(request, value)
        })
    }};
}

/// Replaces the setters of requests of WASI 0.2.
pub(super) fn link_0_2(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    replace_setters!(linker, "wasi:http/types@0.2.12", p2, HostOutgoingRequest, OutgoingRequest, "outgoing-request")
}

/// Replaces the setters of requests of WASI 0.3.
pub(super) fn link_0_3(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    replace_setters!(linker, "wasi:http/types@0.3.0", p3, HostRequest, Request, "request")
}

fn is_short<const BYTES: usize>(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(|text| text.len() <= BYTES)
}

/// The setters of a resource for requests.
struct Setters<'a, 'b> {
    types: &'a mut LinkerInstance<'b, InstanceData>,
    resource: &'static str,
}

impl Setters<'_, '_> {
    /// Replaces a setter by one that refuses values that do not fit, with the same result as for malformed values.
    fn bound<R: 'static, T: ComponentType + Lift + 'static>(
        &mut self,
        setter: &str,
        fits: fn(&T) -> bool,
        set: Set<R, T>,
    ) -> wasmtime::Result<()> {
        self.types.func_wrap(
            &format!("[method]{}.{setter}", self.resource),
            move |mut store: StoreContextMut<'_, InstanceData>, (request, value): (Resource<R>, T)| {
                let result = if fits(&value) { set(&mut store.data_mut().http(), request, value)? } else { Err(()) };
                Ok((result,))
            },
        )
    }
}
