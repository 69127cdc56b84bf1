//! Bounds of what `wasi:http` keeps in the host for an instance, which is no part of its memory: so much for each
//! handle, of which there is a number.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method, OutgoingRequest, Scheme};

use crate::plugin::imports::Invocation;

/// The instance as the standard's implementation links it.
const TYPES: &str = "wasi:http/types@0.2.12";

/// How much of a body is written at a time. Twice as much waits to be read.
pub(super) const BODY_CHUNK_BYTES: usize = 8 << 10;
/// The most bytes of headers, with what it takes to keep them.
pub(super) const FIELDS_BYTES: usize = 32 << 10;
/// The longest name of a method or a scheme, in bytes.
pub(in crate::plugin) const NAME_BYTES: usize = 64;
/// The longest name of a host with its port, in bytes.
const AUTHORITY_BYTES: usize = 512;
/// The longest path with its query, in bytes.
pub(in crate::plugin) const PATH_BYTES: usize = 8 << 10;

type Context<'a> = StoreContextMut<'a, Invocation>;
type Request = Resource<OutgoingRequest>;
/// Whether it was taken, as the standard answers.
type Taken = wasmtime::Result<(Result<(), ()>,)>;

/// Links the texts of a request over those of any length. One that is too long is refused as a malformed one is.
pub(super) fn link(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Context<'_>, (request, method): (Request, Method)| -> Taken {
            if matches!(&method, Method::Other(name) if name.len() > NAME_BYTES) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store: Context<'_>, (request, scheme): (Request, Option<Scheme>)| -> Taken {
            if matches!(&scheme, Some(Scheme::Other(name)) if name.len() > NAME_BYTES) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_scheme(request, scheme)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Context<'_>, (request, authority): (Request, Option<String>)| -> Taken {
            if authority.as_ref().is_some_and(|text| text.len() > AUTHORITY_BYTES) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Context<'_>, (request, path): (Request, Option<String>)| -> Taken {
            if path.as_ref().is_some_and(|text| text.len() > PATH_BYTES) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_path_with_query(request, path)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
