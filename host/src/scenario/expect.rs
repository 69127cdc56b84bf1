//! Runs the scenarios of a file and compares their results with the expectations.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::matching::mismatches;
use super::runner::{self, Inputs};
use super::spec::{Expectations, Preconditions, ScenarioFile, ScenarioSpec, Step};
use super::{AttemptSummary, ScenarioError, StepResult};
use crate::plugin::Sidecar;

/// The plugin that a scenario tests.
#[derive(Clone, Debug)]
pub struct PluginUnderTest<'a> {
    /// Its component.
    pub wasm: &'a Path,
    /// Its sidecar. Parts that a scenario sets take precedence.
    pub sidecar: Sidecar,
}

/// The result of one scenario.
#[derive(Clone, Debug)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// The time that it took.
    pub took: Duration,
    /// The expectations that were not met, or why the scenario could not run.
    pub failures: Vec<String>,
}

impl ScenarioReport {
    /// Whether all expectations were met.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs a scenario of a file in a folder, and compares its result with the expectations.
#[must_use]
pub fn check(spec: &ScenarioSpec, subject: &PluginUnderTest<'_>, folder: &Path) -> ScenarioReport {
    let started = Instant::now();
    let failures = find_failures(spec, subject, folder).unwrap_or_else(|error| vec![error.to_string()]);
    ScenarioReport { name: spec.name.clone(), took: started.elapsed(), failures }
}

impl ScenarioFile {
    /// The scenarios with a name that contains a text.
    pub fn scenarios_matching<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a ScenarioSpec> {
        self.scenarios.iter().filter(move |scenario| scenario.name.contains(text))
    }
}

fn find_failures(
    spec: &ScenarioSpec,
    subject: &PluginUnderTest<'_>,
    folder: &Path,
) -> Result<Vec<String>, ScenarioError> {
    let parse = |(index, step): (usize, &super::spec::StepSpec)| {
        let number = index + 1;
        step.parse(number, folder).map_err(|error| ScenarioError::Malformed(format!("step {number}: {error}")))
    };
    let steps: Vec<Step> = spec.steps.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let given = Preconditions { sidecar: spec.given.sidecar.clone().over(&subject.sidecar), ..spec.given.clone() };
    let result = runner::run_steps(&Inputs { wasm: subject.wasm, others: &[], given: &given }, &steps)?;
    let mut all = Vec::new();
    for (index, (step, actual)) in spec.steps.iter().zip(&result.steps).enumerate() {
        let location = format!("step {} ({})", index + 1, step.title());
        all.extend(compare(step.then(), actual).into_iter().map(|failure| format!("{location}: {failure}")));
    }
    all.extend(compare(&spec.then, &result.all).into_iter().map(|failure| format!("at the end: {failure}")));
    Ok(all)
}

fn compare(then: &Expectations, actual: &StepResult) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(expected) = &then.outcome {
        found.extend(compare_outcome(expected, actual.attempts.last()));
    }
    let attempts = || actual.attempts.iter().map(|attempt| serde_json::to_value(attempt).unwrap_or_default()).collect();
    found.extend(compare_list("attempts", then.attempts.as_deref(), attempts));
    found.extend(compare_list("published", then.published.as_deref(), || actual.published.clone()));
    found.extend(compare_list("scheduled", then.scheduled.as_deref(), || actual.scheduled.clone()));
    found.extend(compare_list("dead_letters", then.dead_letters.as_deref(), || actual.dead_letters.clone()));
    found.extend(compare_list("subscriptions", then.subscriptions.as_deref(), || actual.subscriptions.clone()));
    found.extend(compare_list("requests", then.requests.as_deref(), || actual.requests.clone()));
    for (key, expected) in &then.state {
        match actual.state.get(key) {
            Some(value) => found.extend(mismatches(&format!("state[{key:?}]"), expected, value)),
            None => found.push(format!("state[{key:?}]: expected {expected}, but there is no such key")),
        }
    }
    for key in &then.absent {
        found.extend(actual.state.get(key).map(|value| format!("state[{key:?}]: expected none, got {value}")));
    }
    found.extend(compare_logs(&then.logs, &actual.logs));
    if let Some(expected) = &then.response {
        let actual = actual.response.clone().unwrap_or_default();
        found.extend(mismatches("response", expected, &actual));
    }
    found
}

fn compare_outcome(expected: &str, last: Option<&AttemptSummary>) -> Option<String> {
    let Some(last) = last else { return Some(format!("outcome: expected {expected}, but nothing was delivered")) };
    if last.outcome == expected || last.cause == Some(expected) {
        return None;
    }
    let why = match (last.cause, &last.reason) {
        (Some(cause), Some(reason)) => format!(" ({cause}: {reason})"),
        _ => String::new(),
    };
    Some(format!("outcome: expected {expected}, got {}{why}", last.outcome))
}

fn compare_list(name: &str, expected: Option<&[Value]>, actual: impl FnOnce() -> Vec<Value>) -> Vec<String> {
    let Some(expected) = expected else { return Vec::new() };
    let mut actual = actual();
    for (expected, actual) in expected.iter().zip(&mut actual) {
        accept_reason_excerpt(expected, actual);
    }
    mismatches(name, &expected.into(), &actual.into())
}

/// Accepts an expected reason that is a part of the actual one.
fn accept_reason_excerpt(expected: &Value, actual: &mut Value) {
    let Some(part) = expected["reason"].as_str() else { return };
    if actual["reason"].as_str().is_some_and(|reason| reason.contains(part)) {
        actual["reason"] = part.into();
    }
}

/// Each expected part must occur in a line after the line of the previous part.
fn compare_logs(expected: &[String], actual: &[String]) -> Option<String> {
    let mut rest = actual.iter();
    let missing = expected.iter().find(|part| !rest.any(|line| line.contains(part.as_str())))?;
    let all = if actual.is_empty() { "nothing".to_owned() } else { format!("{actual:?}") };
    Some(format!("logs: expected a line with {missing:?}, got {all}"))
}
