//! Disks that are full, fail to sync, or cannot be written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use fastrand::Rng;

use crate::account::Account;
use crate::audit::{Findings, audit};
use crate::load::{Load, wait_for};
use crate::plan::Plan;
use crate::row::Row;
use crate::shim::{Control, Slot};
use crate::site::{Node, PATIENCE, Site, last_lines, until};

/// What a publisher is told when the disk is full: the status and the code.
const DISK_FULL: &str = "507 disk-full";
/// How soon a host must have ended after its store failed.
const SECONDS: Duration = Duration::from_secs(10);

/// A small file system in memory.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Mounts one; none where that is not allowed.
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
        // If somebody still looks at it, it goes with them.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let status = Command::new("mount").args(options).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// What takes the space away, and gives it back.
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
                // Until not even one more block fits.
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

/// The disk fills up under load, and has space again later: what does not fit is refused, nothing else is
/// lost, and nobody has to restart anything. A quota stands in for the disk too, since not everybody may
/// mount one.
pub(crate) fn full(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("disk-full");
    let mut row = Row::default();
    let rounds = plan.choose(2, 20);

    let site = plan.site("disk-full")?;
    let (launch, control) = plan.shim.attach(site.launch(), site.data(), None)?;
    let space = Space::Quota(control, site.data().to_owned());
    fill(&site, Node::start(&launch)?, &space, rounds, &mut rng, &mut row)?;
    row.note = "a quota".to_owned();

    if let Some(mount) = Mount::new(site.data().with_extension("small"))? {
        let site = site.with_data(mount.path.join("data"));
        site.warm(plan.cache()?)?;
        let space = Space::Ballast(mount.path.join("ballast"));
        fill(&site, site.start()?, &space, rounds, &mut rng, &mut row)?;
        row.note.push_str(", a small file system");
    }
    Ok(row)
}

/// Takes the space of a running host, again and again, and gives it back.
fn fill(site: &Site, mut node: Node, space: &Space, rounds: usize, rng: &mut Rng, row: &mut Row) -> anyhow::Result<()> {
    let (target, account) = (node.target.clone(), Account::default());
    for _ in 0..rounds {
        row.rounds += 1;
        Load::mixed(&target, &account, rng.u64(..)).during(&|| 0, || {
            wait_for(&account, account.acknowledged() + rng.u64(50..300), PATIENCE);
            let refusals = || account.book().refused.get(DISK_FULL).copied().unwrap_or(0);
            let before = refusals();
            space.take()?;
            until(PATIENCE, "publishers are told that the disk is full", || {
                ensure!(account.book().unanswered == 0, "a publisher got no answer");
                Ok((refusals() > before + 50).then_some(()))
            })?;
            space.give_back()?;
            let goal = account.acknowledged() + 100;
            row.check(wait_for(&account, goal, PATIENCE), || "with space again, nothing is taken".to_owned());
            anyhow::Ok(())
        })?;
        row.check(node.runs(), || format!("the host has ended: {}", last_lines(&node.log())));
    }
    let others: Vec<_> = account.book().refused.keys().filter(|code| *code != DISK_FULL).cloned().collect();
    row.check(others.is_empty(), || format!("refused for other reasons: {others:?}"));
    let Findings { problems, .. } = audit(&target.client(), &account, u64::MAX)?;
    row.problems.extend(problems);
    node.kill();
    end(site, &account, row)
}

/// Starts a host without any fault, and holds it to everything that was acknowledged.
fn end(site: &Site, account: &Account, row: &mut Row) -> anyhow::Result<()> {
    let node = site.start()?;
    row.recovery.push(node.started_in());
    let Findings { counts, problems } = audit(&node.target.client(), account, u64::MAX)?;
    row.add(counts, problems);
    Ok(())
}

/// Syncs fail, from any one on.
pub(crate) fn failing_fsync(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("failing-fsync");
    let mut row = Row { rounds: plan.choose(4, 40), ..Row::default() };
    for round in 0..row.rounds {
        let site = plan.site(&format!("failing-fsync-{round}"))?;
        let nth = rng.i64(1..20);
        store_fails(plan, &site, (Slot::FailSyncs, nth), &mut rng, &mut row)?;
        site.remove()?;
    }
    Ok(row)
}

/// Writes fail, under load and at a start.
pub(crate) fn read_only(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("read-only");
    let mut row = Row { rounds: plan.choose(3, 30), ..Row::default() };
    for round in 0..row.rounds {
        let site = plan.site(&format!("read-only-{round}"))?;
        store_fails(plan, &site, (Slot::ReadOnly, 1), &mut rng, &mut row)?;
        site.remove()?;
    }
    let site = plan.site("read-only-mount")?;
    match Mount::new(site.data().with_extension("small"))? {
        Some(mount) => start_read_only(plan, &site.with_data(mount.path.join("data")), &mount, &mut rng, &mut row)?,
        None => "nothing could be mounted".clone_into(&mut row.note),
    }
    Ok(row)
}

/// Lets the store fail under load: from then on nothing may be acknowledged, and the host must end by
/// itself and say why. What it has acknowledged must be there at the next start.
fn store_fails(
    plan: &Plan,
    site: &Site,
    (fault, value): (Slot, i64),
    rng: &mut Rng,
    row: &mut Row,
) -> anyhow::Result<()> {
    let (launch, control) = plan.shim.attach(site.launch(), site.data(), None)?;
    let mut node = Node::start(&launch)?;
    let (target, account) = (node.target.clone(), Account::default());
    let failed = Load::mixed(&target, &account, rng.u64(..)).during(&|| 0, || {
        ensure!(wait_for(&account, rng.u64(20..200), PATIENCE), "nothing is acknowledged");
        control.set(fault, value)?;
        until(PATIENCE, "the store has failed", || Ok((control.get(Slot::Faults)? > 0).then_some(())))?;
        let failed = Instant::now();
        let status = node.wait_for_end(SECONDS).context("the host goes on after its store failed")?;
        row.check(status.code().is_some_and(|code| code != 0), || format!("it ended with {status}"));
        Ok(failed)
    })?;
    let late = account.book().acknowledged.iter().filter(|one| one.began > failed).count();
    row.check(late == 0, || format!("{late} events were acknowledged after the store had failed"));
    let log = node.log();
    row.check(says_why(&log), || format!("it does not say why it ended: {}", last_lines(&log)));

    if matches!(fault, Slot::ReadOnly) {
        let refused = Node::start(&launch).map(drop).map_err(|error| format!("{error:#}"));
        row.check(refused.as_ref().is_err_and(|why| says_why(why)), || {
            format!("started on a read-only disk: {refused:?}")
        });
    }
    control.set(fault, 0)?;
    end(site, &account, row)
}

/// Whether a log names the store's trouble.
fn says_why(log: &str) -> bool {
    let log = log.to_lowercase();
    ["disk i/o error", "readonly", "read-only"].iter().any(|words| log.contains(words))
}

/// A file system that can only be read while the host is down: it must refuse to start there.
fn start_read_only(plan: &Plan, site: &Site, mount: &Mount, rng: &mut Rng, row: &mut Row) -> anyhow::Result<()> {
    site.warm(plan.cache()?)?;
    let mut node = site.start()?;
    let (target, account) = (node.target.clone(), Account::default());
    Load::mixed(&target, &account, rng.u64(..)).until_acknowledged(50, PATIENCE);
    node.kill();
    mount.remount("ro")?;
    let refused = site.start().map(drop).map_err(|error| format!("{error:#}"));
    row.check(refused.as_ref().is_err_and(|why| says_why(why)), || format!("started on a read-only disk: {refused:?}"));
    mount.remount("rw")?;
    end(site, &account, row)
}
