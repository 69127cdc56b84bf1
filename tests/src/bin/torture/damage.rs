//! Files are damaged while the host is down. The host must detect the damage, unless it is harmless.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{HostDirectory, HostProcess, PATIENCE, last_lines, until};
use crate::load::{Load, wait_for};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// The files that are damaged.
const FILES: [&str; 2] = ["bus.db", "bus.db-wal"];
/// The time limit for a host to exit after it has found damage.
const SOON: Duration = Duration::from_secs(3);

/// All files of a data directory, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Damages a file, and returns where.
type Damage = fn(&mut Vec<u8>, &mut Rng) -> String;

/// Cuts a file short.
pub(crate) fn truncated(options: &RunOptions) -> anyhow::Result<FaultReport> {
    run(options, "truncated-file", |content, rng| {
        let length = rng.usize(0..content.len());
        let before = content.len();
        content.truncate(length);
        format!("cut to {length} of {before} bytes")
    })
}

/// Flips one bit of a file.
pub(crate) fn flipped(options: &RunOptions) -> anyhow::Result<FaultReport> {
    run(options, "flipped-bit", |content, rng| {
        let (at, bit) = (rng.usize(0..content.len()), rng.u8(0..8));
        content[at] ^= 1 << bit;
        format!("bit {bit} of byte {at} of {} flipped", content.len())
    })
}

/// The consequence of a damaged file.
enum Outcome {
    /// The host reported it and did not start, or soon exited.
    Detected,
    /// Everything that was acknowledged was served as it was sent, and handled once.
    Harmless,
    /// Anything else.
    Silent(Findings),
}

fn run(options: &RunOptions, name: &str, damage: Damage) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng(name);
    let mut report = FaultReport { rounds: options.choose(12, 200), ..FaultReport::default() };
    let (mut detected, mut harmless, mut silent) = (0, 0, 0);
    let (client_record, files) = history(options, name, &mut rng)?;
    let host_dir = options.host_dir_in_memory(name)?;
    for round in 0..report.rounds {
        let file = FILES[round % FILES.len()];
        let place = put_damaged(&host_dir, &files, (file, damage), &mut rng)?;
        let mut samples: Vec<_> = client_record.traffic().acknowledged.iter().map(|one| one.id.clone()).collect();
        rng.shuffle(&mut samples);
        samples.truncate(options.choose(100, usize::MAX));
        match start_damaged(&host_dir, &client_record, &samples, file) {
            Ok(Outcome::Detected) => detected += 1,
            Ok(Outcome::Harmless) => harmless += 1,
            Ok(Outcome::Silent(Findings { counts, problems })) => {
                silent += 1;
                let first = problems.first().cloned().unwrap_or_default();
                report.add(counts, vec![format!("{file}, {place}: the host says nothing; {first}")]);
            }
            Err(error) => {
                silent += 1;
                report.problems.push(format!("{file}, {place}: {error:#}"));
            }
        }
    }
    let counts = report.counts.get_or_insert_default();
    counts.acknowledged = client_record.acknowledged();
    report.note = format!("{detected} detected, {harmless} harmless, {silent} silent or unnamed");
    host_dir.remove()?;
    Ok(report)
}

/// A store with a history: part of it is in the database, and part of it only in the write-ahead log.
fn history(options: &RunOptions, name: &str, rng: &mut Rng) -> anyhow::Result<(ClientRecord, Files)> {
    let host_dir = options.host_dir(&format!("{name}-history"))?;
    let client_record = ClientRecord::default();
    // Most events are checkpointed into the database. Otherwise the write-ahead log would have newer versions of nearly
    // every damaged page.
    for (count, in_good_order) in [(options.choose(600, 3_000), true), (100, false)] {
        let mut node = host_dir.start()?;
        let target = node.target.clone();
        Load::mixed(&target, &client_record, rng.u64(..)).during(&|| 0, || {
            wait_for(&client_record, client_record.acknowledged() + count, PATIENCE);
        });
        target.client().wait_until_idle(PATIENCE)?;
        if in_good_order {
            node.terminate()?;
        } else {
            node.kill();
        }
    }
    let mut files = Files::new();
    for name in host_dir.files()? {
        files.insert(name.clone(), std::fs::read(host_dir.file(&name))?);
    }
    // The index of the log stays undamaged. It has the length of the log.
    let index = host_dir.file("bus.db-shm");
    files.insert("bus.db-shm".to_owned(), std::fs::read(&index).with_context(|| index.display().to_string())?);
    ensure!(FILES.iter().all(|name| files.get(*name).is_some_and(|content| !content.is_empty())), "a file is empty");
    host_dir.remove()?;
    Ok((client_record, files))
}

/// Puts the files in place, one of them damaged.
fn put_damaged(
    host_dir: &HostDirectory,
    files: &Files,
    (damaged, damage): (&str, Damage),
    rng: &mut Rng,
) -> anyhow::Result<String> {
    host_dir.clear()?;
    let mut place = String::new();
    for (name, content) in files {
        let mut content = content.clone();
        if *name == damaged {
            place = damage(&mut content, rng);
        }
        std::fs::write(host_dir.file(name), content)?;
    }
    Ok(place)
}

/// Starts a host on damaged files and audits it. Also requests the sample events by their ids, which uses the index
/// that prevents duplicates.
fn start_damaged(
    host_dir: &HostDirectory,
    client_record: &ClientRecord,
    samples: &[String],
    file: &str,
) -> anyhow::Result<Outcome> {
    let mut node = match host_dir.start() {
        Ok(node) => node,
        Err(error) if names_damage(&format!("{error:#}"), host_dir, file) => return Ok(Outcome::Detected),
        Err(error) => bail!("it does not report the damage: {error:#}"),
    };
    let client = node.target.client();
    let one_by_one = |findings: Findings| {
        let samples = if findings.passed() { samples } else { &[] };
        samples.iter().try_for_each(|id| client.admin(&format!("/events/{id}")).map(drop))?;
        Ok(findings)
    };
    match audit(&client, client_record, u64::MAX).and_then(one_by_one) {
        Ok(findings) if findings.passed() => Ok(Outcome::Harmless),
        Ok(findings) => Ok(ended(&mut node, host_dir, file).unwrap_or(Outcome::Silent(findings))),
        Err(error) => ended(&mut node, host_dir, file).with_context(|| format!("{error:#}")),
    }
}

/// Checks that the host soon exits and reports the damage.
fn ended(node: &mut HostProcess, host_dir: &HostDirectory, file: &str) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let named =
        until(SOON, "the host names the damage", || Ok(names_damage(&node.log(), host_dir, file).then_some(())));
    let end = node.wait_for_end(SOON.saturating_sub(started.elapsed()));
    match (named, end) {
        (Ok(()), Ok(_)) => Ok(Outcome::Detected),
        (Ok(()), Err(_)) => bail!("it reports the damage and continues: {}", last_lines(&node.log())),
        (Err(_), Ok(status)) => {
            bail!("it exits with {status} and does not report the damage: {}", last_lines(&node.log()))
        }
        (Err(_), Err(_)) => bail!("it continues and does not report the damage: {}", last_lines(&node.log())),
    }
}

/// Whether a log says that the store is damaged, and names the file or at least the data directory.
fn names_damage(log: &str, host_dir: &HostDirectory, file: &str) -> bool {
    let path = |name: &str| log.contains(&*host_dir.file(name).to_string_lossy());
    (log.contains("damaged") || log.contains("malformed")) && (path(file) || path("bus.db"))
}
