//! Bounds the error codes that a guest sends through futures of `wasi:http`. The host keeps such a code until its
//! receiver takes it, and its text does not count as the instance's memory.

use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::component::{Access, FutureConsumer, FutureReader, Lift, Linker, Lower, Resource, Source, StreamReader};
use wasmtime::error::Context as _;
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi_http::p3::bindings::http::types::{
    ErrorCode, Fields, HostRequestWithStore, HostResponseWithStore, RequestOptions,
};
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _};

use crate::plugin::invocation::InstanceData;

/// The longest description of an error code. Longer codes lose their text.
const CODE_BYTES: usize = 1_024;

type Store<'a> = StoreContextMut<'a, InstanceData>;
/// The trailers of a body that a guest sends.
type Trailers = Result<Option<Resource<Fields>>, ErrorCode>;
/// The result that a guest reports for a body that it has received.
type Received = Result<(), ErrorCode>;
/// The body that a guest receives, and its trailers.
type Body = (StreamReader<u8>, FutureReader<Trailers>);

/// Replaces the functions of `wasi:http/types` that take such a future.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> Result<()> {
    type NewRequest =
        (Resource<Fields>, Option<StreamReader<u8>>, FutureReader<Trailers>, Option<Resource<RequestOptions>>);
    type NewResponse = (Resource<Fields>, Option<StreamReader<u8>>, FutureReader<Trailers>);
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[static]request.new",
        |mut store: Store<'_>, (headers, body, trailers, options): NewRequest| {
            let trailers = bounded(&mut store, trailers, Ok(None))?;
            Ok((<WasiHttp as HostRequestWithStore<_>>::new(access(store), headers, body, trailers, options)?,))
        },
    )?;
    types.func_wrap("[static]response.new", |mut store: Store<'_>, (headers, body, trailers): NewResponse| {
        let trailers = bounded(&mut store, trailers, Ok(None))?;
        Ok((<WasiHttp as HostResponseWithStore<_>>::new(access(store), headers, body, trailers)?,))
    })?;
    types.func_wrap(
        "[static]request.consume-body",
        |mut store: Store<'_>, (request, received): (Resource<Request>, FutureReader<Received>)| -> Result<(Body,)> {
            let received = bounded(&mut store, received, Ok(()))?;
            Ok((<WasiHttp as HostRequestWithStore<_>>::consume_body(access(store), request, received)?,))
        },
    )?;
    types.func_wrap(
        "[static]response.consume-body",
        |mut store: Store<'_>, (response, received): (Resource<Response>, FutureReader<Received>)| -> Result<(Body,)> {
            let received = bounded(&mut store, received, Ok(()))?;
            Ok((<WasiHttp as HostResponseWithStore<_>>::consume_body(access(store), response, received)?,))
        },
    )?;
    Ok(())
}

fn access(store: Store<'_>) -> Access<'_, InstanceData, WasiHttp> {
    Access::<_, WasiHttp>::new(store, |instance| instance.http())
}

/// A future with the result of another one, whose error code is bounded. If the other one ends without a result, the
/// future has the default.
fn bounded<T>(
    mut store: impl AsContextMut<Data = InstanceData>,
    future: FutureReader<Result<T, ErrorCode>>,
    default: Result<T, ErrorCode>,
) -> Result<FutureReader<Result<T, ErrorCode>>>
where
    Result<T, ErrorCode>: Lift + Lower + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    future.pipe(&mut store, Forward(Some(sender)))?;
    FutureReader::new(&mut store, async move { Ok::<_, wasmtime::Error>(receiver.await.unwrap_or(default)) })
}

/// Passes a result on, with a bounded error code.
struct Forward<T>(Option<oneshot::Sender<Result<T, ErrorCode>>>);

impl<T, D: 'static> FutureConsumer<D> for Forward<T>
where
    Result<T, ErrorCode>: Lift + Send + 'static,
{
    type Item = Result<T, ErrorCode>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<Result<()>> {
        let mut result = None;
        source.read(&mut store, &mut result)?;
        let result = result.context("a future ended without its result")?;
        if let Some(sender) = self.0.take() {
            // The receiver may be gone.
            drop(sender.send(result.map_err(without_long_text)));
        }
        Poll::Ready(Ok(()))
    }
}

fn without_long_text(code: ErrorCode) -> ErrorCode {
    let is_short = write!(Limited(CODE_BYTES), "{code:?}").is_ok();
    if is_short { code } else { ErrorCode::InternalError(None) }
}

/// Takes a number of bytes, and refuses more.
struct Limited(usize);

impl fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_with_a_long_text_loses_it() {
        let code = |length| without_long_text(ErrorCode::InternalError(Some("a".repeat(length))));
        assert!(matches!(code(CODE_BYTES / 2), ErrorCode::InternalError(Some(_))));
        assert!(matches!(code(CODE_BYTES), ErrorCode::InternalError(None)));
        assert!(matches!(without_long_text(ErrorCode::ConnectionTimeout), ErrorCode::ConnectionTimeout));
    }
}
