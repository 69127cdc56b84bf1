//! How an engine is set up for a case.

use std::any::Any;
use std::fmt::Debug;

use crate::bus::{BoxFuture, Bus, Settings, SharedBus};
use crate::clock::Clock;

/// An engine that is tested.
pub trait Engine: Debug + Send + Sync {
    /// Opens an empty bus, whose clock stands at [`START`](super::START).
    fn open(&self, settings: Settings) -> BoxFuture<'_, Box<dyn EngineHost>>;
}

/// A bus that a case works with, as one host of it has it.
pub trait EngineHost: Debug + Send + Sync {
    /// The bus.
    fn bus(&self) -> SharedBus;

    /// Its clock, which the case moves.
    fn clock(&self) -> Clock;

    /// What is found after a crash: everything that was acknowledged.
    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn EngineHost>>;

    /// What is found after it was closed and opened again.
    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn EngineHost>>;

    /// Keeps the store from taking changes until the returned value is dropped: the bus finds it unavailable.
    fn cut_off(&self) -> Box<dyn Any + Send>;

    /// Another host on the same store, with the same clock. None for an engine that one host has to itself.
    fn another_host(&self) -> BoxFuture<'_, Option<Box<dyn EngineHost>>> {
        Box::pin(async { None })
    }
}

/// What a case works with.
#[derive(Debug)]
pub struct Harness {
    running: Box<dyn EngineHost>,
    bus: SharedBus,
    clock: Clock,
}

impl Harness {
    /// Opens an empty bus.
    pub async fn open(engine: &dyn Engine, settings: Settings) -> Self {
        Self::on(engine.open(settings).await)
    }

    fn on(running: Box<dyn EngineHost>) -> Self {
        let (bus, clock) = (running.bus(), running.clock());
        Self { running, bus, clock }
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Keeps the store from taking changes until the returned value is dropped.
    #[must_use]
    pub fn cut_off(&self) -> Box<dyn Any + Send> {
        self.running.cut_off()
    }

    /// Another host on the same store; none where one host has it to itself.
    pub async fn another_host(&self) -> Option<Self> {
        self.running.another_host().await.map(Self::on)
    }

    /// Crashes, and opens what is left.
    pub async fn crash(self) -> Self {
        let Self { running, bus, .. } = self;
        let left = running.crash().await;
        drop(bus);
        Self::on(left)
    }

    /// Closes, and opens again.
    pub async fn restart(self) -> Self {
        let Self { running, bus, .. } = self;
        drop(bus);
        Self::on(running.restart().await)
    }
}

/// What has a bus that is tested.
pub(crate) trait HasBus {
    fn bus(&self) -> &dyn Bus;
}

impl HasBus for Harness {
    fn bus(&self) -> &dyn Bus {
        &*self.bus
    }
}
