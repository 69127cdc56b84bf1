//! The requests of a connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use super::activity::{Activity, OpenStream};
use crate::server::public_listener::PublicListener;
use crate::server::{HttpLimits, refusal};

/// The largest part of a response that is handed to the connection at once. The next part is asked for when the client
/// has room for it.
const PART_BYTES: usize = 16 << 10;

/// Answers the requests of a connection.
pub(super) struct Streams {
    router: TowerToHyperService<Router>,
    public: Option<PublicListener>,
    activity: Activity,
    permits: Arc<Semaphore>,
    limits: HttpLimits,
}

impl Streams {
    pub(super) fn new(
        router: Router,
        public: Option<PublicListener>,
        activity: Activity,
        permits: Arc<Semaphore>,
        limits: HttpLimits,
    ) -> Self {
        Self { router: TowerToHyperService::new(router), public, activity, permits, limits }
    }
}

impl Service<Request<Incoming>> for Streams {
    type Response = hyper::Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(public) = &self.public {
            public.prepare(&mut request);
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        let answering = permit.is_some().then(|| self.router.call(request));
        let stream = self.activity.begin(permit);
        let limits = self.limits;
        Box::pin(async move {
            let response: Response = match answering {
                Some(answering) => answering.await?,
                None => refusal::too_many_requests(limits).into_response(),
            };
            // The client may have no room even for the first part.
            stream.wrote();
            Ok(response.map(|inner| ResponseBody { inner, rest: Bytes::new(), stream }))
        })
    }
}

/// The body of a response, in parts, with the stream that it keeps open.
pub(super) struct ResponseBody {
    inner: Body,
    rest: Bytes,
    stream: OpenStream,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The connection asks for a part when the client has read the one before.
        self.stream.was_read();
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.rest.len().min(PART_BYTES);
        let part = self.rest.split_to(length);
        self.stream.wrote();
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
