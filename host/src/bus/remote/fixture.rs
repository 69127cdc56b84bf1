//! A bus of another host, for the conformance suite.
#![allow(clippy::unwrap_used, reason = "this is test code, even if it is compiled for the tests of another crate")]

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::{Advertisement, Identity, RemoteBus, Server};
use crate::bus::conformance::{BusFixture, BusHost};
use crate::bus::{BoxFuture, EmbeddedFixture, Settings, SharedBus};
use crate::clock::Clock;

/// An embedded bus that is used from another host, over the network.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFixture;

impl BusFixture for RemoteFixture {
    fn open(&self, settings: Settings) -> BoxFuture<'_, Box<dyn BusHost>> {
        Box::pin(async move { RemoteHost::open(EmbeddedFixture.open(settings).await) })
    }
}

/// A host that uses the bus of another one.
#[derive(Debug)]
struct RemoteHost {
    remote: RemoteBus,
    advertisement: Advertisement,
    clock: Clock,
    _runtime: OwnRuntime,
    /// The host that runs the engine. Only the first host has it.
    engine: Option<EngineHost>,
}

#[derive(Debug)]
struct EngineHost {
    host: Box<dyn BusHost>,
    _server: Server,
}

/// Runs a connection, so that a test can block while it waits for an update.
#[derive(Debug)]
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn new() -> Self {
        Self(Some(Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()))
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        pollster::block_on(self.0.as_ref().unwrap().spawn(future)).unwrap()
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // A runtime must not be dropped in a task.
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl RemoteHost {
    fn open(host: Box<dyn BusHost>) -> Box<dyn BusHost> {
        let runtime = OwnRuntime::new();
        let (bus, clock) = (host.bus(), host.clock());
        let (server, advertisement) = runtime.run(async move {
            let identity = Identity::generate().unwrap();
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
            let advertisement = identity.advertise(&listener.local_addr().unwrap().to_string());
            (Server::start(listener, identity, bus), advertisement)
        });
        let engine = EngineHost { host, _server: server };
        Box::new(Self { engine: Some(engine), ..Self::connect(advertisement, clock, runtime) })
    }

    fn connect(advertisement: Advertisement, clock: Clock, runtime: OwnRuntime) -> Self {
        let (host, own_clock) = (advertisement.clone(), clock.clone());
        let remote =
            runtime.run(async move { RemoteBus::connect(&host, "test", own_clock).await.unwrap().always_fresh() });
        Self { remote, advertisement, clock, _runtime: runtime, engine: None }
    }

    /// Ends the connection, and returns the host that runs the engine.
    fn into_engine(self) -> Box<dyn BusHost> {
        self.engine.expect("only the host with the engine is restarted").host
    }
}

impl BusHost for RemoteHost {
    fn bus(&self) -> SharedBus {
        Arc::new(self.remote.clone())
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn make_unavailable(&self) -> Box<dyn Any + Send> {
        self.engine.as_ref().expect("this host has the engine").host.make_unavailable()
    }

    /// A delivery crosses the network, on a machine that may be busy.
    fn claim_time(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn set_limits(&self, settings: &Settings) {
        self.engine.iter().for_each(|engine| engine.host.set_limits(settings));
    }

    fn cut_off(&self) {
        self.remote.cut_off();
    }

    fn another_host(&self) -> BoxFuture<'_, Option<Box<dyn BusHost>>> {
        Box::pin(async {
            self.engine.iter().for_each(|engine| engine.host.share());
            let another = Self::connect(self.advertisement.clone(), self.clock.clone(), OwnRuntime::new());
            Some(Box::new(another) as Box<dyn BusHost>)
        })
    }

    fn crash(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move { Self::open(self.into_engine().crash().await) })
    }

    fn restart(self: Box<Self>) -> BoxFuture<'static, Box<dyn BusHost>> {
        Box::pin(async move { Self::open(self.into_engine().restart().await) })
    }
}
