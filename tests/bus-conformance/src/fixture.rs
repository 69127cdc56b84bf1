//! The embedded bus behind a wrapper.

use std::any::Any;
use std::sync::Arc;

use sandbus_host::bus::conformance::{BusFixture, BusHost};
use sandbus_host::bus::{BoxFuture, EmbeddedFixture, Retention, Settings, SharedBus};
use sandbus_host::clock::Clock;

use crate::Fault;
use crate::bus::FaultyBus;

/// The embedded bus, with a fault or without one.
#[derive(Clone, Copy, Debug)]
pub struct FaultyFixture(pub Option<Fault>);

impl BusFixture for FaultyFixture {
    fn open(&self, mut settings: Settings) -> BoxFuture<'_, Box<dyn BusHost>> {
        if self.0 == Some(Fault::DeletesNothing) {
            settings.retention = Retention::default();
        }
        Box::pin(async move {
            let running = EmbeddedFixture.open(settings.clone()).await;
            FaultyHost::boxed(running, settings, self.0)
        })
    }
}

#[derive(Debug)]
struct FaultyHost {
    running: Box<dyn BusHost>,
    settings: Settings,
    fault: Option<Fault>,
}

impl FaultyHost {
    fn boxed(running: Box<dyn BusHost>, settings: Settings, fault: Option<Fault>) -> Box<dyn BusHost> {
        Box::new(Self { running, settings, fault })
    }
}

impl BusHost for FaultyHost {
    fn bus(&self) -> SharedBus {
        Arc::new(FaultyBus::new(self.running.bus(), self.fault))
    }

    fn clock(&self) -> Clock {
        self.running.clock()
    }

    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move {
            let Self { running, settings, fault } = *self;
            let left = match fault {
                Some(Fault::ForgetsInCrash) => EmbeddedFixture.open(settings.clone()).await,
                _ => running.crash().await,
            };
            Self::boxed(left, settings, fault)
        })
    }

    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move {
            let Self { running, settings, fault } = *self;
            Self::boxed(running.restart().await, settings, fault)
        })
    }

    fn make_unavailable(&self) -> Box<dyn Any + Send> {
        self.running.make_unavailable()
    }
}
