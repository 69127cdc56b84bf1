//! Discards the rest of a request's body if its handler responds without reading it. Otherwise the server would have to
//! close a connection that its response promised to keep open, and the client's next request would be lost.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, EXPECT};
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, SizeHint};

/// How many bytes of an unread body are discarded. After more, the connection closes.
const MAX_BYTES: usize = 64 << 10;
/// How long the response waits for the rest of the body.
const MAX_WAIT: Duration = Duration::from_millis(100);

type Dropped = Arc<Mutex<Option<Body>>>;

/// A request's body that its handler dropped before the end.
#[derive(Debug)]
pub(super) struct UnreadBody {
    dropped: Dropped,
    awaits_continue: bool,
}

impl UnreadBody {
    /// Watches a request's body; none if the request has no body.
    pub(super) fn watch(request: Request) -> (Request, Option<Self>) {
        if request.body().is_end_stream() {
            return (request, None);
        }
        let dropped = Arc::new(Mutex::new(None));
        let awaits_continue = request.headers().contains_key(EXPECT);
        let watch = |inner| Body::new(WatchedBody { inner, dropped: Arc::clone(&dropped) });
        (request.map(watch), Some(Self { dropped, awaits_continue }))
    }

    /// Discards the unread part of the body. If it is too long, or arrives too late, the response says that the
    /// connection closes (RFC 9112, section 9.6).
    pub(super) async fn settle(self, mut response: Response) -> Response {
        let dropped = lock(&self.dropped).take();
        if let Some(body) = dropped
            && !response.headers().contains_key(CONNECTION)
            && (self.awaits_continue || !discard(body).await)
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The value is whole even if a thread panicked with the lock.
fn lock(dropped: &Dropped) -> std::sync::MutexGuard<'_, Option<Body>> {
    dropped.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a body to its end. False if it exceeds the limits.
async fn discard(body: Body) -> bool {
    if body.size_hint().lower() > MAX_BYTES as u64 {
        return false;
    }
    let mut body = Limited::new(body, MAX_BYTES);
    let discarded = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(MAX_WAIT, discarded).await.unwrap_or(false)
}

/// A body that is kept when its reader drops it before its end.
struct WatchedBody {
    inner: Body,
    dropped: Dropped,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.inner = Body::empty();
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

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            *lock(&self.dropped) = Some(std::mem::take(&mut self.inner));
        }
    }
}
