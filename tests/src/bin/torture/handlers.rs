//! Handlers that trap, hang, use too much memory and publish endlessly, next to a healthy one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sandbus_tests::put;
use serde_json::json;

use crate::host::{Client, PATIENCE, Target, event, until};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// Each delivery becomes a dead letter after its only attempt.
const DEEDS: [&str; 6] = ["trap", "spin", "eat", "flood", "recurse", "hoard"];
/// How many clients publish for the healthy handler.
const CLIENTS: u64 = 2;
/// How many bad deliveries are sent at a time.
const BATCH: u64 = 6;

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let (orders, entries) = options.choose((24, 60), (3_000, 5_000));
    let mut report = FaultReport { rounds: usize::try_from(orders)?, ..FaultReport::default() };
    let host_dir = options.host_dir_with("handlers", &["hostile", "ledger"])?;
    // Low limits of memory and time make the test short. The behaviour is the same with higher ones.
    put(&host_dir.plugin("hostile.toml"), b"[limits]\nmemory_bytes = 16777216\ntimeout = \"300ms\"\n");
    let mut node = host_dir.start()?;
    let (target, client) = (node.target.clone(), node.target.client());

    let quiet = clients(&target, "quiet", entries, &AtomicBool::new(true))?;
    let over = AtomicBool::new(false);
    let loud = thread::scope(|scope| {
        let bad = scope.spawn(|| {
            let ordered = publish_bad_deliveries(&target.client(), orders);
            over.store(true, Ordering::Relaxed);
            ordered
        });
        let loud = clients(&target, "loud", entries, &over);
        bad.join().ok().context("the bad client panicked")??;
        loud
    })?;
    client.wait_until_idle(PATIENCE)?;

    let sent = (quiet.len() + loud.len()) as u64;
    report.acknowledge(sent + orders);
    let ledger = client.get("/ledger")?;
    for counter in ["booked", "merged", "rewritten"] {
        report.compare(counter, ledger[counter].as_u64().context("a number")?, sent);
    }
    report.check(ledger["repeated"] == 0, || format!("entries were handled again: {ledger}"));
    let hostile = client.subscription("hostile/obey")?;
    report.compare("dead letters of bad deliveries", hostile["dead_letters"].as_u64().context("a number")?, orders);
    report.compare("dead letters in total", client.count_dead_letters()?, orders);
    let floods = client.log()?.iter().filter(|logged| logged["event"]["type"] == "hostile.flood").count();
    report.check(floods == 0, || format!("{floods} events of failed invocations were published"));
    let (quiet, loud) = (p99(quiet), p99(loud));
    let ratio = loud.as_secs_f64() / quiet.as_secs_f64();
    report.remark(&format!(
        "healthy p99 {} ms alone, {} ms next to them: {ratio:.1} x",
        quiet.as_millis(),
        loud.as_millis()
    ));
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}

/// Triggers bad handlers, a few at a time, and waits for the dead letters.
fn publish_bad_deliveries(client: &Client, count: u64) -> anyhow::Result<()> {
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let next = count.min(first + BATCH);
        let deeds = DEEDS.iter().cycle().zip(first..next);
        let orders =
            deeds.map(|(deed, number)| event("hostile.order", &format!("order-{number}"), json!({ "deed": deed })));
        client.publish(orders.collect())?;
        until(PATIENCE, "bad deliveries are over", || Ok((client.count_dead_letters()? >= next).then_some(())))?;
    }
    Ok(())
}

/// Runs concurrent clients, each for a number of entries and until the bad deliveries are over. Returns the time that
/// each entry took from being sent to being handled.
fn clients(target: &Target, name: &str, count: u64, over: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    thread::scope(|scope| {
        let started: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || entries(&target.client(), &format!("{name}-{client}"), count, over)))
            .collect();
        let mut times = Vec::new();
        for client in started {
            times.extend(client.join().ok().context("a client panicked")??);
        }
        Ok(times)
    })
}

/// Publishes entries one after another, each after the previous one is handled.
fn entries(client: &Client, name: &str, count: u64, over: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let send = |number: u64| {
        let began = Instant::now();
        let entry = event("ledger.entry", &format!("{name}-{number}"), json!(number));
        let answer = client.post("/events?reply=ledger.booked&timeout=50s", "application/cloudevents+json", &entry)?;
        ensure!(answer.status == 200, "the response to an entry is {}: {}", answer.status, answer.body);
        Ok(began.elapsed())
    };
    (0..).take_while(|number| *number < count || !over.load(Ordering::Relaxed)).map(send).collect()
}

/// The 99th percentile.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}
