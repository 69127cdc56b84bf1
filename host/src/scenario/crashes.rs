//! Runs a scenario again and again, each time with a crash of the host before or after another commit.
//!
//! The effects of handlers are one transaction with the ack, so after a crash the scenario must end as without one.
//! What has no place in a transaction is not compared: attempts, log lines, and the response to a request whose client
//! was disconnected. A request of a plugin may be sent again, but must be the same, so that the service can recognise
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::expect::{compare_effects, compare_plugins, prepare};
use super::matching::mismatches;
use super::runner::{self, NO_CRASH, Run};
use super::spec::{Expectations, ScenarioSpec};
use super::{PluginUnderTest, ScenarioError, ScenarioReport, ScenarioResult, StepResult};
use crate::bus::CommitMoment;

/// Headers that differ between attempts.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// Runs a scenario like [`check`](super::check), and then with a crash before and after each of its commits.
#[must_use]
pub fn check_with_crashes(spec: &ScenarioSpec, plugins: &[PluginUnderTest<'_>], folder: &Path) -> ScenarioReport {
    let started = Instant::now();
    let mut report = super::check(spec, plugins, folder);
    if report.is_ok()
        && let Err(error) = crash_at_each_commit(spec, plugins, folder, &mut report)
    {
        (report.completed, report.failures) = (false, vec![error.to_string()]);
    }
    report.took = started.elapsed();
    report
}

fn crash_at_each_commit(
    spec: &ScenarioSpec,
    plugins: &[PluginUnderTest<'_>],
    folder: &Path,
    report: &mut ScenarioReport,
) -> Result<(), ScenarioError> {
    let (steps, inputs) = prepare(spec, plugins, folder)?;
    let without = runner::run_with_crash(&inputs, &steps, NO_CRASH)?;
    // Several crashes often have the same failure.
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let moments = (1..=without.commits).flat_map(|commit| [false, true].map(|after| CommitMoment { commit, after }));
    for moment in moments {
        let found = match runner::run_with_crash(&inputs, &steps, moment) {
            // A commit of the store's own may be missing.
            Ok(Run { crashed_in: None, .. }) => break,
            Ok(Run { result, crashed_in: Some(step), .. }) => {
                report.crashes += 1;
                let (repeated, differing) = compare_requests(&without.result.all.requests, &result.all.requests);
                report.repeated_requests.extend(repeated);
                let found = compare_final_effects(spec, &result).into_iter().chain(differing);
                found.map(|failure| format!("in step {step}: {failure}")).collect()
            }
            Err(error) => vec![error.to_string()],
        };
        for failure in found {
            let side = if moment.after { "after" } else { "before" };
            failures.entry(failure).or_default().push(format!("{side} commit {}", moment.commit));
        }
    }
    let describe = |(failure, moments): (String, Vec<String>)| {
        format!("with a crash {} (of {}), {failure}", moments.join(", "), without.commits)
    };
    report.failures = failures.into_iter().map(describe).collect();
    Ok(())
}

fn compare_final_effects(spec: &ScenarioSpec, result: &ScenarioResult) -> Vec<String> {
    let mut all = Vec::new();
    for (index, (step, actual)) in spec.steps.iter().zip(&result.steps).enumerate() {
        let found = compare_effects_of_all(step.then(), actual);
        all.extend(found.into_iter().map(|failure| format!("step {} ({}): {failure}", index + 1, step.title())));
    }
    let found = compare_effects_of_all(&spec.then, &result.all);
    all.extend(found.into_iter().map(|failure| format!("at the end: {failure}")));
    all
}

fn compare_effects_of_all(then: &Expectations, actual: &StepResult) -> Vec<String> {
    let mut found = compare_effects(then, actual);
    found.extend(compare_plugins(then, actual, compare_effects));
    found
}

/// Compares the requests of a run with those of the run without a crash. Returns the requests that were repeated, and
/// the differences.
fn compare_requests(without: &[Value], with: &[Value]) -> (BTreeSet<String>, Vec<String>) {
    let without: Vec<_> = without.iter().map(untraced).collect();
    let (mut missing, mut repeated, mut found) = (without.clone(), BTreeSet::new(), Vec::new());
    for sent in with.iter().map(untraced) {
        let title = sent["request"].as_str().unwrap_or_default().to_owned();
        if let Some(index) = missing.iter().position(|one| *one == sent) {
            missing.remove(index);
        } else if without.contains(&sent) {
            repeated.insert(title);
        } else if let Some(first) = without.iter().find(|one| one["request"] == sent["request"]) {
            let differences = mismatches("request", first, &sent).join("; ");
            found.push(format!("requests: {title} was sent again, but differs: {differences}"));
        } else {
            found.push(format!("requests: {title} was sent, which is not sent without the crash"));
        }
    }
    found.extend(missing.iter().map(|one| format!("requests: {} was not sent", one["request"])));
    (repeated, found)
}

fn untraced(sent: &Value) -> Value {
    let mut sent = sent.clone();
    if let Some(headers) = sent["headers"].as_object_mut() {
        TRACE_HEADERS.iter().for_each(|name| drop(headers.remove(*name)));
    }
    sent
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_repeated_request_must_be_the_same() {
        let sent = |key: &str, trace: &str| json!({ "request": "POST https://a/", "headers": { "key": key, "traceparent": trace } });
        let (repeated, found) = compare_requests(&[sent("1", "a")], &[sent("1", "b"), sent("1", "c")]);
        assert_eq!((repeated, found), (["POST https://a/".to_owned()].into(), vec![]));
        let (_, found) = compare_requests(&[sent("1", "a")], &[sent("1", "a"), sent("2", "a")]);
        let expected = r#"POST https://a/ was sent again, but differs: request.headers.key: expected "1", got "2""#;
        assert_eq!(found, [format!("requests: {expected}")]);
        let (_, found) = compare_requests(&[sent("1", "a"), sent("1", "a")], &[sent("1", "a")]);
        assert_eq!(found, [r#"requests: "POST https://a/" was not sent"#]);
        let (_, found) = compare_requests(&[], &[sent("1", "a")]);
        assert_eq!(found, ["requests: POST https://a/ was sent, which is not sent without the crash"]);
    }
}
