//! Renders a cause tree as text: each event below the attempt that published it, and below each delivery why it waits.

use std::collections::{HashMap, HashSet};

use crate::api::{
    CallView, CauseTreeView, DelayedEventView, DeliveryOutcomeView, InvocationUsageView, RecordedAttemptView,
    RecordedRequestView, TreeDeliveryView, TreeEventView, VerdictView,
};
use crate::cli::output::{cell, truncate};

/// The longest reason of a failure that is shown.
const REASON_CHARACTERS: usize = 300;
/// The number of keys and requests of an attempt that are named.
const MAX_NAMED: usize = 5;

/// Renders a tree, with the log lines of handlers if asked for.
pub(super) fn render(tree: &CauseTreeView, shows_log: bool) -> String {
    let mut writer = TreeWriter::new(tree, shows_log);
    writer.write();
    writer.text
}

/// The source and the id of an event.
type Identity<'a> = (&'a str, &'a str);

struct TreeWriter<'a> {
    tree: &'a CauseTreeView,
    shows_log: bool,
    /// The events that are not written yet, by their cause.
    caused: HashMap<Identity<'a>, Vec<&'a TreeEventView>>,
    delayed: HashMap<&'a str, Vec<&'a DelayedEventView>>,
    text: String,
}

impl<'a> TreeWriter<'a> {
    fn new(tree: &'a CauseTreeView, shows_log: bool) -> Self {
        let mut caused: HashMap<Identity<'a>, Vec<_>> = HashMap::new();
        for event in &tree.events {
            if let Some(cause) = cause(event) {
                caused.entry(cause).or_default().push(event);
            }
        }
        let mut delayed: HashMap<_, Vec<_>> = HashMap::new();
        for event in &tree.delayed {
            delayed.entry(event.causation.as_deref().unwrap_or_default()).or_default().push(event);
        }
        Self { tree, shows_log, caused, delayed, text: String::new() }
    }

    fn write(&mut self) {
        let in_tree: HashSet<Identity<'a>> = self.tree.events.iter().map(identity).collect();
        let is_root = |event: &&TreeEventView| cause(event).is_none_or(|cause| !in_tree.contains(&cause));
        let mut roots: Vec<_> = self.tree.events.iter().filter(is_root).collect();
        for request in &self.tree.requests {
            self.line("", &describe_request(request));
            self.log(&request.usage, "  ");
            let published = |root: &&TreeEventView| request.correlations.contains(&root.correlation);
            let (below, rest) = roots.into_iter().partition::<Vec<_>, _>(published);
            roots = rest;
            below.into_iter().for_each(|root| self.event(root, "  "));
        }
        roots.into_iter().for_each(|root| self.event(root, ""));
        // Those that requests published.
        let indent = if self.tree.requests.is_empty() { "" } else { "  " };
        for delayed in self.delayed.remove("").unwrap_or_default() {
            self.delayed_event(delayed, indent);
        }
        // The event that published these is not shown.
        let rest: Vec<_> = self.delayed.drain().flat_map(|(_, events)| events).collect();
        rest.into_iter().for_each(|delayed| self.delayed_event(delayed, indent));
        self.remarks();
    }

    fn remarks(&mut self) {
        let tree = self.tree;
        if tree.omitted > 0 {
            let (shown, all) = (tree.events.len(), tree.events.len() as u64 + tree.omitted);
            let or_more = if tree.partly_read { " or more" } else { "" };
            self.line("", &format!("{shown} of {all}{or_more} events are shown; --limit N shows more"));
        }
        if tree.attempts_omitted {
            self.line("", "the oldest attempts are omitted");
        }
        for gap in &tree.gaps {
            let (from, until, reason) = (&gap.from, &gap.until, &gap.reason);
            let text = match gap.lost {
                Some(lost) => format!("the ledger lost {lost} records from {from} to {until}: {reason}"),
                None => format!("the ledger may lack records from {from} to {until}: {reason}"),
            };
            self.line("", &text);
        }
        if let Some(error) = &tree.ledger_error {
            self.line("", error);
        }
    }

    fn event(&mut self, event: &'a TreeEventView, indent: &str) {
        let subject = event.subject.as_ref().map(|subject| format!(" subject {subject}")).unwrap_or_default();
        let deleted = if event.position.is_none() { " (deleted by retention)" } else { "" };
        let text =
            format!("{} {}{subject} from {} at {}{deleted}", event.event_type, event.id, event.source, event.stored_at);
        self.line(indent, &text);
        let below = format!("{indent}  ");
        let mut caused = self.caused.remove(&identity(event)).unwrap_or_default();
        if event.deliveries.is_empty() {
            self.line(&below, "no subscription matches it");
        }
        for delivery in &event.deliveries {
            self.delivery(delivery, &mut caused, &below);
        }
        // The attempts that published these are not recorded.
        for event in caused {
            self.event(event, &below);
        }
        for delayed in self.delayed.remove(event.id.as_str()).unwrap_or_default() {
            self.delayed_event(delayed, &below);
        }
        match event.omitted {
            0 => {}
            1 => self.line(&below, "+ 1 more event is omitted here"),
            omitted => self.line(&below, &format!("+ {omitted} more events are omitted here")),
        }
    }

    /// Writes a delivery with its attempts. An event that an attempt published follows that attempt.
    fn delivery(&mut self, delivery: &'a TreeDeliveryView, caused: &mut Vec<&'a TreeEventView>, indent: &str) {
        let below = format!("{indent}    ");
        for attempt in &delivery.attempts {
            self.line(indent, &describe_attempt(&delivery.subscription, attempt));
            self.log(&attempt.usage, &below);
            let (published, rest) = std::mem::take(caused).into_iter().partition::<Vec<_>, _>(|event| {
                attempt.usage.published.iter().any(|published| published.id == event.id)
            });
            *caused = rest;
            for event in published {
                self.event(event, &below);
            }
        }
        if let Some(outcome) = &delivery.outcome {
            self.outcome(delivery, outcome, indent);
            return;
        }
        let name = marked(delivery);
        for reason in &delivery.waits_for {
            let until = reason.until.as_ref().filter(|until| !reason.detail.contains(until.as_str()));
            let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
            self.line(indent, &format!("… {name}: {}{until}", reason.detail));
        }
        let is_pending = delivery.state.is_some();
        if is_pending && delivery.attempts.is_empty() && delivery.waits_for.is_empty() {
            self.line(indent, &format!("… {name}: it is about to run"));
        }
    }

    /// Writes how a delivery ended, unless its attempts say it.
    fn outcome(&mut self, delivery: &TreeDeliveryView, outcome: &DeliveryOutcomeView, indent: &str) {
        let name = marked(delivery);
        let text = match outcome {
            DeliveryOutcomeView::Handled => return,
            DeliveryOutcomeView::DeadLetter => {
                let Some(letter) = &delivery.dead_letter else { return };
                let is_said = delivery.attempts.last().is_some_and(|last| last.verdict == VerdictView::Dead);
                let cause = Some(letter.cause.as_str()).filter(|_| !is_said);
                let failure = failure(cause, Some(&letter.reason));
                format!("✗ {name}: dead letter {}{failure}", letter.number)
            }
            DeliveryOutcomeView::Dropped => format!("✗ {name}: dead letter dropped; no later attempt is recorded"),
            DeliveryOutcomeView::NotRecorded => {
                format!("? {name}: handled, or its dead letter was dropped; not recorded")
            }
            DeliveryOutcomeView::Other(other) => format!("? {name}: {other}"),
        };
        self.line(indent, &text);
    }

    fn delayed_event(&mut self, event: &DelayedEventView, indent: &str) {
        self.line(indent, &format!("{} {} enters the log at {}", event.event_type, event.id, event.due));
    }

    fn log(&mut self, usage: &InvocationUsageView, indent: &str) {
        if self.shows_log {
            log_lines(usage).iter().for_each(|line| self.line(indent, line));
        }
    }

    fn line(&mut self, indent: &str, text: &str) {
        self.text.push_str(indent);
        // Types, ids and reasons are untrusted.
        self.text.push_str(&cell(text));
        self.text.push('\n');
    }
}

fn identity(event: &TreeEventView) -> Identity<'_> {
    (&event.source, &event.id)
}

fn cause(event: &TreeEventView) -> Option<Identity<'_>> {
    Some((event.causation_source.as_deref()?, event.causation.as_deref()?))
}

/// A request in a line.
pub(in crate::cli) fn describe_request(request: &RecordedRequestView) -> String {
    let failure = failure(request.cause.as_deref(), request.reason.as_deref());
    let RecordedRequestView { method, path, status, plugin, id, at, usage, .. } = request;
    format!("{method} {path} → {status} by {plugin}{} at {at}, request {id}{failure}", describe_usage(usage))
}

/// An attempt in a line.
pub(in crate::cli) fn describe_attempt(name: &str, attempt: &RecordedAttemptView) -> String {
    let mark = if attempt.verdict == VerdictView::Handled { "✓" } else { "✗" };
    let number = attempt.attempt;
    let next = match (&attempt.verdict, &attempt.retry_at) {
        (VerdictView::Retried, Some(due)) => format!("; next at {due}"),
        (VerdictView::Dead, _) => "; dead letter".to_owned(),
        _ => String::new(),
    };
    let failure = failure(attempt.cause.as_deref(), attempt.reason.as_deref());
    let replay = attempt.replay.map(|number| format!("replay {number}"));
    let replay = replay.or_else(|| attempt.replayed.then(|| "replay".to_owned()));
    let name = with_marks(name, attempt.redriven_at.as_deref(), attempt.edited, replay);
    format!("{mark} {name} attempt {number}{} at {}{failure}{next}", describe_usage(&attempt.usage), attempt.at)
}

/// The subscription of a delivery, with what is special about its current state.
fn marked(delivery: &TreeDeliveryView) -> String {
    let replay = delivery.replayed.then(|| "replay".to_owned());
    with_marks(&delivery.subscription, delivery.redriven_at.as_deref(), delivery.edited, replay)
}

fn with_marks(name: &str, redriven_at: Option<&str>, edited: bool, replay: Option<String>) -> String {
    let redriven = redriven_at.map(|at| format!("redriven at {at}"));
    let edited = edited.then(|| "with edited data".to_owned());
    let marks: Vec<_> = redriven.into_iter().chain(edited).chain(replay).collect();
    if marks.is_empty() { name.to_owned() } else { format!("{name} ({})", marks.join(", ")) }
}

fn failure(cause: Option<&str>, reason: Option<&str>) -> String {
    let Some(cause) = cause else { return String::new() };
    match truncate(reason.unwrap_or_default(), REASON_CHARACTERS) {
        reason if reason.is_empty() => format!(": {cause}"),
        reason => format!(": {cause}: {reason}"),
    }
}

/// What an invocation used and did.
fn describe_usage(usage: &InvocationUsageView) -> String {
    let mut text = format!(" in {}", format_micros(usage.took_us));
    if usage.queued_us >= 1_000 {
        text.push_str(&format!(" after {} in the queue", format_micros(usage.queued_us)));
    }
    if usage.cpu_us > 0 {
        let memory = usage.memory_bytes.div_ceil(1 << 10);
        text.push_str(&format!(" (CPU {}, {memory} KiB)", format_micros(usage.cpu_us)));
    }
    if !usage.state_keys.is_empty() {
        text.push_str(&format!(", wrote {}", some_of(&usage.state_keys, usage.names_omitted, Clone::clone)));
    }
    if !usage.calls.is_empty() {
        let call = |call: &CallView| {
            let result = call.status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
            format!("{} {} → {result} in {}", call.method, call.host, format_micros(call.took_us))
        };
        text.push_str(&format!(", called {}", some_of(&usage.calls, usage.calls_omitted, call)));
    }
    text
}

/// The log lines of an invocation.
pub(in crate::cli) fn log_lines(usage: &InvocationUsageView) -> Vec<String> {
    let lines = usage.log.iter().map(|line| format!("{}: {}", line.level, line.message));
    let omitted = match usage.log_lines_omitted {
        0 => None,
        1 => Some("1 more log line is not recorded".to_owned()),
        omitted => Some(format!("{omitted} more log lines are not recorded")),
    };
    lines.chain(omitted).collect()
}

/// The first items of a list, and how many more there are.
fn some_of<T>(items: &[T], omitted: u64, show: impl Fn(&T) -> String) -> String {
    let shown: Vec<_> = items.iter().take(MAX_NAMED).map(show).collect();
    let more = items.len().saturating_sub(MAX_NAMED) as u64 + omitted;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A duration with a fitting unit.
#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit after the point")]
pub(in crate::cli) fn format_micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1_000.0),
        _ => format!("{:.1} s", micros as f64 / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests;
