//! The bus on PostgreSQL, for the suite.

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};

use sandbus_host::bus::conformance::{BusFixture, BusHost, START};
use sandbus_host::bus::{BoxFuture, LeaseWait, Settings, SharedBus, StoreUrl, open};
use sandbus_host::clock::Clock;
use sandbus_tests::PostgresServer;
use tempfile::TempDir;

/// The bus on PostgreSQL, each time in a new schema of one server.
#[derive(Clone, Copy, Debug)]
pub struct PostgresFixture;

impl BusFixture for PostgresFixture {
    fn open(&self, settings: Settings) -> BoxFuture<'_, Box<dyn BusHost>> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(1);
        Box::pin(async move {
            let data = tempfile::tempdir().expect("a directory can be made");
            let schema = format!("case_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
            PostgresHost::open(schema, data, Clock::manual(START), settings).await
        })
    }
}

/// A host. A crash is simulated by a host that leaves without a goodbye. The next one has its data directory, and takes
/// over its lease.
#[derive(Debug)]
struct PostgresHost {
    bus: SharedBus,
    clock: Clock,
    settings: Settings,
    schema: String,
    data: TempDir,
}

impl PostgresHost {
    async fn open(schema: String, data: TempDir, clock: Clock, settings: Settings) -> Box<dyn BusHost> {
        let url = StoreUrl::parse(&PostgresServer::shared().url(&schema)).expect("the server has a URL");
        let bus = open(&url, data.path(), clock.clone(), settings.clone(), LeaseWait::default(), None).await;
        let bus = bus.expect("the database can be used");
        Box::new(Self { bus, clock, settings, schema, data })
    }
}

impl BusHost for PostgresHost {
    fn bus(&self) -> SharedBus {
        SharedBus::clone(&self.bus)
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Locks the row by which the host proves its lease, like a server that hangs.
    fn make_unavailable(&self) -> Box<dyn Any + Send> {
        Box::new(PostgresServer::shared().lock_table(&format!("{}.hosts", self.schema)))
    }

    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move {
            let Self { bus, clock, settings, schema, data } = *self;
            drop(bus);
            Self::open(schema, data, clock, settings).await
        })
    }

    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move {
            self.bus.close().await;
            let Self { bus, clock, settings, schema, data } = *self;
            drop(bus);
            Self::open(schema, data, clock, settings).await
        })
    }
}
