//! The data of one invocation: what it may reach, what it has asked for so far, and what the host keeps for it.
//!
//! Nothing here reaches outside: reads come from the state as of one moment, and everything else is kept as effects of
//! the invocation.

pub(super) mod buffer;
pub(super) mod environment;
pub(super) mod log;
mod meter;
pub(super) mod wasi_state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;

use self::buffer::Buffer;
use self::environment::Environment;
use self::log::InvocationLog;
use self::meter::MemoryMeter;
use self::wasi_state::WasiState;
use crate::event::IdSeed;
use crate::outcome::{Cause, Effects};
use crate::plugin::manifest::settings::Settings;
use crate::reply::ReplyTo;

/// The data of one wasmtime store: one invocation.
pub(crate) struct Invocation {
    pub(crate) meter: MemoryMeter,
    pub(crate) table: ResourceTable,
    pub(crate) run: Option<Run>,
    pub(crate) panic: Option<String>,
    /// What kind of failure the handler has reported, which a `retry` that follows is.
    pub(crate) reported: Option<Cause>,
    /// Keys after which pages of the state go on, by the numbers that a draft of `wasi:keyvalue` has for them.
    pub(crate) cursors: Vec<String>,
    /// When its time is up, for calls of the host that wait.
    pub(crate) until: Instant,
    /// What the standard interfaces have of their own, from the first call of one of them on.
    pub(crate) wasi: Option<Box<WasiState>>,
}

impl std::fmt::Debug for Invocation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Invocation").field("run", &self.run).finish_non_exhaustive()
    }
}

/// What a running handler has; a component that is only described has none of it.
pub(crate) struct Run {
    pub(crate) plugin: Arc<str>,
    pub(crate) settings: Arc<Settings>,
    /// Places for requests that the plugin has open at a time.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) environment: Environment,
    pub(crate) buffer: Buffer,
    pub(crate) ids: IdSeed,
    /// How many ids have been given away.
    pub(crate) ids_given: u64,
    /// Attributes that every published event gets: its cause and its flow.
    pub(crate) inherited: BTreeMap<String, String>,
    /// Its log lines, with what they carry besides the plugin's name.
    pub(crate) log: Arc<InvocationLog>,
    pub(crate) reply: Option<ReplyTo>,
}

/// How many handles an instance may have: buckets, streams, what it polls, requests. What the host keeps for one that is
/// not counted as the instance's memory has some 60 KiB at most.
const HANDLES: usize = 1_024;

impl std::fmt::Debug for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl Invocation {
    /// For calls, one after the other: of handlers, each begun with a run, or of `describe`, for which the bus,
    /// the state and the configuration refuse. The instance's memory, and the handles that it has, outlive a call;
    /// nothing else does.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (meter, until) = (MemoryMeter::new(memory_bytes), Instant::now());
        Self { meter, table, run: None, panic: None, reported: None, cursors: Vec::new(), until, wasi: None }
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, run: Run) {
        self.meter.was_refused = false;
        self.panic = None;
        self.reported = None;
        self.cursors.clear();
        if let Some(wasi) = &self.wasi {
            wasi.output.begin(Some(Arc::clone(&run.log)));
        }
        self.run = Some(run);
    }

    /// Ends a call. What it asked for: its effects, and the reply that the client of a request waits for.
    pub(crate) fn end(&mut self) -> (Effects, Option<ReplyTo>) {
        if let Some(wasi) = &self.wasi {
            wasi.output.end();
        }
        self.run.take().map(|run| (run.buffer.into_effects(), run.reply)).unwrap_or_default()
    }

    /// What the standard interfaces keep, made when it is first asked for: most plugins have no use for it.
    pub(crate) fn wasi(&mut self) -> &mut WasiState {
        let run = self.run.as_ref();
        self.wasi.get_or_insert_with(|| {
            let wasi = WasiState::new(run.map(|run| run.environment.clone()).unwrap_or_default());
            wasi.output.begin(run.map(|run| run.log.clone()));
            Box::new(wasi)
        })
    }

    /// The run of a handler.
    ///
    /// # Errors
    /// A trap, which ends the guest, while the component is only described.
    pub(crate) fn run(&mut self) -> wasmtime::Result<&mut Run> {
        self.run.as_mut().ok_or_else(|| wasmtime::Error::msg("`describe` must be pure, and called an import"))
    }
}
