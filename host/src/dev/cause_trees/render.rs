//! Renders the new parts of a cause tree.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, CauseTree, TreeEvent};
use crate::bus::{FeedId, SettledStatus};
use crate::event::reserved::plugin_source;
use crate::event::{CAUSATION_ID, CAUSATION_SOURCE, Event};
use crate::outcome::Failure;
use crate::printable;
use crate::retry::{HELD_DELAY, Verdict};

/// The number of characters of an event's data in a tree.
const DATA_CHARACTERS: usize = 100;

impl CauseTree {
    /// Renders what was not printed yet, which counts as printed from now on. Attempts at an event that was printed
    /// earlier become lines of their own.
    pub(super) fn render_new(&mut self) -> String {
        let request = self.request.take();
        let (mut events, mut attempts) = (std::mem::take(&mut self.events), std::mem::take(&mut self.attempts));
        let mut writer = TreeWriter::new(&events, &attempts);
        writer.write(request.as_deref());
        let lines = writer.lines;
        events.iter_mut().for_each(|event| event.is_printed = true);
        attempts.iter_mut().for_each(|attempt| attempt.is_printed = true);
        (self.events, self.attempts) = (events, attempts);
        lines
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

/// Renders new events and attempts.
struct TreeWriter<'a> {
    /// The new events without a cause that is rendered.
    roots: Vec<&'a TreeEvent>,
    /// The other new events that are not written yet, by their cause.
    branches: HashMap<Identity<'a>, Vec<&'a TreeEvent>>,
    /// The new attempts at each delivery, by event.
    attempts: HashMap<Identity<'a>, Vec<NewAttempts<'a>>>,
    /// The events of new attempts that were printed earlier, or are not known.
    continued: Vec<&'a Arc<Event>>,
    lines: String,
}

/// The attempts at one delivery that are printed in one line.
#[derive(Clone, Copy)]
struct NewAttempts<'a> {
    last: &'a Attempt,
    /// The one before, if it was not printed either.
    before: Option<&'a Attempt>,
}

impl<'a> TreeWriter<'a> {
    fn new(events: &'a [TreeEvent], attempts: &'a [Attempt]) -> Self {
        let mut last: HashMap<_, (usize, Option<usize>)> = HashMap::new();
        for (index, attempt) in attempts.iter().enumerate().filter(|(_, attempt)| !attempt.is_printed) {
            let delivery = &attempt.record.delivery;
            let replay = delivery.kind.replay().map(FeedId::number);
            let key = (identity(delivery.event()), &delivery.subscription, replay);
            let before = last.get(&key).map(|(before, _)| *before);
            last.insert(key, (index, before));
        }
        let new = events.iter().filter(|event| !event.is_printed).map(|event| identity(&event.event));
        let new: HashSet<_> = new.collect();
        let mut by_event: HashMap<_, Vec<_>> = HashMap::new();
        let mut continued: Vec<&Arc<Event>> = Vec::new();
        // In the order in which they ended.
        for (index, before) in last.into_values().collect::<BTreeSet<_>>() {
            let event = &attempts[index].record.delivery.logged.event;
            let of_event = by_event.entry(identity(event)).or_default();
            if of_event.is_empty() && !new.contains(&identity(event)) {
                continued.push(event);
            }
            of_event.push(NewAttempts { last: &attempts[index], before: before.map(|before| &attempts[before]) });
        }
        let (mut roots, mut branches): (Vec<_>, HashMap<_, Vec<_>>) = Default::default();
        for event in events.iter().filter(|event| !event.is_printed) {
            let is_rendered = |cause: &Identity<'_>| new.contains(cause) || by_event.contains_key(cause);
            match cause(&event.event).filter(is_rendered) {
                Some(cause) => branches.entry(cause).or_default().push(event),
                None => roots.push(event),
            }
        }
        Self { roots, branches, attempts: by_event, continued, lines: String::new() }
    }

    fn write(&mut self, request: Option<&str>) {
        for event in std::mem::take(&mut self.continued) {
            self.write_consequences(event, "", Some(event));
        }
        let roots = std::mem::take(&mut self.roots);
        let last = roots.len().saturating_sub(1);
        if let Some(request) = request {
            self.write_line("", request);
        }
        for (index, root) in roots.into_iter().enumerate() {
            if request.is_some() {
                self.write_event(root, "", index == last);
            } else {
                self.write_line("", &format_event(&root.event));
                self.write_below(root, "");
            }
        }
    }

    fn write_line(&mut self, indent: &str, text: &str) {
        self.lines.push_str(indent);
        // Types, ids, data and reasons are untrusted.
        self.lines.push_str(&printable::line(text));
        self.lines.push('\n');
    }

    fn write_event(&mut self, event: &'a TreeEvent, indent: &str, is_last: bool) {
        let (branch, under) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        self.write_line(&format!("{indent}{branch}"), &format_event(&event.event));
        self.write_below(event, &format!("{indent}{under}"));
    }

    fn write_below(&mut self, event: &'a TreeEvent, indent: &str) {
        self.write_consequences(&event.event, indent, None);
        if let Some(hint) = &event.hint {
            self.write_line(&format!("{indent}└─ "), hint);
        }
    }

    /// Writes the attempts at an event with the events that each published, then other events that it caused. Attempts
    /// name the event if it is not above them.
    fn write_consequences(&mut self, event: &'a Arc<Event>, indent: &str, named: Option<&Event>) {
        let mut caused = self.branches.remove(&identity(event)).unwrap_or_default();
        let mut taken = Vec::new();
        for attempt in self.attempts.remove(&identity(event)).unwrap_or_default() {
            let record = &attempt.last.record;
            let source = plugin_source(&record.delivery.subscription.owner);
            let is_own = |event: &&TreeEvent| record.verdict == Verdict::Ack && event.event.source == source;
            let (published, rest) = caused.into_iter().partition::<Vec<_>, _>(is_own);
            caused = rest;
            taken.push((attempt, published));
        }
        let count = taken.len() + caused.len();
        for (index, (attempt, published)) in taken.into_iter().enumerate() {
            let (branch, under) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.write_line(&format!("{indent}{branch}"), &format_attempt(attempt, named));
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

/// Formats the last of a delivery's attempts in a line. If it succeeded, the line also has the failure before it.
fn format_attempt(attempts: NewAttempts<'_>, event: Option<&Event>) -> String {
    let Attempt { record, status, failure, max_attempts, .. } = attempts.last;
    let (subscription, number) = (&record.delivery.subscription, record.delivery.attempt);
    let is_held = matches!(record.verdict, Verdict::RetryAfter { delay, .. } if delay == HELD_DELAY);
    let is_rejected = matches!(record.verdict, Verdict::DeadLetter { exhausted: false, .. });
    let is_only = number == 1 && (record.verdict == Verdict::Ack || is_held || is_rejected);
    // A held delivery has as many attempts as it needs.
    let of =
        max_attempts.filter(|max| !is_held && number <= max.get()).map(|max| format!(" of {max}")).unwrap_or_default();
    let which = if is_only { String::new() } else { format!(" attempt {number}{of}") };
    let at = event.map(|event| format!(" at {} {}", event.event_type, event.id)).unwrap_or_default();
    let Some(failure) = failure else {
        let former =
            attempts.before.and_then(|before| Some((before.record.delivery.attempt, before.failure.as_ref()?)));
        let former = former.map(|(number, failure)| format!("; attempt {number} failed: {failure}"));
        return format!(
            "✓ {subscription}{which}{at} in {}{}",
            format_duration(record.took),
            former.unwrap_or_default()
        );
    };
    let next = match (&record.verdict, status) {
        _ if is_held => format!("held until the next version of {}", subscription.owner),
        (Verdict::RetryAfter { delay, .. }, SettledStatus::Waiting(_)) => format!("next in {}", format_delay(*delay)),
        _ => "dead letter".to_owned(),
    };
    format!("✗ {subscription}{which}{at}: {failure}; {next}")
}

pub(super) fn format_failure(failure: &Failure) -> String {
    let reason: Vec<_> = failure.reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("{}: {}", failure.cause.as_str(), reason.join(" "))
}

/// Formats an event in a line.
fn format_event(event: &Event) -> String {
    let data = event.data.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let data = data.replace('\n', " ");
    let excerpt: String = data.chars().take(DATA_CHARACTERS).collect();
    let more = if data.chars().count() > DATA_CHARACTERS { "…" } else { "" };
    format!("{} {} {excerpt}{more}", event.event_type, event.id).trim_end().to_owned()
}

pub(super) fn format_duration(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}

/// Formats the delay before a retry.
fn format_delay(delay: Duration) -> String {
    if delay < Duration::from_secs(10) {
        format!("{:.1} s", delay.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(delay.as_secs())).to_string()
    }
}

#[cfg(test)]
mod tests;
