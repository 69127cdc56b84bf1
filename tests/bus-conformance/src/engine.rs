//! The embedded bus behind a wrapper.

use std::any::Any;
use std::sync::Arc;

use sandbus_host::bus::conformance::{Engine, EngineHost};
use sandbus_host::bus::{BoxFuture, EmbeddedEngine, Retention, Settings, SharedBus};
use sandbus_host::clock::Clock;

use crate::Fault;
use crate::bus::FaultyBus;

/// The embedded bus, with a fault or without one.
#[derive(Clone, Copy, Debug)]
pub struct FaultyEngine(pub Option<Fault>);

impl Engine for FaultyEngine {
    fn open(&self, mut settings: Settings) -> BoxFuture<'_, Box<dyn EngineHost>> {
        if self.0 == Some(Fault::DeletesNothing) {
            settings.retention = Retention::default();
        }
        Box::pin(async move {
            let running = EmbeddedEngine.open(settings.clone()).await;
            FaultyHost::boxed(running, settings, self.0)
        })
    }
}

#[derive(Debug)]
struct FaultyHost {
    running: Box<dyn EngineHost>,
    settings: Settings,
    fault: Option<Fault>,
}

impl FaultyHost {
    fn boxed(running: Box<dyn EngineHost>, settings: Settings, fault: Option<Fault>) -> Box<dyn EngineHost> {
        Box::new(Self { running, settings, fault })
    }
}

impl EngineHost for FaultyHost {
    fn bus(&self) -> SharedBus {
        Arc::new(FaultyBus::new(self.running.bus(), self.fault))
    }

    fn clock(&self) -> Clock {
        self.running.clock()
    }

    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn EngineHost>> {
        Box::pin(async move {
            let Self { running, settings, fault } = *self;
            let left = match fault {
                Some(Fault::ForgetsInCrash) => EmbeddedEngine.open(settings.clone()).await,
                _ => running.crash().await,
            };
            Self::boxed(left, settings, fault)
        })
    }

    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn EngineHost>> {
        Box::pin(async move {
            let Self { running, settings, fault } = *self;
            Self::boxed(running.restart().await, settings, fault)
        })
    }

    fn make_unavailable(&self) -> Box<dyn Any + Send> {
        self.running.make_unavailable()
    }
}
