//! What a request or an event has led to, as a tree, once it has come to rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::{AttemptRecord, Delivery, DeliveryStatus, SharedBus};
use crate::console;
use crate::event::reserved::plugin_source;
use crate::event::{self, CAUSATION_ID, CAUSATION_SOURCE, Event, Logged, Position};
use crate::observer::Observed;
use crate::outcome::Failure;
use crate::printable;
use crate::retry::Verdict;

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A flow in which nothing has happened for so long is at rest.
const REST: Duration = Duration::from_millis(300);
/// What comes later than this in a flow is shown as a tree of its own.
const FORGET: Duration = Duration::from_mins(2);
/// How many events are read from the log at a time.
const PAGE: usize = 500;
/// How much of an event's data is shown, in characters.
const EXCERPT: usize = 100;

/// Shows flows until it is cancelled.
#[derive(Debug)]
pub(super) struct Flows {
    bus: SharedBus,
    observed: mpsc::Receiver<Observed>,
    /// What was read of the log already lies up to here.
    looked: Position,
    flows: BTreeMap<event::Flow, Flow>,
}

/// The events that have one first event, and what became of their deliveries.
#[derive(Debug, Default)]
struct Flow {
    /// The request whose handler published the first event, if there was one.
    request: Option<String>,
    events: Vec<Arc<Event>>,
    attempts: Vec<(AttemptRecord, DeliveryStatus)>,
    /// When something happened last that is not shown yet.
    news: Option<Instant>,
    changed: Option<Instant>,
}

impl Flows {
    pub(super) fn new(bus: SharedBus, observed: mpsc::Receiver<Observed>) -> Self {
        Self { looked: bus.head(), bus, observed, flows: BTreeMap::new() }
    }

    pub(super) async fn run(mut self, cancelled: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                observed = self.observed.recv() => match observed {
                    Some(observed) => self.note(observed),
                    None => return,
                },
                _ = look.tick() => {
                    self.look().await;
                    self.show();
                }
            }
        }
    }

    fn note(&mut self, observed: Observed) {
        match observed {
            Observed::Request { request, status, took, published } => {
                let line = format!("{request} → {status} in {}", shown(took));
                if published.is_empty() {
                    console::progress(&printable::line(&line));
                }
                for flow in published {
                    self.flow(flow).request = Some(line.clone());
                }
            }
            Observed::Attempt { record, settled } => {
                let flow = self.flow(record.delivery.event().flow());
                flow.attempts.push((record, settled));
            }
        }
    }

    /// A flow in which something has happened.
    fn flow(&mut self, flow: event::Flow) -> &mut Flow {
        let flow = self.flows.entry(flow).or_default();
        let now = Instant::now();
        (flow.news, flow.changed) = (Some(now), Some(now));
        flow
    }

    /// Reads the events that have entered the log.
    async fn look(&mut self) {
        if self.bus.head() == self.looked {
            return;
        }
        match self.bus.events(None, PAGE).await {
            Ok(page) => {
                let new: Vec<Logged> = page.into_iter().take_while(|logged| logged.position > self.looked).collect();
                self.looked = new.first().map_or(self.looked, |newest| newest.position);
                for logged in new.into_iter().rev() {
                    self.flow(logged.event.flow()).events.push(logged.event);
                }
            }
            Err(error) => tracing::debug!(%error, "the log cannot be read"),
        }
    }

    /// Shows the flows that have come to rest.
    fn show(&mut self) {
        for flow in self.flows.values_mut() {
            if flow.news.is_some_and(|news| news.elapsed() >= REST) {
                flow.news = None;
                console::progress(flow.tree().trim_end());
            }
        }
        self.flows.retain(|_, flow| flow.changed.is_some_and(|changed| changed.elapsed() < FORGET));
    }
}

impl Flow {
    fn tree(&self) -> String {
        let mut branches: HashMap<Identity<'_>, Vec<&Arc<Event>>> = HashMap::new();
        let known = |cause: &Identity<'_>| self.events.iter().any(|event| identity(event) == *cause);
        let mut roots = Vec::new();
        for event in &self.events {
            match cause(event).filter(known) {
                Some(cause) => branches.entry(cause).or_default().push(event),
                None => roots.push(event),
            }
        }
        let mut tree = Tree { flow: self, branches, lines: String::new() };
        let last = roots.len().saturating_sub(1);
        match &self.request {
            Some(request) => {
                tree.line("", request);
                for (index, root) in roots.into_iter().enumerate() {
                    tree.event(root, "", index == last);
                }
            }
            None => roots.into_iter().for_each(|root| {
                tree.line("", &told(root));
                tree.below(root, "");
            }),
        }
        tree.lines
    }
}

/// The source and the id of an event, which are unique together.
type Identity<'a> = (&'a str, &'a str);

fn identity(event: &Event) -> Identity<'_> {
    (&event.source, &event.id)
}

/// The event that was being handled when this one was published.
fn cause(event: &Event) -> Option<Identity<'_>> {
    Some((event.attribute(CAUSATION_SOURCE)?, event.attribute(CAUSATION_ID)?))
}

/// A tree in the making.
struct Tree<'a> {
    flow: &'a Flow,
    /// Events that wait for their place, by their cause.
    branches: HashMap<Identity<'a>, Vec<&'a Arc<Event>>>,
    lines: String,
}

impl<'a> Tree<'a> {
    fn line(&mut self, indent: &str, text: &str) {
        self.lines.push_str(indent);
        // Types, ids, data and reasons are somebody else's words.
        self.lines.push_str(&printable::line(text));
        self.lines.push('\n');
    }

    fn event(&mut self, event: &'a Arc<Event>, indent: &str, is_last: bool) {
        let (branch, under) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        self.line(&format!("{indent}{branch}"), &told(event));
        self.below(event, &format!("{indent}{under}"));
    }

    /// What became of an event: the attempts, each with what it published; then what else it caused.
    fn below(&mut self, event: &'a Arc<Event>, indent: &str) {
        let flow = self.flow;
        let attempts: Vec<_> =
            flow.attempts.iter().filter(|(record, _)| identity(record.delivery.event()) == identity(event)).collect();
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
            self.line(&format!("{indent}{branch}"), &told_attempt(&attempt.0, attempt.1));
            let (under, last) = (format!("{indent}{under}"), published.len().saturating_sub(1));
            for (index, event) in published.into_iter().enumerate() {
                self.event(event, &under, index == last);
            }
        }
        let last = caused.len().saturating_sub(1);
        for (index, event) in caused.into_iter().enumerate() {
            self.event(event, indent, index == last);
        }
    }
}

/// An attempt in a line.
fn told_attempt(record: &AttemptRecord, settled: DeliveryStatus) -> String {
    let Delivery { subscription, attempt, .. } = &*record.delivery;
    let which = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
    let took = shown(record.took);
    let Some(failure) = record.verdict.failure() else { return format!("✓ {subscription} in {took}{which}") };
    match settled {
        DeliveryStatus::Waiting(due) => format!("✗ {subscription} in {took}{which}, {}; again at {due}", why(failure)),
        DeliveryStatus::Dead | DeliveryStatus::Handled => {
            format!("✗ {subscription} in {took}{which}, {}; dead letter", why(failure))
        }
    }
}

fn why(failure: &Failure) -> String {
    format!("{}: {}", failure.cause.as_str(), failure.reason.replace('\n', " "))
}

/// An event in a line.
fn told(event: &Event) -> String {
    let data = event.data.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let data = data.replace('\n', " ");
    let excerpt: String = data.chars().take(EXCERPT).collect();
    let more = if data.chars().count() > EXCERPT { "…" } else { "" };
    format!("{} {} {excerpt}{more}", event.event_type, event.id).trim_end().to_owned()
}

fn shown(took: Duration) -> String {
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
    fn a_flow_is_a_tree() {
        let registered = event("1", "user.registered", "/plugins/registration", None);
        let welcomed = event("2", "user.welcomed", "/plugins/handler", Some(&registered));
        let later = event("3", "user.reminded", "/plugins/elsewhere", Some(&registered));
        let attempt = |event: &Arc<Event>, owner: &str, attempt, verdict, settled| {
            let subscription = SubscriptionId { owner: owner.to_owned(), name: "it".to_owned() };
            let logged = Logged { position: Position(1), stored_at: Timestamp(0), event: Arc::clone(event) };
            let ids = IdSeed::unique();
            let delivery = Delivery { logged, subscription, is_dynamic: false, attempt, kind: DeliveryKind::Live, ids };
            let took = Duration::from_micros(1_500);
            (AttemptRecord { delivery: Arc::new(delivery), verdict, digest: None, took }, settled)
        };
        let failure = Failure { cause: Cause::Trap, reason: "boom (in greet (src/lib.rs:7))".to_owned() };
        let again = Verdict::RetryAfter { delay: Duration::ZERO, failure: failure.clone() };
        let dead = Verdict::DeadLetter { failure, exhausted: true };
        let flow = Flow {
            request: Some("POST /register → 201 in 2.0 ms".to_owned()),
            events: vec![Arc::clone(&registered), Arc::clone(&welcomed), later],
            attempts: vec![
                attempt(&registered, "handler", 1, Verdict::Ack, DeliveryStatus::Handled),
                attempt(&registered, "audit", 1, again, DeliveryStatus::Waiting(Timestamp(0))),
                attempt(&welcomed, "mailer", 2, dead, DeliveryStatus::Dead),
            ],
            ..Flow::default()
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
        assert_eq!(flow.tree(), expected);
    }
}
