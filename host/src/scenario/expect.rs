//! Runs the scenarios of a file and compares their results with the expectations.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::matching::{mismatches, mismatches_except, mismatches_of_any};
use super::preconditions::Preconditions;
use super::runner::{self, Inputs, PluginInput, Run};
use super::sequence_numbers::Renumbering;
use super::spec::{Expectations, ScenarioFile, ScenarioSpec, Step, StepSpec};
use super::{AttemptSummary, ScenarioError, ScenarioResult, StepResult};
use crate::plugin::Sidecar;

/// A plugin that a scenario tests.
#[derive(Clone, Debug)]
pub struct PluginUnderTest<'a> {
    /// Its name in scenarios.
    pub name: &'a str,
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
    /// Whether the scenario ran to its end.
    pub completed: bool,
    /// The log lines of plugins, each as `LEVEL message`.
    pub logs: Vec<String>,
    /// The attempts that failed, each as a line with the cause and the reason.
    pub failed_attempts: Vec<String>,
    /// The number of runs with a crash.
    pub crashes: u64,
    /// The number of commits with a crash before and after them.
    pub crash_commits: u64,
    /// The number of commits of the scenario, if it was run with crashes.
    pub commits: u64,
    /// The requests of plugins that were sent again after a crash, as `METHOD URL`.
    pub repeated_requests: BTreeSet<String>,
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
pub fn check(spec: &ScenarioSpec, plugins: &[PluginUnderTest<'_>], folder: &Path) -> ScenarioReport {
    let started = Instant::now();
    let result = prepare(spec, plugins, folder)
        .and_then(|(steps, inputs)| runner::run_with_crash(&inputs, &steps, runner::NO_CRASH));
    let mut report = report_of(spec, result.as_ref());
    report.took = started.elapsed();
    report
}

/// Compares the result of a run without a crash with the expectations.
pub(super) fn report_of(spec: &ScenarioSpec, run: Result<&Run, &ScenarioError>) -> ScenarioReport {
    let (failures, completed, all) = match run {
        Ok(run) => (compare_result(spec, &run.result), true, Some(&run.result.all)),
        Err(error) => (vec![error.to_string()], false, None),
    };
    let logs = all.map(|all| all.logs.clone()).unwrap_or_default();
    let failed_attempts = all.iter().flat_map(|all| &all.attempts).filter_map(describe_failed_attempt).collect();
    let (took, crashes, crash_commits, commits, repeated_requests) = Default::default();
    let name = spec.name.clone();
    ScenarioReport {
        name,
        took,
        failures,
        completed,
        logs,
        failed_attempts,
        crashes,
        crash_commits,
        commits,
        repeated_requests,
    }
}

/// An attempt that failed, with the reason; `None` for any other.
fn describe_failed_attempt(attempt: &AttemptSummary) -> Option<String> {
    let AttemptSummary { subscription, event, attempt: number, at, cause, reason, .. } = attempt;
    let reason = reason.as_deref().unwrap_or("no reason is known");
    Some(format!("{subscription}, event {event}, attempt {number} at {at}: {}: {reason}", (*cause)?))
}

impl ScenarioFile {
    /// The scenarios with a name that contains a text.
    pub fn scenarios_matching<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a ScenarioSpec> {
        self.scenarios.iter().filter(move |scenario| scenario.name.contains(text))
    }
}

/// Parses the steps, and applies the preconditions to the plugins.
pub(super) fn prepare<'a>(
    spec: &'a ScenarioSpec,
    plugins: &'a [PluginUnderTest<'_>],
    folder: &Path,
) -> Result<(Vec<Step>, Inputs<'a>), ScenarioError> {
    check_plugin_keys(spec, plugins)?;
    let parse = |(index, step): (usize, &StepSpec)| {
        let number = index + 1;
        step.parse(number, folder).map_err(|error| ScenarioError::Malformed(format!("step {number}: {error}")))
    };
    let steps = spec.steps.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let (hosts, is_only) = (spec.given.stub_hosts()?, plugins.len() == 1);
    let input = |plugin: &'a PluginUnderTest<'_>| {
        let given = spec.given.of_plugin(plugin.name, is_only);
        let sidecar = given.effective_sidecar(&plugin.sidecar, &hosts);
        PluginInput { name: Some(plugin.name), state: given.state_bytes(), ..PluginInput::new(plugin.wasm, sidecar) }
    };
    let plugins = plugins.iter().map(input).collect();
    Ok((steps, Inputs { plugins, subject: is_only.then_some(0), given: &spec.given }))
}

/// Checks that `given.plugins` and `then.plugins` name plugins of the scenario, and that a scenario of several plugins
/// has no top-level key, such as `state`, that applies to one plugin.
fn check_plugin_keys(spec: &ScenarioSpec, plugins: &[PluginUnderTest<'_>]) -> Result<(), ScenarioError> {
    let malformed = |reason| Err(ScenarioError::Malformed(reason));
    let expectations = || spec.steps.iter().map(StepSpec::then).chain([&spec.then]);
    let given = spec.given.plugins.keys().map(|name| ("given", name));
    let then = expectations().flat_map(|then| then.plugins.keys().map(|name| ("then", name)));
    if let Some((key, name)) = given.chain(then).find(|(_, name)| plugins.iter().all(|plugin| plugin.name != **name)) {
        let names: Vec<_> = plugins.iter().map(|plugin| plugin.name).collect();
        return malformed(format!("`{key}.plugins.{name}`: the plugins of this scenario are {}", names.join(", ")));
    }
    let nested = |then: &Expectations| {
        then.plugins.values().any(|plugin| plugin.response.is_some() || !plugin.plugins.is_empty())
    };
    if expectations().any(nested) {
        return malformed("`then.plugins.NAME` cannot have `response` or `plugins`".to_owned());
    }
    let of_one = expectations().find_map(Expectations::key_of_one_plugin).or_else(|| spec.given.key_of_one_plugin());
    match of_one.filter(|_| plugins.len() > 1) {
        Some((part, key)) => malformed(format!(
            "`{part}.{key}` belongs to one plugin, and this scenario has several; write `{part}.plugins.NAME.{key}`"
        )),
        None => Ok(()),
    }
}

impl Preconditions {
    fn key_of_one_plugin(&self) -> Option<(&'static str, &'static str)> {
        let keys = [
            ("state", !self.state.is_empty()),
            ("state_text", !self.state_text.is_empty()),
            ("config", !self.config.is_empty()),
            ("sidecar", self.sidecar != Sidecar::default()),
        ];
        keys.into_iter().find_map(|(key, is_set)| is_set.then_some(("given", key)))
    }
}

impl Expectations {
    fn key_of_one_plugin(&self) -> Option<(&'static str, &'static str)> {
        let keys = [("state", !self.state.is_empty()), ("absent", !self.absent.is_empty())];
        keys.into_iter().find_map(|(key, is_set)| is_set.then_some(("then", key)))
    }
}

/// The expectations that a result does not meet.
fn compare_result(spec: &ScenarioSpec, result: &ScenarioResult) -> Vec<String> {
    let mut all = Vec::new();
    for (index, (step, actual)) in spec.steps.iter().zip(&result.steps).enumerate() {
        let location = format!("step {} ({})", index + 1, step.title());
        all.extend(compare(step.then(), actual).into_iter().map(|failure| format!("{location}: {failure}")));
    }
    all.extend(compare(&spec.then, &result.all).into_iter().map(|failure| format!("at the end: {failure}")));
    all
}

fn compare(then: &Expectations, actual: &StepResult) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(expected) = &then.outcome {
        found.extend(compare_outcome(expected, actual.attempts.last()));
    }
    let attempts = || actual.attempts.iter().map(|attempt| serde_json::to_value(attempt).unwrap_or_default()).collect();
    let numbers = Renumbering::default();
    found.extend(compare_list("attempts", then.attempts.as_deref(), &numbers, attempts));
    found.extend(compare_list("requests", then.requests.as_deref(), &numbers, || actual.requests.clone()));
    found.extend(compare_effects(then, actual, &numbers));
    found.extend(compare_logs(&then.logs, &actual.logs));
    if let Some(expected) = &then.response {
        let actual = actual.response.clone().unwrap_or_default();
        found.extend(mismatches("response", expected, &actual));
    }
    found.extend(compare_plugins(then, actual, &compare));
    found
}

/// Compares what the scenario has left in the bus. Numbers of sequences may differ.
pub(super) fn compare_effects(then: &Expectations, actual: &StepResult, numbers: &Renumbering) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(compare_list("published", then.published.as_deref(), numbers, || actual.published.clone()));
    found.extend(compare_list("scheduled", then.scheduled.as_deref(), numbers, || actual.scheduled.clone()));
    found.extend(compare_list("dead_letters", then.dead_letters.as_deref(), numbers, || actual.dead_letters.clone()));
    found
        .extend(compare_list("subscriptions", then.subscriptions.as_deref(), numbers, || actual.subscriptions.clone()));
    let keys_for = |key: &str| numbers.names_for(key, actual.state.keys());
    for (key, expected) in &then.state {
        let values = keys_for(key).into_iter().filter_map(|key| actual.state.get(key));
        match mismatches_of_any(&format!("state[{key:?}]"), expected, values, numbers) {
            Some(mismatches) => found.extend(mismatches),
            None => found.push(format!("state[{key:?}]: expected {expected}, but there is no such key")),
        }
    }
    for key in &then.absent {
        let present = keys_for(key).into_iter().find(|present| numbers.stands_only_for(key, present));
        let value = present.and_then(|key| actual.state.get(key));
        found.extend(value.map(|value| format!("state[{key:?}]: expected none, got {value}")));
    }
    found
}

/// Compares the parts of the plugins.
pub(super) fn compare_plugins(
    then: &Expectations,
    actual: &StepResult,
    compare: &dyn Fn(&Expectations, &StepResult) -> Vec<String>,
) -> Vec<String> {
    let nothing = StepResult::default();
    let of_plugin = |(name, then): (&String, &Expectations)| {
        let found = compare(then, actual.plugins.get(name).unwrap_or(&nothing));
        found.into_iter().map(|failure| format!("{name}: {failure}")).collect::<Vec<_>>()
    };
    then.plugins.iter().flat_map(of_plugin).collect()
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

fn compare_list(
    name: &str,
    expected: Option<&[Value]>,
    numbers: &Renumbering,
    actual: impl FnOnce() -> Vec<Value>,
) -> Vec<String> {
    let Some(expected) = expected else { return Vec::new() };
    let mut actual = actual();
    for (expected, actual) in expected.iter().zip(&mut actual) {
        accept_reason_excerpt(expected, actual);
    }
    mismatches_except(name, &expected.into(), &actual.into(), numbers)
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
