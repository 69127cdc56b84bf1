//! The state of the standard interfaces for one instance: clocks, random numbers, output and requests.

mod outgoing;
mod output;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx};
use wasmtime_wasi_http::WasiHttpCtx;

use self::outgoing::Outgoing;
use self::output::Output;
use super::environment::{Environment, RANDOM_LIMIT_BYTES, Randomness};
use crate::clock::Clock;

/// How much of a body is written at a time. Twice as much may wait to be read.
const BODY_CHUNK_BYTES: usize = 8 << 10;
/// The largest headers in bytes, including the overhead of storing them.
pub(crate) const FIELDS_BYTES: usize = 32 << 10;

/// The state of the standard interfaces for one instance.
pub(crate) struct WasiState {
    pub(crate) context: WasiCtx,
    pub(crate) http: HttpState,
    pub(crate) output: Output,
}

impl WasiState {
    pub(super) fn new(mut environment: Environment) -> Self {
        /// How many seeded random bytes there are before they repeat.
        const SEEDED: usize = 4 << 10;
        let output = Output::default();
        let mut context = WasiCtx::builder();
        if matches!(environment.randomness, Randomness::Seeded { .. }) {
            let mut bytes = vec![0; SEEDED];
            // A seed cannot fail.
            let _ = environment.randomness.fill(&mut bytes);
            let mut others = vec![0; SEEDED];
            let _ = environment.randomness.fill(&mut others);
            let mut seed = [0; 16];
            let _ = environment.randomness.fill(&mut seed);
            context
                .secure_random(Deterministic::new(bytes))
                .insecure_random(Deterministic::new(others))
                .insecure_random_seed(u128::from_le_bytes(seed));
        }
        if matches!(environment.clock, Clock::Manual(_)) {
            context.monotonic_clock(ManualClock(environment.clock.clone()));
        }
        context
            .stdout(output.stdout())
            .stderr(output.stderr())
            .wall_clock(WallClock(environment.clock))
            .max_random_size(RANDOM_LIMIT_BYTES)
            .allow_tcp(false)
            .allow_udp(false);
        Self { context: context.build(), http: HttpState::default(), output }
    }
}

/// The state of `wasi:http` for one instance.
pub(crate) struct HttpState {
    pub(crate) context: WasiHttpCtx,
    pub(crate) outbound: Outgoing,
    /// Whether the invocation had effects when the guest last called `wasi:http`.
    pub(crate) has_effects: Arc<AtomicBool>,
}

impl Default for HttpState {
    fn default() -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS_BYTES);
        Self { context, outbound: Outgoing::default(), has_effects: Arc::default() }
    }
}

/// The time of day by the host's clock, which a test may control.
struct WallClock(Clock);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    #[allow(clippy::disallowed_methods, reason = "the guest asks for the time of day")]
    fn now(&self) -> Duration {
        match &self.0 {
            // The system's clock has a finer resolution than a timestamp.
            Clock::System => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            clock @ Clock::Manual(_) => Duration::from_millis(clock.now().0),
        }
    }
}

/// A monotonic clock that follows a clock controlled by a test.
struct ManualClock(Clock);

impl HostMonotonicClock for ManualClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.now().0.saturating_mul(1_000_000)
    }
}
