//! Disks that are full, fail to sync, or are read-only.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use fastrand::Rng;

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{HostDirectory, HostProcess, PATIENCE, last_lines, until};
use crate::load::{Load, wait_for};
use crate::report::FaultReport;
use crate::run_options::RunOptions;
use crate::shim::{Control, Slot};

/// The response to a publisher when the disk is full: the status and the code.
const DISK_FULL: &str = "507 disk-full";
/// The time limit for a host to exit after its store has failed.
const SECONDS: Duration = Duration::from_secs(10);

/// A small file system in memory.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Mounts a file system. None if that is not permitted.
    fn new(path: PathBuf) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(&path)?;
        let mounted = mount(&["-t", "tmpfs", "-o", "size=128m", "tmpfs"], &path);
        Ok(mounted.then_some(Self { path }))
    }

    fn remount(&self, mode: &str) -> anyhow::Result<()> {
        ensure!(mount(&["-o", &format!("remount,{mode}")], &self.path), "the file system cannot be made {mode}");
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A lazy unmount also works while the file system is in use.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let status = Command::new("mount").args(options).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A way to use up the space, and to release it.
enum Space {
    /// A file that fills a real file system.
    Ballast(PathBuf),
    /// The shim's limit.
    Quota(Control, PathBuf),
}

impl Space {
    fn take(&self) -> anyhow::Result<()> {
        match self {
            Self::Ballast(path) => {
                let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                // Until no more blocks fit.
                while file.write_all(&[0; 4096]).is_ok() {}
                Ok(())
            }
            Self::Quota(control, data) => {
                let length = |name: &str| std::fs::metadata(data.join(name)).map_or(0, |metadata| metadata.len());
                let used = length("bus.db") + length("bus.db-wal");
                control.set(Slot::Quota, i64::try_from(used)?)
            }
        }
    }

    fn give_back(&self) -> anyhow::Result<()> {
        match self {
            Self::Ballast(path) => Ok(std::fs::remove_file(path)?),
            Self::Quota(control, _) => control.set(Slot::Quota, 0),
        }
    }
}

/// The disk is full under load, and has space again later. The host refuses requests for which there is no space, loses
/// nothing, and needs no restart. A quota is tested, too, because not every user may mount a disk.
pub(crate) fn full(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("disk-full");
    let mut report = FaultReport::default();
    let rounds = options.choose(2, 20);

    let host_dir = options.host_dir("disk-full")?;
    let (launch, control) = options.shim.attach(host_dir.launch(), host_dir.data(), None)?;
    let space = Space::Quota(control, host_dir.data().to_owned());
    fill(&host_dir, HostProcess::start(&launch)?, &space, rounds, &mut rng, &mut report)?;
    report.note = "a quota".to_owned();

    if let Some(mount) = Mount::new(host_dir.data().with_extension("small"))? {
        let host_dir = host_dir.with_data(mount.path.join("data"));
        host_dir.copy_compiled_code(options.cache()?)?;
        let space = Space::Ballast(mount.path.join("ballast"));
        fill(&host_dir, host_dir.start()?, &space, rounds, &mut rng, &mut report)?;
        report.note.push_str(", a small file system");
    }
    Ok(report)
}

/// Repeatedly uses up the space of a running host, and releases it.
fn fill(
    host_dir: &HostDirectory,
    mut node: HostProcess,
    space: &Space,
    rounds: usize,
    rng: &mut Rng,
    report: &mut FaultReport,
) -> anyhow::Result<()> {
    let (target, client_record) = (node.target.clone(), ClientRecord::default());
    for _ in 0..rounds {
        report.rounds += 1;
        Load::mixed(&target, &client_record, rng.u64(..)).during(&|| 0, || {
            wait_for(&client_record, client_record.acknowledged() + rng.u64(50..300), PATIENCE);
            let refusals = || client_record.traffic().refused.get(DISK_FULL).copied().unwrap_or(0);
            let before = refusals();
            space.take()?;
            until(PATIENCE, "publishers are told that the disk is full", || {
                ensure!(client_record.traffic().unanswered == 0, "a publisher got no answer");
                Ok((refusals() > before + 50).then_some(()))
            })?;
            space.give_back()?;
            let goal = client_record.acknowledged() + 100;
            let accepts = wait_for(&client_record, goal, PATIENCE);
            report.check(accepts, || "the host accepts nothing although there is space again".to_owned());
            anyhow::Ok(())
        })?;
        report.check(node.runs(), || format!("the host has ended: {}", last_lines(&node.log())));
    }
    let others: Vec<_> = client_record.traffic().refused.keys().filter(|code| *code != DISK_FULL).cloned().collect();
    report.check(others.is_empty(), || format!("refused for other reasons: {others:?}"));
    let Findings { problems, .. } = audit(&target.client(), &client_record, u64::MAX)?;
    report.problems.extend(problems);
    node.kill();
    end(host_dir, &client_record, report)
}

/// Starts a host without a fault, and audits it.
fn end(host_dir: &HostDirectory, client_record: &ClientRecord, report: &mut FaultReport) -> anyhow::Result<()> {
    let node = host_dir.start()?;
    report.recovery.push(node.started_in());
    let Findings { counts, problems } = audit(&node.target.client(), client_record, u64::MAX)?;
    report.add(counts, problems);
    Ok(())
}

/// All syncs fail after a random number of them.
pub(crate) fn failing_fsync(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("failing-fsync");
    let mut report = FaultReport { rounds: options.choose(4, 40), ..FaultReport::default() };
    for round in 0..report.rounds {
        let host_dir = options.host_dir(&format!("failing-fsync-{round}"))?;
        let nth = rng.i64(1..20);
        store_fails(options, &host_dir, (Slot::FailSyncs, nth), &mut rng, &mut report)?;
        host_dir.remove()?;
    }
    Ok(report)
}

/// Writes fail: under load, and at a start.
pub(crate) fn read_only(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("read-only");
    let mut report = FaultReport { rounds: options.choose(3, 30), ..FaultReport::default() };
    for round in 0..report.rounds {
        let host_dir = options.host_dir(&format!("read-only-{round}"))?;
        store_fails(options, &host_dir, (Slot::ReadOnly, 1), &mut rng, &mut report)?;
        host_dir.remove()?;
    }
    let host_dir = options.host_dir("read-only-mount")?;
    match Mount::new(host_dir.data().with_extension("small"))? {
        Some(mount) => {
            start_read_only(options, &host_dir.with_data(mount.path.join("data")), &mount, &mut rng, &mut report)?
        }
        None => "nothing could be mounted".clone_into(&mut report.note),
    }
    Ok(report)
}

/// The store fails under load. From then on nothing may be acknowledged, and the host must exit with an explanation.
/// After the next start, everything that was acknowledged must exist.
fn store_fails(
    options: &RunOptions,
    host_dir: &HostDirectory,
    (fault, value): (Slot, i64),
    rng: &mut Rng,
    report: &mut FaultReport,
) -> anyhow::Result<()> {
    let (launch, control) = options.shim.attach(host_dir.launch(), host_dir.data(), None)?;
    let mut node = HostProcess::start(&launch)?;
    let (target, client_record) = (node.target.clone(), ClientRecord::default());
    let failed = Load::mixed(&target, &client_record, rng.u64(..)).during(&|| 0, || {
        ensure!(wait_for(&client_record, rng.u64(20..200), PATIENCE), "nothing is acknowledged");
        control.set(fault, value)?;
        until(PATIENCE, "the store has failed", || Ok((control.get(Slot::Faults)? > 0).then_some(())))?;
        let failed = Instant::now();
        let status = node.wait_for_end(SECONDS).context("the host continues after its store has failed")?;
        report.check(status.code().is_some_and(|code| code != 0), || format!("it ended with {status}"));
        Ok(failed)
    })?;
    let late = client_record.traffic().acknowledged.iter().filter(|one| one.began > failed).count();
    report.check(late == 0, || format!("{late} events were acknowledged after the store had failed"));
    let log = node.log();
    report.check(says_why(&log), || format!("it does not say why it exited: {}", last_lines(&log)));

    if matches!(fault, Slot::ReadOnly) {
        let refused = HostProcess::start(&launch).map(drop).map_err(|error| format!("{error:#}"));
        report.check(refused.as_ref().is_err_and(|why| says_why(why)), || {
            format!("started on a read-only disk: {refused:?}")
        });
    }
    control.set(fault, 0)?;
    end(host_dir, &client_record, report)
}

/// Whether a log states why the store failed.
fn says_why(log: &str) -> bool {
    let log = log.to_lowercase();
    ["disk i/o error", "readonly", "read-only"].iter().any(|words| log.contains(words))
}

/// The file system becomes read-only while the host is down. The host must refuse to start on it.
fn start_read_only(
    options: &RunOptions,
    host_dir: &HostDirectory,
    mount: &Mount,
    rng: &mut Rng,
    report: &mut FaultReport,
) -> anyhow::Result<()> {
    host_dir.copy_compiled_code(options.cache()?)?;
    let mut node = host_dir.start()?;
    let (target, client_record) = (node.target.clone(), ClientRecord::default());
    Load::mixed(&target, &client_record, rng.u64(..)).until_acknowledged(50, PATIENCE);
    node.kill();
    mount.remount("ro")?;
    let refused = host_dir.start().map(drop).map_err(|error| format!("{error:#}"));
    report.check(refused.as_ref().is_err_and(|why| says_why(why)), || {
        format!("started on a read-only disk: {refused:?}")
    });
    mount.remount("rw")?;
    end(host_dir, &client_record, report)
}
