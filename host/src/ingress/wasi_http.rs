//! Requests to services, which are components that serve `wasi:http`: bodies stream in both directions while the
//! handler runs.
//!
//! A complete response implies durable effects. If the handler has effects when it starts to respond, the response is
//! held until they are committed. Without effects the response streams at once, and its last part is held until the
//! handler has ended and its later effects are committed. If the handler or that commit fails, the connection is cut,
//! since the status has been sent. A client cannot tell whether a response is complete if the response has no body, or
//! if its body ends with the connection. The host sends such a response only after the commit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Ingress;
use super::handler_responses::{admit, check_headers, failure_problem, panic_problem};
use super::request_record::RequestRecord;
use super::spool::{DIRECT_WRITE_TIME, Spooler, spooled};
use crate::event::IdSeed;
use crate::observer::PublishedCauseTrees;
use crate::outcome::{Effects, Failure};
use crate::plugin::{Admission, Exchange, Generation, ResponseHead, Route};
use crate::problem::Problem;
use crate::threads::{JobHandle, Panicked};
use crate::usage::Usage;

/// Headers that are removed from responses, because the server sets them. Unlike `plugin::CONNECTION_HEADERS`, which
/// are for messages with a complete body, they leave `Content-Length` and `Trailer`: a body that streams has the length
/// and the trailers that its handler declares.
const STRIPPED_HEADERS: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")];

/// A running handler.
type RunningHandler = JobHandle<HandlerEnd>;
/// The result of a handler.
type HandlerEnd = (Result<Effects, Failure>, Usage);

/// One request to a service.
struct ServiceRequest<'a> {
    ingress: &'a Arc<Ingress>,
    generation: &'a Arc<Generation>,
    route: &'a Arc<Route>,
    record: &'a Arc<RequestRecord>,
    client: Client,
}

/// How a client reads a response.
#[derive(Clone, Copy)]
struct Client {
    /// Whether the client asked only for the head.
    is_head: bool,
    /// Whether the client speaks HTTP/1.0, which lacks chunked coding. A body without a length then ends with the
    /// connection.
    is_http10: bool,
}

impl Client {
    /// Whether a body is sent.
    fn gets_body(self, response: &Response<Body>) -> bool {
        let has_none = super::reply::is_bodiless(response.status());
        !self.is_head && !has_none && declared_length(response) != Some(0)
    }

    /// Whether the client can tell a complete body from a truncated one.
    fn can_detect_end(self, response: &Response<Body>) -> bool {
        self.gets_body(response) && (!self.is_http10 || declared_length(response).is_some())
    }
}

fn declared_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) async fn respond(
    ingress: &Arc<Ingress>,
    generation: Arc<Generation>,
    route: Arc<Route>,
    record: &Arc<RequestRecord>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let request = limit_body(ingress, request).await?;
    let client = Client { is_head: request.method() == Method::HEAD, is_http10: request.version() < Version::HTTP_11 };
    let service = ServiceRequest { ingress, generation: &generation, route: &route, record, client };
    let (answer, mut head) = oneshot::channel();
    let mut running = service.run(Exchange { request, answer, trace: record.trace() }).await?;
    let ended = tokio::select! {
        biased;
        Ok(head) = &mut head => return service.continue_with(head, running).await,
        ended = &mut running => service.record_end(ended)?,
    };
    match (head.try_recv(), ended) {
        (Ok(head), Ok(effects)) if !effects.is_empty() => {
            let response = service.check_response(head.response)?;
            service.buffer(response, std::future::ready(Ok(Ok(effects)))).await
        }
        (Ok(head), ended) => service.complete(service.check_response(head.response)?, ended).await,
        (Err(_), Err(failure)) => Err(service.record_failure(&failure)),
        (Err(_), Ok(_)) => Err(malformed(&generation, "it ended without a response")),
    }
}

/// The request with its body limited. A handler that waits for its client holds a shared permit. So only a bounded
/// number of bodies stream into running handlers; all others are read completely first.
async fn limit_body(ingress: &Ingress, request: Request<Body>) -> Result<Request<Body>, Problem> {
    let body_reader = &ingress.body_reader;
    body_reader.check_length(request.body())?;
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let body = match Arc::clone(&ingress.streaming_permits).try_acquire_owned() {
        Ok(permit) => {
            let body_reader = body_reader.clone();
            let inner = Limited::new(body, body_reader.limits.max_body_bytes);
            let deadline = Box::pin(async move {
                drop(tokio::time::timeout(body_reader.limits.body_timeout, body_reader.stopped()).await);
            });
            Body::new(StreamingBody { inner, deadline, permit: Some(permit) })
        }
        Err(_) => Body::from(body_reader.collect(body).await?),
    };
    Ok(Request::from_parts(head, body))
}

/// A body that streams into a running handler. It holds its streaming permit until it has been read, or until the
/// deadline.
struct StreamingBody {
    inner: Limited<Body>,
    /// Completes when the body's timeout has passed, or when the host stops.
    deadline: Pin<Box<dyn Future<Output = ()> + Send>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl hyper::body::Body for StreamingBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending if self.deadline.as_mut().poll(context).is_ready() => {
                Poll::Ready(Some(Err("the body did not arrive in time".into())))
            }
            polled => polled,
        };
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.permit = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.inner.size_hint()
    }
}

fn malformed(generation: &Generation, what: &str) -> Problem {
    tracing::error!(plugin = %generation.name, "the handler's response is malformed: {what}");
    Problem::new(StatusCode::BAD_GATEWAY, "handler-response", "the handler's response is malformed")
}

impl ServiceRequest<'_> {
    /// Starts the handler.
    async fn run(&self, exchange: Exchange) -> Result<RunningHandler, Problem> {
        let asked = Instant::now();
        let Admission { ticket, permits } = admit(self.ingress, self.generation).await?;
        let state = self.ingress.bus.state(&self.generation.name);
        let (generation, route) = (Arc::clone(self.generation), Arc::clone(self.route));
        let id = self.record.id().clone();
        Ok(self.ingress.capacity.threads.run(ticket, move || {
            let queued = asked.elapsed();
            let (ended, usage) = generation.serve(&route, id, exchange, IdSeed::unique(), state);
            // Held until the thread is free, even if the client disconnects.
            drop(permits);
            (ended, Usage { queued, ..usage })
        }))
    }

    /// Records the end of the handler, and returns its result.
    fn record_end(&self, ended: Result<HandlerEnd, Panicked>) -> Result<Result<Effects, Failure>, Problem> {
        let (ended, usage) = ended.map_err(panic_problem)?;
        self.record.handler_ended(usage.queued, usage);
        Ok(ended)
    }

    /// Records that the handler has failed. Returns the problem for the client.
    fn record_failure(&self, failure: &Failure) -> Problem {
        self.record.failed(failure);
        failure_problem(self.generation, self.route, self.record.id(), failure)
    }

    /// Checks a response, and removes the headers that the server sets.
    fn check_response(&self, response: Result<Response<Body>, String>) -> Result<Response<Body>, Problem> {
        let mut response = response.map_err(|code| malformed(self.generation, &format!("it is an error: {code}")))?;
        if !(200..=599).contains(&response.status().as_u16()) {
            return Err(malformed(self.generation, "its status is not from 200 to 599"));
        }
        check_headers(response.headers()).map_err(|reason| malformed(self.generation, &reason))?;
        for name in &STRIPPED_HEADERS {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }

    /// Continues with a response whose head the handler has sent.
    async fn continue_with(&self, head: ResponseHead, running: RunningHandler) -> Result<Response<Body>, Problem> {
        let response = self.check_response(head.response)?;
        if !head.has_effects && self.client.can_detect_end(&response) {
            return Ok(self.stream(response, running));
        }
        self.buffer(response, async { self.record_end(running.await) }).await
    }

    /// Reads the body of a response while its handler runs. Responds after the handler has ended and its effects are
    /// committed.
    async fn buffer(
        &self,
        response: Response<Body>,
        ended: impl Future<Output = Result<Result<Effects, Failure>, Problem>>,
    ) -> Result<Response<Body>, Problem> {
        let (gets_body, declared) = (self.client.gets_body(&response), declared_length(&response));
        let has_no_length = self.client.is_head && declared.is_none();
        let (parts, body) = response.into_parts();
        let body = async {
            if gets_body {
                return collect(body, self.generation.settings.limits.effect_bytes, declared).await;
            }
            discard(body).await;
            // The length is unknown unless declared: the response to HEAD describes the body of GET.
            Ok(if has_no_length { unsized_empty_body() } else { Body::empty() })
        };
        let (body, ended) = tokio::join!(body, ended);
        let ended = ended?;
        let body = match (body, &ended) {
            (Ok(body), _) => body,
            // The handler's failure explains why its body broke off.
            (Err(_), Err(_)) => Body::empty(),
            (Err(error), Ok(_)) => {
                return Err(malformed(self.generation, &format!("its body cannot be buffered: {error}")));
            }
        };
        self.complete(Response::from_parts(parts, body), ended).await
    }

    /// Responds after the handler has ended and its effects are committed.
    async fn complete(
        &self,
        mut response: Response<Body>,
        ended: Result<Effects, Failure>,
    ) -> Result<Response<Body>, Problem> {
        let effects = ended.map_err(|failure| self.record_failure(&failure))?;
        if !effects.is_empty() {
            if self.ingress.observer.is_active() {
                response.extensions_mut().insert(PublishedCauseTrees::by(&effects));
            }
            self.record.will_commit(&effects);
            self.ingress.bus.commit(&self.generation.name, effects).await?;
            self.record.committed();
        }
        Ok(response)
    }

    /// Responds at once, and holds the last part of the body back.
    fn stream(&self, response: Response<Body>, running: RunningHandler) -> Response<Body> {
        let (sender, committed) = oneshot::channel();
        let (ingress, generation, route) =
            (Arc::clone(self.ingress), Arc::clone(self.generation), Arc::clone(self.route));
        let (client, record) = (self.client, Arc::clone(self.record));
        let remaining = declared_length(&response);
        let (head, body) = response.into_parts();
        let (body, spooler) = spooled(body);
        self.ingress.streaming_responses.spawn(async move {
            let service =
                ServiceRequest { ingress: &ingress, generation: &generation, route: &route, record: &record, client };
            let ended = service.settle(finish_handler(running, spooler, &ingress).await).await;
            if let Err(problem) = &ended {
                let (plugin, code) = (&generation.name, problem.code());
                tracing::error!(%plugin, %route, code, "a response was cut off after it had started");
            }
            // The client may have disconnected.
            let _ = sender.send(ended.is_ok());
        });
        let body = CommitGatedBody {
            inner: Body::new(body),
            remaining,
            last: None,
            ended: false,
            commit: CommitStatus::Awaited(committed),
        };
        Response::from_parts(head, Body::new(body))
    }

    /// Commits the effects of a handler that has ended.
    async fn settle(&self, ended: Result<HandlerEnd, Panicked>) -> Result<(), Problem> {
        let ended = self.record_end(ended)?;
        self.complete(Response::default(), ended).await.map(drop)
    }
}

/// Waits for the end of a handler that writes a body. After [`DIRECT_WRITE_TIME`], the host spools the body, so that
/// the handler no longer waits for the client to read it.
async fn finish_handler(
    mut running: RunningHandler,
    spooler: Spooler,
    ingress: &Ingress,
) -> Result<HandlerEnd, Panicked> {
    if let Ok(ended) = tokio::time::timeout(DIRECT_WRITE_TIME, &mut running).await {
        return ended;
    }
    ingress.streaming_responses.spawn(spooler.run(ingress.spool_limits.clone()));
    running.await
}

/// Reads a whole body of at most `limit` bytes. A body must have its declared length: otherwise the server would cut
/// off the response after the effects are committed.
async fn collect(
    body: Body,
    limit: usize,
    declared: Option<u64>,
) -> Result<Body, Box<dyn std::error::Error + Send + Sync>> {
    let mut length = 0;
    let counted = body.map_frame(|frame| {
        length += frame.data_ref().map_or(0, Bytes::len) as u64;
        frame
    });
    let collected = Limited::new(counted, limit).collect().await?;
    match declared.filter(|declared| *declared != length) {
        Some(declared) => Err(format!("it has {length} bytes, and its Content-Length is {declared}").into()),
        None => Ok(Body::new(collected)),
    }
}

/// Reads and discards a body that is not sent, so that the handler can finish. The body may be shorter than declared,
/// as for HEAD and 304 (RFC 9110, section 8.6).
async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// An empty body that does not announce its length.
fn unsized_empty_body() -> Body {
    struct Unknown;
    impl hyper::body::Body for Unknown {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(None)
        }
    }
    Body::new(Unknown)
}

/// A body whose last part waits for the handler to succeed. If the handler fails, the body breaks off. The host does
/// not wait for the rest, because a handler can pass on the body of another service, which may never end.
struct CommitGatedBody {
    inner: Body,
    /// The number of bytes missing from the declared length.
    remaining: Option<u64>,
    last: Option<Frame<Bytes>>,
    ended: bool,
    commit: CommitStatus,
}

/// Whether the handler succeeded and its effects are committed.
enum CommitStatus {
    Awaited(oneshot::Receiver<bool>),
    Succeeded,
    /// Parts that are ready are sent, up to this number.
    Failed {
        parts_left: u8,
    },
}

impl CommitStatus {
    /// The maximum number of ready parts that are sent after a failure, so that the client gets what the handler wrote.
    /// There is a maximum, because a body that comes from another service may always have a part ready.
    const PARTS_AFTER_FAILURE: u8 = 16;

    /// Takes the result of the commit if it is there.
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Awaited(receiver) = self
            && let Poll::Ready(succeeded) = Pin::new(receiver).poll(context)
        {
            *self = match succeeded {
                Ok(true) => Self::Succeeded,
                _ => Self::Failed { parts_left: Self::PARTS_AFTER_FAILURE },
            };
        }
    }
}

/// A body that ends with this error is truncated.
#[derive(Debug, thiserror::Error)]
enum TruncatedBody {
    #[error("the handler failed after its response had started")]
    Failed,
    #[error(transparent)]
    Body(#[from] axum::Error),
}

impl CommitGatedBody {
    /// Whether a frame is the last: trailers, or the data that completes the declared length.
    fn is_last(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(data.len() as u64));
        self.remaining == Some(0)
    }
}

impl hyper::body::Body for CommitGatedBody {
    type Data = Bytes;
    type Error = TruncatedBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TruncatedBody>>> {
        self.commit.poll(context);
        if !self.ended {
            let polled = Pin::new(&mut self.inner).poll_frame(context)?;
            if let CommitStatus::Failed { parts_left } = &mut self.commit {
                match (parts_left.checked_sub(1), &polled) {
                    (Some(left), Poll::Ready(_)) => *parts_left = left,
                    _ => return Poll::Ready(Some(Err(TruncatedBody::Failed))),
                }
            }
            match ready!(polled) {
                Some(frame) if self.is_last(&frame) => self.last = Some(frame),
                Some(frame) => return Poll::Ready(Some(Ok(frame))),
                None => {}
            }
            self.ended = true;
        }
        match self.commit {
            CommitStatus::Awaited(_) => Poll::Pending,
            CommitStatus::Succeeded => Poll::Ready(self.last.take().map(Ok)),
            CommitStatus::Failed { .. } => Poll::Ready(Some(Err(TruncatedBody::Failed))),
        }
    }
}
