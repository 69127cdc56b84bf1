//! All of WASI 0.2, for components that were not made for Sandbus alone: language runtimes start by it. There
//! are clocks and random numbers; there are no files, no sockets, no variables and no arguments. What is
//! printed becomes log lines. Requests over HTTP go where the operator lets them.

mod bounds;
mod http;
mod outgoing;
mod output;
mod wait;

use std::time::{Duration, SystemTime};

use wasmtime::component::Linker;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView, p2};

pub(crate) use self::bounds::{NAME_BYTES, PATH_BYTES};
use self::http::Http;
pub use self::http::{Exchange, Head};
pub(crate) use self::output::Output;
pub(crate) use self::wait::wait;
use super::environment::{Chance, World};
use super::invocation::{Invocation, RANDOM_LIMIT_BYTES};
use crate::clock::Clock;

/// What the standard interfaces keep for one instance.
pub(crate) struct Wasi {
    context: WasiCtx,
    http: Http,
    pub(crate) output: Output,
}

impl Wasi {
    fn new(mut world: World) -> Self {
        /// As many bytes of a seeded chance as come before they come again.
        const SEEDED: usize = 4 << 10;
        let output = Output::default();
        let mut context = WasiCtx::builder();
        if matches!(world.chance, Chance::Seeded { .. }) {
            let mut bytes = vec![0; SEEDED];
            // A seed gives bytes whatever happens.
            let _ = world.chance.fill(&mut bytes);
            let mut others = vec![0; SEEDED];
            let _ = world.chance.fill(&mut others);
            let mut seed = [0; 16];
            let _ = world.chance.fill(&mut seed);
            context
                .secure_random(Deterministic::new(bytes))
                .insecure_random(Deterministic::new(others))
                .insecure_random_seed(u128::from_le_bytes(seed));
        }
        if matches!(world.clock, Clock::Manual(_)) {
            context.monotonic_clock(HeldClock(world.clock.clone()));
        }
        context
            .stdout(output.stdout())
            .stderr(output.stderr())
            .wall_clock(WallClock(world.clock))
            .max_random_size(RANDOM_LIMIT_BYTES)
            .allow_tcp(false)
            .allow_udp(false);
        Self { context: context.build(), http: Http::default(), output }
    }
}

impl Invocation {
    /// Made when it is first asked for: most plugins have no use for it.
    fn wasi(&mut self) -> &mut Wasi {
        let run = self.run.as_ref();
        self.wasi.get_or_insert_with(|| {
            let wasi = Wasi::new(run.map(|run| run.world.clone()).unwrap_or_default());
            wasi.output.begin(run.map(|run| run.lines.clone()));
            Box::new(wasi)
        })
    }
}

impl WasiView for Invocation {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi();
        let Self { wasi, table, .. } = self;
        let wasi = wasi.as_mut().expect("it has just been made");
        WasiCtxView { ctx: &mut wasi.context, table }
    }
}

/// Links all interfaces of WASI 0.2. Their calls that wait do so until the invocation's time is up.
pub(crate) fn link(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    p2::add_to_linker_sync(linker)?;
    wait::link(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(linker)?;
    bounds::link(linker)
}

/// The time of day by the host's clock, which a test may hold.
struct WallClock(Clock);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    #[allow(clippy::disallowed_methods, reason = "the guest asks for the time of day")]
    fn now(&self) -> Duration {
        match &self.0 {
            // The system's has a finer resolution than a timestamp.
            Clock::System => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            clock @ Clock::Manual(_) => Duration::from_millis(clock.now().0),
        }
    }
}

/// What has passed by a clock that a test holds.
struct HeldClock(Clock);

impl HostMonotonicClock for HeldClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.now().0.saturating_mul(1_000_000)
    }
}
