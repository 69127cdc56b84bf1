//! Dead letters of a faulty plugin are redriven to the fixed one while the host is killed.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sandbus_tests::{guest, pause_for, put};
use serde_json::{Value, json};

use crate::host::{Client, HostProcess, PATIENCE, event, until};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// The subscription with the dead letters.
const SUBSCRIPTION: &str = "poison/swallow";
/// The time limit for waiting until many dead letters are handled.
const PATIENT: Duration = PATIENCE.saturating_mul(10);

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("redrive");
    let letters: u64 = options.choose(300, 10_000);
    let longest_delay: u64 = options.choose(8_000, 15_000);
    let host_dir = options.host_dir_with("redrive", &["poison"])?;
    let mut node = host_dir.start()?;
    let mut report = FaultReport { rounds: options.choose(5, 10), ..FaultReport::default() };
    publish_dead_letters(&node.target.client(), letters)?;
    report.acknowledge(letters);
    let fixed = guest("poison-fixed");
    put(&host_dir.plugin("poison.wasm"), &fixed);
    node.target.client().wait_until_loaded("poison.wasm", &fixed)?;

    // Each redrive takes a part of the dead letters, so that each kill affects some.
    let part = format!("/dead-letters/redrive?all=true&limit={}", letters / report.rounds as u64);
    let (mut answered, mut interrupted) = (0, 0);
    for _ in 0..report.rounds {
        let client = node.target.client();
        let delay = Duration::from_micros(rng.u64(0..longest_delay));
        answered += thread::scope(|scope| {
            // The response may come before the kill, or not at all.
            let redrive = scope.spawn(|| client.post_admin(&part, &Value::Null).is_ok());
            pause_for(delay);
            node.kill();
            redrive.join().map(usize::from)
        })
        .ok()
        .context("the client panicked")?;
        node = host_dir.start()?;
        report.recovery.push(node.started_in());
        let backlog = node.target.client().subscription(SUBSCRIPTION)?["backlog"].as_u64().context("a number")?;
        interrupted += usize::from(backlog > 0);
        count_rest(&node, letters, &mut report)?;
    }
    node.target.client().post_admin("/dead-letters/redrive?all=true", &Value::Null)?;
    let rest = count_rest(&node, letters, &mut report)?;
    report.compare("events handled", letters - rest, letters);
    let rounds = report.rounds;
    report.remark(&format!(
        "of {rounds} redrives {} were killed before their response, {interrupted} before all events were handled",
        rounds - answered
    ));
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}

/// Publishes events that become dead letters.
fn publish_dead_letters(client: &Client, count: u64) -> anyhow::Result<()> {
    const BATCH: u64 = 100;
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let batch =
            (first..count.min(first + BATCH)).map(|pill| event("poison.pill", &format!("pill-{pill}"), json!(pill)));
        client.publish(batch.collect())?;
    }
    until(PATIENT, "all events are dead letters", || {
        Ok((client.subscription(SUBSCRIPTION)?["dead_letters"] == count).then_some(()))
    })
}

/// Waits until the host is idle, and checks that each event was handled or is a dead letter. Returns the number of dead
/// letters.
fn count_rest(node: &HostProcess, all: u64, report: &mut FaultReport) -> anyhow::Result<u64> {
    let client = node.target.client();
    client.wait_until_idle(PATIENT)?;
    let dead = client.subscription(SUBSCRIPTION)?["dead_letters"].as_u64().context("a number")?;
    let handled = client.get("/poison")?.as_u64().context("a number")?;
    report.compare("dead letters and handled events together", dead + handled, all);
    Ok(dead)
}
