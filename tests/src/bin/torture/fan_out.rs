//! Many subscriptions to one type: each gets each event once.

use anyhow::Context as _;
use serde_json::json;

use crate::plan::Plan;
use crate::receiver::{Conduct, Receiver};
use crate::row::Row;
use crate::site::{PATIENCE, event};

/// How many events are published at a time.
const BATCH: u64 = 10;

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Row> {
    let (subscriptions, events): (u64, u64) = plan.choose((100, 30), (1_000, 200));
    let mut row = Row { rounds: usize::try_from(subscriptions)?, ..Row::default() };
    let site = plan.site_of("many-subscriptions", &[])?;
    let mut node = site.start()?;
    let client = node.target.client();
    let receiver = Receiver::start(Conduct::Take)?;
    for number in 0..subscriptions {
        let wanted = json!({
            "name": format!("s{number}"),
            "pattern": "crowd.event",
            "target": { "webhook": { "url": format!("{}/s{number}", receiver.url) } },
            "rules": { "concurrency": 2 },
        });
        client.order("/subscriptions", &wanted)?;
    }
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        let batch =
            (first..events.min(first + BATCH)).map(|number| event("crowd.event", &format!("e{number}"), json!(number)));
        client.publish(batch.collect())?;
    }
    row.acknowledge(events);
    client.wait_until_idle(PATIENCE * 10)?;

    let seen = receiver.seen();
    for number in 0..subscriptions {
        let path = format!("/s{number}");
        let arrivals: Vec<_> =
            (0..events).map(|number| seen.get(&(path.clone(), format!("e{number}"))).copied().unwrap_or(0)).collect();
        // One by one, so that one too many does not hide one that is missing.
        let missing = arrivals.iter().filter(|times| **times == 0).count() as u64;
        row.weigh(&format!("different events at {path}"), events - missing, events);
        row.weigh(&format!("events at {path}"), arrivals.iter().sum::<u64>() + missing, events);
    }
    row.weigh("pairs of a subscription and an event", seen.len() as u64, subscriptions * events);
    row.weigh("dead letters", client.count_dead_letters()?, 0);
    let log = client.log()?;
    let head = &log.first().context("the log is not empty")?["position"];
    let all = client.admin("/subscriptions")?;
    let all = all["subscriptions"].as_array().context("the host lists its subscriptions")?;
    row.check(all.len() as u64 == subscriptions, || format!("there are {} subscriptions", all.len()));
    if let Some(behind) = all.iter().find(|one| one["cursor"] != *head) {
        row.problems.push(format!("the log ends at {head}, and there is {behind}"));
    }
    node.check_health(&mut row)?;
    drop(node);
    site.remove()?;
    Ok(row)
}
