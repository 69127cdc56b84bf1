//! Simulates a crash of the host right after a commit, for scenarios.
//!
//! The files of the store are copied as they are after the commit, before anybody learns of it, and the writer ends. A
//! bus that opens the copy finds what a host finds that starts after it was killed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The names of the store's files. SQLite restores the others.
const FILES: [&str; 2] = ["bus.db", "bus.db-wal"];

/// The commit after which the bus crashes.
#[derive(Debug)]
pub struct CrashPoint {
    /// The number of the commit, from 1.
    commit: u64,
    /// The directory for the copy of the store.
    copy: PathBuf,
    progress: Mutex<Progress>,
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
    /// Whether the commit had the effects of a request's handler.
    pub with_effects: bool,
}

impl CrashPoint {
    /// Crashes after a commit, and leaves the store in a directory.
    #[must_use]
    pub fn new(commit: u64, copy: PathBuf) -> Self {
        Self { commit, copy, progress: Mutex::default() }
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

    /// Counts a commit that changed the store. Returns whether the bus crashes after it.
    pub(super) fn note_commit(&self, store: &Path, with_effects: bool) -> std::io::Result<bool> {
        let mut progress = self.progress();
        if !progress.counts {
            return Ok(false);
        }
        progress.commits += 1;
        if progress.commits != self.commit {
            return Ok(false);
        }
        std::fs::create_dir_all(&self.copy)?;
        for name in FILES {
            let file = store.with_file_name(name);
            if file.exists() {
                std::fs::copy(file, self.copy.join(name))?;
            }
        }
        progress.crash = Some(Crash { with_effects });
        Ok(true)
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
