//! Simulates a crash of the host right before or after a commit, for scenarios.
//!
//! The files of the store are copied as they are at that moment, and the writer ends before it reports the commit. A
//! bus that opens the copy finds the store as the next start of a killed host would find it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The names of the store's files. SQLite restores the others.
const FILES: [&str; 2] = ["bus.db", "bus.db-wal"];

/// The commit at which the bus crashes.
#[derive(Debug)]
pub struct CrashPoint {
    at: CommitMoment,
    /// The directory for the copy of the store.
    copy: PathBuf,
    progress: Mutex<Progress>,
}

/// The moment before or after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitMoment {
    /// The number of the commit, from 1.
    pub commit: u64,
    /// Whether it is the moment after the commit.
    pub after: bool,
}

#[derive(Debug, Default)]
struct Progress {
    counts: bool,
    commits: u64,
    crash: Option<Crash>,
}

/// A crash that took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Whether the commit took place.
    pub committed: bool,
    /// Whether the effects of a request's handler were committed just before.
    pub with_effects: bool,
}

impl CrashPoint {
    /// Crashes at a moment, and leaves the store in a directory.
    #[must_use]
    pub fn new(at: CommitMoment, copy: PathBuf) -> Self {
        Self { at, copy, progress: Mutex::default() }
    }

    /// Begins to count commits.
    pub fn start(&self) {
        self.progress().counts = true;
    }

    /// The number of commits so far that changed the store.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.progress().commits
    }

    /// The crash, if it took place.
    #[must_use]
    pub fn crash(&self) -> Option<Crash> {
        self.progress().crash
    }

    /// The directory with the store after the crash.
    #[must_use]
    pub fn copy(&self) -> &Path {
        &self.copy
    }

    /// Notes the moment before or after a commit that changes the store. Returns whether the bus crashes.
    pub(super) fn pass(&self, after: bool, store: &Path, with_effects: bool) -> std::io::Result<bool> {
        let mut progress = self.progress();
        if !progress.counts {
            return Ok(false);
        }
        progress.commits += u64::from(!after);
        if self.at != (CommitMoment { commit: progress.commits, after }) {
            return Ok(false);
        }
        std::fs::create_dir_all(&self.copy)?;
        for name in FILES {
            let file = store.with_file_name(name);
            if file.exists() {
                std::fs::copy(file, self.copy.join(name))?;
            }
        }
        progress.crash = Some(Crash { committed: after, with_effects: with_effects && after });
        Ok(true)
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
