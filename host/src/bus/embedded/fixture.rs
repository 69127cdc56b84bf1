//! The embedded bus, for the conformance suite.
#![allow(clippy::unwrap_used, reason = "this is test code, even if it is compiled for the tests of another crate")]

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::open;
use crate::bus::conformance::{BusFixture, BusHost, START};
use crate::bus::{BoxFuture, DurableBus, Lifecycle as _, Settings, SharedBus};
use crate::clock::Clock;

/// The embedded bus, each time in a new directory.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFixture;

impl BusFixture for EmbeddedFixture {
    fn open(&self, settings: Settings) -> BoxFuture<'_, Box<dyn BusHost>> {
        Box::pin(async move {
            let directory = tempfile::tempdir().expect("a directory can be made");
            EmbeddedHost::open(directory, Clock::manual(START), settings)
        })
    }
}

/// A crash is simulated by a bus that opens a copy of the files, made while the first one still runs.
#[derive(Debug)]
struct EmbeddedHost {
    bus: DurableBus,
    clock: Clock,
    settings: Settings,
    directory: TempDir,
}

impl EmbeddedHost {
    fn open(directory: TempDir, clock: Clock, settings: Settings) -> Box<dyn BusHost> {
        let bus = open(directory.path(), clock.clone(), settings.clone()).unwrap();
        Box::new(Self { bus, clock, settings, directory })
    }
}

/// A copy of the files of an embedded bus.
pub(super) fn copy(directory: &Path, names: &[&str]) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in names {
        let from = directory.join(name);
        if from.exists() {
            std::fs::copy(&from, copy.path().join(name)).unwrap();
        }
    }
    copy
}

impl BusHost for EmbeddedHost {
    fn bus(&self) -> SharedBus {
        Arc::new(self.bus.clone())
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Locks the store, like another program that writes to it.
    fn make_unavailable(&self) -> Box<dyn Any + Send> {
        let other = Connection::open(self.directory.path().join("bus.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(other)
    }

    fn share(&self) {
        self.bus.share();
    }

    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move {
            let copy = copy(self.directory.path(), &["bus.db", "bus.db-wal"]);
            Self::open(copy, self.clock.clone(), self.settings.clone())
        })
    }

    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move {
            self.bus.close().await;
            let copy = copy(self.directory.path(), &["bus.db"]);
            Self::open(copy, self.clock.clone(), self.settings.clone())
        })
    }
}
