//! How much is done, where, and by which chance.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;
use fastrand::Rng;
use tempfile::TempDir;

use crate::host::HostDirectory;
use crate::shim::Shim;

/// The guests that the storage faults meet.
pub(crate) const GUESTS: [&str; 5] = ["ledger", "ordered", "registration", "registration-handler", "flaky"];

/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";

/// How much is done, where, and by which chance.
#[derive(Debug)]
pub(crate) struct RunOptions {
    /// How many kills, and how many power cuts.
    pub(crate) rounds: usize,
    pub(crate) shim: Shim,
    short: bool,
    seed: u64,
    disk: TempDir,
    memory: TempDir,
    /// The compiled code of the guests, so that no start has to wait for it.
    cache: OnceLock<PathBuf>,
}

impl RunOptions {
    pub(crate) fn new(short: bool, rounds: Option<usize>, seed: u64) -> anyhow::Result<Self> {
        let disk = tempfile::tempdir().context("no directory for temporary files")?;
        let shim = Shim::build(disk.path())?;
        // Rebuilt disks are opened by the thousand; in memory, since what a real one would add is only time.
        let memory = if has_room(MEMORY) { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() }?;
        let rounds = rounds.unwrap_or(if short { 40 } else { 1_000 });
        Ok(Self { rounds, shim, short, seed, disk, memory, cache: OnceLock::new() })
    }

    /// One number for the short form and one for the long.
    pub(crate) fn choose<T>(&self, short: T, long: T) -> T {
        if self.short { short } else { long }
    }

    /// Chance for one scenario, the same for the same seed.
    pub(crate) fn rng(&self, scenario: &str) -> Rng {
        let salt = scenario.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Rng::with_seed(self.seed.wrapping_add(salt))
    }

    /// A new place for a host, on the disk.
    pub(crate) fn host_dir(&self, name: &str) -> anyhow::Result<HostDirectory> {
        self.host_dir_in(self.disk.path(), name)
    }

    /// A new place for a host, in memory if the system has that.
    pub(crate) fn host_dir_in_memory(&self, name: &str) -> anyhow::Result<HostDirectory> {
        self.host_dir_in(self.memory.path(), name)
    }

    /// A new place for a host with these guests and nothing else.
    pub(crate) fn host_dir_with(&self, name: &str, guests: &[&str]) -> anyhow::Result<HostDirectory> {
        let host_dir = HostDirectory::new(self.disk.path().join(name), guests)?;
        host_dir.warm(self.cache()?)?;
        Ok(host_dir)
    }

    fn host_dir_in(&self, directory: &Path, name: &str) -> anyhow::Result<HostDirectory> {
        let host_dir = HostDirectory::new(directory.join(name), &GUESTS)?;
        host_dir.warm(self.cache()?)?;
        Ok(host_dir)
    }

    /// The compiled guests, from a host that was started for it.
    pub(crate) fn cache(&self) -> anyhow::Result<&Path> {
        if let Some(cache) = self.cache.get() {
            return Ok(cache);
        }
        let host_dir = HostDirectory::new(self.disk.path().join("warm"), &GUESTS)?;
        drop(host_dir.start()?);
        Ok(self.cache.get_or_init(|| host_dir.cache()))
    }
}

/// Whether a file system is there and has room for what is put there at a time: containers often get a tiny
/// one.
fn has_room(directory: &str) -> bool {
    const KILOBYTES: u64 = 256 << 10;
    let output = Command::new("df").args(["-k", "--output=avail", directory]).output();
    let free =
        output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.lines().last()?.trim().parse().ok());
    free.is_some_and(|free: u64| free >= KILOBYTES)
}
