//! Two plugins that publish to each other in an endless loop, which the hop limit ends.

use std::time::Duration;

use anyhow::Context as _;
use sandbus_tests::pause_for;
use serde_json::{Value, json};

use crate::host::{PATIENCE, event, until};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

const HOP_LIMIT: u64 = 20;
/// How long the log is watched for further events afterwards.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut report = FaultReport { rounds: options.choose(10, 500), ..FaultReport::default() };
    let flows = report.rounds as u64;
    let host_dir = options.host_dir_with("event-loop", &["ping", "pong"])?;
    host_dir.configure(&format!("[bus]\nhop_limit = {HOP_LIMIT}\n"));
    let mut node = host_dir.start()?;
    let client = node.target.client();
    for flow in 0..flows {
        client.publish(vec![event("ping.sent", &format!("flow-{flow}"), json!(0))])?;
    }
    report.acknowledge(flows);
    until(PATIENCE, "each flow has a dead letter", || Ok((client.count_dead_letters()? >= flows).then_some(())))?;
    client.wait_until_idle(PATIENCE)?;
    let log = client.log()?.len() as u64;
    // The first event has depth zero, and the event beyond the limit is not handled.
    report.compare("events of the flows", log, flows * (HOP_LIMIT + 2));
    let handled = ["/ping", "/pong"].map(|path| client.get(path)?.as_u64().context("a number"));
    let [ping, pong] = handled;
    report.compare("events handled", ping? + pong?, flows * (HOP_LIMIT + 1));
    let letters = client.admin("/dead-letters?limit=1000")?;
    let letters = letters["dead_letters"].as_array().context("the host lists its dead letters")?;
    report.compare("dead letters", letters.len() as u64, flows);
    let others: Vec<&Value> = letters.iter().filter(|letter| letter["cause"] != "hop-limit").collect();
    report.check(others.is_empty(), || format!("dead letters with another cause: {others:?}"));
    pause_for(QUIET);
    let later = client.log()?.len() as u64;
    report.check(later == log, || format!("it continues: {later} events after {log}"));
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}
