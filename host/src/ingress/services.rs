//! A request for a component that serves `wasi:http`: bodies flow both ways while the handler runs.
//!
//! A response that a client gets whole is one whose effects are durable. If the handler has effects when it
//! begins to answer, its response is held until it has ended and they are committed. If it has none, the
//! response flows at once, and its last part is held until the handler has ended and what it asked for later
//! is committed. Where that fails the connection is cut, since the status has gone out. A response whose end the
//! client would not see, since it has no body or ends with the connection, is held as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Ingress;
use super::respond::{admitted, check_headers, failed, unfinished};
use super::spool::{DIRECT, Spooler, spooled};
use crate::event::IdSeed;
use crate::observer::Published;
use crate::outcome::{Effects, Failure};
use crate::plugin::{Admission, Exchange, Generation, Head, Route};
use crate::problem::Problem;
use crate::threads::{JobHandle, Panicked};

/// Headers of a response that the server sets by itself.
const CONNECTION_HEADERS: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")];

/// A handler that runs.
type Running = JobHandle<Ended>;
/// What comes of it.
type Ended = Result<Effects, Failure>;

/// One request.
struct Service<'a> {
    ingress: &'a Arc<Ingress>,
    generation: &'a Arc<Generation>,
    route: &'a Arc<Route>,
    client: Client,
}

/// What a client makes of a response.
#[derive(Clone, Copy)]
struct Client {
    /// It asks for the head alone.
    is_head: bool,
    /// It knows no chunks: a body without a length ends where the connection does.
    is_old: bool,
}

impl Client {
    /// Whether it is sent a body.
    fn gets_body(self, response: &Response<Body>) -> bool {
        let has_none = super::reply::bodiless(response.status());
        !self.is_head && !has_none && declared_length(response) != Some(0)
    }

    /// Whether it can tell a body that is whole from one that was cut off.
    fn sees_end(self, response: &Response<Body>) -> bool {
        self.gets_body(response) && (!self.is_old || declared_length(response).is_some())
    }
}

fn declared_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) async fn answer(
    ingress: &Arc<Ingress>,
    generation: Arc<Generation>,
    route: Arc<Route>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let request = within(ingress, request).await?;
    let client = Client { is_head: request.method() == Method::HEAD, is_old: request.version() < Version::HTTP_11 };
    let service = Service { ingress, generation: &generation, route: &route, client };
    let (answer, mut head) = oneshot::channel();
    let mut running = service.run(Exchange { request, answer }).await?;
    let ended = tokio::select! {
        biased;
        Ok(head) = &mut head => return service.begin(head, running).await,
        ended = &mut running => ended.map_err(unfinished)?,
    };
    match (head.try_recv(), ended) {
        (Ok(head), ended) => service.complete(service.response(head.response)?, ended).await,
        (Err(_), Err(failure)) => Err(failed(&generation, &route, &failure)),
        (Err(_), Ok(_)) => Err(malformed(&generation, "it ended without one")),
    }
}

/// The request with its body held to the limits. A handler that waits for a client holds a place that all plugins
/// share. So a bounded number of bodies flow while their handlers run, and the others are complete before.
async fn within(ingress: &Ingress, request: Request<Body>) -> Result<Request<Body>, Problem> {
    let intake = &ingress.intake;
    intake.check_length(request.body())?;
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let body = match Arc::clone(&ingress.flowing).try_acquire_owned() {
        Ok(place) => {
            let intake = intake.clone();
            let inner = Limited::new(body, intake.limits.max_body_bytes);
            let late = Box::pin(async move {
                drop(tokio::time::timeout(intake.limits.body_timeout, intake.stopped()).await);
            });
            Body::new(Flowing { inner, late, place: Some(place) })
        }
        Err(_) => Body::from(intake.collect(body).await?),
    };
    Ok(Request::from_parts(head, body))
}

/// A body that flows to a handler that runs. It keeps its place as long as the client may be waited for: until its time
/// is over, or the host stops.
struct Flowing {
    inner: Limited<Body>,
    late: Pin<Box<dyn Future<Output = ()> + Send>>,
    place: Option<OwnedSemaphorePermit>,
}

impl hyper::body::Body for Flowing {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending if self.late.as_mut().poll(context).is_ready() => {
                Poll::Ready(Some(Err("the body did not arrive in time".into())))
            }
            polled => polled,
        };
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.place = None;
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

impl Service<'_> {
    /// Starts the handler.
    async fn run(&self, exchange: Exchange) -> Result<Running, Problem> {
        let Admission { turn, places } = admitted(self.ingress, self.generation).await?;
        let state = self.ingress.bus.state(&self.generation.name);
        let (generation, route) = (Arc::clone(self.generation), Arc::clone(self.route));
        Ok(self.ingress.capacity.threads.run(turn, move || {
            let ended = generation.serve(&route, exchange, IdSeed::unique(), state);
            // Held until the thread is free, also if the client has gone.
            drop(places);
            ended
        }))
    }

    /// Checks a response.
    fn response(&self, response: Result<Response<Body>, String>) -> Result<Response<Body>, Problem> {
        let mut response = response.map_err(|code| malformed(self.generation, &format!("it is an error: {code}")))?;
        if !(200..=599).contains(&response.status().as_u16()) {
            return Err(malformed(self.generation, "its status is not from 200 to 599"));
        }
        check_headers(response.headers()).map_err(|reason| malformed(self.generation, &reason))?;
        for name in &CONNECTION_HEADERS {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }

    /// Goes on with a response that has begun.
    async fn begin(&self, head: Head, running: Running) -> Result<Response<Body>, Problem> {
        let response = self.response(head.response)?;
        if !head.has_effects && self.client.sees_end(&response) {
            return Ok(self.stream(response, running));
        }
        let gets_body = self.client.gets_body(&response);
        let has_no_length = self.client.is_head && declared_length(&response).is_none();
        let (parts, body) = response.into_parts();
        let body = async {
            if gets_body {
                let limit = self.generation.settings.limits.effect_bytes;
                return Limited::new(body, limit).collect().await.map(Body::new);
            }
            discard(body).await;
            // Of unknown length where none is declared: that of the body that `GET` is answered with is not known.
            Ok(if has_no_length { unknown() } else { Body::empty() })
        };
        let (body, ended) = tokio::join!(body, running);
        let ended = ended.map_err(unfinished)?;
        let body = match (body, &ended) {
            (Ok(body), _) => body,
            // Its failure explains why the body broke off.
            (Err(_), Err(_)) => Body::empty(),
            (Err(error), Ok(_)) => {
                return Err(malformed(self.generation, &format!("its body cannot be held: {error}")));
            }
        };
        let response = Response::from_parts(parts, body);
        self.complete(response, ended).await
    }

    /// Answers once the handler has ended: its effects first.
    async fn complete(
        &self,
        mut response: Response<Body>,
        ended: Result<Effects, Failure>,
    ) -> Result<Response<Body>, Problem> {
        let effects = ended.map_err(|failure| failed(self.generation, self.route, &failure))?;
        if !effects.is_empty() {
            if self.ingress.observer.watches() {
                response.extensions_mut().insert(Published::by(&effects));
            }
            self.ingress.bus.commit(&self.generation.name, effects).await?;
        }
        Ok(response)
    }

    /// Answers at once, with the end of the body held back.
    fn stream(&self, response: Response<Body>, running: Running) -> Response<Body> {
        let (sender, verdict) = oneshot::channel();
        let (ingress, generation, route) =
            (Arc::clone(self.ingress), Arc::clone(self.generation), Arc::clone(self.route));
        let client = self.client;
        let left = declared_length(&response);
        let (head, body) = response.into_parts();
        let (body, spooler) = spooled(body);
        self.ingress.begun.spawn(async move {
            let service = Service { ingress: &ingress, generation: &generation, route: &route, client };
            let ended = service.settle(unhindered(running, spooler, &ingress).await).await;
            if let Err(problem) = &ended {
                let (plugin, code) = (&generation.name, problem.code());
                tracing::error!(%plugin, %route, code, "a response was cut off after it had begun");
            }
            // Nobody listens if the client has gone.
            let _ = sender.send(ended.is_ok());
        });
        let held = Held { inner: Body::new(body), left, last: None, ended: false, verdict: Some(verdict) };
        Response::from_parts(head, Body::new(held))
    }

    /// Commits what a handler asked for that has ended.
    async fn settle(&self, ended: Result<Ended, Panicked>) -> Result<(), Problem> {
        let ended = ended.map_err(unfinished)?;
        self.complete(Response::default(), ended).await.map(drop)
    }
}

/// Waits for a handler that writes a body. After a while it does not wait for its client any more.
async fn unhindered(mut running: Running, spooler: Spooler, ingress: &Ingress) -> Result<Ended, Panicked> {
    if let Ok(ended) = tokio::time::timeout(DIRECT, &mut running).await {
        return ended;
    }
    ingress.begun.spawn(spooler.run(ingress.spools.clone()));
    running.await
}

/// Reads what nobody is sent, so that whoever writes it comes to an end. It may be shorter than the head declares, as
/// that of a response to `HEAD` or of a 304 usually is (RFC 9110, section 8.6).
async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// A body that is empty and does not say so beforehand.
fn unknown() -> Body {
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

/// A body whose last part waits until the handler has ended well.
struct Held {
    inner: Body,
    /// How many bytes are missing to the length that the response declares.
    left: Option<u64>,
    last: Option<Frame<Bytes>>,
    ended: bool,
    /// None once it has been heard.
    verdict: Option<oneshot::Receiver<bool>>,
}

/// A body that ends so is not whole.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the handler failed after its response had begun")]
    Failed,
    #[error(transparent)]
    Body(#[from] axum::Error),
}

impl Held {
    /// Whether a frame is the last one: trailers are, and what makes the declared length full.
    fn is_last(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        self.left == Some(0)
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.ended {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)?) {
                Some(frame) if self.is_last(&frame) => self.last = Some(frame),
                Some(frame) => return Poll::Ready(Some(Ok(frame))),
                None => {}
            }
            self.ended = true;
        }
        if let Some(verdict) = &mut self.verdict {
            let heard = ready!(Pin::new(verdict).poll(context));
            self.verdict = None;
            if heard != Ok(true) {
                return Poll::Ready(Some(Err(Broken::Failed)));
            }
        }
        Poll::Ready(self.last.take().map(Ok))
    }
}
