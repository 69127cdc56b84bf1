//! The access log: a line for each request, when its response has ended.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

/// The log target of the lines.
const TARGET: &str = "sandbus::access";

/// The client of a request; none if this process has sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) Option<IpAddr>);

/// What the handler of a request adds to its line. It is an extension of the request while the access log is on.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessNote(Arc<Note>);

#[derive(Debug, Default)]
struct Note {
    plugin: OnceLock<Arc<str>>,
    request_id: OnceLock<String>,
}

impl AccessNote {
    /// A plugin has a route for the request.
    pub(crate) fn set_plugin(&self, plugin: &Arc<str>) {
        let _ = self.0.plugin.set(Arc::clone(plugin));
    }

    /// The request got an id.
    pub(crate) fn set_request_id(&self, id: &str) {
        let _ = self.0.request_id.set(id.to_owned());
    }
}

/// Logs a request when its response has ended, if its listener has found out who the client is.
pub(super) async fn record(mut request: Request, next: Next) -> Response {
    if request.extensions().get::<ClientAddress>().is_none() {
        return next.run(request).await;
    }
    let mut line = AccessLine::of(&mut request);
    let response = next.run(request).await;
    line.status = Some(response.status());
    response.map(|inner| Body::new(CountedBody { inner, line }))
}

/// The line of a request. It is written when it is dropped.
#[derive(Debug)]
struct AccessLine {
    client: Option<IpAddr>,
    method: Method,
    path: String,
    started: Instant,
    note: AccessNote,
    status: Option<StatusCode>,
    bytes: u64,
}

impl AccessLine {
    fn of(request: &mut Request) -> Self {
        let note = AccessNote::default();
        request.extensions_mut().insert(note.clone());
        Self {
            client: request.extensions().get().and_then(|ClientAddress(address)| *address),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            started: Instant::now(),
            note,
            status: None,
            bytes: 0,
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        // If there is no status, the client disconnected before the host decided one. Like nginx, the host logs 499.
        let status = self.status.map_or(499, |status| status.as_u16());
        let took_ms = self.started.elapsed().as_secs_f64() * 1_000.0;
        tracing::info!(
            target: TARGET,
            client = self.client.map(tracing::field::display),
            method = self.method.as_str(),
            path = self.path,
            status,
            bytes = self.bytes,
            // Microseconds are precise enough.
            took_ms = (took_ms * 1_000.0).round() / 1_000.0,
            request_id = self.note.0.request_id.get(),
            plugin = self.note.0.plugin.get().map(AsRef::<str>::as_ref),
            "request"
        );
    }
}

/// The body of a response, with the line that is written at its end.
struct CountedBody {
    inner: Body,
    line: AccessLine,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
