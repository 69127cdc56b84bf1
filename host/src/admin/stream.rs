//! Streams records as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use tokio_util::sync::CancellationToken;

use super::access::Caller;
use super::body::Query;
use super::ledger_query::Owner;
use super::{Admin, ledger_views as views};
use crate::api::{StreamMessage, StreamQuery};
use crate::ledger::{Entry, StreamFollower, StreamItem, StreamPosition};
use crate::pattern::Pattern;
use crate::problem::Problem;

/// How often a comment is sent while there are no records, so that both sides notice a broken connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a client waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// What a client wants to see.
#[derive(Debug, Default)]
struct Filter {
    owner: Owner,
    pattern: Option<Pattern>,
    failed: bool,
    /// Whether the client may not see the log lines of handlers, which may contain payloads.
    hides_log: bool,
}

impl Filter {
    fn of(query: StreamQuery) -> Result<Self, Problem> {
        let StreamQuery { plugin, subscription, pattern, failed } = query;
        let owner = Owner::of(plugin, subscription.as_deref())?;
        Ok(Self { owner, pattern, failed: failed.unwrap_or(false), hides_log: false })
    }

    fn matches(&self, entry: &Entry) -> bool {
        if self.failed && !entry.is_failure() {
            return false;
        }
        let Owner { plugin, subscription } = &self.owner;
        match entry {
            Entry::Attempt(attempt) => {
                plugin.as_ref().is_none_or(|plugin| attempt.owner == *plugin)
                    && subscription.as_ref().is_none_or(|subscription| attempt.subscription == *subscription)
                    && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(&attempt.event_type))
            }
            Entry::Request(request) => {
                plugin.as_ref().is_none_or(|plugin| request.plugin == *plugin)
                    && subscription.is_none()
                    && self.pattern.is_none()
            }
        }
    }
}

/// Follow attempts and requests as they end
///
/// A stream of server-sent events. While somebody follows, everything is recorded. A client that connects again with
/// `Last-Event-ID` gets what it missed, or a message with the number of records that are lost.
#[utoipa::path(
    get,
    path = "/stream",
    operation_id = "follow_stream",
    tag = "ledger",
    params(
        StreamQuery,
        ("last-event-id" = Option<String>, Header, description = "The id of the last message that the client has seen.")
    ),
    responses((status = 200, content_type = "text/event-stream", body = StreamMessage, description = "The stream."))
)]
pub(super) async fn follow(
    State(admin): State<Admin>,
    Query(query): Query<StreamQuery>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = Filter { hides_log: caller.hides_payloads(), ..Filter::of(query)? };
    let after = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(parse_id));
    let after = match after {
        Some(None) => {
            let detail = "`Last-Event-ID` is not an id of this stream; omit it to follow from now on";
            return Err(Problem::bad_request("invalid-event-id", detail));
        }
        position => position.flatten(),
    };
    let Some(follower) = admin.recorder.follow(after) else {
        let detail = "this host has no ledger";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger-unavailable", detail));
    };
    let state = (follower, filter, admin.body_reader.stop);
    let stream = futures_util::stream::unfold(state, |(mut follower, filter, stop)| async move {
        let sent = next(&mut follower, &filter, &stop).await?;
        Some((Ok::<_, Infallible>(sent), (follower, filter, stop)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The next message that passes the filter. None if the host stops.
async fn next(follower: &mut StreamFollower, filter: &Filter, stop: &CancellationToken) -> Option<SentEvent> {
    loop {
        let item = stop.run_until_cancelled(follower.next()).await??;
        let (id, mut message) = match item {
            StreamItem::Entry(position, entry) if filter.matches(&entry) => (Some(position), message(&entry)),
            StreamItem::Entry(..) => continue,
            StreamItem::Lost(count) => (None, StreamMessage::Lost { count }),
        };
        if filter.hides_log {
            hide_log(&mut message);
        }
        let kind = match &message {
            StreamMessage::Attempt(_) => "attempt",
            StreamMessage::Request(_) => "request",
            StreamMessage::Lost { .. } => "lost",
        };
        let sent = SentEvent::default().event(kind).retry(RECONNECT).data(serde_json::to_string(&message).ok()?);
        return Some(match id {
            Some(StreamPosition { run, number }) => sent.id(format!("{run:x}-{number}")),
            None => sent,
        });
    }
}

fn message(entry: &Entry) -> StreamMessage {
    match entry {
        Entry::Attempt(attempt) => StreamMessage::Attempt(Box::new(views::attempt(attempt))),
        Entry::Request(request) => StreamMessage::Request(Box::new(views::request(request))),
    }
}

fn hide_log(message: &mut StreamMessage) {
    match message {
        StreamMessage::Attempt(attempt) => attempt.usage.log.clear(),
        StreamMessage::Request(request) => request.usage.log.clear(),
        StreamMessage::Lost { .. } => {}
    }
}

fn parse_id(id: &str) -> Option<StreamPosition> {
    let (run, number) = id.split_once('-')?;
    Some(StreamPosition { run: u64::from_str_radix(run, 16).ok()?, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let position = StreamPosition { run: 0xab12, number: 7 };
        assert_eq!(parse_id("ab12-7"), Some(position));
        for malformed in ["", "-", "7", "x-1", "ab12-", "ab12-7-8", "ab12--7"] {
            assert_eq!(parse_id(malformed), None, "{malformed}");
        }
    }
}
