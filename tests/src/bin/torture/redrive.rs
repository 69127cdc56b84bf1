//! Dead letters of a poison plugin, redriven to the mended one while the host is killed.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sandbus_tests::{guest, pause_for, put};
use serde_json::json;

use crate::plan::Plan;
use crate::row::Row;
use crate::site::{Client, Node, PATIENCE, event, until};

/// Whose dead letters they are.
const SUBSCRIPTION: &str = "poison/swallow";
/// How long each of many dead letters may take.
const PATIENT: Duration = PATIENCE.saturating_mul(10);

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("redrive");
    let letters: u64 = plan.choose(300, 10_000);
    let longest_delay: u64 = plan.choose(8_000, 15_000);
    let site = plan.site_of("redrive", &["poison"])?;
    let mut node = site.start()?;
    let mut row = Row { rounds: plan.choose(5, 10), ..Row::default() };
    bury(&node.target.client(), letters)?;
    row.acknowledge(letters);
    let fixed = guest("poison-fixed");
    put(&site.plugin("poison.wasm"), &fixed);
    node.target.client().wait_until_loaded("poison.wasm", &fixed)?;

    // A part of them each time, so that each kill meets some.
    let part = format!("/dead-letters/redrive?limit={}", letters / row.rounds as u64);
    let (mut answered, mut interrupted) = (0, 0);
    for _ in 0..row.rounds {
        let client = node.target.client();
        let delay = Duration::from_micros(rng.u64(0..longest_delay));
        answered += thread::scope(|scope| {
            // Whether there is an answer before the kill is left to chance.
            let redrive = scope.spawn(|| client.order(&part, &json!({})).is_ok());
            pause_for(delay);
            node.kill();
            redrive.join().map(usize::from)
        })
        .ok()
        .context("the client came to its end")?;
        node = site.start()?;
        row.recovery.push(node.started_in());
        let backlog = node.target.client().subscription(SUBSCRIPTION)?["backlog"].as_u64().context("a number")?;
        interrupted += usize::from(backlog > 0);
        look(&node, letters, &mut row)?;
    }
    node.target.client().order("/dead-letters/redrive", &json!({}))?;
    let rest = look(&node, letters, &mut row)?;
    row.weigh("handled in the end", letters - rest, letters);
    let rounds = row.rounds;
    row.remark(&format!(
        "of {rounds} redrives {} were killed before their answer, {interrupted} before all was handled",
        rounds - answered
    ));
    node.check_health(&mut row)?;
    drop(node);
    site.remove()?;
    Ok(row)
}

/// Publishes events that become dead letters.
fn bury(client: &Client, count: u64) -> anyhow::Result<()> {
    const BATCH: u64 = 100;
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let batch =
            (first..count.min(first + BATCH)).map(|pill| event("poison.pill", &format!("pill-{pill}"), json!(pill)));
        client.publish(batch.collect())?;
    }
    until(PATIENT, "all are dead letters", || {
        Ok((client.subscription(SUBSCRIPTION)?["dead_letters"] == count).then_some(()))
    })
}

/// Waits until nothing is under way, and compares dead letters and what was handled with all there are.
/// Returns how many are dead.
fn look(node: &Node, all: u64, row: &mut Row) -> anyhow::Result<u64> {
    let client = node.target.client();
    client.wait_until_idle(PATIENT)?;
    let dead = client.subscription(SUBSCRIPTION)?["dead_letters"].as_u64().context("a number")?;
    let handled = client.get("/poison")?.as_u64().context("a number")?;
    row.weigh("dead letters and handled events together", dead + handled, all);
    Ok(dead)
}
