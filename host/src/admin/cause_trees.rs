//! Shows what an event or a request belongs to: the events of the cause tree with their deliveries, where each one
//! stands, and the recorded attempts.

mod find;
mod nodes;
mod selection;
mod tree_views;

use axum::Json;
use axum::extract::State;

use super::body::{Path, Query};
use super::{Admin, ledger_query, ledger_views as views, page_size};
use crate::api::{CauseTreeQuery, CauseTreeView, TreeEventView};
use crate::bus::StoreError;
use crate::clock::Timestamp;
use crate::event::{CauseTreeId, Event};
use crate::ledger::{AttemptEntry, AttemptFilter, ReadError};
use crate::problem::Problem;
use nodes::Nodes;
use tree_views::by_event;

/// The number of events that are shown by default.
const DEFAULT_EVENTS: usize = 200;
/// The maximum number of events that are shown.
const MAX_EVENTS: usize = 10_000;
/// The maximum number of events whose attempts are read one event at a time, if the tree has too many attempts.
const MAX_EVENTS_READ_ALONE: usize = 1_000;
/// The maximum number of attempts that are read for one event, if the tree has too many attempts.
const MAX_ATTEMPTS_AT_EVENT: usize = 1_000;
/// The maximum number of attempts of a tree that are read together.
const MAX_ATTEMPTS: usize = 20_000;
/// The number of delayed events that are searched for those of the tree.
const MAX_DELAYED: usize = 10_000;
/// The size of a page of delayed events.
const DELAYED_PAGE: usize = 1_000;

/// Show the cause tree of an event or a request
///
/// The tree has the first event and all events that it led to, across retries, dead letters, redrives, replays and
/// delays. Each delivery says where it stands and why it waits. If an event and a request have the id, both are shown.
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
    let limit = page_size(query.limit, DEFAULT_EVENTS, MAX_EVENTS)?;
    let delayed = all_delayed(&admin).await?;
    let mut found = find::find(&admin, &id, query.source.as_deref(), &delayed).await?;
    if found.trees.is_empty() && found.requests.is_empty() {
        let unread = found.error.map(|error| format!("; {error}")).unwrap_or_default();
        let detail = format!("there is no event and no recorded request with the id `{id}`{unread}");
        return Err(Problem::not_found(detail));
    }
    let mut view = CauseTreeView {
        correlations: found.trees.iter().map(|tree| tree.id.clone()).collect(),
        requests: found.requests.iter().map(views::request).collect(),
        ..CauseTreeView::default()
    };
    let (mut nodes, mut all_attempts) = (Nodes::default(), Vec::new());
    for tree in &found.trees {
        let attempts = match attempts(&admin, tree).await {
            Ok(attempts) => attempts,
            Err(error) => {
                found.error = Some(error);
                Vec::new()
            }
        };
        view.attempts_omitted |= attempts.len() == MAX_ATTEMPTS;
        nodes.read(&admin, tree, found.asked.as_ref(), &by_event(&attempts)).await?;
        view.delayed.extend(tree_views::delayed_events(tree, &delayed));
        all_attempts.extend(attempts);
    }
    add_events(&admin, &nodes, &found, &all_attempts, limit, &mut view).await?;
    if let Some(since) = nodes.first_stored_at() {
        let gaps = admin.ledger.gaps(since, admin.clock.now()).await.unwrap_or_default();
        view.gaps = gaps.iter().map(views::gap).collect();
    }
    let unread = found.error.map(|error| error.to_string());
    view.ledger_error = unread.or_else(|| admin.recorder.counters().outage.map(|outage| outage.to_string()));
    Ok(Json(view))
}

/// Adds the events that are shown, each with its deliveries and their attempts.
async fn add_events(
    admin: &Admin,
    nodes: &Nodes,
    found: &find::Found,
    attempts: &[AttemptEntry],
    limit: usize,
    view: &mut CauseTreeView,
) -> Result<(), StoreError> {
    let asked = found.asked.as_ref().and_then(|asked| nodes.index_of(asked));
    let selection = selection::select(&nodes.causes(), asked, limit);
    let mut by_event = by_event(attempts);
    let (has_unread, mut remaining) = (view.attempts_omitted, MAX_EVENTS_READ_ALONE);
    for index in selection.chosen {
        let node = nodes.get(index);
        let mut attempts = by_event.remove(&(node.source.as_str(), node.id.as_str())).unwrap_or_default();
        let own;
        // Some of the attempts at this event may be among those of the tree that were not read.
        if has_unread && remaining > 0 {
            remaining -= 1;
            own = attempts_at(admin, node).await.unwrap_or_default();
            attempts = own.iter().collect();
        }
        let deliveries = tree_views::deliveries(admin, node.position, &attempts).await?;
        let omitted = selection.omitted_below.get(&index).copied().unwrap_or_default();
        view.events.push(TreeEventView { omitted, deliveries, ..node.clone() });
    }
    view.omitted = selection.omitted;
    view.attempts_omitted = has_unread && remaining == 0;
    view.partly_read = nodes.is_partial();
    Ok(())
}

/// The recorded attempts of a tree, oldest first.
async fn attempts(admin: &Admin, tree: &CauseTreeId) -> Result<Vec<AttemptEntry>, ReadError> {
    let filter = AttemptFilter { tree: Some(tree.id.clone()), ..AttemptFilter::default() };
    let mut attempts = oldest_first(admin, filter, MAX_ATTEMPTS).await?;
    attempts.retain(|attempt| attempt.tree == *tree);
    Ok(attempts)
}

async fn oldest_first(admin: &Admin, filter: AttemptFilter, limit: usize) -> Result<Vec<AttemptEntry>, ReadError> {
    let attempts = admin.ledger.attempts(filter, None, limit).await?;
    Ok(attempts.into_iter().rev().map(|(_, attempt)| attempt).collect())
}

/// The recorded attempts at an event, oldest first.
async fn attempts_at(admin: &Admin, event: &TreeEventView) -> Result<Vec<AttemptEntry>, ReadError> {
    let filter = AttemptFilter {
        event_id: Some(event.id.clone()),
        event_source: Some(event.source.clone()),
        ..AttemptFilter::default()
    };
    oldest_first(admin, filter, MAX_ATTEMPTS_AT_EVENT).await
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
