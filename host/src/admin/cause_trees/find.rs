//! Finds the event, the recorded request, or both, with an id.

use super::nodes::Identity;
use crate::admin::Admin;
use crate::clock::Timestamp;
use crate::event::{CauseTreeId, Event};
use crate::ledger::{AttemptFilter, ReadError, RequestEntry};
use crate::problem::Problem;

/// The event and the requests that were found for an id.
#[derive(Default)]
pub(super) struct Found {
    /// The event with the id. For a delayed event, the event whose handler published it.
    pub(super) asked: Option<Identity>,
    /// The tree of the event, and the trees that the request started.
    pub(super) trees: Vec<CauseTreeId>,
    /// The request with the id, and the one that started the tree of the event.
    pub(super) requests: Vec<RequestEntry>,
    /// Why the ledger cannot be read.
    pub(super) error: Option<ReadError>,
}

impl Found {
    fn add(&mut self, request: Result<Option<RequestEntry>, ReadError>) {
        match request {
            Ok(Some(request)) if !self.requests.iter().any(|earlier| earlier.id == request.id) => {
                self.requests.push(request);
            }
            Ok(_) => {}
            Err(error) => self.error = Some(error),
        }
    }
}

/// An event, and its cause tree.
struct FoundEvent {
    shown: Option<Identity>,
    tree: CauseTreeId,
}

/// Finds the event and the request with an id.
pub(super) async fn find(
    admin: &Admin,
    id: &str,
    source: Option<&str>,
    delayed: &[(Timestamp, Event)],
) -> Result<Found, Problem> {
    let mut found = Found::default();
    found.add(request(admin, id).await);
    let mut trees: Vec<_> = found.requests.iter().flat_map(|request| request.trees.clone()).collect();
    if let Some(FoundEvent { shown, tree }) = event(admin, id, source, delayed).await? {
        found.asked = shown;
        found.add(admin.ledger.request_of_tree(tree.clone()).await);
        trees.insert(0, tree);
    }
    for tree in trees {
        if !found.trees.contains(&tree) {
            found.trees.push(tree);
        }
    }
    Ok(found)
}

/// The recorded request with an id. The host writes ids of requests in lower case.
async fn request(admin: &Admin, id: &str) -> Result<Option<RequestEntry>, ReadError> {
    let lower = id.to_ascii_lowercase();
    match admin.ledger.request(id.to_owned()).await? {
        None if lower != id => admin.ledger.request(lower).await,
        found => Ok(found),
    }
}

/// The event with an id: in the log, delayed, or deleted by retention.
async fn event(
    admin: &Admin,
    id: &str,
    source: Option<&str>,
    delayed: &[(Timestamp, Event)],
) -> Result<Option<FoundEvent>, Problem> {
    let mut logged = admin.bus.events_with_id(id.to_owned()).await?;
    logged.retain(|logged| source.is_none_or(|source| logged.event.source == source));
    match &logged[..] {
        [logged] => {
            let event = &logged.event;
            let shown = Some(Identity::new(&event.source, &event.id));
            return Ok(Some(FoundEvent { shown, tree: event.cause_tree() }));
        }
        [] => {}
        several => {
            let sources: Vec<_> = several.iter().map(|logged| format!("`{}`", logged.event.source)).collect();
            let sources = sources.join(", ");
            let detail = format!("events of several sources have the id `{id}`: {sources}; choose one with `source`");
            return Err(Problem::bad_request("ambiguous-id", detail));
        }
    }
    let has_id = |event: &Event| event.id == id && source.is_none_or(|source| event.source == source);
    if let Some((_, delayed)) = delayed.iter().find(|(_, event)| has_id(event)) {
        return Ok(Some(FoundEvent { shown: Identity::of_cause(delayed), tree: delayed.cause_tree() }));
    }
    let (event_id, event_source) = (Some(id.to_owned()), source.map(str::to_owned));
    let filter = AttemptFilter { event_id, event_source, ..AttemptFilter::default() };
    let attempts = admin.ledger.attempts(filter, None, 1).await.unwrap_or_default();
    let found = attempts.into_iter().next().map(|(_, attempt)| attempt);
    Ok(found.map(|attempt| {
        let shown = Some(Identity::new(&attempt.event_source, &attempt.event_id));
        FoundEvent { shown, tree: attempt.tree }
    }))
}
