//! Runs a scenario again and again, each time with a crash of the host before or after another commit.
//!
//! The effects of handlers are one transaction with the ack, so a scenario must have the same result with and without a
//! crash. Results that are not part of a transaction are not compared: attempts, log lines, and the response to a
//! request whose client was disconnected. A plugin may repeat a request to a service. The repetition must be identical,
//! so that the service can recognise it. Sequences skip numbers after a crash, so the numbers that a handler drew may
//! differ in its effects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::expect::{compare_effects, compare_plugins, prepare, report_of};
use super::matching::mismatches;
use super::runner::{self, Inputs, NO_CRASH, Run};
use super::sequence_numbers::Renumbering;
use super::spec::{Expectations, ScenarioSpec, Step};
use super::{PluginUnderTest, ScenarioReport, ScenarioResult, StepResult};
use crate::bus::CommitMoment;

/// Headers that differ between attempts.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The largest number of commits with crashes. A scenario with more of them has crashes at commits that are evenly
/// spread.
const MAX_COMMITS: u64 = 50;

/// Runs a scenario like [`check`](super::check), and then with a crash before and after each of its commits, or of 50
/// of them.
#[must_use]
pub fn check_with_crashes(spec: &ScenarioSpec, plugins: &[PluginUnderTest<'_>], folder: &Path) -> ScenarioReport {
    let started = Instant::now();
    let prepared = prepare(spec, plugins, folder);
    let without =
        prepared.and_then(|(steps, inputs)| Ok((runner::run_with_crash(&inputs, &steps, NO_CRASH)?, steps, inputs)));
    let mut report = report_of(spec, without.as_ref().map(|(run, ..)| run));
    if let (true, Ok((without, steps, inputs))) = (report.is_ok(), &without) {
        crash_at_commits(spec, without, inputs, steps, &mut report);
    }
    report.took = started.elapsed();
    report
}

fn crash_at_commits(
    spec: &ScenarioSpec,
    without: &Run,
    inputs: &Inputs<'_>,
    steps: &[Step],
    report: &mut ScenarioReport,
) {
    // Several crashes often have the same failure.
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    report.commits = without.commits;
    let commits = spread(without.commits, MAX_COMMITS);
    let moments = commits.into_iter().flat_map(|commit| [false, true].map(|after| CommitMoment { commit, after }));
    for moment in moments {
        let found = match runner::run_with_crash(inputs, steps, moment) {
            // The number of internal commits may vary by run, so this commit may not take place.
            Ok(Run { crashed_in: None, .. }) => break,
            Ok(Run { result, crashed_in: Some(step), drawn, .. }) => {
                report.crashes += 1;
                report.crash_commits += u64::from(!moment.after);
                let numbers = Renumbering::between(&without.drawn, &drawn);
                let (repeated, differing) = compare_requests(&without.result.all.requests, &result.all.requests);
                report.repeated_requests.extend(repeated);
                let found = compare_final_effects(spec, &result, &numbers).into_iter().chain(differing);
                let note = numbers.describe().map(|note| format!(" ({note})")).unwrap_or_default();
                found.map(|failure| format!("in step {step}: {failure}{note}")).collect()
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
}

/// Numbers from 1 to `count`, but at most `most` of them, from the first to the last.
fn spread(count: u64, most: u64) -> Vec<u64> {
    if count <= most {
        return (1..=count).collect();
    }
    (0..most).map(|index| 1 + index * (count - 1) / (most - 1)).collect()
}

fn compare_final_effects(spec: &ScenarioSpec, result: &ScenarioResult, numbers: &Renumbering) -> Vec<String> {
    let mut all = Vec::new();
    for (index, (step, actual)) in spec.steps.iter().zip(&result.steps).enumerate() {
        let found = compare_effects_of_all(step.then(), actual, numbers);
        all.extend(found.into_iter().map(|failure| format!("step {} ({}): {failure}", index + 1, step.title())));
    }
    let found = compare_effects_of_all(&spec.then, &result.all, numbers);
    all.extend(found.into_iter().map(|failure| format!("at the end: {failure}")));
    all
}

fn compare_effects_of_all(then: &Expectations, actual: &StepResult, numbers: &Renumbering) -> Vec<String> {
    let mut found = compare_effects(then, actual, numbers);
    found.extend(compare_plugins(then, actual, &|then, actual| compare_effects(then, actual, numbers)));
    found
}

/// Compares the requests of a run with those of the run without a crash. Returns the requests that were repeated, and
/// the differences. Ids are not the same in two runs, so only the numbers of different requests are compared.
fn compare_requests(without: &[Value], with: &[Value]) -> (BTreeSet<String>, Vec<String>) {
    let (without, with) = (by_title(without), by_title(with));
    let (mut repeated, mut found) = (BTreeSet::new(), Vec::new());
    for (title, before) in &without {
        let sent = with.get(title).map_or(0, |requests| requests.count);
        if sent < before.count {
            found
                .push(format!("requests: {title} was sent {sent} times, and {} times without the crash", before.count));
        }
    }
    for (title, sent) in &with {
        let Some(before) = without.get(title) else {
            found.push(format!("requests: {title} was sent, but is not sent without the crash"));
            continue;
        };
        if sent.count > before.count {
            repeated.insert(title.clone());
        }
        if sent.different.len() > before.different.len()
            && let [.., first, again] = sent.different.as_slice()
        {
            let differences = mismatches("request", first, again).join("; ");
            found.push(format!("requests: {title} was sent again, but differs: {differences}"));
        }
    }
    (repeated, found)
}

/// The requests with one method and URL.
#[derive(Default)]
struct SentRequests {
    count: usize,
    /// These requests without repetitions.
    different: Vec<Value>,
}

fn by_title(sent: &[Value]) -> BTreeMap<String, SentRequests> {
    let mut all: BTreeMap<String, SentRequests> = BTreeMap::new();
    for sent in sent.iter().map(untraced) {
        let requests = all.entry(sent["request"].as_str().unwrap_or_default().to_owned()).or_default();
        requests.count += 1;
        if !requests.different.contains(&sent) {
            requests.different.push(sent);
        }
    }
    all
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
    fn a_long_scenario_has_crashes_at_commits_that_are_spread() {
        assert_eq!(spread(0, 4), [0; 0]);
        assert_eq!(spread(4, 4), [1, 2, 3, 4]);
        assert_eq!(spread(10, 4), [1, 4, 7, 10]);
        let many = spread(1_000, MAX_COMMITS);
        assert_eq!((many.len(), many[0], many.last()), (50, 1, Some(&1_000)));
    }

    #[test]
    fn a_repeated_request_must_be_the_same() {
        let sent = |key: &str, trace: &str| json!({ "request": "POST https://a/", "headers": { "key": key, "traceparent": trace } });
        let (repeated, found) = compare_requests(&[sent("1", "a")], &[sent("2", "b"), sent("2", "c")]);
        assert_eq!((repeated, found), (["POST https://a/".to_owned()].into(), vec![]));
        let two = [sent("1", "a"), sent("2", "a")];
        assert_eq!(compare_requests(&two, &two), (BTreeSet::new(), vec![]));
        let (_, found) = compare_requests(&two[..1], &two);
        let expected = r#"POST https://a/ was sent again, but differs: request.headers.key: expected "1", got "2""#;
        assert_eq!(found, [format!("requests: {expected}")]);
        let (_, found) = compare_requests(&two, &two[..1]);
        assert_eq!(found, ["requests: POST https://a/ was sent 1 times, and 2 times without the crash"]);
        let (_, found) = compare_requests(&[], &two[..1]);
        assert_eq!(found, ["requests: POST https://a/ was sent, but is not sent without the crash"]);
    }
}
