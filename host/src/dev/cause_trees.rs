//! Prints the consequences of a request or an event as a cause tree, once nothing more happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::{AttemptRecord, Delivery, DeliveryStatus, SharedBus};
use crate::console;
use crate::event::reserved::plugin_source;
use crate::event::{self, CAUSATION_ID, CAUSATION_SOURCE, Event, LoggedEvent, Position};
use crate::observer::Observation;
use crate::outcome::Failure;
use crate::printable;
use crate::retry::Verdict;

/// How often the log is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A tree is printed after this time without activity.
const QUIET_PERIOD: Duration = Duration::from_millis(300);
/// A tree is forgotten after this time without activity. Later activity makes a new tree.
const FORGET_AFTER: Duration = Duration::from_mins(2);
/// The number of events of one read.
const PAGE: usize = 500;
/// The number of characters of an event's data in a tree.
const DATA_CHARACTERS: usize = 100;

/// The recent cause trees.
#[derive(Debug)]
pub(super) struct CauseTrees {
    bus: SharedBus,
    observed: mpsc::Receiver<Observation>,
    /// The last position that was read.
    last_position: Position,
    trees: BTreeMap<event::CauseTreeId, CauseTree>,
}

/// The events with one correlation id, and the attempts at their deliveries.
#[derive(Debug, Default)]
struct CauseTree {
    /// The request whose handler published the first event, if any.
    request: Option<String>,
    events: Vec<Arc<Event>>,
    attempts: Vec<(AttemptRecord, DeliveryStatus)>,
    /// The types of events that no subscription matched when they entered the log.
    unmatched: BTreeSet<String>,
    /// The last activity, if it is not printed yet.
    unprinted_since: Option<Instant>,
    /// The last activity.
    changed: Option<Instant>,
}

impl CauseTrees {
    pub(super) fn new(bus: SharedBus, observed: mpsc::Receiver<Observation>) -> Self {
        Self { last_position: bus.head(), bus, observed, trees: BTreeMap::new() }
    }

    /// Prints trees until it is cancelled.
    pub(super) async fn run(mut self, cancelled: CancellationToken) {
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                observed = self.observed.recv() => match observed {
                    Some(observed) => self.record(observed),
                    None => return,
                },
                _ = poll.tick() => {
                    self.read_log().await;
                    self.print_quiet_trees();
                }
            }
        }
    }

    fn record(&mut self, observed: Observation) {
        match observed {
            Observation::Request { request, status, took, published } => {
                let line = format!("{request} → {status} in {}", format_duration(took));
                if published.is_empty() {
                    console::print_status(&printable::line(&line));
                }
                for tree in published {
                    self.tree_of(tree).request = Some(line.clone());
                }
            }
            Observation::Attempt { record, settled } => {
                let tree = self.tree_of(record.delivery.event().cause_tree());
                tree.attempts.push((record, settled));
            }
        }
    }

    /// The tree of an activity.
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
                let catalogue = Arc::clone(&self.bus.catalogue().borrow());
                for logged in new.into_iter().rev() {
                    let event_type = &logged.event.event_type;
                    let mut definitions = catalogue.subscriptions().map(|entry| &entry.definition);
                    let is_matched = definitions.any(|definition| definition.pattern.matches(event_type));
                    let tree = self.tree_of(logged.event.cause_tree());
                    tree.unmatched.extend((!is_matched).then(|| event_type.clone()));
                    tree.events.push(logged.event);
                }
            }
            Err(error) => tracing::debug!(%error, "cannot read the log"),
        }
    }

    /// Prints the trees without recent activity.
    fn print_quiet_trees(&mut self) {
        for tree in self.trees.values_mut() {
            if tree.unprinted_since.is_some_and(|unprinted_since| unprinted_since.elapsed() >= QUIET_PERIOD) {
                tree.unprinted_since = None;
                console::print_status(tree.render().trim_end());
            }
        }
        self.trees.retain(|_, tree| tree.changed.is_some_and(|changed| changed.elapsed() < FORGET_AFTER));
    }
}

impl CauseTree {
    fn render(&self) -> String {
        let mut branches: HashMap<Identity<'_>, Vec<&Arc<Event>>> = HashMap::new();
        let known = |cause: &Identity<'_>| self.events.iter().any(|event| identity(event) == *cause);
        let mut roots = Vec::new();
        for event in &self.events {
            match cause(event).filter(known) {
                Some(cause) => branches.entry(cause).or_default().push(event),
                None => roots.push(event),
            }
        }
        let mut tree = TreeWriter { cause_tree: self, branches, lines: String::new() };
        let last = roots.len().saturating_sub(1);
        match &self.request {
            Some(request) => {
                tree.write_line("", request);
                for (index, root) in roots.into_iter().enumerate() {
                    tree.write_event(root, "", index == last);
                }
            }
            None => roots.into_iter().for_each(|root| {
                tree.write_line("", &format_event(root));
                tree.write_consequences(root, "");
                // An event of a handler needs no subscription, but an event from outside hardly makes sense without one.
                if self.unmatched.contains(&root.event_type) {
                    tree.write_line("└─ ", "no subscription matches this type");
                }
            }),
        }
        tree.lines
    }
}

/// The source and id of an event, which are unique together.
type Identity<'a> = (&'a str, &'a str);

fn identity(event: &Event) -> Identity<'_> {
    (&event.source, &event.id)
}

/// The event whose handler published this one.
fn cause(event: &Event) -> Option<Identity<'_>> {
    Some((event.attribute(CAUSATION_SOURCE)?, event.attribute(CAUSATION_ID)?))
}

/// Renders a tree.
struct TreeWriter<'a> {
    cause_tree: &'a CauseTree,
    /// The events that are not written yet, by their cause.
    branches: HashMap<Identity<'a>, Vec<&'a Arc<Event>>>,
    lines: String,
}

impl<'a> TreeWriter<'a> {
    fn write_line(&mut self, indent: &str, text: &str) {
        self.lines.push_str(indent);
        // Types, ids, data and reasons are untrusted.
        self.lines.push_str(&printable::line(text));
        self.lines.push('\n');
    }

    fn write_event(&mut self, event: &'a Arc<Event>, indent: &str, is_last: bool) {
        let (branch, under) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        self.write_line(&format!("{indent}{branch}"), &format_event(event));
        self.write_consequences(event, &format!("{indent}{under}"));
    }

    /// Writes the attempts at an event with the events that each published, then other events that it caused.
    fn write_consequences(&mut self, event: &'a Arc<Event>, indent: &str) {
        let tree = self.cause_tree;
        let attempts: Vec<_> =
            tree.attempts.iter().filter(|(record, _)| identity(record.delivery.event()) == identity(event)).collect();
        let mut caused = self.branches.remove(&identity(event)).unwrap_or_default();
        let mut taken = attempts.into_iter().map(|attempt| {
            let (record, _) = attempt;
            let source = plugin_source(&record.delivery.subscription.owner);
            let own = |event: &&Arc<Event>| record.verdict == Verdict::Ack && event.source == source;
            let (published, rest) = std::mem::take(&mut caused).into_iter().partition::<Vec<_>, _>(own);
            caused = rest;
            (attempt, published)
        });
        let taken: Vec<_> = taken.by_ref().collect();
        let count = taken.len() + caused.len();
        for (index, (attempt, published)) in taken.into_iter().enumerate() {
            let (branch, under) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.write_line(&format!("{indent}{branch}"), &format_attempt(&attempt.0, attempt.1));
            let (under, last) = (format!("{indent}{under}"), published.len().saturating_sub(1));
            for (index, event) in published.into_iter().enumerate() {
                self.write_event(event, &under, index == last);
            }
        }
        let last = caused.len().saturating_sub(1);
        for (index, event) in caused.into_iter().enumerate() {
            self.write_event(event, indent, index == last);
        }
    }
}

/// Formats an attempt in a line.
fn format_attempt(record: &AttemptRecord, settled: DeliveryStatus) -> String {
    let Delivery { subscription, attempt, .. } = &*record.delivery;
    let which = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
    let took = format_duration(record.took);
    let Some(failure) = record.verdict.failure() else { return format!("✓ {subscription} in {took}{which}") };
    match settled {
        DeliveryStatus::Waiting(due) => {
            format!("✗ {subscription} in {took}{which}, {}; again at {due}", format_failure(failure))
        }
        DeliveryStatus::Dead | DeliveryStatus::Handled => {
            format!("✗ {subscription} in {took}{which}, {}; dead letter", format_failure(failure))
        }
    }
}

fn format_failure(failure: &Failure) -> String {
    format!("{}: {}", failure.cause.as_str(), failure.reason.replace('\n', " "))
}

/// Formats an event in a line.
fn format_event(event: &Event) -> String {
    let data = event.data.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let data = data.replace('\n', " ");
    let excerpt: String = data.chars().take(DATA_CHARACTERS).collect();
    let more = if data.chars().count() > DATA_CHARACTERS { "…" } else { "" };
    format!("{} {} {excerpt}{more}", event.event_type, event.id).trim_end().to_owned()
}

fn format_duration(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::DeliveryKind;
    use crate::clock::Timestamp;
    use crate::event::IdSeed;
    use crate::outcome::Cause;
    use crate::subscription::SubscriptionId;

    fn event(id: &str, event_type: &str, source: &str, cause: Option<&Event>) -> Arc<Event> {
        let extensions = cause.map(Event::inherited).unwrap_or_default();
        let (id, event_type, source) = (id.to_owned(), event_type.to_owned(), source.to_owned());
        Arc::new(Event { id, event_type, source, extensions, ..Event::default() })
    }

    #[test]
    fn an_event_from_outside_that_nothing_takes_is_marked() {
        let (misspelled, welcomed) =
            (event("1", "user.registred", "/dev", None), event("2", "user.welcomed", "/p", None));
        let unmatched = BTreeSet::from(["user.registred".to_owned()]);
        let mut tree = CauseTree { events: vec![misspelled, welcomed], unmatched, ..CauseTree::default() };
        let expected = "user.registred 1\n└─ no subscription matches this type\nuser.welcomed 2\n";
        assert_eq!(tree.render(), expected);
        tree.request = Some("POST /register → 201 in 2.0 ms".to_owned());
        assert!(!tree.render().contains("no subscription"), "a handler may publish for nobody");
    }

    #[test]
    fn a_cause_tree_is_drawn() {
        let registered = event("1", "user.registered", "/plugins/registration", None);
        let welcomed = event("2", "user.welcomed", "/plugins/handler", Some(&registered));
        let later = event("3", "user.reminded", "/plugins/elsewhere", Some(&registered));
        let attempt = |event: &Arc<Event>, owner: &str, attempt, verdict, settled| {
            let subscription = SubscriptionId { owner: owner.to_owned(), name: "it".to_owned() };
            let logged = LoggedEvent { position: Position(1), stored_at: Timestamp(0), event: Arc::clone(event) };
            let ids = IdSeed::unique();
            let delivery = Delivery { logged, subscription, is_dynamic: false, attempt, kind: DeliveryKind::Live, ids };
            let took = Duration::from_micros(1_500);
            (AttemptRecord { delivery: Arc::new(delivery), verdict, digest: None, took }, settled)
        };
        let failure = Failure { cause: Cause::Trap, reason: "boom (in greet (src/lib.rs:7))".to_owned() };
        let again = Verdict::RetryAfter { delay: Duration::ZERO, failure: failure.clone() };
        let dead = Verdict::DeadLetter { failure, exhausted: true };
        let tree = CauseTree {
            request: Some("POST /register → 201 in 2.0 ms".to_owned()),
            events: vec![Arc::clone(&registered), Arc::clone(&welcomed), later],
            attempts: vec![
                attempt(&registered, "handler", 1, Verdict::Ack, DeliveryStatus::Handled),
                attempt(&registered, "audit", 1, again, DeliveryStatus::Waiting(Timestamp(0))),
                attempt(&welcomed, "mailer", 2, dead, DeliveryStatus::Dead),
            ],
            ..CauseTree::default()
        };
        let expected = "\
POST /register → 201 in 2.0 ms
└─ user.registered 1
   ├─ ✓ handler/it in 1.5 ms
   │  └─ user.welcomed 2
   │     └─ ✗ mailer/it in 1.5 ms, attempt 2, trap: boom (in greet (src/lib.rs:7)); dead letter
   ├─ ✗ audit/it in 1.5 ms, trap: boom (in greet (src/lib.rs:7)); again at 1970-01-01T00:00:00.000Z
   └─ user.reminded 3
";
        assert_eq!(tree.render(), expected);
    }
}
