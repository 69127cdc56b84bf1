//! One loaded digest of a plugin, and its invocations: each in a fresh instance, unless an operator has
//! asked for less isolation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderMap;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store, Trap, WasmBacktrace};
use wasmtime_wasi_http::p2::bindings::sync::exports::wasi::http::incoming_handler;

use super::bindings::exports::sandbus::plugin::{descriptor as descriptor_export, event_handler, http_handler};
use super::bindings::sandbus::plugin::types as wire;
use super::compile::Digest;
use super::descriptor::{Descriptor, Invalid};
use super::engine;
use super::idle::Idle;
use super::imports::{self, Invocation, Occasion, ReplyTo, Run};
use super::linking::{Linking, Missing};
use super::loader::Room;
use super::log::Lines;
use super::settings::Settings;
use super::sidecar::Sidecar;
use super::wasi::Exchange;
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, IdSeed, TRACE};
use crate::outcome::{Cause, Effects, Failure, Outcome, StateView};

/// What a component may use to describe itself.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
const DESCRIBE_MEMORY_BYTES: usize = 64 << 20;

/// A component whose imports are satisfied and whose exports are known.
#[derive(Clone)]
pub(super) struct Prepared {
    engine: Engine,
    pre: InstancePre<Invocation>,
    descriptor: Option<descriptor_export::GuestIndices>,
    events: Option<event_handler::GuestIndices>,
    http: Option<http_handler::GuestIndices>,
    service: Option<incoming_handler::GuestIndices>,
}

/// Why a component cannot be a plugin.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It wants what the host does not have.
    #[error("it imports what this host does not offer: {0}")]
    Imports(Missing),
    /// It does not describe itself.
    #[error(
        "it exports neither `sandbus:plugin/descriptor` nor `wasi:http/incoming-handler`; build it with a Sandbus SDK, or see wit/plugin.wit"
    )]
    NoDescriptor,
    /// `describe` ended badly.
    #[error("its `describe` failed: {0}")]
    Describe(String),
    /// `describe` answered nonsense.
    #[error("its descriptor is invalid: {0}")]
    Descriptor(#[from] Invalid),
    /// It declares what it does not export.
    #[error("it declares {0}, and exports no `{1}`")]
    NoHandler(&'static str, &'static str),
}

impl Prepared {
    pub(super) fn new(component: &Component, linking: &Linking) -> Result<Self, PrepareError> {
        let pre = linking.link(component).map_err(PrepareError::Imports)?;
        Ok(Self {
            engine: component.engine().clone(),
            descriptor: descriptor_export::GuestIndices::new(&pre).ok(),
            events: event_handler::GuestIndices::new(&pre).ok(),
            http: http_handler::GuestIndices::new(&pre).ok(),
            service: incoming_handler::GuestIndices::new(&pre).ok(),
            pre,
        })
    }

    /// Whether the component says itself what it is.
    pub(super) fn describes_itself(&self) -> bool {
        self.descriptor.is_some()
    }

    /// Asks the component what it is.
    pub(super) fn describe(&self, now: Timestamp) -> Result<Descriptor, PrepareError> {
        let descriptor = self.descriptor.as_ref().ok_or(PrepareError::NoDescriptor)?;
        let mut store = self.store(Invocation::new(DESCRIBE_MEMORY_BYTES), DESCRIBE_TIMEOUT);
        let call = |store: &mut Store<Invocation>| {
            let instance = self.pre.instantiate(&mut *store)?;
            descriptor.load(&mut *store, &instance)?.call_describe(&mut *store)
        };
        let raw = call(&mut store).map_err(|error| PrepareError::Describe(Ended::of(&error, store.data()).reason))?;
        Ok(Descriptor::check(raw, now)?)
    }

    /// What a sidecar says of a component that serves `wasi:http` and does not know Sandbus.
    pub(super) fn described_by(&self, sidecar: &Sidecar, now: Timestamp) -> Result<Descriptor, PrepareError> {
        if self.service.is_none() {
            return Err(PrepareError::NoDescriptor);
        }
        Ok(Descriptor::check(sidecar.descriptor(), now)?)
    }

    /// Whether what is declared is exported as well.
    pub(super) fn check_handlers(&self, descriptor: &Descriptor) -> Result<(), PrepareError> {
        if !descriptor.subscriptions.is_empty() && self.events.is_none() {
            return Err(PrepareError::NoHandler("subscriptions", "sandbus:plugin/event-handler"));
        }
        if !descriptor.routes.is_empty() && self.http.is_none() && self.service.is_none() {
            return Err(PrepareError::NoHandler("routes", "sandbus:plugin/http-handler"));
        }
        Ok(())
    }

    /// Makes an instance.
    fn live(&self, memory_bytes: usize, timeout: Duration) -> Result<Live, Failure> {
        let mut store = self.store(Invocation::new(memory_bytes), timeout);
        let made = self.pre.instantiate(&mut store).and_then(|instance| {
            let events = self.events.as_ref().map(|events| events.load(&mut store, &instance)).transpose()?;
            let http = self.http.as_ref().map(|http| http.load(&mut store, &instance)).transpose()?;
            let service = self.service.as_ref().map(|service| service.load(&mut store, &instance)).transpose()?;
            Ok((events, http, service))
        });
        match made {
            Ok((events, http, service)) => Ok(Live { store, events, http, service, calls: 0 }),
            Err(error) => Err(failure(&error, store.data(), timeout)),
        }
    }

    fn store(&self, invocation: Invocation, timeout: Duration) -> Store<Invocation> {
        let mut store = Store::new(&self.engine, invocation);
        store.limiter(|invocation| &mut invocation.meter);
        store.epoch_deadline_trap();
        give_time(&mut store, timeout);
        store
    }
}

/// Gives a store what one call may use.
fn give_time(store: &mut Store<Invocation>, timeout: Duration) {
    store.set_epoch_deadline(engine::ticks(timeout));
    store.data_mut().until = Instant::now() + timeout;
    // What a guest passes to the host in one call is copied there: no more than its effects may have.
    store.set_hostcall_fuel(16 << 20);
}

/// An instance, and how many calls it has had. It serves one plugin's generation alone, and ends with the
/// first call that ends badly.
pub struct Live {
    store: Store<Invocation>,
    events: Option<event_handler::Guest>,
    http: Option<http_handler::Guest>,
    service: Option<incoming_handler::Guest>,
    calls: u32,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Live").field("calls", &self.calls).finish_non_exhaustive()
    }
}

fn failure(error: &wasmtime::Error, invocation: &Invocation, timeout: Duration) -> Failure {
    let Ended { cause, reason } = Ended::of(error, invocation);
    let reason = match cause {
        Cause::Timeout => format!("{reason} after {}", humantime::format_duration(timeout)),
        _ => reason,
    };
    Failure { cause, reason }
}

/// One loaded digest of a plugin.
pub struct Generation {
    /// The plugin's name.
    pub name: Arc<str>,
    /// What was loaded.
    pub digest: Digest,
    /// What it says about itself.
    pub descriptor: Arc<Descriptor>,
    /// What applies to it.
    pub settings: Arc<Settings>,
    /// What bounds its invocations, shared by all generations of the plugin.
    pub room: Arc<Room>,
    code: Code,
    clock: Clock,
    /// Instances that may serve another call, where an operator has asked for that.
    idle: Idle,
}

/// What runs.
enum Code {
    Component(Prepared),
    Native(NativeHandler),
}

/// An event handler that is compiled into the process. It has all of the path that a component has, but
/// no sandbox: a benchmark shows by it what the sandbox costs. It publishes by calling its second
/// argument with an event type and JSON.
pub type NativeHandler = fn(&Event, &mut dyn FnMut(&str, Vec<u8>)) -> Outcome;

impl std::fmt::Debug for Generation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Generation")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// What an event handler is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The event.
    pub event: &'a Arc<Event>,
    /// The name of the subscription that it is delivered for.
    pub subscription: &'a str,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The number of the replay that it belongs to, if it is history.
    pub replay: Option<i64>,
}

/// What comes out of handling a delivery.
#[derive(Debug)]
pub struct Handled {
    /// The outcome.
    pub outcome: Outcome,
    /// What is committed with an ack.
    pub effects: Effects,
}

impl Handled {
    /// An outcome without effects.
    #[must_use]
    pub fn without(outcome: Outcome) -> Self {
        Self { outcome, effects: Effects::default() }
    }
}

/// A request for a plugin's route.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The route that matched.
    pub route: String,
    /// The path as it was sent.
    pub path: String,
    /// The route's parameters.
    pub params: Vec<(String, String)>,
    /// The query as it was sent.
    pub query: Option<String>,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The trace that the request belongs to (W3C Trace Context), for the events that are published.
    fn trace(&self) -> BTreeMap<String, String> {
        let traced = self.headers.iter().filter(|(name, _)| TRACE.contains(&name.as_str()));
        traced.cloned().collect()
    }
}

/// A plugin's response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What comes out of handling a request.
#[derive(Debug)]
pub enum Answered {
    /// A response that is sent once the effects are durable, and in whose place a reply is sent if one is
    /// asked for.
    Commit(Response, Box<Effects>, Option<ReplyTo>),
    /// A response without effects.
    Discard(Response),
    /// The handler ended badly.
    Failed(Failure),
}

impl Generation {
    pub(super) fn new(
        digest: Digest,
        descriptor: Arc<Descriptor>,
        settings: Settings,
        room: Arc<Room>,
        prepared: Prepared,
        clock: Clock,
        idle: Idle,
    ) -> Self {
        let name = descriptor.name.as_str().into();
        let code = Code::Component(prepared);
        Self { name, digest, descriptor, settings: Arc::new(settings), room, code, clock, idle }
    }

    /// The same plugin with a native handler in place of its component.
    #[must_use]
    pub fn with_native_handler(&self, handler: NativeHandler) -> Self {
        Self {
            name: Arc::clone(&self.name),
            digest: self.digest.clone(),
            descriptor: Arc::clone(&self.descriptor),
            settings: Arc::clone(&self.settings),
            room: Arc::clone(&self.room),
            code: Code::Native(handler),
            clock: self.clock.clone(),
            idle: Idle::new(Arc::new(Semaphore::new(0))),
        }
    }

    /// Whether a declared subscription is this generation's too.
    #[must_use]
    pub fn declares(&self, subscription: &str) -> bool {
        self.descriptor.subscriptions.iter().any(|declared| declared.name == subscription)
    }

    /// How many deliveries of a subscription one instance may serve in a row.
    #[must_use]
    pub fn batch(&self, subscription: &str) -> u32 {
        self.settings.batches.get(subscription).map_or(1, |batch| batch.get())
    }

    /// Handles a delivery: in the instance that is given, if there is one, or in a fresh one. Leaves an instance
    /// that may go on. Blocks for as long as the handler runs.
    #[must_use]
    pub fn handle_event(
        &self,
        call: &Call<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        live: &mut Option<Live>,
    ) -> Handled {
        let Call { event, subscription, attempt, replay } = *call;
        let occasion = Occasion::Delivery { event: Arc::clone(event), subscription: subscription.to_owned(), attempt };
        let run = self.run(state, IdSeed::of_delivery(event, subscription, replay), event.inherited(), occasion);
        let prepared = match &self.code {
            Code::Component(prepared) if prepared.events.is_some() => prepared,
            Code::Component(_) => {
                let reason = format!("plugin `{}` exports no event handler", self.name);
                return Handled::without(Outcome::Reject(Failure { cause: Cause::NoHandler, reason }));
            }
            Code::Native(handler) => return run_native(*handler, event, run),
        };
        let timeout = timeout.min(self.settings.limits.timeout);
        let result = self.call(prepared, run, timeout, live, |Live { store, events, .. }| {
            let extensions = pairs(&event.extensions);
            let delivery = wire::Delivery {
                event: wire::Event {
                    id: &event.id,
                    source: &event.source,
                    type_: &event.event_type,
                    subject: event.subject.as_deref(),
                    time: event.time.as_deref(),
                    datacontenttype: event.datacontenttype.as_deref(),
                    dataschema: event.dataschema.as_deref(),
                    extensions: &extensions,
                    data: event.data.as_deref(),
                },
                subscription,
                attempt,
                replay: replay.is_some(),
            };
            events.as_ref().map(|events| events.call_handle(store, delivery)).transpose()
        });
        match result {
            (Ok(Some(Ok(()))), (effects, _)) => Handled { outcome: Outcome::Ack, effects },
            (Ok(Some(Err(failure))), _) => Handled::without(outcome_of(failure)),
            (Ok(None), _) => unreachable!("it was looked for above"),
            (Err(failure), _) => Handled::without(Outcome::Retry { after: None, failure }),
        }
    }

    /// Handles a request. Blocks for as long as the handler runs.
    #[must_use]
    pub fn handle_request(&self, request: &Request, ids: IdSeed, state: Box<dyn StateView>) -> Answered {
        let prepared = match &self.code {
            Code::Component(prepared) if prepared.http.is_some() => prepared,
            Code::Component(_) | Code::Native(_) => {
                let reason = format!("plugin `{}` exports no HTTP handler", self.name);
                return Answered::Failed(Failure { cause: Cause::NoHandler, reason });
            }
        };
        let occasion = Occasion::Request { route: format!("{} {}", request.method, request.route) };
        let run = self.run(state, ids, request.trace(), occasion);
        let mut live = None;
        let result =
            self.call(prepared, run, self.settings.limits.timeout, &mut live, |Live { store, http, .. }| {
                let params = pairs(request.params.iter().map(|(name, value)| (name, value)));
                let headers = pairs(request.headers.iter().map(|(name, value)| (name, value)));
                let request = http_handler::Request {
                    method: &request.method,
                    route: &request.route,
                    path: &request.path,
                    params: &params,
                    query: request.query.as_deref(),
                    headers: &headers,
                    body: &request.body,
                };
                http.as_ref().map(|http| http.call_handle(store, request)).transpose()
            });
        self.keep(live);
        match result {
            (Ok(Some(Ok(response))), (effects, reply)) => {
                Answered::Commit(response_of(response), Box::new(effects), reply)
            }
            (Ok(Some(Err(response))), _) => Answered::Discard(response_of(response)),
            (Ok(None), _) => unreachable!("it was looked for above"),
            (Err(failure), _) => Answered::Failed(failure),
        }
    }

    /// Whether requests go to a `wasi:http` handler, by [`Generation::serve`].
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(&self.code, Code::Component(prepared) if prepared.service.is_some() && prepared.http.is_none())
    }

    /// Lets a `wasi:http` handler serve a request, and returns what it asked for. Blocks for as long as the
    /// handler runs, which may be longer than until its response is complete.
    ///
    /// # Errors
    /// How the handler ended, if it did not end well.
    pub fn serve(
        &self,
        route: &str,
        exchange: Exchange,
        ids: IdSeed,
        state: Box<dyn StateView>,
    ) -> Result<Effects, Failure> {
        let Code::Component(prepared) = &self.code else {
            let reason = format!("plugin `{}` exports no HTTP handler", self.name);
            return Err(Failure { cause: Cause::NoHandler, reason });
        };
        let occasion = Occasion::Request { route: route.to_owned() };
        let run = self.run(state, ids, trace(exchange.request.headers()), occasion);
        let mut live = None;
        let (result, (effects, _)) =
            self.call(prepared, run, self.settings.limits.timeout, &mut live, |Live { store, service, .. }| {
                let (request, response) = store.data_mut().exchange(exchange)?;
                service.as_ref().map(|service| service.call_handle(store, request, response)).transpose()
            });
        self.keep(live);
        result.map(|_| effects)
    }

    /// Calls an instance: the given one, one that is kept, or a fresh one. It is gone if the call ends badly.
    fn call<T>(
        &self,
        prepared: &Prepared,
        run: Run,
        timeout: Duration,
        live: &mut Option<Live>,
        call: impl FnOnce(&mut Live) -> wasmtime::Result<T>,
    ) -> (Result<T, Failure>, (Effects, Option<ReplyTo>)) {
        let mut instance = match live.take().or_else(|| self.idle.take()) {
            Some(mut instance) => {
                give_time(&mut instance.store, timeout);
                instance
            }
            None => match prepared.live(self.settings.limits.memory_bytes, timeout) {
                Ok(instance) => instance,
                Err(failure) => return (Err(failure), Default::default()),
            },
        };
        instance.store.data_mut().begin(run);
        instance.calls += 1;
        let started = Instant::now();
        let returned = call(&mut instance);
        self.room.pace.note(started.elapsed());
        match returned {
            Ok(value) => {
                let asked = instance.store.data_mut().end();
                *live = Some(instance);
                (Ok(value), asked)
            }
            Err(error) => (Err(failure(&error, instance.store.data(), timeout)), Default::default()),
        }
    }

    /// Keeps an instance for another call, if an operator has asked for that.
    pub fn keep(&self, live: Option<Live>) {
        if let Some(live) = live.filter(|live| live.calls < self.settings.reuse.get()) {
            self.idle.put(live);
        }
    }

    fn run(
        &self,
        state: Box<dyn StateView>,
        ids: IdSeed,
        inherited: BTreeMap<String, String>,
        occasion: Occasion,
    ) -> Run {
        Run {
            plugin: Arc::clone(&self.name),
            settings: Arc::clone(&self.settings),
            clock: self.clock.clone(),
            buffer: imports::buffer(state, &self.settings),
            ids,
            ids_given: 0,
            inherited,
            lines: Arc::new(Lines::new(Arc::clone(&self.name), occasion, self.settings.limits.log_bytes)),
            reply: None,
        }
    }
}

/// The trace that a request belongs to (W3C Trace Context).
fn trace(headers: &HeaderMap) -> BTreeMap<String, String> {
    let value = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
    TRACE.iter().filter_map(|name| value(name)).collect()
}

fn run_native(handler: NativeHandler, event: &Event, run: Run) -> Handled {
    let mut invocation = Invocation::new(0);
    invocation.begin(run);
    let outcome = handler(event, &mut |event_type, json| invocation.publish_json(event_type, json));
    let (effects, _) = invocation.end();
    if outcome == Outcome::Ack { Handled { outcome, effects } } else { Handled::without(outcome) }
}

/// How a call that returned no value ended.
struct Ended {
    cause: Cause,
    reason: String,
}

impl Ended {
    fn of(error: &wasmtime::Error, invocation: &Invocation) -> Self {
        if let Some(wasi) = &invocation.wasi {
            wasi.output.end();
        }
        let trap = error.downcast_ref::<Trap>().copied();
        if trap == Some(Trap::Interrupt) {
            return Self { cause: Cause::Timeout, reason: "it was ended because it ran out of time".to_owned() };
        }
        if invocation.meter.was_refused {
            return Self {
                cause: Cause::OutOfMemory,
                reason: "it asked for more memory than its limit allows".to_owned(),
            };
        }
        let what = invocation.panic.clone().unwrap_or_else(|| match trap {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        });
        let frames = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        let mut reason = if frames.is_empty() { what } else { format!("{what} (in {})", frames.join(" < ")) };
        let printed = invocation.wasi.as_ref().map(|wasi| wasi.output.tail()).unwrap_or_default();
        if !printed.is_empty() {
            reason.push_str("; its standard error ends with:\n");
            reason.push_str(&printed);
        }
        Self { cause: Cause::Trap, reason: super::log::visible(&reason) }
    }
}

/// The innermost functions of the guest that are not the runtime's own.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    const RUNTIME: [&str; 5] = ["std::", "core::", "alloc::", "__rust", "rust_begin_unwind"];
    let names = backtrace.frames().iter().filter_map(wasmtime::FrameInfo::func_name).map(demangled);
    names.filter(|name| !RUNTIME.iter().any(|prefix| name.contains(prefix))).take(4).collect()
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

fn outcome_of(failure: wire::Failure) -> Outcome {
    let visible = |reason: &str| super::log::visible(reason).chars().take(2_000).collect();
    match failure {
        wire::Failure::Retry(wire::Retry { delay_ms, reason }) => Outcome::Retry {
            after: delay_ms.map(Duration::from_millis),
            failure: Failure { cause: Cause::Retry, reason: visible(&reason) },
        },
        wire::Failure::Reject(reason) => Outcome::Reject(Failure { cause: Cause::Rejected, reason: visible(&reason) }),
    }
}

fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<(&'a str, &'a str)> {
    pairs.into_iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn response_of(response: http_handler::Response) -> Response {
    Response { status: response.status, headers: response.headers, body: response.body }
}
