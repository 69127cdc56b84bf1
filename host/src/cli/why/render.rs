//! Renders a cause tree as text: each event below the attempt that published it, and below each delivery why it waits.

use std::collections::{HashMap, HashSet};

use crate::api::{
    CallView, CauseTreeView, DelayedEventView, DeliveryStateView, InvocationUsageView, RecordedAttemptView,
    RecordedRequestView, TreeDeliveryView, TreeEventView, VerdictView,
};
use crate::cli::output::{cell, truncate};

/// The longest reason of a failure that is shown.
const REASON_CHARACTERS: usize = 300;
/// The number of keys and requests of an attempt that are named.
const MAX_NAMED: usize = 5;

/// Renders a tree.
pub(super) fn render(tree: &CauseTreeView) -> String {
    let mut writer = TreeWriter::new(tree);
    writer.write();
    writer.text
}

/// The source and the id of an event.
type Identity<'a> = (&'a str, &'a str);

struct TreeWriter<'a> {
    tree: &'a CauseTreeView,
    /// The events that are not written yet, by their cause.
    caused: HashMap<Identity<'a>, Vec<&'a TreeEventView>>,
    delayed: HashMap<&'a str, Vec<&'a DelayedEventView>>,
    text: String,
}

impl<'a> TreeWriter<'a> {
    fn new(tree: &'a CauseTreeView) -> Self {
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
        Self { tree, caused, delayed, text: String::new() }
    }

    fn write(&mut self) {
        let known: HashSet<Identity<'a>> = self.tree.events.iter().map(identity).collect();
        let roots: Vec<_> =
            self.tree.events.iter().filter(|event| cause(event).is_none_or(|cause| !known.contains(&cause))).collect();
        let indent = match &self.tree.request {
            Some(request) => {
                self.line("", &describe_request(request));
                "  "
            }
            None => "",
        };
        for root in roots {
            self.event(root, indent);
        }
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
        if tree.truncated {
            self.line("", &format!("only the first {} events are shown", tree.events.len()));
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
            self.line(&below, "no subscription takes it");
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
    }

    /// Writes a delivery with its attempts. An event that an attempt published follows that attempt.
    fn delivery(&mut self, delivery: &'a TreeDeliveryView, caused: &mut Vec<&'a TreeEventView>, indent: &str) {
        let name = if delivery.replayed {
            format!("{} (replay)", delivery.subscription)
        } else {
            delivery.subscription.clone()
        };
        let below = format!("{indent}    ");
        for attempt in &delivery.attempts {
            self.line(indent, &describe_attempt(&name, attempt));
            let (published, rest) = std::mem::take(caused).into_iter().partition::<Vec<_>, _>(|event| {
                attempt.usage.published.iter().any(|published| published.id == event.id)
            });
            *caused = rest;
            for event in published {
                self.event(event, &below);
            }
        }
        let has_success = delivery.attempts.last().is_some_and(|last| last.verdict == VerdictView::Handled);
        match &delivery.state {
            Some(DeliveryStateView::Handled) if !has_success => self.line(indent, &format!("✓ {name} (not recorded)")),
            Some(DeliveryStateView::DeadLetter) => {
                let number = delivery.dead_letter.map(|number| format!(" {number}")).unwrap_or_default();
                self.line(indent, &format!("✗ {name}: dead letter{number}"));
            }
            _ => {}
        }
        for reason in &delivery.waits_for {
            let until = reason.until.as_ref().filter(|until| !reason.detail.contains(until.as_str()));
            let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
            self.line(indent, &format!("… {name}: {}{until}", reason.detail));
        }
        let is_silent = delivery.attempts.is_empty() && delivery.waits_for.is_empty();
        let is_over = matches!(delivery.state, None | Some(DeliveryStateView::Handled | DeliveryStateView::DeadLetter));
        if is_silent && !is_over {
            self.line(indent, &format!("… {name}: it is about to run"));
        }
    }

    fn delayed_event(&mut self, event: &DelayedEventView, indent: &str) {
        self.line(indent, &format!("{} {} enters the log at {}", event.event_type, event.id, event.due));
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
    format!("{mark} {name} attempt {number}{} at {}{failure}{next}", describe_usage(&attempt.usage), attempt.at)
}

fn failure(cause: Option<&str>, reason: Option<&str>) -> String {
    let Some(cause) = cause else { return String::new() };
    format!(": {cause}: {}", truncate(reason.unwrap_or_default(), REASON_CHARACTERS))
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
mod tests {
    use super::*;
    use crate::api::{GapView, PublishedView, WaitReasonView};

    fn event(id: &str, causation: Option<&str>, deliveries: Vec<TreeDeliveryView>) -> TreeEventView {
        TreeEventView {
            position: Some(1),
            stored_at: "2030-01-01T00:00:00.000Z".to_owned(),
            id: id.to_owned(),
            source: "/s".to_owned(),
            event_type: format!("t.{id}"),
            causation: causation.map(str::to_owned),
            causation_source: causation.map(|_| "/s".to_owned()),
            deliveries,
            ..TreeEventView::default()
        }
    }

    fn attempt(number: u32, verdict: VerdictView, published: &[&str]) -> RecordedAttemptView {
        let is_failure = verdict != VerdictView::Handled;
        let published = published.iter().map(|id| PublishedView { id: (*id).to_owned(), ..PublishedView::default() });
        RecordedAttemptView {
            at: "T".to_owned(),
            attempt: number,
            verdict,
            retry_at: (verdict == VerdictView::Retried).then(|| "U".to_owned()),
            cause: is_failure.then(|| "exception".to_owned()),
            reason: is_failure.then(|| "no server\nat x".to_owned()),
            usage: InvocationUsageView {
                took_us: 1_500,
                published: published.collect(),
                ..InvocationUsageView::default()
            },
            ..RecordedAttemptView::default()
        }
    }

    fn delivery(state: &str, attempts: Vec<RecordedAttemptView>, waits_for: &[&str]) -> TreeDeliveryView {
        let reason = |detail: &&str| WaitReasonView { detail: (*detail).to_owned(), ..WaitReasonView::default() };
        TreeDeliveryView {
            subscription: "p/s".to_owned(),
            state: Some(state.to_owned().into()),
            waits_for: waits_for.iter().map(reason).collect(),
            attempts,
            ..TreeDeliveryView::default()
        }
    }

    #[test]
    fn a_tree_shows_what_each_attempt_led_to_and_what_waits() {
        let tree = CauseTreeView {
            events: vec![
                event(
                    "a",
                    None,
                    vec![delivery(
                        "handled",
                        vec![attempt(1, VerdictView::Retried, &[]), attempt(2, VerdictView::Handled, &["b"])],
                        &[],
                    )],
                ),
                event("b", Some("a"), vec![delivery("ready", vec![], &["the subscription is paused"])]),
                event("c", Some("a"), vec![delivery("handled", vec![], &[])]),
            ],
            delayed: vec![DelayedEventView {
                due: "D".to_owned(),
                id: "d".to_owned(),
                event_type: "t.d".to_owned(),
                causation: Some("b".to_owned()),
                ..DelayedEventView::default()
            }],
            gaps: vec![GapView {
                lost: Some(3),
                from: "F".to_owned(),
                until: "G".to_owned(),
                reason: "full".to_owned(),
            }],
            ..CauseTreeView::default()
        };
        let at = "2030-01-01T00:00:00.000Z";
        let expected = format!(
            "t.a a from /s at {at}
  ✗ p/s attempt 1 in 1.5 ms at T: exception: no server; next at U
  ✓ p/s attempt 2 in 1.5 ms at T
      t.b b from /s at {at}
        … p/s: the subscription is paused
        t.d d enters the log at D
  t.c c from /s at {at}
    ✓ p/s (not recorded)
the ledger lost 3 records from F to G: full
"
        );
        assert_eq!(render(&tree), expected);
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_shown() {
        let tree = CauseTreeView { events: vec![event("a\u{1b}[2J\n", None, vec![])], ..CauseTreeView::default() };
        assert_eq!(render(&tree).lines().count(), 2);
        assert!(!render(&tree).contains('\u{1b}'));
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        let shown = [0, 999, 1_000, 999_949, 61_000_000].map(format_micros);
        assert_eq!(shown, ["0 µs", "999 µs", "1.0 ms", "999.9 ms", "61.0 s"]);
    }
}
