//! The options of a run: how much is done, where, and with which seed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;
use fastrand::Rng;
use tempfile::TempDir;

use crate::host::HostDirectory;
use crate::shim::Shim;

/// The guests that run during the storage faults.
pub(crate) const GUESTS: [&str; 5] = ["ledger", "ordered", "registration", "registration-handler", "flaky"];

/// The in-memory file system of Linux.
const MEMORY: &str = "/dev/shm";

/// The options of a run.
#[derive(Debug)]
pub(crate) struct RunOptions {
    /// The number of kills, and of power cuts.
    pub(crate) rounds: usize,
    pub(crate) shim: Shim,
    short: bool,
    seed: u64,
    disk: TempDir,
    memory: TempDir,
    /// The compiled code of the guests, so that hosts start fast.
    cache: OnceLock<PathBuf>,
}

impl RunOptions {
    pub(crate) fn new(short: bool, rounds: Option<usize>, seed: u64) -> anyhow::Result<Self> {
        let disk = tempfile::tempdir().context("no directory for temporary files")?;
        let shim = Shim::build(disk.path())?;
        // Thousands of rebuilt disks are opened. They are in memory, because a real disk would be slower.
        let memory = if has_room(MEMORY) { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() }?;
        let rounds = rounds.unwrap_or(if short { 40 } else { 1_000 });
        Ok(Self { rounds, shim, short, seed, disk, memory, cache: OnceLock::new() })
    }

    /// Selects a value for a short or a long run.
    pub(crate) fn choose<T>(&self, short: T, long: T) -> T {
        if self.short { short } else { long }
    }

    /// The random numbers of one scenario, determined by the seed.
    pub(crate) fn rng(&self, scenario: &str) -> Rng {
        let salt = scenario.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Rng::with_seed(self.seed.wrapping_add(salt))
    }

    /// A new directory for a host, on the disk.
    pub(crate) fn host_dir(&self, name: &str) -> anyhow::Result<HostDirectory> {
        self.host_dir_in(self.disk.path(), name)
    }

    /// A new directory for a host, in memory if the system supports that.
    pub(crate) fn host_dir_in_memory(&self, name: &str) -> anyhow::Result<HostDirectory> {
        self.host_dir_in(self.memory.path(), name)
    }

    /// A new directory for a host, with only these guests.
    pub(crate) fn host_dir_with(&self, name: &str, guests: &[&str]) -> anyhow::Result<HostDirectory> {
        let host_dir = HostDirectory::new(self.disk.path().join(name), guests)?;
        host_dir.copy_compiled_code(self.cache()?)?;
        Ok(host_dir)
    }

    fn host_dir_in(&self, directory: &Path, name: &str) -> anyhow::Result<HostDirectory> {
        let host_dir = HostDirectory::new(directory.join(name), &GUESTS)?;
        host_dir.copy_compiled_code(self.cache()?)?;
        Ok(host_dir)
    }

    /// The compiled guests, from a host that is started once for that.
    pub(crate) fn cache(&self) -> anyhow::Result<&Path> {
        if let Some(cache) = self.cache.get() {
            return Ok(cache);
        }
        let host_dir = HostDirectory::new(self.disk.path().join("warm"), &GUESTS)?;
        drop(host_dir.start()?);
        Ok(self.cache.get_or_init(|| host_dir.cache()))
    }
}

/// Whether a file system exists and has enough space. Containers often have a tiny one.
fn has_room(directory: &str) -> bool {
    const KILOBYTES: u64 = 256 << 10;
    let output = Command::new("df").args(["-k", "--output=avail", directory]).output();
    let free =
        output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.lines().last()?.trim().parse().ok());
    free.is_some_and(|free: u64| free >= KILOBYTES)
}
