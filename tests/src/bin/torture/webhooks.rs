//! Webhook receivers that hang, reset, fail, redirect and send endless bodies, next to a good one.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::host::{Client, PATIENCE, event};
use crate::receiver::{Behaviour, Receiver};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// How many attempts each delivery has.
const ATTEMPTS: u64 = 3;
/// How many events are published at a time.
const BATCH: u64 = 10;

/// A subscription with the expected result of each event.
struct Hook {
    name: &'static str,
    receiver: Receiver,
    /// The number of attempts after which it is a dead letter. None if it is delivered.
    dies_after: Option<u64>,
    /// How often each event arrives, if that is certain.
    arrives: Option<u64>,
}

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut report = FaultReport { rounds: options.choose(10, 1_000), ..FaultReport::default() };
    let events = report.rounds as u64;
    let host_dir = options.host_dir_with("webhooks", &[])?;
    let mut node = host_dir.start()?;
    let client = node.target.client();
    let hooks = hooks()?;
    for hook in &hooks {
        subscribe(&client, hook)?;
    }
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        let batch =
            (first..events.min(first + BATCH)).map(|number| event("hook.event", &format!("e{number}"), json!(number)));
        client.publish(batch.collect())?;
    }
    report.acknowledge(events);
    client.wait_until_idle(PATIENCE * 10)?;
    for hook in &hooks {
        check(&client, hook, events, &mut report)?;
    }
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}

fn hooks() -> anyhow::Result<Vec<Hook>> {
    let good = Receiver::start(Behaviour::Accept)?;
    let elsewhere = format!("{}/elsewhere", good.url);
    let hook = |name, behaviour, dies_after, arrives| {
        anyhow::Ok(Hook { name, receiver: Receiver::start(behaviour)?, dies_after, arrives })
    };
    Ok(vec![
        Hook { name: "good", receiver: good, dies_after: None, arrives: Some(1) },
        hook("hanging", Behaviour::Hang, Some(ATTEMPTS), Some(ATTEMPTS))?,
        hook("resetting", Behaviour::Reset, Some(ATTEMPTS), None)?,
        hook("failing-twice", Behaviour::FailTwice, None, Some(3))?,
        hook("redirecting", Behaviour::Redirect(elsewhere), Some(1), Some(1))?,
        // Only the status of the response counts.
        hook("endless", Behaviour::Endless, None, Some(1))?,
        hook("breaking-off", Behaviour::Break, Some(ATTEMPTS), Some(ATTEMPTS))?,
    ])
}

fn subscribe(client: &Client, hook: &Hook) -> anyhow::Result<()> {
    let wanted = json!({
        "name": hook.name,
        "pattern": "hook.event",
        "target": { "webhook": { "url": format!("{}/", hook.receiver.url) } },
        "rules": { "max_attempts": ATTEMPTS, "initial_delay": "20ms", "max_delay": "50ms", "timeout": "300ms" },
    });
    client.post_admin("/subscriptions", &wanted).map(drop)
}

/// Checks the result of each event.
fn check(client: &Client, hook: &Hook, events: u64, report: &mut FaultReport) -> anyhow::Result<()> {
    let Hook { name, receiver, dies_after, arrives } = hook;
    let letters = client.admin(&format!("/dead-letters?subscription=operator/{name}&limit=1000"))?;
    let letters = letters["dead_letters"].as_array().context("the host lists its dead letters")?;
    report.compare(
        &format!("dead letters of {name}"),
        letters.len() as u64,
        if dies_after.is_some() { events } else { 0 },
    );
    let as_due = |letter: &&Value| letter["cause"] == "webhook" && letter["attempts"].as_u64() == *dies_after;
    if let Some(other) = letters.iter().find(|letter| !as_due(letter)) {
        report.problems.push(format!("an unexpected dead letter of {name}: {other}"));
    }
    let seen = receiver.seen();
    report.check(seen.keys().all(|(path, _)| path == "/"), || format!("{name} was called at another path: {seen:?}"));
    if let Some(arrives) = arrives {
        report.compare(&format!("events that arrived at {name}"), seen.len() as u64, events);
        let arrived: u64 = seen.values().sum();
        report.compare(&format!("arrivals at {name}"), arrived, events * arrives);
    }
    Ok(())
}
