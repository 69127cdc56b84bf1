//! Many subscriptions to one type: each gets each event once.

use anyhow::Context as _;
use serde_json::json;

use crate::host::{PATIENCE, event};
use crate::receiver::{Behaviour, Receiver};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// How many events are published at a time.
const BATCH: u64 = 10;

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let (subscriptions, events): (u64, u64) = options.choose((100, 30), (1_000, 200));
    let mut report = FaultReport { rounds: usize::try_from(subscriptions)?, ..FaultReport::default() };
    let host_dir = options.host_dir_with("many-subscriptions", &[])?;
    let mut node = host_dir.start()?;
    let client = node.target.client();
    let receiver = Receiver::start(Behaviour::Accept)?;
    for number in 0..subscriptions {
        let wanted = json!({
            "name": format!("s{number}"),
            "pattern": "crowd.event",
            "target": { "webhook": { "url": format!("{}/s{number}", receiver.url) } },
            "rules": { "concurrency": 2 },
        });
        client.post_admin("/subscriptions", &wanted)?;
    }
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        let batch =
            (first..events.min(first + BATCH)).map(|number| event("crowd.event", &format!("e{number}"), json!(number)));
        client.publish(batch.collect())?;
    }
    report.acknowledge(events);
    client.wait_until_idle(PATIENCE * 10)?;

    let seen = receiver.seen();
    for number in 0..subscriptions {
        let path = format!("/s{number}");
        let arrivals: Vec<_> =
            (0..events).map(|number| seen.get(&(path.clone(), format!("e{number}"))).copied().unwrap_or(0)).collect();
        // Each event is checked, so that a duplicate does not hide a missing event.
        let missing = arrivals.iter().filter(|times| **times == 0).count() as u64;
        report.compare(&format!("different events at {path}"), events - missing, events);
        report.compare(&format!("events at {path}"), arrivals.iter().sum::<u64>() + missing, events);
    }
    report.compare("pairs of a subscription and an event", seen.len() as u64, subscriptions * events);
    report.compare("dead letters", client.count_dead_letters()?, 0);
    let log = client.log()?;
    let head = &log.first().context("the log is not empty")?["position"];
    let all = client.admin("/subscriptions")?;
    let all = all["subscriptions"].as_array().context("the host lists its subscriptions")?;
    report.check(all.len() as u64 == subscriptions, || format!("there are {} subscriptions", all.len()));
    if let Some(behind) = all.iter().find(|one| one["cursor"] != *head) {
        report.problems.push(format!("the log ends at {head}, and there is {behind}"));
    }
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}
