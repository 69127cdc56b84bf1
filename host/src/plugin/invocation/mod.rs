//! The data of one invocation: what it may access, what it has requested so far, and what the host holds for it.
//!
//! Reads come from a snapshot of the state. What an invocation publishes, writes or subscribes to is buffered as
//! effects. Log lines, outgoing requests and numbers drawn from sequences take effect at once.

pub(super) mod buffer;
pub(super) mod environment;
pub(super) mod guest_call;
pub(super) mod log;
mod meter;
pub(super) mod response_recorder;
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
use crate::span_context::SpanContext;

/// The data of an instance, in its wasmtime store. An instance may serve several calls in a row; `invocation` has the
/// data of the call that runs.
pub(crate) struct InstanceData {
    pub(crate) meter: MemoryMeter,
    pub(crate) table: ResourceTable,
    pub(crate) invocation: Option<Invocation>,
    pub(crate) panic: Option<String>,
    /// Why a script could not be loaded.
    pub(crate) load_error: Option<String>,
    /// The cause that the handler has reported for the `retry` that follows.
    pub(crate) reported: Option<Cause>,
    /// The keys after which the next pages of a listing start. A numeric cursor of a `wasi:keyvalue` draft is an index
    /// into this list.
    pub(crate) cursors: Vec<String>,
    /// The deadline, for host calls that wait.
    pub(crate) until: Instant,
    /// The state of the standard interfaces, created at their first call.
    pub(crate) wasi: Option<Box<WasiState>>,
    /// The program of a script, for a prepared runtime.
    pub(crate) program: Option<Arc<str>>,
}

impl std::fmt::Debug for InstanceData {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("InstanceData").field("invocation", &self.invocation).finish_non_exhaustive()
    }
}

/// The data of one call of a handler. During `describe` there is none.
pub(crate) struct Invocation {
    pub(crate) plugin: Arc<str>,
    pub(crate) settings: Arc<Settings>,
    /// Permits for outgoing requests of the plugin.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) environment: Environment,
    pub(crate) buffer: Buffer,
    pub(crate) ids: IdSeed,
    /// How many ids have been used.
    pub(crate) ids_given: u64,
    /// Attributes that every published event inherits: its cause and its cause tree.
    pub(crate) inherited: BTreeMap<String, String>,
    /// The log of the invocation.
    pub(crate) log: Arc<InvocationLog>,
    pub(crate) reply: Option<ReplyTo>,
    /// The place of the invocation in a trace, if it is traced.
    pub(crate) trace: Option<SpanContext>,
}

/// How many handles an instance may have: buckets, streams, pollables, requests. For each handle, the host holds at
/// most some 60 KiB that do not count as the instance's memory.
const HANDLES: usize = 1_024;

impl std::fmt::Debug for Invocation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Invocation").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl InstanceData {
    /// Creates the data of a new instance. Each call of a handler adds its own [`Invocation`] with [`Self::begin`]. A
    /// call of `describe` has none, so imports for the bus, the state and the configuration trap. Only the instance's
    /// memory and its handles outlive a call.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (meter, until) = (MemoryMeter::new(memory_bytes), Instant::now());
        Self {
            meter,
            table,
            invocation: None,
            panic: None,
            load_error: None,
            reported: None,
            cursors: Vec::new(),
            until,
            wasi: None,
            program: None,
        }
    }

    /// Starts a call.
    pub(crate) fn begin(&mut self, invocation: Invocation) {
        self.meter.was_refused = false;
        self.panic = None;
        self.load_error = None;
        self.reported = None;
        self.cursors.clear();
        if let Some(wasi) = &self.wasi {
            wasi.output.begin(Some(Arc::clone(&invocation.log)));
        }
        self.invocation = Some(invocation);
    }

    /// Ends a call. Returns its effects, and the reply that the client of a request waits for.
    pub(crate) fn end(&mut self) -> (Effects, Option<ReplyTo>) {
        if let Some(wasi) = &self.wasi {
            wasi.output.end();
        }
        self.invocation
            .take()
            .map(|invocation| (invocation.buffer.into_effects(), invocation.reply))
            .unwrap_or_default()
    }

    /// Logs the last error that did not fit into the log, for a call that failed: it may be the reason.
    pub(crate) fn log_dropped_error(&self) {
        if let Some(invocation) = &self.invocation {
            invocation.log.emit_dropped_error();
        }
    }

    /// The text of the last error that the call has logged.
    pub(crate) fn take_last_error(&self) -> Option<String> {
        self.invocation.as_ref()?.log.take_last_error()
    }

    /// The state of the standard interfaces, created on demand because most plugins do not use it.
    pub(crate) fn wasi(&mut self) -> &mut WasiState {
        let invocation = self.invocation.as_ref();
        self.wasi.get_or_insert_with(|| {
            let wasi = WasiState::new(invocation.map(|invocation| invocation.environment.clone()).unwrap_or_default());
            wasi.output.begin(invocation.map(|invocation| invocation.log.clone()));
            Box::new(wasi)
        })
    }

    /// The data of the running handler.
    ///
    /// # Errors
    /// A trap during `describe`, which ends the guest.
    pub(crate) fn invocation(&mut self) -> wasmtime::Result<&mut Invocation> {
        self.invocation.as_mut().ok_or_else(|| wasmtime::Error::msg("`describe` called an import, but must be pure"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::log::Trigger;
    use super::response_recorder::ResponseRecorder;
    use super::*;
    use crate::outcome::{Listing, NextNumber, StateError, StateView, Version};
    use crate::pattern::Pattern;
    use crate::plugin::manifest::descriptor::{Descriptor, Route};
    use crate::plugin::manifest::settings::HostSettings;
    use crate::plugin::manifest::sidecar::Sidecar;

    struct EmptyState;

    impl StateView for EmptyState {
        fn get(&mut self, _: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
            Ok((None, Version(0)))
        }

        fn keys(&mut self, _: Option<&str>, _: usize) -> Result<(Vec<String>, Listing), StateError> {
            Ok((Vec::new(), Listing::default()))
        }

        fn draw(&mut self, _: &str) -> NextNumber {
            Box::pin(async { Ok(1) })
        }

        fn unreserved(&mut self, _: &str) -> Result<u64, StateError> {
            Ok(1)
        }
    }

    /// An instance with an invocation of a request's handler, which may publish every event type.
    pub(crate) fn instance_data() -> InstanceData {
        let descriptor = Descriptor {
            name: "p".to_owned(),
            version: "1".to_owned(),
            description: None,
            routes: Vec::new(),
            subscriptions: Vec::new(),
            schedules: Vec::new(),
            publishes: vec![Pattern::everything()],
            subscribes: Vec::new(),
            config: Vec::new(),
        };
        let settings = Settings::new(&descriptor, &Sidecar::default(), &HostSettings::default()).unwrap();
        let route = Arc::new(Route { method: "POST".to_owned(), path: "/".to_owned() });
        let mut instance = InstanceData::new(1 << 20);
        instance.begin(Invocation {
            plugin: "p".into(),
            connections: Arc::new(Semaphore::new(1)),
            environment: Environment::default(),
            buffer: Buffer::new(Box::new(EmptyState), settings.limits),
            settings: Arc::new(settings),
            ids: IdSeed::unique(),
            ids_given: 0,
            inherited: BTreeMap::new(),
            log: Arc::new(InvocationLog::new(
                "p".into(),
                Trigger::Request { route, request: crate::request_id::RequestId::unique() },
                0,
                ResponseRecorder::new(None),
            )),
            reply: None,
            trace: None,
        });
        instance
    }
}
