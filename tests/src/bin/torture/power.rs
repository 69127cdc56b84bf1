//! Power cuts.
//!
//! A kill does not test durability, because the page cache survives the process. Therefore all writes and syncs of a
//! run are recorded, and the files are rebuilt as a disk could contain them after a power cut at any moment.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use sandbus_tests::pause_for;

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{HostDirectory, HostProcess, PATIENCE};
use crate::load::{Load, MIXED};
use crate::recording::{Disk, Files, Recording};
use crate::report::FaultReport;
use crate::run_options::RunOptions;
use crate::shim::Slot;

/// The number of hosts that open rebuilt disks at the same time.
const WORKERS: usize = 2;
/// The store's files.
const FILES: [&str; 3] = ["bus.db", "bus.db-wal", "bus.db-journal"];
/// Other files, which need not survive a power cut.
const UNRECORDED: [&str; 6] = ["bus.db-shm", "lock", "routes", "ledger.db", "ledger.db-wal", "ledger.db-shm"];

/// The files whose syncs do nothing, in the shim's numbers: all files and their directory, or only the write-ahead log.
const EVERY_FILE: i64 = 0b11110;
const ONLY_THE_LOG: i64 = 0b00100;

/// Every event that was acknowledged before a cut must exist after it.
pub(crate) fn cuts(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let recordings = options.choose(2, 10).min(options.rounds);
    let mut report = FaultReport { rounds: options.rounds, ..FaultReport::default() };
    let mut operations = 0;
    for number in 0..recordings {
        let count = options.rounds / recordings + usize::from(number < options.rounds % recordings);
        // In every other round, the host runs on a disk that an earlier cut has left.
        let lives = 1 + number % 2;
        operations += cut(options, &format!("power-{number}"), 0, lives, count, |moment, opened| match opened {
            Ok(Opened { recovery, findings: Findings { counts, problems } }) => {
                report.recovery.push(recovery);
                report.add(counts, problems.into_iter().map(|problem| format!("cut at {moment}: {problem}")).collect());
            }
            Err(error) => report.problems.push(format!("cut at {moment}: {error:#}")),
        })?;
        eprintln!("power-cuts: recording {} of {recordings}", number + 1);
    }
    report.note = format!("{recordings} recordings, {operations} operations");
    Ok(report)
}

/// Losses of a bus that does not sync must be detected. This proves that the test above would detect them.
pub(crate) fn cuts_without_sync(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let rounds = options.rounds.div_ceil(10).max(12);
    let mut report = FaultReport::default();
    for (what, ignored) in [("any sync", EVERY_FILE), ("the log's syncs", ONLY_THE_LOG)] {
        let mut caught = 0;
        cut(options, &format!("power-without-{ignored}"), ignored, 1, rounds, |_, opened| {
            caught += usize::from(!opened.is_ok_and(|opened| opened.findings.passed()));
        })?;
        report.rounds += rounds;
        let separator = if report.note.is_empty() { "caught" } else { "," };
        report.note.push_str(&format!("{separator} {caught} of {rounds} without {what}"));
        report.check(4 * caught > rounds, || {
            format!("only {caught} of {rounds} cuts detected a bus without {what}, so the other tests of power cuts prove nothing")
        });
    }
    Ok(report)
}

/// The result of opening a rebuilt disk.
struct Opened {
    recovery: Duration,
    findings: Findings,
}

/// A rebuilt disk.
struct Cut {
    /// The number of operations before the cut, and the total number.
    moment: String,
    /// The length of the recording at the cut. The disk must have the events that were acknowledged before it.
    mark: u64,
    files: Files,
}

/// Records a run and opens the disks that cuts leave. With more than one life, each further run starts on a disk that a
/// cut of the previous run has left. Returns the number of operations of the last run.
fn cut(
    options: &RunOptions,
    name: &str,
    ignored: i64,
    lives: usize,
    count: usize,
    mut found: impl FnMut(&str, anyhow::Result<Opened>) + Send,
) -> anyhow::Result<usize> {
    let mut rng = options.rng(name);
    let (mut client_record, mut before) = (ClientRecord::default(), Files::new());
    let mut recording = record(options, name, ignored, &client_record, &before, &mut rng)?;
    for _ in 1..lives {
        let moment = rng.usize(0..=recording.len());
        let mut disk = recording.disk(&before);
        disk.advance(moment)?;
        before = disk.cut(&mut rng);
        client_record = client_record.as_of(recording.length_at(moment));
        recording = record(options, name, ignored, &client_record, &before, &mut rng)?;
    }
    let sites: Vec<_> =
        (0..WORKERS).map(|worker| options.host_dir_in_memory(&format!("{name}-{worker}"))).collect::<Result<_, _>>()?;
    let (send, receive) = sync_channel::<Cut>(WORKERS);
    let (receive, found) = (Mutex::new(receive), Mutex::new(&mut found));
    let next = || receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
    thread::scope(|scope| {
        for host_dir in &sites {
            let (next, found, client_record) = (&next, &found, &client_record);
            scope.spawn(move || {
                while let Ok(cut) = next() {
                    let opened = open(host_dir, &cut, client_record);
                    found.lock().unwrap_or_else(PoisonError::into_inner)(&cut.moment, opened);
                }
            });
        }
        let mut disk = recording.disk(&before);
        for moment in recording.moments(count, &mut rng) {
            disk.advance(moment)?;
            let files = disk.cut(&mut rng);
            let label = format!("{moment} of {}", recording.len());
            send.send(Cut { moment: label, mark: recording.length_at(moment), files })?;
        }
        drop(send);
        anyhow::Ok(())
    })?;
    sites.into_iter().try_for_each(HostDirectory::remove)?;
    Ok(recording.len())
}

/// Runs a host under load, from its start on these files to its exit.
fn record(
    options: &RunOptions,
    name: &str,
    ignored: i64,
    client_record: &ClientRecord,
    before: &Files,
    rng: &mut Rng,
) -> anyhow::Result<Recording> {
    let host_dir = options.host_dir(name)?;
    for (name, content) in before {
        std::fs::write(host_dir.file(name), content)?;
    }
    let path = host_dir.data().with_extension("recording");
    let (launch, control) = options.shim.attach(host_dir.launch(), host_dir.data(), Some(&path))?;
    control.set(Slot::IgnoreSyncs, ignored)?;
    // From a fast disk to a slow one. The slower the disk, the larger the commits.
    control.set(Slot::SyncDelay, rng.i64(0..6))?;
    let mut node = HostProcess::start(&launch)?;
    let target = node.target.clone();
    // With pauses, so that handlers keep up and hosts on rebuilt disks are soon idle.
    let load =
        Load { target: &target, client_record, clients: &MIXED, rest: Duration::from_millis(2), seed: rng.u64(..) };
    let length = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let time = options.choose(Duration::from_millis(1_500), Duration::from_secs(4));
    // Some runs are terminated under load, which checkpoints the write-ahead log and removes it. The others are killed
    // while nothing is being written, so that the recording can be compared with the files.
    if rng.bool() {
        load.during(&length, || {
            pause_for(time);
            node.terminate()
        })?;
    } else {
        load.during(&length, || pause_for(time));
        target.client().wait_until_idle(PATIENCE)?;
        node.kill();
    }
    let recording = Recording::read(std::fs::read(&path)?)?;
    let mut disk = recording.disk(before);
    disk.advance(recording.len())?;
    is_complete(&disk, &host_dir)?;
    ensure!(control.get(Slot::Syncs)? > 10 && recording.len() > 100, "the run has too few operations");
    host_dir.remove()?;
    Ok(recording)
}

/// The recording must explain every byte, or the shim has missed something.
fn is_complete(disk: &Disk<'_>, host_dir: &HostDirectory) -> anyhow::Result<()> {
    let expected = disk.now();
    for name in FILES {
        let actual = std::fs::read(host_dir.file(name)).ok();
        ensure!(actual.as_ref() == expected.get(name), "the recording does not reproduce the file {name}");
    }
    let names = host_dir.files()?;
    let unknown = names.iter().find(|name| !FILES.contains(&name.as_str()) && !UNRECORDED.contains(&name.as_str()));
    ensure!(unknown.is_none(), "the shim does not record {unknown:?}, so no rebuilt disk would have it");
    Ok(())
}

/// Puts a rebuilt disk in place, starts a host on it, and audits it against the events acknowledged before the cut.
fn open(host_dir: &HostDirectory, cut: &Cut, client_record: &ClientRecord) -> anyhow::Result<Opened> {
    host_dir.clear()?;
    for (name, content) in &cut.files {
        std::fs::write(host_dir.file(name), content)?;
    }
    let node = host_dir.start()?;
    let findings = audit(&node.target.client(), client_record, cut.mark).context("after the start")?;
    Ok(Opened { recovery: node.started_in(), findings })
}
