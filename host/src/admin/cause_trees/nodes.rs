//! The events of cause trees without their deliveries, and how they are connected.

use std::collections::{HashMap, HashSet};

use super::tree_views::{AttemptsByEvent, deleted_event, tree_event};
use crate::admin::Admin;
use crate::api::TreeEventView;
use crate::bus::StoreError;
use crate::clock::Timestamp;
use crate::event::{CAUSATION_ID, CAUSATION_SOURCE, CauseTreeId, Event, LoggedEvent, Position};

/// The largest number of events that are read.
const MAX_READ: usize = 50_000;
/// The largest number of events that are read after the requested one, if it is not among the first ones.
const MAX_READ_AFTER: usize = 10_000;
/// The largest number of ancestors of the requested event that are read. `hop_limit` is lower.
const MAX_DEPTH: usize = 10_000;
/// The number of events that are read at once. Each comes with its data.
const PAGE: usize = 100;

/// The source and the id of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    source: String,
    id: String,
}

impl Identity {
    pub(super) fn new(source: &str, id: &str) -> Self {
        Self { source: source.to_owned(), id: id.to_owned() }
    }

    /// The event whose handler published an event.
    pub(super) fn of_cause(event: &Event) -> Option<Self> {
        Some(Self::new(event.attribute(CAUSATION_SOURCE)?, event.attribute(CAUSATION_ID)?))
    }

    fn of(event: &TreeEventView) -> Self {
        Self::new(&event.source, &event.id)
    }
}

/// The events of cause trees, tree by tree. In each tree: events that only the ledger knows, and then those of the log
/// in order.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    events: Vec<TreeEventView>,
    is_partial: bool,
}

impl Nodes {
    /// Reads the events of a tree. If there are too many, it still reads the requested event, its ancestors, and some
    /// of its descendants.
    pub(super) async fn read(
        &mut self,
        admin: &Admin,
        tree: &CauseTreeId,
        asked: Option<&Identity>,
        attempts: &AttemptsByEvent<'_>,
    ) -> Result<(), StoreError> {
        let room = MAX_READ.saturating_sub(self.events.len());
        let mut logged = Vec::new();
        let is_whole = read_after(admin, tree, None, room, &mut logged).await?;
        if !is_whole {
            self.is_partial = true;
            if let Some(asked) = asked {
                read_around(admin, tree, asked, &mut logged).await?;
            }
        }
        let in_log: HashSet<_> = logged.iter().map(|node| (&*node.source, &*node.id)).collect();
        let mut deleted = Vec::new();
        for (identity, attempts) in attempts {
            // An event that was not read may be in the log, unless it is the requested one.
            let is_asked = asked.is_some_and(|asked| (&*asked.source, &*asked.id) == *identity);
            if !in_log.contains(identity) && (is_whole || is_asked) {
                deleted.extend(deleted_event(tree, attempts));
            }
        }
        deleted.sort_by(|one, other| one.stored_at.cmp(&other.stored_at));
        self.events.extend(deleted);
        self.events.extend(logged);
        Ok(())
    }

    /// Whether there are events that were not read.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// When the first event entered the log.
    pub(super) fn first_stored_at(&self) -> Option<Timestamp> {
        self.events.iter().filter_map(|event| Timestamp::parse(&event.stored_at)).min()
    }

    pub(super) fn get(&self, index: usize) -> &TreeEventView {
        &self.events[index]
    }

    pub(super) fn index_of(&self, identity: &Identity) -> Option<usize> {
        self.events.iter().position(|event| event.source == identity.source && event.id == identity.id)
    }

    /// The index of each event's cause, which is smaller than the event's own.
    pub(super) fn causes(&self) -> Vec<Option<usize>> {
        let mut indexes = HashMap::new();
        let mut causes = Vec::with_capacity(self.events.len());
        for (index, event) in self.events.iter().enumerate() {
            let cause = event.causation_source.as_deref().zip(event.causation.as_deref());
            causes.push(cause.and_then(|cause| indexes.get(&cause).copied()));
            indexes.insert((event.source.as_str(), event.id.as_str()), index);
        }
        causes
    }
}

/// Reads up to `limit` events of a tree after a position. Returns whether these are all.
async fn read_after(
    admin: &Admin,
    tree: &CauseTreeId,
    mut after: Option<Position>,
    limit: usize,
    events: &mut Vec<TreeEventView>,
) -> Result<bool, StoreError> {
    let mut read = 0;
    while read < limit {
        let page = admin.bus.events_in_tree(tree.clone(), after, PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|last| last.position).or(after);
        read += page.len();
        events.extend(page.iter().map(tree_event));
        if is_last {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the requested event, its ancestors, and some of the events after it, unless they were read already.
async fn read_around(
    admin: &Admin,
    tree: &CauseTreeId,
    asked: &Identity,
    events: &mut Vec<TreeEventView>,
) -> Result<(), StoreError> {
    let mut read: HashSet<_> = events.iter().map(Identity::of).collect();
    let (mut next, mut position) = (Some(asked.clone()), None);
    for _ in 0..MAX_DEPTH {
        let Some(identity) = next.take_if(|identity| !read.contains(identity)) else { break };
        let Some(logged) = logged(admin, &identity).await? else { break };
        position = position.or(Some(logged.position));
        next = Identity::of_cause(&logged.event);
        events.push(tree_event(&logged));
        read.insert(identity);
    }
    if position.is_some() {
        let mut after = Vec::new();
        read_after(admin, tree, position, MAX_READ_AFTER, &mut after).await?;
        events.extend(after.into_iter().filter(|event| !read.contains(&Identity::of(event))));
    }
    events.sort_by_key(|event| event.position);
    Ok(())
}

async fn logged(admin: &Admin, identity: &Identity) -> Result<Option<LoggedEvent>, StoreError> {
    let found = admin.bus.events_with_id(identity.id.clone()).await?;
    Ok(found.into_iter().find(|logged| logged.event.source == identity.source))
}
