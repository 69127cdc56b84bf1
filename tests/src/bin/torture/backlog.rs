//! A long backlog of a paused subscription next to a fast one.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::host::{Client, PATIENCE, event, until};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// The number of events per publish.
const BATCH: u64 = 500;
/// The length of each event's data.
const LENGTH: usize = 200;
/// The paused subscription and the active one. Both increment the same counter.
const PAUSED: &str = "operator/slow";
const QUICK: &str = "poison/swallow";

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let events: u64 = options.choose(20_000, 1_000_000);
    let patience = PATIENCE.saturating_mul(options.choose(1, 60));
    let host_dir = options.host_dir_with("backlog", &["poison-fixed"])?;
    let mut node = host_dir.start()?;
    let mut report = FaultReport { rounds: 1, ..FaultReport::default() };
    let client = node.target.client();
    let wanted = json!({ "name": "slow", "pattern": "poison.pill", "target": { "plugin": "poison" } });
    client.post_admin("/subscriptions", &wanted)?;
    client.post_admin(&format!("/subscriptions/{PAUSED}/pause"), &Value::Null)?;

    let text = "x".repeat(LENGTH);
    let mut furthest = 0;
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        let batch =
            (first..events.min(first + BATCH)).map(|number| event("poison.pill", &format!("e{number}"), json!(text)));
        client.publish(batch.collect())?;
        if first.is_multiple_of(BATCH * 10) {
            furthest = furthest.max(backlog(&client, QUICK)?);
        }
    }
    report.acknowledge(events);
    drain(&client, QUICK, patience)?;
    // Only the active subscription has counted so far.
    report.compare("events handled in addition to the backlog", handled(&client)?, events);
    report.compare("backlog", backlog(&client, PAUSED)?, events);

    client.post_admin(&format!("/subscriptions/{PAUSED}/resume"), &Value::Null)?;
    drain(&client, PAUSED, patience)?;
    report.compare("events handled in total", handled(&client)?, 2 * events);
    report.compare("dead letters", client.count_dead_letters()?, 0);
    report.remark(&format!("the active subscription was at most {furthest} events behind"));
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}

/// The backlog of a subscription.
fn backlog(client: &Client, subscription: &str) -> anyhow::Result<u64> {
    client.subscription(subscription)?["backlog"].as_u64().context("a number")
}

/// The total number of events that the two subscriptions have handled.
fn handled(client: &Client) -> anyhow::Result<u64> {
    client.get("/poison")?.as_u64().context("a number")
}

/// Waits until a subscription has handled everything.
fn drain(client: &Client, subscription: &str, patience: Duration) -> anyhow::Result<()> {
    until(patience, &format!("{subscription} has no backlog"), || {
        Ok((backlog(client, subscription)? == 0).then_some(()))
    })
}
