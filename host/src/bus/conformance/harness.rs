//! How a bus is set up for a test.

use std::any::Any;
use std::fmt::Debug;
use std::time::Duration;

use crate::bus::{BoxFuture, Bus, Settings, SharedBus};
use crate::clock::Clock;

/// Opens buses of one kind for tests.
pub trait BusFixture: Debug + Send + Sync {
    /// Opens an empty bus whose clock is set to [`START`](super::START).
    fn open(&self, settings: Settings) -> BoxFuture<'_, Box<dyn BusHost>>;
}

/// One host of a bus under test.
pub trait BusHost: Debug + Send + Sync {
    /// The bus.
    fn bus(&self) -> SharedBus;

    /// The bus's clock, which the test moves.
    fn clock(&self) -> Clock;

    /// Crashes, and opens the store again. Everything that was acknowledged must be there.
    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>>;

    /// Closes the bus, and opens it again.
    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>>;

    /// Makes the store unavailable for changes until the returned value is dropped.
    fn make_unavailable(&self) -> Box<dyn Any + Send>;

    /// How long a claim of a delivery that is ready may take.
    fn claim_time(&self) -> Duration {
        Duration::from_millis(3)
    }

    /// Lets other hosts claim deliveries, too.
    fn share(&self) {}

    /// Replaces the limits of the host that runs the engine.
    fn set_limits(&self, settings: &Settings) {
        self.bus().set_limits(settings);
    }

    /// Ends all connections of this host to others and to the store, at once and without a word.
    fn cut_off(&self) {}

    /// Another host on the same store, with the same clock. None if the bus supports only one host.
    fn another_host(&self) -> BoxFuture<'_, Option<Box<dyn BusHost>>> {
        Box::pin(async { None })
    }
}

/// The bus under test, for a test case.
#[derive(Debug)]
pub struct Harness {
    running: Box<dyn BusHost>,
    bus: SharedBus,
    clock: Clock,
}

impl Harness {
    /// Opens an empty bus.
    pub async fn open(fixture: &dyn BusFixture, settings: Settings) -> Self {
        Self::on(fixture.open(settings).await)
    }

    fn on(running: Box<dyn BusHost>) -> Self {
        let (bus, clock) = (running.bus(), running.clock());
        Self { running, bus, clock }
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    /// The bus's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes the store unavailable for changes until the returned value is dropped.
    #[must_use]
    pub fn make_unavailable(&self) -> Box<dyn Any + Send> {
        self.running.make_unavailable()
    }

    /// Another host on the same store. None if the bus supports only one host.
    pub async fn another_host(&self) -> Option<Self> {
        self.running.another_host().await.map(Self::on)
    }

    /// How long a claim of a delivery that is ready may take.
    #[must_use]
    pub fn claim_time(&self) -> Duration {
        self.running.claim_time()
    }

    /// Replaces the limits.
    pub fn set_limits(&self, settings: &Settings) {
        self.running.set_limits(settings);
    }

    /// Ends all connections of this host to others and to the store.
    pub fn cut_off(&self) {
        self.running.cut_off();
    }

    /// Crashes, and opens the store again.
    pub async fn crash(self) -> Self {
        let Self { running, bus, .. } = self;
        let left = running.crash().await;
        drop(bus);
        Self::on(left)
    }

    /// Closes the bus, and opens it again.
    pub async fn restart(self) -> Self {
        let Self { running, bus, .. } = self;
        drop(bus);
        Self::on(running.restart().await)
    }
}

/// Gives access to the bus under test.
pub(crate) trait HasBus {
    fn bus(&self) -> &dyn Bus;
}

impl HasBus for Harness {
    fn bus(&self) -> &dyn Bus {
        &*self.bus
    }
}
