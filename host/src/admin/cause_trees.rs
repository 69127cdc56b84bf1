//! Shows what an event or a request belongs to: the events of the cause tree with their deliveries, where each one
//! stands, and the recorded attempts.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;

use super::body::{Path, Query};
use super::{Admin, ledger_query, ledger_views as views, waiting};
use crate::api::{
    CauseTreeQuery, CauseTreeView, DelayedEventView, DeliveryStateView, RecordedAttemptView, TreeDeliveryView,
    TreeEventView,
};
use crate::bus::{DeliveryReport, DeliveryState, StoreError};
use crate::clock::Timestamp;
use crate::event::{CAUSATION_ID, CAUSATION_SOURCE, CauseTreeId, Event, LoggedEvent};
use crate::ledger::{AttemptEntry, AttemptFilter, ReadError, RequestEntry};
use crate::problem::Problem;

/// The most events of a tree that are shown.
const MAX_EVENTS: usize = 200;
/// The most attempts of a tree that are read.
const MAX_ATTEMPTS: usize = 5_000;
/// The number of delayed events that are searched for those of the tree.
const MAX_DELAYED: usize = 10_000;
/// The size of a page of delayed events.
const DELAYED_PAGE: usize = 1_000;

/// The parts of an answer that come from the ledger and the search.
#[derive(Default)]
struct Found {
    trees: Vec<CauseTreeId>,
    request: Option<RequestEntry>,
    error: Option<ReadError>,
}

/// Show the cause tree of an event or a request
///
/// The tree has the first event and all events that it led to, across retries, dead letters, redrives, replays and
/// delays. Each delivery says where it stands and why it waits.
#[utoipa::path(
    get,
    path = "/cause-trees/{id}",
    operation_id = "get_cause_tree",
    tag = "ledger",
    params(("id" = String, Path, description = "The id of an event or of a request."), CauseTreeQuery),
    responses((status = 200, body = CauseTreeView, description = "The cause tree."))
)]
pub(super) async fn show(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(query): Query<CauseTreeQuery>,
) -> Result<Json<CauseTreeView>, Problem> {
    ledger_query::attribute("id", Some(&id))?;
    ledger_query::attribute("source", query.source.as_deref())?;
    let delayed = all_delayed(&admin).await?;
    let mut found = find(&admin, &id, query.source.as_deref(), &delayed).await?;
    if found.trees.is_empty() && found.request.is_none() {
        let unread = found.error.map(|error| format!("; {error}")).unwrap_or_default();
        let detail = format!("there is no event and no recorded request with the id `{id}`{unread}");
        return Err(Problem::not_found(detail));
    }
    let mut view = CauseTreeView {
        correlations: found.trees.iter().map(|tree| tree.id.clone()).collect(),
        request: found.request.as_ref().map(views::request),
        ..CauseTreeView::default()
    };
    let mut since = None;
    for tree in &found.trees {
        let attempts = match attempts(&admin, tree).await {
            Ok(attempts) => attempts,
            Err(error) => {
                found.error = Some(error);
                Vec::new()
            }
        };
        let first = add_tree(&admin, tree, &attempts, &mut view).await?;
        since = since.or(first);
        view.delayed.extend(delayed.iter().filter(|(_, event)| event.cause_tree() == *tree).map(delayed_event));
    }
    if let Some(since) = since {
        let gaps = admin.ledger.gaps(since, admin.clock.now()).await.unwrap_or_default();
        view.gaps = gaps.iter().map(views::gap).collect();
    }
    let unread = found.error.map(|error| error.to_string());
    view.ledger_error = unread.or_else(|| admin.recorder.counters().outage.map(|outage| outage.to_string()));
    Ok(Json(view))
}

/// Adds the events of a tree. Returns when the first of them entered the log.
async fn add_tree(
    admin: &Admin,
    tree: &CauseTreeId,
    attempts: &[AttemptEntry],
    view: &mut CauseTreeView,
) -> Result<Option<Timestamp>, StoreError> {
    let room = MAX_EVENTS.saturating_sub(view.events.len());
    let mut logged = admin.bus.events_in_tree(tree.clone(), None, room + 1).await?;
    let is_truncated = logged.len() > room;
    view.truncated |= is_truncated;
    logged.truncate(room);
    let mut by_event = by_event(attempts);
    for event in &logged {
        let key = (event.event.source.clone(), event.event.id.clone());
        view.events.push(tree_event(admin, event, &by_event.remove(&key).unwrap_or_default()).await?);
    }
    if !is_truncated {
        // Only the ledger still knows these.
        view.events.extend(by_event.into_values().filter_map(|attempts| deleted_event(&attempts)));
    }
    let first = logged.first().map(|first| first.stored_at);
    Ok(first.or_else(|| Some(attempts.first()?.stored_at)))
}

/// Finds the cause tree of an event, or the request with an id and the trees that it started.
async fn find(admin: &Admin, id: &str, source: Option<&str>, delayed: &[(Timestamp, Event)]) -> Result<Found, Problem> {
    let mut found = Found::default();
    found.trees.extend(tree_of_event(admin, id, source, delayed).await?);
    let request = match found.trees.first() {
        Some(tree) => admin.ledger.request_of_tree(tree.clone()).await,
        None => admin.ledger.request(id.to_owned()).await,
    };
    match request {
        Ok(request) => found.request = request,
        Err(error) => found.error = Some(error),
    }
    if let (true, Some(request)) = (found.trees.is_empty(), &found.request) {
        found.trees.clone_from(&request.trees);
    }
    Ok(found)
}

/// The cause tree of an event: in the log, delayed, or deleted by retention.
async fn tree_of_event(
    admin: &Admin,
    id: &str,
    source: Option<&str>,
    delayed: &[(Timestamp, Event)],
) -> Result<Option<CauseTreeId>, Problem> {
    let mut logged = admin.bus.events_with_id(id.to_owned()).await?;
    logged.retain(|logged| source.is_none_or(|source| logged.event.source == source));
    match &logged[..] {
        [logged] => return Ok(Some(logged.event.cause_tree())),
        [] => {}
        several => {
            let sources: Vec<_> = several.iter().map(|logged| format!("`{}`", logged.event.source)).collect();
            let sources = sources.join(", ");
            let detail = format!("events of several sources have the id `{id}`: {sources}; choose one with `source`");
            return Err(Problem::bad_request("ambiguous-id", detail));
        }
    }
    if let Some((_, delayed)) = delayed.iter().find(|(_, event)| event.id == id) {
        return Ok(Some(delayed.cause_tree()));
    }
    let (event_id, event_source) = (Some(id.to_owned()), source.map(str::to_owned));
    let filter = AttemptFilter { event_id, event_source, ..AttemptFilter::default() };
    let attempts = admin.ledger.attempts(filter, None, 1).await.unwrap_or_default();
    Ok(attempts.into_iter().next().map(|(_, attempt)| attempt.tree))
}

/// The recorded attempts of a tree, oldest first.
async fn attempts(admin: &Admin, tree: &CauseTreeId) -> Result<Vec<AttemptEntry>, ReadError> {
    let filter = AttemptFilter { tree: Some(tree.id.clone()), ..AttemptFilter::default() };
    let attempts = admin.ledger.attempts(filter, None, MAX_ATTEMPTS).await?;
    Ok(attempts.into_iter().rev().map(|(_, attempt)| attempt).filter(|attempt| attempt.tree == *tree).collect())
}

/// The attempts by the source and the id of their events.
fn by_event(attempts: &[AttemptEntry]) -> BTreeMap<(String, String), Vec<&AttemptEntry>> {
    let mut by_event: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for attempt in attempts {
        by_event.entry((attempt.event_source.clone(), attempt.event_id.clone())).or_default().push(attempt);
    }
    by_event
}

async fn tree_event(
    admin: &Admin,
    logged: &LoggedEvent,
    attempts: &[&AttemptEntry],
) -> Result<TreeEventView, StoreError> {
    let mut attempts = by_subscription(attempts);
    let mut deliveries = Vec::new();
    for report in admin.bus.deliveries_of(logged.position).await? {
        let key = (report.subscription.to_string(), report.replayed);
        deliveries.push(delivery(admin, &report, attempts.remove(&key).unwrap_or_default()).await?);
    }
    // Deliveries of replays that have ended, and of subscriptions that were deleted.
    deliveries.extend(attempts.into_iter().map(|((subscription, replayed), attempts)| TreeDeliveryView {
        subscription,
        replayed,
        attempts,
        ..TreeDeliveryView::default()
    }));
    let event = &logged.event;
    Ok(TreeEventView {
        position: Some(logged.position.0),
        stored_at: logged.stored_at.to_string(),
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        subject: event.subject.clone(),
        causation: event.attribute(CAUSATION_ID).map(str::to_owned),
        causation_source: event.attribute(CAUSATION_SOURCE).map(str::to_owned),
        deliveries,
    })
}

/// An event that retention has deleted, from its attempts. None if there are no attempts.
fn deleted_event(attempts: &[&AttemptEntry]) -> Option<TreeEventView> {
    let deliveries = by_subscription(attempts).into_iter().map(|((subscription, replayed), attempts)| {
        TreeDeliveryView { subscription, replayed, attempts, ..TreeDeliveryView::default() }
    });
    let [first, ..] = attempts else { return None };
    Some(TreeEventView {
        position: None,
        stored_at: first.stored_at.to_string(),
        id: first.event_id.clone(),
        source: first.event_source.clone(),
        event_type: first.event_type.clone(),
        deliveries: deliveries.collect(),
        ..TreeEventView::default()
    })
}

/// The attempts by their subscription, and whether they belong to a replay.
fn by_subscription(attempts: &[&AttemptEntry]) -> BTreeMap<(String, bool), Vec<RecordedAttemptView>> {
    let mut by_subscription: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for attempt in attempts {
        let key = (format!("{}/{}", attempt.owner, attempt.subscription), attempt.replay.is_some());
        by_subscription.entry(key).or_default().push(views::attempt(attempt));
    }
    by_subscription
}

async fn delivery(
    admin: &Admin,
    report: &DeliveryReport,
    attempts: Vec<RecordedAttemptView>,
) -> Result<TreeDeliveryView, StoreError> {
    let dead_letter = match &report.state {
        DeliveryState::DeadLetter { number } => Some(number.number()),
        _ => None,
    };
    Ok(TreeDeliveryView {
        subscription: report.subscription.to_string(),
        replayed: report.replayed,
        state: Some(DeliveryStateView::from(report.state.stage().as_str().to_owned())),
        waits_for: waiting::reasons(admin, report).await?,
        dead_letter,
        attempts,
    })
}

fn delayed_event((due, event): &(Timestamp, Event)) -> DelayedEventView {
    DelayedEventView {
        due: due.to_string(),
        causation: event.attribute(CAUSATION_ID).map(str::to_owned),
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
    }
}

/// The delayed events, as many as are searched.
async fn all_delayed(admin: &Admin) -> Result<Vec<(Timestamp, Event)>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    while all.len() < MAX_DELAYED {
        let page = admin.bus.scheduled(after.take(), DELAYED_PAGE).await?;
        let is_last = page.len() < DELAYED_PAGE;
        after = page.last().map(|last| last.cursor);
        all.extend(page.into_iter().map(|scheduled| (scheduled.due, scheduled.event)));
        if is_last {
            break;
        }
    }
    Ok(all)
}
