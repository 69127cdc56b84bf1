//! Audits a host: every acknowledged event is in its log as it was sent, and every event in the log was handled once
//! and in order.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;

use crate::client_record::{ClientRecord, RecordedTraffic};
use crate::host::{Client, PATIENCE};
use crate::report::Counts;

/// The findings of an audit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) counts: Counts,
    pub(crate) problems: Vec<String>,
}

impl Findings {
    fn lose(&mut self, count: u64, problem: impl FnOnce() -> String) {
        if count > 0 {
            self.counts.lost += count;
            self.problems.push(problem());
        }
    }

    fn repeat(&mut self, count: u64, problem: impl FnOnce() -> String) {
        if count > 0 {
            self.counts.duplicated += count;
            self.problems.push(problem());
        }
    }

    /// Compares how often something was done and how often it should have been.
    fn compare(&mut self, what: &str, done: u64, due: u64) {
        self.lose(due.saturating_sub(done), || format!("{what}: {done} instead of {due}"));
        self.repeat(done.saturating_sub(due), || format!("{what}: {done} instead of {due}"));
    }

    /// Whether there are no problems.
    pub(crate) fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The events in the log, indexed for the checks.
#[derive(Debug, Default)]
struct Log<'a> {
    /// Events by id.
    by_id: BTreeMap<&'a str, &'a Value>,
    /// The number of events of each type.
    counts: BTreeMap<&'a str, u64>,
    /// The number of events of each type that each event caused.
    effects: BTreeMap<(&'a str, &'a str), u64>,
}

/// Waits until a host has handled everything, and compares its data with the recorded traffic. Events that were
/// acknowledged after the mark may be missing.
pub(crate) fn audit(client: &Client, client_record: &ClientRecord, mark: u64) -> anyhow::Result<Findings> {
    client.wait_until_idle(PATIENCE)?;
    let events = client.log()?;
    let traffic = client_record.traffic();
    let mut findings = Findings::default();
    let log = read(&events, &traffic, &mut findings);
    acknowledged(&log, &traffic, mark, &mut findings);
    // These clients send only valid requests. If the host refuses them, nothing is tested.
    for (code, count) in traffic.refused.iter().filter(|(code, _)| code.starts_with('4')) {
        findings.problems.push(format!("{count} requests were refused: {code}"));
    }
    check_order(&events, &mut findings);
    check_effects(&log, &mut findings);
    drop(traffic);
    check_counters(client, &log, &mut findings)?;
    Ok(findings)
}

/// Sorts the log, and finds duplicate, altered and unexpected events.
fn read<'a>(events: &'a [Value], traffic: &RecordedTraffic, findings: &mut Findings) -> Log<'a> {
    let mut log = Log::default();
    let mut refused: BTreeSet<_> = traffic.refused_ids.iter().map(String::as_str).collect();
    for one in &traffic.acknowledged {
        refused.remove(one.id.as_str());
    }
    for logged in events {
        let event = &logged["event"];
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let (id, event_type) = (text("id"), text("type"));
        *log.counts.entry(event_type).or_default() += 1;
        if let Some(cause) = event["causationid"].as_str() {
            *log.effects.entry((event_type, cause)).or_default() += 1;
        }
        findings.repeat(log.by_id.insert(id, event).is_some().into(), || format!("{id} is in the log twice"));
        if refused.contains(id) {
            findings.problems.push(format!("{id} was refused, and is in the log"));
        }
        let as_sent = match (traffic.sent.get(id), event_type) {
            (Some(sent), _) => {
                event_type == sent.event_type
                    && event["subject"].as_str() == sent.subject.as_deref()
                    && event["data"] == sent.data
            }
            (None, "user.registered") => {
                event["data"]["email"].as_str().is_some_and(|email| traffic.users.contains(email))
            }
            (None, "ledger.booked" | "user.welcomed" | "flaky.done") => true,
            (None, _) => false,
        };
        if !as_sent {
            findings.lose(1, || format!("the log has an event that was not sent like this: {event_type} {id}"));
        }
    }
    log
}

fn acknowledged(log: &Log<'_>, traffic: &RecordedTraffic, mark: u64, findings: &mut Findings) {
    let held = traffic.acknowledged.iter().filter(|one| one.mark <= mark);
    let ids: BTreeMap<_, _> = held.map(|one| (one.id.as_str(), one.email.as_deref())).collect();
    findings.counts.acknowledged = ids.len() as u64;
    let is_there = |id: &str, email: Option<&str>| {
        let event = log.by_id.get(id);
        event.is_some_and(|event| email.is_none_or(|email| event["data"]["email"] == email))
    };
    let missing: Vec<_> = ids.into_iter().filter(|(id, email)| !is_there(id, *email)).map(|(id, _)| id).collect();
    findings.lose(missing.len() as u64, || {
        format!("{} acknowledged events are not in the log, such as {:?}", missing.len(), missing.first())
    });
}

/// Checks that each subject's numbers increase in the log.
fn check_order(events: &[Value], findings: &mut Findings) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for logged in events.iter().rev() {
        let event = &logged["event"];
        let (Some(subject), Some(number)) = (event["subject"].as_str(), event["data"].as_i64()) else { continue };
        if let Some(before) = last.insert(subject, number)
            && before >= number
        {
            findings.counts.out_of_order += 1;
            findings.problems.push(format!("{subject}: {number} comes after {before} in the log"));
        }
    }
}

/// Checks that handlers published once for each event.
fn check_effects(log: &Log<'_>, findings: &mut Findings) {
    for (cause_type, effect_type) in
        [("ledger.entry", "ledger.booked"), ("user.registered", "user.welcomed"), ("flaky.job", "flaky.done")]
    {
        let causes = log.by_id.iter().filter(|(_, event)| event["type"] == cause_type);
        for (id, _) in causes {
            let done = log.effects.get(&(effect_type, *id)).copied().unwrap_or(0);
            findings.compare(&format!("{effect_type} for {id}"), done, 1);
        }
        let mut effects = log.effects.keys().filter(|(event_type, _)| *event_type == effect_type);
        if let Some((_, cause)) = effects.find(|(_, cause)| !log.by_id.contains_key(cause)) {
            findings.problems.push(format!("{effect_type} was caused by {cause}, which is not in the log"));
        }
    }
}

/// Checks the handlers' counters.
fn check_counters(client: &Client, log: &Log<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let due = |event_type: &str| log.counts.get(event_type).copied().unwrap_or(0);
    let ledger = client.get("/ledger")?;
    for counter in ["booked", "merged", "rewritten"] {
        findings.compare(counter, number(&ledger, counter)?, due("ledger.entry"));
    }
    let repeated = number(&ledger, "repeated")?;
    findings.repeat(repeated, || format!("{repeated} entries were handled again"));

    let ordered = client.get("/ordered")?;
    findings.compare("ordered entries handled", number(&ordered, "handled")?, due("ordered.entry"));
    let out_of_order = number(&ordered, "out_of_order")?;
    if out_of_order > 0 {
        findings.counts.out_of_order += out_of_order;
        findings.problems.push(format!("{out_of_order} ordered entries were handled before an earlier one"));
    }
    // An empty request only returns the number of welcomed users.
    let welcomed = client.post_empty("/handle_user_registration")?;
    findings.compare("users welcomed", number(&welcomed, "total")?, due("user.registered"));
    findings.compare("jobs done", client.get("/flaky")?.as_u64().context("a number")?, due("flaky.job"));

    let letters = client.admin("/dead-letters")?;
    let letters = letters["dead_letters"].as_array().context("the host lists its dead letters")?;
    if let Some(first) = letters.first() {
        findings.problems.push(format!("there are {} dead letters, such as {first}", letters.len()));
    }
    Ok(())
}

fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value[name].as_u64().with_context(|| format!("`{name}` is a number in {value}"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::client_record::{Acknowledged, Sent};

    fn entry(id: &str, text: &str) -> Value {
        json!({ "event": { "id": id, "type": "ledger.entry", "data": { "text": text } } })
    }

    fn booked(id: &str, cause: &str) -> Value {
        json!({ "event": { "id": id, "type": "ledger.booked", "causationid": cause } })
    }

    fn ordered(id: &str, number: i64) -> Value {
        json!({ "event": { "id": id, "type": "ordered.entry", "subject": "s", "data": number } })
    }

    /// Two acknowledged entries, the second one later, and two ordered entries that were not acknowledged.
    fn traffic() -> RecordedTraffic {
        let mut traffic = RecordedTraffic::default();
        for (id, mark) in [("a", 10), ("b", 20)] {
            let data = json!({ "text": id });
            traffic.sent.insert(id.into(), Sent { event_type: "ledger.entry", subject: None, data });
            traffic.acknowledged.push(Acknowledged { id: id.into(), email: None, began: Instant::now(), mark });
        }
        for (id, number) in [("o1", 1), ("o2", 2)] {
            let subject = Some("s".to_owned());
            traffic.sent.insert(id.into(), Sent { event_type: "ordered.entry", subject, data: json!(number) });
        }
        traffic
    }

    /// The findings in a log, oldest event first.
    fn find(events: &[Value], traffic: &RecordedTraffic, mark: u64) -> Counts {
        let events: Vec<_> = events.iter().rev().cloned().collect();
        let mut findings = Findings::default();
        let log = read(&events, traffic, &mut findings);
        acknowledged(&log, traffic, mark, &mut findings);
        check_order(&events, &mut findings);
        check_effects(&log, &mut findings);
        assert_eq!(
            findings.passed(),
            findings.counts.lost + findings.counts.duplicated + findings.counts.out_of_order == 0
        );
        findings.counts
    }

    #[test]
    fn a_correct_log_has_no_findings() {
        let all =
            [entry("a", "a"), booked("1", "a"), ordered("o1", 1), entry("b", "b"), booked("2", "b"), ordered("o2", 2)];
        assert_eq!(find(&all, &traffic(), 20), Counts { acknowledged: 2, ..Counts::default() });
        // The second event was acknowledged after the cut.
        assert_eq!(find(&all[..2], &traffic(), 19), Counts { acknowledged: 1, ..Counts::default() });
    }

    #[test]
    fn missing_altered_and_unhandled_events_are_lost() {
        let lost = |events: &[Value]| find(events, &traffic(), 20).lost;
        assert_eq!(lost(&[entry("a", "a"), booked("1", "a")]), 1, "b is gone");
        assert_eq!(lost(&[entry("a", "a"), booked("1", "a"), entry("b", "c"), booked("2", "b")]), 1, "b is altered");
        assert_eq!(lost(&[entry("a", "a"), booked("1", "a"), entry("b", "b")]), 1, "b is not handled");
    }

    #[test]
    fn duplicates_and_wrong_order_are_found() {
        let whole = [entry("a", "a"), booked("1", "a"), entry("b", "b"), booked("2", "b")];
        let with = |more: &[Value]| find(&[&whole[..], more].concat(), &traffic(), 20);
        assert_eq!(with(&[booked("3", "b")]).duplicated, 1, "an effect");
        assert_eq!(with(&[entry("b", "b")]).duplicated, 1, "an event");
        assert_eq!(with(&[ordered("o2", 2), ordered("o1", 1)]).out_of_order, 1);
    }
}
