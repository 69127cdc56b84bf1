//! Plays a file's scenarios, and says where they come out otherwise than expected.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::matching::mismatches;
use super::script::{Given, Script, Step, Then, Written};
use super::stage::{self, Cast};
use super::{Attempted, Error, Seen};
use crate::plugin::Sidecar;

/// The plugin that a scenario is played with.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Its component.
    pub wasm: &'a Path,
    /// Its sidecar. A scenario that says something else of a part of it wins.
    pub sidecar: Sidecar,
}

/// What came of one scenario.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Where it came out otherwise than expected, or why it could not be played.
    pub failures: Vec<String>,
}

impl Report {
    /// Whether everything was as expected.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Plays a scenario that was read from a file in a folder, and compares.
#[must_use]
pub fn check(written: &Written, subject: &Subject<'_>, folder: &Path) -> Report {
    let started = Instant::now();
    let failures = failures(written, subject, folder).unwrap_or_else(|error| vec![error.to_string()]);
    Report { name: written.name.clone(), took: started.elapsed(), failures }
}

impl Script {
    /// The scenarios whose names contain a text.
    pub fn named<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a Written> {
        self.scenarios.iter().filter(move |scenario| scenario.name.contains(text))
    }
}

fn failures(written: &Written, subject: &Subject<'_>, folder: &Path) -> Result<Vec<String>, Error> {
    let parse = |(index, step): (usize, &super::script::WrittenStep)| {
        let number = index + 1;
        step.parse(number, folder).map_err(|error| Error::Malformed(format!("step {number}: {error}")))
    };
    let steps: Vec<Step> = written.steps.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let given = Given { sidecar: written.given.sidecar.clone().over(&subject.sidecar), ..written.given.clone() };
    let played = stage::play(&Cast { wasm: subject.wasm, others: &[], given: &given }, &steps)?;
    let mut all = Vec::new();
    for (index, (step, seen)) in written.steps.iter().zip(&played.steps).enumerate() {
        let place = format!("step {} ({})", index + 1, step.title());
        all.extend(compare(step.then(), seen).into_iter().map(|failure| format!("{place}: {failure}")));
    }
    all.extend(compare(&written.then, &played.all).into_iter().map(|failure| format!("at the end: {failure}")));
    Ok(all)
}

fn compare(then: &Then, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(expected) = &then.outcome {
        found.extend(outcome(expected, seen.attempts.last()));
    }
    let attempts = || seen.attempts.iter().map(|attempt| serde_json::to_value(attempt).unwrap_or_default()).collect();
    found.extend(list("attempts", then.attempts.as_deref(), attempts));
    found.extend(list("published", then.published.as_deref(), || seen.published.clone()));
    found.extend(list("scheduled", then.scheduled.as_deref(), || seen.scheduled.clone()));
    found.extend(list("dead_letters", then.dead_letters.as_deref(), || seen.dead_letters.clone()));
    found.extend(list("subscriptions", then.subscriptions.as_deref(), || seen.subscriptions.clone()));
    found.extend(list("requests", then.requests.as_deref(), || seen.requests.clone()));
    for (key, expected) in &then.state {
        match seen.state.get(key) {
            Some(value) => found.extend(mismatches(&format!("state[{key:?}]"), expected, value)),
            None => found.push(format!("state[{key:?}]: expected {expected}, and there is no such key")),
        }
    }
    for key in &then.absent {
        found.extend(seen.state.get(key).map(|value| format!("state[{key:?}]: expected none, got {value}")));
    }
    found.extend(lines(&then.logs, &seen.logs));
    if let Some(expected) = &then.response {
        let actual = seen.response.clone().unwrap_or_default();
        found.extend(mismatches("response", expected, &actual));
    }
    found
}

fn outcome(expected: &str, last: Option<&Attempted>) -> Option<String> {
    let Some(last) = last else { return Some(format!("outcome: expected {expected}, and nothing was delivered")) };
    if last.outcome == expected || last.cause == Some(expected) {
        return None;
    }
    let why = match (last.cause, &last.reason) {
        (Some(cause), Some(reason)) => format!(" ({cause}: {reason})"),
        _ => String::new(),
    };
    Some(format!("outcome: expected {expected}, got {}{why}", last.outcome))
}

fn list(name: &str, expected: Option<&[Value]>, actual: impl FnOnce() -> Vec<Value>) -> Vec<String> {
    let Some(expected) = expected else { return Vec::new() };
    let mut actual = actual();
    for (expected, actual) in expected.iter().zip(&mut actual) {
        excerpt(expected, actual);
    }
    mismatches(name, &expected.into(), &actual.into())
}

/// A reason is a sentence for a person: a part of it is enough.
fn excerpt(expected: &Value, actual: &mut Value) {
    let Some(part) = expected["reason"].as_str() else { return };
    if actual["reason"].as_str().is_some_and(|reason| reason.contains(part)) {
        actual["reason"] = part.into();
    }
}

/// The parts stand in lines one after the other; other lines may lie between.
fn lines(expected: &[String], actual: &[String]) -> Option<String> {
    let mut rest = actual.iter();
    let missing = expected.iter().find(|part| !rest.any(|line| line.contains(part.as_str())))?;
    let all = if actual.is_empty() { "nothing".to_owned() } else { format!("{actual:?}") };
    Some(format!("logs: expected a line with {missing:?}, got {all}"))
}
