//! Publishes, lists, shows and compacts events.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::Response;

use super::body::{Path, Query};
use super::cursor::List;
use super::{Admin, page_size, query};
use crate::api::{
    CompactionResult, EventDocument, EventList, EventPage, EventQuery, EventSelection, EventView, PublishResult,
};
use crate::bus::EventFilter;
use crate::event::{Event, LoggedEvent, Position};
use crate::ingress::events::{PublishParams, PublishService};
use crate::ingress::producers::Publisher;
use crate::problem::Problem;

/// The largest page.
const LIMIT: usize = 1_000;

/// List events, newest first
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "events",
    params(EventQuery),
    responses((status = 200, body = EventPage, description = "A page of the list."))
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, Problem> {
    let limit = page_size(query.limit, 50, LIMIT)?;
    // The page begins before both: the place of the cursor, and the position that the client chose.
    let place = admin.parse_cursor(List::Events, query.after.as_deref())?;
    let before = [place, query.before].into_iter().flatten().min().map(Position);
    let page = admin.bus.search_events(filter(query)?, before, limit).await?;
    let events = page.events.iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(EventPage { events, next: page.next.map(|next| admin.cursor(List::Events, &next.0.to_string())) }))
}

fn filter(query: EventQuery) -> Result<EventFilter, Problem> {
    Ok(EventFilter {
        pattern: query.pattern,
        source: query.source,
        subject: query.subject,
        since: query::time("since", query.since.as_deref())?,
        until: query::time("until", query.until.as_deref())?,
        correlation: query.correlation,
        id_prefix: query.id_prefix,
    })
}

/// The filter of a replay.
pub(super) fn selection(only: EventSelection) -> EventFilter {
    let EventSelection { pattern, source, subject, correlation, id_prefix } = only;
    EventFilter { pattern, source, subject, correlation, id_prefix, ..EventFilter::default() }
}

/// List the events with an id
///
/// Several sources may use the same id.
#[utoipa::path(
    get,
    path = "/events/{id}",
    operation_id = "get_events",
    tag = "events",
    params(("id" = String, Path, description = "The id of the events.")),
    responses((status = 200, body = EventList, description = "The events."))
)]
pub(super) async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<EventList>, Problem> {
    let events = admin.bus.events_with_id(id.clone()).await?;
    if events.is_empty() {
        return Err(Problem::not_found(format!("there is no event with the id `{id}`")));
    }
    let events = events.iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(EventList { events }))
}

/// Publish events as the operator
///
/// Takes CloudEvents in structured and batched mode, and in binary mode: any other media type with `ce-` headers. With
/// `reply`, the response is the first event of the cause tree that matches.
#[utoipa::path(
    post,
    path = "/events",
    operation_id = "publish_events",
    tag = "events",
    params(PublishParams),
    request_body(
        content(
            (EventDocument = "application/cloudevents+json"),
            (Vec<EventDocument> = "application/cloudevents-batch+json"),
        ),
        description = "The events.",
    ),
    responses(
        (
            status = 200,
            body = EventDocument,
            content_type = "application/cloudevents+json",
            description = "The reply. Only with `reply`.",
        ),
        (status = 202, body = PublishResult, description = "The events are durable."),
    )
)]
pub(super) async fn publish(State(admin): State<Admin>, request: Request<Body>) -> Result<Response, Problem> {
    let service = PublishService {
        bus: &*admin.bus,
        body_reader: &admin.body_reader,
        replies_ended: &admin.replies_ended,
        tracer: &admin.tracer,
    };
    service.publish(&Publisher::Operator, request).await
}

/// Delete the events that the retention rules no longer keep
#[utoipa::path(
    post,
    path = "/compaction",
    operation_id = "compact",
    tag = "events",
    responses((status = 200, body = CompactionResult, description = "The events are deleted."))
)]
pub(super) async fn compact(State(admin): State<Admin>) -> Result<Json<CompactionResult>, Problem> {
    let mut deleted = 0;
    loop {
        let step = admin.bus.compact().await?;
        if step.examined == 0 {
            return Ok(Json(CompactionResult { deleted }));
        }
        deleted += step.deleted;
    }
}

/// An event with its position in the log.
pub(super) fn view(logged: &LoggedEvent) -> Result<EventView, Problem> {
    Ok(EventView {
        position: logged.position.0,
        stored_at: logged.stored_at.to_string(),
        event: document(&logged.event)?,
    })
}

/// An event in JSON with its original data. A parsed value would round numbers.
pub(super) fn document(event: &Event) -> Result<EventDocument, Problem> {
    serde_json::value::to_raw_value(&event.as_json()).map(EventDocument).map_err(|error| {
        tracing::error!(%error, "cannot write an event as JSON");
        let detail = "cannot write the event as JSON; see the log of the host";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail)
    })
}
