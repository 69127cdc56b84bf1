//! A plugin that is swapped, replaced by a broken file, removed and restored, under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sandbus_tests::{guest, pause_for, put};
use serde_json::json;

use crate::host::{Client, HostDirectory, PATIENCE, event, until};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

const FILE: &str = "ledger.wasm";
const CLIENTS: usize = 2;

/// The state that clients and swaps share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Whether the file may be missing.
    absent: AtomicBool,
    accepted: AtomicU64,
    unavailable: AtomicU64,
    problems: Mutex<Vec<String>>,
}

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut report = FaultReport { rounds: options.choose(24, 1_000), ..FaultReport::default() };
    let host_dir = options.host_dir_with("swaps", &["ledger"])?;
    let mut node = host_dir.start()?;
    let (target, client) = (node.target.clone(), node.target.client());
    let rest = Duration::from_millis(options.choose(2, 20));
    let shared = Shared::default();
    let swapped = thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, shared) = (target.client(), &shared);
            scope.spawn(move || load(&client, number, rest, shared));
        }
        let swapped = (0..report.rounds).try_for_each(|round| {
            let before = shared.accepted.load(Ordering::Relaxed);
            change(&host_dir, &client, round, &shared)?;
            until(PATIENCE, "requests are accepted", || {
                let more = shared.accepted.load(Ordering::Relaxed) > before;
                let ended = !shared.problems.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                Ok((more || ended).then_some(()))
            })
        });
        shared.stop.store(true, Ordering::Relaxed);
        swapped
    });
    report.problems.extend(shared.problems.into_inner().unwrap_or_else(PoisonError::into_inner));
    swapped?;
    client.wait_until_idle(PATIENCE)?;

    let accepted = shared.accepted.into_inner();
    report.acknowledge(accepted);
    let ledger = client.get("/ledger")?;
    for counter in ["booked", "merged", "rewritten"] {
        report.compare(counter, ledger[counter].as_u64().context("a number")?, accepted);
    }
    report.check(ledger["repeated"] == 0, || format!("entries were handled again: {ledger}"));
    report.compare("dead letters", client.count_dead_letters()?, 0);
    report.remark(&format!("{} requests found the plugin removed", shared.unavailable.into_inner()));
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}

/// The guest in one of two builds.
fn build(round: usize) -> Vec<u8> {
    let mut bytes = guest("ledger");
    // A custom section of 3 bytes at the end, which changes only the digest.
    bytes.extend([0, 3, 1, b'v', u8::from(round.is_multiple_of(2))]);
    bytes
}

/// Swaps the plugin. In some rounds, its file is first replaced by a broken one, or removed.
fn change(host_dir: &HostDirectory, client: &Client, round: usize, shared: &Shared) -> anyhow::Result<()> {
    let (path, content) = (host_dir.plugin(FILE), build(round));
    match round % 4 {
        1 => {
            put(&path, &content[..content.len() / 2]);
            until(PATIENCE, "the broken file is refused", || {
                Ok(client.plugin(FILE)?["error"].is_string().then_some(()))
            })?;
        }
        3 => {
            shared.absent.store(true, Ordering::SeqCst);
            std::fs::remove_file(&path)?;
            until(PATIENCE, "the plugin is removed", || {
                let answer = client.post("/ledger/contended", "application/json", &json!({}))?;
                ensure!(matches!(answer.status, 200 | 503), "{}: {}", answer.status, answer.body);
                Ok((answer.status == 503).then_some(()))
            })?;
        }
        _ => {}
    }
    put(&path, &content);
    client.wait_until_loaded(FILE, &content)?;
    shared.absent.store(false, Ordering::SeqCst);
    Ok(())
}

/// Sends requests to the plugin and publishes events in turn, until told to stop or until a problem.
fn load(client: &Client, number: usize, rest: Duration, shared: &Shared) {
    let mut count = 0_u64;
    while !shared.stop.load(Ordering::Relaxed) {
        count += 1;
        let entry = json!({ "number": count });
        let was_absent = shared.absent.load(Ordering::SeqCst);
        let is_published = count.is_multiple_of(2);
        let answer = if is_published {
            let entry = event("ledger.entry", &format!("{number}-{count}"), entry);
            client.post("/events", "application/cloudevents+json", &entry)
        } else {
            client.post("/ledger", "application/json", &entry)
        };
        let may_be_absent = !is_published && (was_absent || shared.absent.load(Ordering::SeqCst));
        match answer.as_ref().map(|answer| answer.status) {
            Ok(201 | 202) => _ = shared.accepted.fetch_add(1, Ordering::Relaxed),
            Ok(503) if may_be_absent => _ = shared.unavailable.fetch_add(1, Ordering::Relaxed),
            _ => {
                let mut problems = shared.problems.lock().unwrap_or_else(PoisonError::into_inner);
                problems.push(format!("the response to a request is {answer:?}"));
                return;
            }
        }
        pause_for(rest);
    }
}
