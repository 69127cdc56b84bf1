//! `POST /events`: CloudEvents in, answered once they are durable, or once their reply has come.

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

use super::Ingress;
use super::cloudevents::{self, Mode};
use super::producers::Publisher;
use crate::bus::{Bus, PublishReceipt, Reply};
use crate::clock::{Clock, FARTHEST, Timestamp};
use crate::event::{CORRELATION_ID, Event, Logged, TRACE, trace_of};
use crate::outcome::Publish;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::reply::REPLY_LIMIT;
use crate::server::{Intake, Query};
use crate::telemetry;

/// What a publisher may ask for besides.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wishes {
    /// The events enter the log after so long a time.
    #[serde(deserialize_with = "crate::duration::option::deserialize")]
    delay: Option<Duration>,
    /// The events enter the log at a time.
    at: Option<String>,
    /// The answer is the first event that matches this, in the flow of the one that is published.
    reply: Option<Pattern>,
    /// How long to wait for it.
    #[serde(deserialize_with = "crate::duration::option::deserialize")]
    timeout: Option<Duration>,
}

impl Wishes {
    fn of(request: &Request<Body>) -> Result<Self, Problem> {
        let Query(wishes) = Query::<Self>::of(request.uri())?;
        let invalid = |detail: String| Err(Problem::bad_request("invalid-query", detail));
        if wishes.delay.is_some() && wishes.at.is_some() {
            return invalid("give `delay` or `at`, and not both".to_owned());
        }
        if wishes.reply.is_some() && (wishes.delay.is_some() || wishes.at.is_some()) {
            return invalid("`reply` does not go with `delay` or `at`: no client waits for so long".to_owned());
        }
        if wishes.timeout.is_some() && wishes.reply.is_none() {
            return invalid("`timeout` bounds the wait for a `reply`; give both, or neither".to_owned());
        }
        if wishes.timeout.is_some_and(|timeout| timeout > REPLY_LIMIT) {
            return invalid(format!("`timeout` is {} s at most", REPLY_LIMIT.as_secs()));
        }
        Ok(wishes)
    }

    fn due(&self) -> Result<Option<Timestamp>, Problem> {
        if self.delay.is_some_and(|delay| delay > FARTHEST) {
            return Err(Problem::bad_request("invalid-query", "`delay` is a hundred years (100y) at most"));
        }
        if let Some(delay) = self.delay {
            return Ok(Some(Clock::System.now().after(delay)));
        }
        let Some(text) = &self.at else { return Ok(None) };
        let due = Timestamp::parse(text);
        due.map(Some).ok_or_else(|| {
            Problem::bad_request("invalid-query", format!("`at` is `{text}`, which is not a time in RFC 3339"))
        })
    }
}

pub(super) async fn handle(State(ingress): State<Arc<Ingress>>, request: Request<Body>) -> Response {
    admit_and_publish(&ingress, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn admit_and_publish(ingress: &Ingress, request: Request<Body>) -> Result<Response, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed(&["POST".to_owned()]));
    }
    // Before the body is read: who may not publish costs little.
    let publisher = ingress.producers.admit(request.headers()).await?;
    publish(&*ingress.bus, &ingress.intake, &ingress.replies_end, &publisher, request).await
}

/// Takes a request's events: none if one of them is malformed or not the publisher's to send, or if there is no room
/// for all.
pub(crate) async fn publish(
    bus: &dyn Bus,
    intake: &Intake,
    replies_end: &CancellationToken,
    publisher: &Publisher<'_>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let wishes = Wishes::of(&request)?;
    let due = wishes.due()?;
    let (Parts { headers, .. }, body) = request.into_parts();
    let mode = Mode::of(&headers)?;
    let body = intake.read(&headers, body).await?.into();
    let mut events = read(mode, &headers, body).await?;
    check(publisher, &mut events)?;
    events.iter_mut().for_each(|event| carry_trace(event, &headers));

    let Some(pattern) = wishes.reply else {
        let accepted = store(bus, events, due).await?;
        return Ok((StatusCode::ACCEPTED, axum::Json(json!({ "accepted": accepted }))).into_response());
    };
    let [event] = events.as_mut_slice() else {
        return Err(Problem::bad_request(
            "invalid-query",
            "a client waits for the reply to one event, and not to a batch",
        ));
    };
    publisher.check_reply(event)?;
    begin_flow(event)?;
    let id = event.id.clone();
    let expected = bus.expect_reply(event, pattern.clone())?;
    let accepted = store(bus, events, None).await?;
    if accepted.iter().any(|accepted| accepted.duplicate) {
        return Err(asked_before(&id));
    }
    let timeout = wishes.timeout.unwrap_or(Duration::from_secs(5));
    let reply = Wait { id: &id, pattern: &pattern, timeout, end: replies_end }.until(expected).await?;
    let body = reply.event.to_json();
    Ok(([(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")], body).into_response())
}

/// Checks that all events are the publisher's to send, and notes whose share each counts against.
fn check(publisher: &Publisher<'_>, events: &mut [Event]) -> Result<(), Problem> {
    let many = events.len() > 1;
    for (index, event) in events.iter_mut().enumerate() {
        let holder = publisher.check(event);
        event.producer = holder.map_err(|problem| match many {
            true => problem.about(&format!("event {index} of the batch")),
            false => problem,
        })?;
    }
    Ok(())
}

/// Reads the events of a body: a large one where it keeps no other request waiting.
async fn read(mode: Mode, headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<Event>, Problem> {
    const LARGE: usize = 64 << 10;
    if body.len() <= LARGE {
        return cloudevents::parse(mode, headers, body);
    }
    let headers = headers.clone();
    let parsed = tokio::task::spawn_blocking(move || cloudevents::parse(mode, &headers, body)).await;
    parsed.unwrap_or_else(|error| {
        tracing::error!(%error, "the events of a request could not be read");
        let detail = "the events could not be read; the host's log says more";
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail))
    })
}

async fn store(bus: &dyn Bus, events: Vec<Event>, due: Option<Timestamp>) -> Result<Vec<PublishReceipt>, Problem> {
    let accepted = bus.publish(events.into_iter().map(|event| Publish { event, due }).collect()).await?;
    telemetry::published(accepted.iter().filter(|accepted| !accepted.duplicate).count());
    Ok(accepted)
}

/// Gives the event of a client that waits for the reply a flow that nobody else is in: one with an id that nobody can
/// guess, and that is never used again. Ids of events are the clients' own, and so others may have the same one.
fn begin_flow(event: &mut Event) -> Result<(), Problem> {
    if event.extensions.contains_key(CORRELATION_ID) {
        let detail = "an event whose reply a client waits for begins a flow of its own; leave `correlationid` out";
        return Err(Problem::bad_request("invalid-query", detail));
    }
    event.begin_flow(uuid::Uuid::new_v4().to_string());
    Ok(())
}

/// An event's reply goes to the request that published it, and to no other one: ids are the clients' own, and whoever
/// repeats one may be somebody else.
fn asked_before(id: &str) -> Problem {
    let detail = format!(
        "the event `{id}` of this source was published before, and is stored once; its reply goes to the request that published it first, and is in the log. To ask again, publish an event with a new id"
    );
    Problem::new(StatusCode::CONFLICT, "already-published", detail)
}

/// A client that waits for the reply to an event which is stored.
pub(super) struct Wait<'a> {
    /// The id of the event.
    pub(super) id: &'a str,
    pub(super) pattern: &'a Pattern,
    pub(super) timeout: Duration,
    /// Is cancelled when the host stops and has ended the deliveries that ran: no reply comes any more.
    pub(super) end: &'a CancellationToken,
}

impl Wait<'_> {
    pub(super) async fn until(self, expected: Reply) -> Result<Logged, Problem> {
        tokio::select! {
            biased;
            reply = tokio::time::timeout(self.timeout, expected.wait()) => {
                reply.ok().flatten().ok_or_else(|| self.late())
            }
            () = self.end.cancelled() => Err(self.stopping()),
        }
    }

    fn late(&self) -> Problem {
        let Self { id, pattern, timeout, .. } = self;
        let timeout = humantime::format_duration(*timeout);
        let detail = format!(
            "no `{pattern}` came in reply to the event `{id}` within {timeout}; the event is stored all the same"
        );
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-reply", detail)
    }

    fn stopping(&self) -> Problem {
        let Self { id, pattern, .. } = self;
        let detail = format!(
            "the host is stopping before a `{pattern}` came in reply to the event `{id}`; the event is stored, and is handled after the next start"
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail)
    }
}

/// Lets an event belong to the trace of the request that brought it, unless it says itself where it belongs
/// (CloudEvents Distributed Tracing extension).
fn carry_trace(event: &mut Event, headers: &HeaderMap) {
    if event.extensions.contains_key(TRACE[0]) {
        return;
    }
    event.extensions.extend(trace_of(headers));
}
