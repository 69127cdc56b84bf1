//! Two plugins that publish for each other: the hop limit ends what would never end by itself.

use std::time::Duration;

use anyhow::Context as _;
use sandbus_tests::pause_for;
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::row::Row;
use crate::site::{PATIENCE, event, until};

const HOP_LIMIT: u64 = 20;
/// How long it must stay quiet afterwards.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Row> {
    let mut row = Row { rounds: plan.choose(10, 500), ..Row::default() };
    let flows = row.rounds as u64;
    let site = plan.site_of("event-loop", &["ping", "pong"])?;
    site.configure(&format!("[bus]\nhop_limit = {HOP_LIMIT}\n"));
    let mut node = site.start()?;
    let client = node.target.client();
    for flow in 0..flows {
        client.publish(vec![event("ping.sent", &format!("flow-{flow}"), json!(0))])?;
    }
    row.acknowledge(flows);
    until(PATIENCE, "each flow has a dead letter", || Ok((client.count_dead_letters()? >= flows).then_some(())))?;
    client.wait_until_idle(PATIENCE)?;
    let log = client.log()?.len() as u64;
    // The first event has no hop, and the one beyond the limit is not handled.
    row.weigh("events of the flows", log, flows * (HOP_LIMIT + 2));
    let handled = ["/ping", "/pong"].map(|path| client.get(path)?.as_u64().context("a number"));
    let [ping, pong] = handled;
    row.weigh("events handled", ping? + pong?, flows * (HOP_LIMIT + 1));
    let letters = client.admin("/dead-letters?limit=1000")?;
    let letters = letters["dead_letters"].as_array().context("the host lists its dead letters")?;
    row.weigh("dead letters", letters.len() as u64, flows);
    let others: Vec<&Value> = letters.iter().filter(|letter| letter["cause"] != "hop-limit").collect();
    row.check(others.is_empty(), || format!("dead letters with another cause: {others:?}"));
    pause_for(QUIET);
    let later = client.log()?.len() as u64;
    row.check(later == log, || format!("it goes on: {later} events after {log}"));
    node.check_health(&mut row)?;
    drop(node);
    site.remove()?;
    Ok(row)
}
