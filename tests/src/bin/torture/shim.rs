//! Compiles the shim between the host and its files, attaches it, and controls it while the host runs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use sandbus_tests::Launch;

/// The numbers that control the shim, in the order of `enum slot` in `shim.c`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    /// A bit for each file whose syncs succeed and do nothing, by the numbers of `enum file`.
    IgnoreSyncs,
    /// 0: no sync fails; n: all syncs from the n-th on fail.
    FailSyncs,
    /// The maximum total size of the store's files in bytes; 0 for no limit.
    Quota,
    /// 1: all writes fail.
    ReadOnly,
    /// The number of seconds by which the wall clock is ahead.
    ClockOffset,
    /// A delay of each sync, in milliseconds.
    SyncDelay,
    /// The number of calls that the shim failed.
    Faults,
    /// The number of syncs that were requested.
    Syncs,
}

const SLOTS: usize = Slot::Syncs as usize + 1;

/// The built shim.
#[derive(Debug)]
pub(crate) struct Shim {
    object: PathBuf,
}

impl Shim {
    /// Compiles the shim into a directory.
    pub(crate) fn build(directory: &Path) -> anyhow::Result<Self> {
        let (source, object) = (directory.join("shim.c"), directory.join("shim.so"));
        std::fs::write(&source, include_str!("shim.c"))?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .args([&object, &source])
            .output()
            .context("the C compiler `cc` cannot be run")?;
        ensure!(output.status.success(), "shim.c does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { object })
    }

    /// Attaches the shim between a host that is about to start and the store in `data`. Its settings are stored next
    /// to that directory, so they also apply to the next start.
    pub(crate) fn attach(
        &self,
        launch: Launch,
        data: &Path,
        recording: Option<&Path>,
    ) -> anyhow::Result<(Launch, Control)> {
        let path = data.with_extension("control");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.set_len((SLOTS * size_of::<i64>()) as u64)?;
        let mut launch =
            launch.env("LD_PRELOAD", &self.object).env("SANDBUS_SHIM_ROOT", data).env("SANDBUS_SHIM_CONTROL", &path);
        if let Some(recording) = recording {
            launch = launch.env("SANDBUS_SHIM_RECORD", recording);
        }
        Ok((launch, Control { file }))
    }
}

/// Controls the shim, and reads its counters.
#[derive(Debug)]
pub(crate) struct Control {
    file: File,
}

impl Control {
    /// Sets a number.
    pub(crate) fn set(&self, slot: Slot, value: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&value.to_ne_bytes(), slot as u64 * size_of::<i64>() as u64)?)
    }

    /// Reads a number.
    pub(crate) fn get(&self, slot: Slot) -> anyhow::Result<i64> {
        let mut bytes = [0; size_of::<i64>()];
        self.file.read_exact_at(&mut bytes, slot as u64 * size_of::<i64>() as u64)?;
        Ok(i64::from_ne_bytes(bytes))
    }
}
