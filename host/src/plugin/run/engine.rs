//! The wasmtime engines of the process: their settings, their pools, and the tickers that interrupt guests whose time
//! is up.

use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy, WasmBacktraceDetails,
};

use crate::plugin::invocation::guest_call::CallModel;

/// The core instances that a component may have. Those of language runtimes have dozens.
const CORE_INSTANCES: u32 = 64;

/// How often running guests check whether their time is up.
const TICK: Duration = Duration::from_millis(10);

/// The configuration of the engine and its pool.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// How many invocations run at the same time.
    pub concurrency: usize,
    /// The largest linear memory that any plugin may have, in bytes.
    pub memory_bytes: usize,
    /// Whether backtraces name source lines, where the component has them. A host that runs other people's components
    /// leaves this off, because parsing their debug information is one more attack surface.
    pub source_lines: bool,
    /// Whether components of WASI 0.3 may run.
    pub wasi_0_3: bool,
    /// Whether components may import an interface several times, under labels of their own.
    pub labelled_imports: bool,
}

/// The engine could not be created.
#[derive(Debug, thiserror::Error)]
#[error(
    "the WebAssembly engine could not be started: {0:#}; on a machine with little address space, lower the sandbox's concurrency"
)]
pub struct EngineError(#[from] wasmtime::Error);

impl EngineError {
    /// The compiler threads could not be started.
    pub(crate) fn compilers(error: rayon::ThreadPoolBuildError) -> Self {
        Self(error.into())
    }
}

/// Creates an engine.
///
/// # Errors
/// If the pool's memory cannot be reserved.
pub(crate) fn start(config: EngineConfig, model: CallModel) -> Result<Engine, EngineError> {
    let engine = Engine::new(&match model {
        CallModel::Synchronous => settings(config),
        CallModel::Concurrent => concurrent_settings(config),
    })?;
    tick(&engine)?;
    Ok(engine)
}

/// The settings of the engine for synchronous calls. Public so that a benchmark can compare the host with a bare
/// engine.
#[must_use]
pub fn settings(config: EngineConfig) -> Config {
    // Besides the `concurrency` running instances, equally many idle ones may wait for another call.
    let mut settings = common_settings(config, config.concurrency.saturating_mul(2), 0);
    settings.concurrency_support(false);
    settings
}

/// The settings of the engine for concurrent calls. Its instances serve one call each, so it needs no slots for idle
/// ones.
fn concurrent_settings(config: EngineConfig) -> Config {
    /// The stacks of one instance. Each nested component may have a call that waits in the host, and that call keeps a
    /// stack. Each component that runs code has a core instance, so the limit on core instances also limits these
    /// stacks. One more stack polls the tasks.
    const STACKS: u32 = CORE_INSTANCES + 2;
    let mut settings = common_settings(config, config.concurrency, STACKS);
    settings.concurrency_support(true);
    settings
}

/// The settings that both engines share. `instances` does not include those that run `describe`.
fn common_settings(config: EngineConfig, instances: usize, stacks_per_instance: u32) -> Config {
    /// The other parts that a component may have.
    const MEMORIES: u32 = 4;
    const TABLES: u32 = 16;
    /// Components that run `describe` at the same time, besides the invocations.
    const MAX_DESCRIBES: usize = 4;
    /// How much of an instance's memory and tables stays resident, to be reset by copying instead of unmapping. This
    /// pays where the kernel can report which pages were touched.
    const RESIDENT_BYTES: usize = 1 << 20;
    const RESIDENT_TABLE_BYTES: usize = 16 << 10;

    // Each slot fits the largest component, so that an invocation permit covers every resource of an instance. Unused
    // reservations cost only address space.
    let slots = u32::try_from(instances.saturating_add(MAX_DESCRIBES)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots.saturating_mul(stacks_per_instance))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(config.memory_bytes)
        .table_elements(100_000)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(RESIDENT_BYTES)
            .table_keep_resident(RESIDENT_TABLE_BYTES);
    }

    let mut settings = Config::new();
    settings
        .strategy(Strategy::Cranelift)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .memory_init_cow(true)
        .wasm_backtrace_details(if config.source_lines {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        })
        .wasm_component_model(true)
        .wasm_component_model_implements(config.labelled_imports)
        .wasm_component_model_map(true);
    settings
}

/// Increments the engine's epoch as long as the engine lives.
fn tick(engine: &Engine) -> Result<(), EngineError> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            pause();
        }
    };
    thread::Builder::new().name("epochs".to_owned()).spawn(ticker).map_err(wasmtime::Error::from)?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the ticker has its own thread")]
fn pause() {
    thread::sleep(TICK);
}

/// How many ticks a call may last: one more than fit into the timeout, because the first tick may come at once.
pub(crate) fn ticks(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX / 2).saturating_add(1)
}
