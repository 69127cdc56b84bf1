//! Prints the consequences of a request or an event as a cause tree, once nothing more happens. What happens later,
//! such as a retry, is printed on its own: the tree is not printed again.

mod render;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::retries::Retries;
use super::unmatched::{UnmatchedTypes, handled, is_matched};
use crate::bus::{AttemptRecord, SettledStatus, SharedBus};
use crate::console;
use crate::event::reserved::publishing_plugin;
use crate::event::{self, Event, LoggedEvent, Position};
use crate::observer::Observation;
use crate::printable;
use crate::projects::SourceIndex;

/// How often the log is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A tree is printed after this time without activity.
const QUIET_PERIOD: Duration = Duration::from_millis(300);
/// A tree is forgotten after this time without activity. Later activity makes a new tree.
const FORGET_AFTER: Duration = Duration::from_mins(2);
/// The number of events of one read.
const PAGE: usize = 500;

/// The recent cause trees.
#[derive(Debug)]
pub(super) struct CauseTrees {
    bus: SharedBus,
    observed: mpsc::Receiver<Observation>,
    /// The last position that was read.
    last_position: Position,
    trees: BTreeMap<event::CauseTreeId, CauseTree>,
    unmatched: UnmatchedTypes,
    retries: Retries,
    sources: SourceIndex,
}

/// The events with one correlation id, and the attempts at their deliveries.
#[derive(Debug, Default)]
struct CauseTree {
    /// The request whose handler published the first event, if any.
    request: Option<String>,
    events: Vec<TreeEvent>,
    attempts: Vec<Attempt>,
    /// The last activity, if it is not printed yet.
    unprinted_since: Option<Instant>,
    /// The last activity.
    changed: Option<Instant>,
}

/// An event in the log.
#[derive(Clone, Debug)]
struct TreeEvent {
    event: Arc<Event>,
    /// A hint that no subscription matched its type when it entered the log.
    hint: Option<String>,
    is_printed: bool,
}

/// An attempt at a delivery.
#[derive(Clone, Debug)]
struct Attempt {
    record: AttemptRecord,
    status: SettledStatus,
    /// Why the attempt failed, with paths that a terminal can open.
    failure: Option<String>,
    /// The number of attempts that the subscription allows, if it still exists.
    max_attempts: Option<NonZeroU32>,
    is_printed: bool,
}

impl CauseTrees {
    pub(super) fn new(
        bus: SharedBus,
        observed: mpsc::Receiver<Observation>,
        retries: Retries,
        sources: SourceIndex,
    ) -> Self {
        let (trees, unmatched) = Default::default();
        Self { last_position: bus.head(), bus, observed, trees, unmatched, retries, sources }
    }

    /// Prints trees until it is cancelled.
    pub(super) async fn run(mut self, cancelled: CancellationToken) {
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                observed = self.observed.recv() => match observed {
                    Some(observed) => self.record(observed).await,
                    None => return,
                },
                _ = poll.tick() => {
                    self.read_log().await;
                    self.print_quiet_trees();
                }
            }
        }
    }

    async fn record(&mut self, observed: Observation) {
        match observed {
            Observation::Request { request, status, took, published } => {
                let line = format!("{request} → {status} in {}", render::format_duration(took));
                if published.is_empty() {
                    console::print_status(&printable::line(&line));
                }
                for tree in published {
                    self.tree_of(tree).request = Some(line.clone());
                }
            }
            Observation::Attempt { record, status } => {
                self.retries.check(&record).await;
                let catalogue = Arc::clone(&self.bus.catalogue().borrow());
                let entry = catalogue.subscription(&record.delivery.subscription);
                let max_attempts = entry.map(|entry| entry.definition.retry.max_attempts);
                let failure = record.verdict.failure().map(render::format_failure);
                let failure = failure.map(|text| self.sources.locate(&record.delivery.subscription.owner, &text));
                let tree = self.tree_of(record.delivery.event().cause_tree());
                tree.attempts.push(Attempt { record, status, failure, max_attempts, is_printed: false });
            }
        }
    }

    /// The cause tree with an id, created if it is not known. Records the activity.
    fn tree_of(&mut self, id: event::CauseTreeId) -> &mut CauseTree {
        let tree = self.trees.entry(id).or_default();
        let now = Instant::now();
        (tree.unprinted_since, tree.changed) = (Some(now), Some(now));
        tree
    }

    /// Reads the new events of the log.
    async fn read_log(&mut self) {
        if self.bus.head() == self.last_position {
            return;
        }
        match self.bus.events(None, PAGE).await {
            Ok(page) => {
                let new: Vec<LoggedEvent> =
                    page.into_iter().take_while(|logged| logged.position > self.last_position).collect();
                self.last_position = new.first().map_or(self.last_position, |newest| newest.position);
                for logged in new.into_iter().rev() {
                    let hint = self.hint(&logged.event);
                    let tree = self.tree_of(logged.event.cause_tree());
                    tree.events.push(TreeEvent { event: logged.event, hint, is_printed: false });
                }
            }
            Err(error) => tracing::debug!(%error, "cannot read the log"),
        }
    }

    /// The hint for an event that no subscription matches. The detailed hint is given once for each type. A producer's
    /// event without a subscription is probably a mistake, so it gets a short hint each time.
    fn hint(&mut self, event: &Event) -> Option<String> {
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        let registry = self.retries.registry.snapshot();
        let handled = handled(&catalogue, &registry);
        let hint = self.unmatched.hint(&event.event_type, &handled);
        let is_from_outside = publishing_plugin(&event.source).is_none();
        hint.or_else(|| {
            let is_marked = is_from_outside && !is_matched(&event.event_type, &handled);
            is_marked.then(|| "no subscription matches this type".to_owned())
        })
    }

    /// Prints the trees without recent activity.
    fn print_quiet_trees(&mut self) {
        for tree in self.trees.values_mut() {
            if tree.unprinted_since.is_some_and(|unprinted_since| unprinted_since.elapsed() >= QUIET_PERIOD) {
                tree.unprinted_since = None;
                console::print_status(tree.render_new().trim_end());
            }
        }
        self.trees.retain(|_, tree| tree.changed.is_some_and(|changed| changed.elapsed() < FORGET_AFTER));
    }
}
