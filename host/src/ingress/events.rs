//! `POST /events`: accepts CloudEvents, and responds when they are durable, or when their reply has arrived.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::Ingress;
use super::cloudevents::{self, Mode};
use super::producers::Publisher;
use super::publish_trace::PublishTrace;
use crate::bus::{Bus, PendingReply, PublishReceipt};
use crate::clock::{Clock, Timestamp, check_delay};
use crate::event::{CORRELATION_ID, Event, LoggedEvent};
use crate::otlp::Tracer;
use crate::outcome::Publish;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::reply::REPLY_LIMIT;
use crate::server::{BodyReader, Query};
use crate::telemetry;

/// The query parameters of a publish.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PublishParams {
    /// Delays the events by a duration. Excludes `at` and `reply`.
    #[param(value_type = Option<String>, example = "1h 30m")]
    #[serde(deserialize_with = "crate::duration::option::deserialize")]
    delay: Option<Duration>,
    /// Delays the events until a time. Excludes `delay` and `reply`.
    #[param(format = DateTime)]
    at: Option<String>,
    /// Waits for the first event of the cause tree that matches this pattern. Takes one event, not a batch.
    #[param(value_type = Option<String>, example = "order.*")]
    reply: Option<Pattern>,
    /// How long to wait for the reply, up to 60 seconds; 5 seconds by default. Requires `reply`.
    #[param(value_type = Option<String>, example = "10s")]
    #[serde(deserialize_with = "crate::duration::option::deserialize")]
    timeout: Option<Duration>,
}

impl PublishParams {
    fn of(request: &Request<Body>) -> Result<Self, Problem> {
        let Query(params) = Query::<Self>::of(request.uri())?;
        let invalid = |detail: String| Err(Problem::bad_request("invalid-query", detail));
        if params.delay.is_some() && params.at.is_some() {
            return invalid("`delay` and `at` exclude each other; give one of them".to_owned());
        }
        if params.reply.is_some() && (params.delay.is_some() || params.at.is_some()) {
            return invalid("`reply` cannot be combined with `delay` or `at`".to_owned());
        }
        if params.timeout.is_some() && params.reply.is_none() {
            return invalid("`timeout` limits the wait for a `reply`; give both, or neither".to_owned());
        }
        if params.timeout.is_some_and(|timeout| timeout > REPLY_LIMIT) {
            return invalid(format!("`timeout` is limited to {} s", REPLY_LIMIT.as_secs()));
        }
        Ok(params)
    }

    fn due(&self) -> Result<Option<Timestamp>, Problem> {
        let invalid = |detail: String| Problem::bad_request("invalid-query", detail);
        if let Some(delay) = self.delay {
            let delay = check_delay(delay).map_err(|error| invalid(format!("`delay` is too long: {error}")))?;
            return Ok(Some(Clock::System.now().after(delay)));
        }
        let Some(text) = &self.at else { return Ok(None) };
        let due = Timestamp::parse(text);
        due.map(Some).ok_or_else(|| invalid(format!("`at` is `{text}`, which is not an RFC 3339 time")))
    }
}

pub(super) async fn handle(State(ingress): State<Arc<Ingress>>, request: Request<Body>) -> Response {
    authorize_and_publish(&ingress, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn authorize_and_publish(ingress: &Ingress, request: Request<Body>) -> Result<Response, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed(&["POST".to_owned()]));
    }
    // Checked before the body is read, so that refusing an unknown publisher is cheap.
    let producers = ingress.producers.load_full();
    let publisher = producers.authorize(request.headers()).await?;
    let service = PublishService {
        bus: &*ingress.bus,
        body_reader: &ingress.body_reader,
        replies_ended: &ingress.replies_ended,
        tracer: &ingress.tracer,
    };
    service.publish(&publisher, request).await
}

/// Publishes the events of requests.
pub(crate) struct PublishService<'a> {
    pub(crate) bus: &'a dyn Bus,
    pub(crate) body_reader: &'a BodyReader,
    /// Cancelled when the host stops and no reply can come any more.
    pub(crate) replies_ended: &'a CancellationToken,
    pub(crate) tracer: &'a Tracer,
}

impl PublishService<'_> {
    /// Publishes a request's events. Refuses all of them if one is malformed or not permitted, or if a limit leaves no
    /// space for all.
    pub(crate) async fn publish(&self, publisher: &Publisher<'_>, request: Request<Body>) -> Result<Response, Problem> {
        let mut trace = PublishTrace::new(self.tracer, request.uri().path());
        let response = self.publish_traced(publisher, request, &mut trace).await;
        trace.end(&response);
        response
    }

    async fn publish_traced(
        &self,
        publisher: &Publisher<'_>,
        request: Request<Body>,
        trace: &mut PublishTrace<'_>,
    ) -> Result<Response, Problem> {
        let params = PublishParams::of(&request)?;
        let due = params.due()?;
        let (Parts { headers, .. }, body) = request.into_parts();
        let mode = Mode::of(&headers)?;
        let body = self.body_reader.read(&headers, body).await?.into();
        let mut events = read(mode, &headers, body).await?;
        check(publisher, &mut events)?;

        let Some(pattern) = params.reply else {
            trace.put_into(&mut events, &headers, due);
            let accepted = store(self.bus, events, due).await?;
            return Ok((StatusCode::ACCEPTED, axum::Json(json!({ "accepted": accepted }))).into_response());
        };
        let [event] = events.as_mut_slice() else {
            return Err(Problem::bad_request("invalid-query", "`reply` takes exactly one event, not a batch"));
        };
        publisher.check_reply(event)?;
        start_cause_tree(event)?;
        trace.put_into(std::slice::from_mut(event), &headers, None);
        let id = event.id.clone();
        let expected = self.bus.expect_reply(event, pattern.clone())?;
        let accepted = store(self.bus, events, None).await?;
        if accepted.iter().any(|accepted| accepted.duplicate) {
            return Err(already_published(&id));
        }
        let timeout = params.timeout.unwrap_or(Duration::from_secs(5));
        let wait = ReplyWait { id: &id, pattern: &pattern, timeout, ended: self.replies_ended };
        let reply = wait.run(expected).await?;
        let body = reply.event.to_json();
        Ok(([(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")], body).into_response())
    }
}

/// Checks that the publisher may publish all events, and records the producer whose limits each counts against.
fn check(publisher: &Publisher<'_>, events: &mut [Event]) -> Result<(), Problem> {
    let many = events.len() > 1;
    for (index, event) in events.iter_mut().enumerate() {
        let producer = publisher.check(event);
        event.producer = producer.map_err(|problem| match many {
            true => problem.about(&format!("event {index} of the batch")),
            false => problem,
        })?;
    }
    Ok(())
}

/// Parses a body. A large one is parsed on a blocking thread, so that it does not delay other requests.
async fn read(mode: Mode, headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<Event>, Problem> {
    const LARGE: usize = 64 << 10;
    if body.len() <= LARGE {
        return cloudevents::parse(mode, headers, body);
    }
    let headers = headers.clone();
    let parsed = tokio::task::spawn_blocking(move || cloudevents::parse(mode, &headers, body)).await;
    parsed.unwrap_or_else(|error| {
        tracing::error!(%error, "parsing the events of a request panicked");
        let detail = "the host failed to parse the events; see its log";
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail))
    })
}

async fn store(bus: &dyn Bus, events: Vec<Event>, due: Option<Timestamp>) -> Result<Vec<PublishReceipt>, Problem> {
    let accepted = bus.publish(events.into_iter().map(|event| Publish { event, due }).collect()).await?;
    telemetry::published(accepted.iter().filter(|accepted| !accepted.duplicate).count());
    Ok(accepted)
}

/// Starts a cause tree with an unguessable correlation id for an event whose publisher waits for the reply. The event's
/// own id is not suitable: clients choose it, and two clients may choose the same.
fn start_cause_tree(event: &mut Event) -> Result<(), Problem> {
    if event.extensions.contains_key(CORRELATION_ID) {
        let detail = "an event whose publisher waits for a reply starts its own cause tree; omit `correlationid`";
        return Err(Problem::bad_request("invalid-query", detail));
    }
    event.start_cause_tree(uuid::Uuid::new_v4().to_string());
    Ok(())
}

/// Only the request that published an event gets its reply. Another client may have sent the same id.
fn already_published(id: &str) -> Problem {
    let detail = format!(
        "the event `{id}` of this source was published before; its reply goes to the request that published it first, and is in the log. To ask again, publish an event with a new id"
    );
    Problem::new(StatusCode::CONFLICT, "already-published", detail)
}

/// A client's wait for the reply to a stored event.
pub(super) struct ReplyWait<'a> {
    /// The id of the event.
    pub(super) id: &'a str,
    pub(super) pattern: &'a Pattern,
    pub(super) timeout: Duration,
    /// Cancelled when the host stops and the running deliveries have ended, so that no reply can come.
    pub(super) ended: &'a CancellationToken,
}

impl ReplyWait<'_> {
    pub(super) async fn run(self, expected: PendingReply) -> Result<LoggedEvent, Problem> {
        tokio::select! {
            biased;
            reply = tokio::time::timeout(self.timeout, expected.wait()) => {
                reply.ok().flatten().ok_or_else(|| self.timed_out())
            }
            () = self.ended.cancelled() => Err(self.stopping()),
        }
    }

    fn timed_out(&self) -> Problem {
        let Self { id, pattern, timeout, .. } = self;
        let timeout = humantime::format_duration(*timeout);
        let detail = format!(
            "no `{pattern}` came in reply to the event `{id}` within {timeout}; the event is stored and will still be handled"
        );
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-reply", detail)
    }

    fn stopping(&self) -> Problem {
        let Self { id, pattern, .. } = self;
        let detail = format!(
            "the host stopped before a `{pattern}` came in reply to the event `{id}`; the event is stored and will be handled after the next start"
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail)
    }
}
