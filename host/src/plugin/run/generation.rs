//! One loaded digest of a plugin, and its invocations: each in a fresh instance, unless an operator has
//! asked for less isolation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{StatusCode, Uri};
use tokio::sync::Semaphore;

use super::call_failure::Ended;
use super::health::Health;
use super::instance_pool::Idle;
use super::linked::{Live, Prepared, give_time};
use crate::clock::Timestamp;
use crate::event::{Event, IdSeed, Logged, trace_of};
use crate::outcome::{Cause, Effects, Failure, Outcome, StateView};
use crate::plugin::bindings::exports::sandbus::plugin::http_handler;
use crate::plugin::bindings::sandbus::plugin::types as wire;
use crate::plugin::imports::wasi::Exchange;
use crate::plugin::invocation::buffer::Buffer;
use crate::plugin::invocation::environment::World;
use crate::plugin::invocation::log::{Lines, Occasion};
use crate::plugin::invocation::{Invocation, Run};
use crate::plugin::manifest::descriptor::{Descriptor, Route};
use crate::plugin::manifest::digest::Digest;
use crate::plugin::manifest::settings::Settings;
use crate::plugin::run::admission::Room;
use crate::printable;
use crate::reply::ReplyTo;
use crate::threads::Pace;

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
    world: World,
    health: Health,
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
    /// The event, as it is logged.
    pub logged: &'a Logged,
    /// The subscription's name.
    pub subscription: &'a str,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether the subscription was to handle the event before.
    pub replay: bool,
    /// Where the ids of events come from that it publishes.
    pub ids: IdSeed,
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

/// What came out of handling a delivery of the past.
#[derive(Debug)]
pub struct Rehearsed {
    /// The outcome and the effects, of which nothing is committed.
    pub handled: Handled,
    /// How long it took.
    pub took: Duration,
    /// The most linear memory that it had; none if it ended badly.
    pub memory_bytes: Option<usize>,
}

/// Headers that belong to a connection and not to a message (RFC 9110, section 7.6.1), or that the server
/// sets by itself.
pub(crate) const CONNECTION_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A request for a plugin's route, which is of the route's method.
#[derive(Clone, Debug)]
pub struct Request {
    /// The route that matched.
    pub route: Arc<Route>,
    /// The target as it was sent.
    pub uri: Uri,
    /// The route's parameters.
    pub params: Vec<(String, String)>,
    /// All headers. A guest is shown those that belong to the message and are UTF-8.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    fn shown_headers(&self) -> Vec<(&str, &str)> {
        let own = self.headers.iter().filter(|(name, _)| !CONNECTION_HEADERS.contains(name));
        own.filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?))).collect()
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
    pub(crate) fn new(
        digest: Digest,
        descriptor: Arc<Descriptor>,
        settings: Settings,
        room: Arc<Room>,
        prepared: Prepared,
        world: World,
        idle: Idle,
    ) -> Self {
        let name = descriptor.name.as_str().into();
        let code = Code::Component(prepared);
        let (settings, health) = (Arc::new(settings), Health::default());
        Self { name, digest, descriptor, settings, room, code, world, health, idle }
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
            world: self.world.clone(),
            health: Health::default(),
            idle: Idle::new(Arc::new(Semaphore::new(0))),
        }
    }

    /// Why it is to be rolled back by the rule in its sidecar, if it is. It took over so long ago.
    #[must_use]
    pub fn failing(&self, age: Duration) -> Option<String> {
        self.health.verdict(self.settings.rollback.as_ref()?, age)
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
        if live.is_none() {
            *live = self.idle.take();
        }
        let handled = self.handle_event_in(&self.world, call, timeout, state, live, Some(&self.room.pace));
        self.health.note(handled.outcome != Outcome::Ack);
        handled
    }

    /// Handles a delivery of the past, in a fresh instance and in a world that is the same each time: at the time
    /// that is given, with chance drawn from the event, and with nobody to talk to. Nothing comes of it but what
    /// is returned, and it does not count among the plugin's invocations. Blocks for as long as the handler runs.
    #[must_use]
    pub fn rehearse(&self, call: &Call<'_>, timeout: Duration, state: Box<dyn StateView>, now: Timestamp) -> Rehearsed {
        let world = World::rehearsed(now, &call.logged.event);
        let (started, mut live) = (Instant::now(), None);
        let handled = self.handle_event_in(&world, call, timeout, state, &mut live, None);
        Rehearsed { handled, took: started.elapsed(), memory_bytes: live.map(|live| live.memory_bytes()) }
    }

    fn handle_event_in(
        &self,
        world: &World,
        call: &Call<'_>,
        timeout: Duration,
        state: Box<dyn StateView>,
        live: &mut Option<Live>,
        pace: Option<&Pace>,
    ) -> Handled {
        let Call { logged, subscription, attempt, replay, ids } = *call;
        let event = &logged.event;
        let occasion = Occasion::Delivery { event: Arc::clone(event), subscription: subscription.to_owned(), attempt };
        let run = self.run(world, state, ids, event.inherited(), occasion);
        let prepared = match &self.code {
            Code::Component(prepared) if prepared.handles_events() => prepared,
            Code::Component(_) => {
                let reason = format!("plugin `{}` exports no event handler", self.name);
                return Handled::without(Outcome::Reject(Failure { cause: Cause::NoHandler, reason }));
            }
            Code::Native(handler) => return run_native(*handler, event, run),
        };
        let timeout = timeout.min(self.settings.limits.timeout);
        let result = self.call(prepared, run, timeout, live, pace, |live| {
            if let Some(receiver) = prepared.receiver() {
                let failure = |reason| wire::Failure::Retry(wire::Retry { delay_ms: None, reason });
                return Ok(live.receive(receiver, event)?.map_err(|reason| outcome_of(failure(reason), None)));
            }
            let extensions = pairs(&event.extensions);
            let delivery = wire::Delivery {
                event: wire::Event {
                    id: &event.id,
                    source: &event.source,
                    type_: &event.event_type,
                    subject: event.subject.as_deref(),
                    time: event.time.as_deref(),
                    datacontenttype: event.media_type(),
                    dataschema: event.dataschema.as_deref(),
                    extensions: &extensions,
                    data: event.data.as_deref(),
                },
                subscription,
                attempt,
                replay,
            };
            let (events, store) = live.events(prepared)?;
            let handled = events.call_handle(&mut *store, delivery)?;
            Ok(handled.map_err(|failure| outcome_of(failure, store.data().reported)))
        });
        match result {
            (Ok(Ok(())), (effects, _)) => Handled { outcome: Outcome::Ack, effects },
            (Ok(Err(outcome)), _) => Handled::without(outcome),
            (Err(failure), _) => Handled::without(Outcome::Retry { after: None, failure }),
        }
    }

    /// Handles a request. Blocks for as long as the handler runs.
    #[must_use]
    pub fn handle_request(&self, request: &Request, ids: IdSeed, state: Box<dyn StateView>) -> Answered {
        let prepared = match &self.code {
            Code::Component(prepared) if prepared.handles_requests() => prepared,
            Code::Component(_) | Code::Native(_) => {
                let reason = format!("plugin `{}` exports no HTTP handler", self.name);
                return Answered::Failed(Failure { cause: Cause::NoHandler, reason });
            }
        };
        let occasion = Occasion::Request { route: Arc::clone(&request.route) };
        let run = self.run(&self.world, state, ids, trace_of(&request.headers).into_iter().collect(), occasion);
        let (timeout, mut live) = (self.settings.limits.timeout, self.idle.take());
        let result = self.call(prepared, run, timeout, &mut live, Some(&self.room.pace), |live| {
            let params = pairs(request.params.iter().map(|(name, value)| (name, value)));
            let request = http_handler::Request {
                method: &request.route.method,
                route: &request.route.path,
                path: request.uri.path(),
                params: &params,
                query: request.uri.query(),
                headers: &request.shown_headers(),
                body: &request.body,
            };
            let (http, store) = live.http(prepared)?;
            http.call_handle(store, request)
        });
        self.keep(live);
        self.health.note(match &result.0 {
            Ok(Ok(response) | Err(response)) => response.status >= 500,
            Err(_) => true,
        });
        match result {
            (Ok(Ok(response)), (effects, reply)) => Answered::Commit(response_of(response), Box::new(effects), reply),
            (Ok(Err(response)), _) => Answered::Discard(response_of(response)),
            (Err(failure), _) => Answered::Failed(failure),
        }
    }

    /// Whether requests go to a `wasi:http` handler, by [`Generation::serve`].
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(&self.code, Code::Component(prepared) if prepared.serves() && !prepared.handles_requests())
    }

    /// Lets a `wasi:http` handler serve a request, and returns what it asked for. Blocks for as long as the
    /// handler runs, which may be longer than until its response is complete.
    ///
    /// # Errors
    /// How the handler ended, if it did not end well.
    pub fn serve(
        &self,
        route: &Arc<Route>,
        exchange: Exchange,
        ids: IdSeed,
        state: Box<dyn StateView>,
    ) -> Result<Effects, Failure> {
        let Code::Component(prepared) = &self.code else {
            let reason = format!("plugin `{}` exports no HTTP handler", self.name);
            return Err(Failure { cause: Cause::NoHandler, reason });
        };
        let occasion = Occasion::Request { route: Arc::clone(route) };
        let run =
            self.run(&self.world, state, ids, trace_of(exchange.request.headers()).into_iter().collect(), occasion);
        let (timeout, mut live) = (self.settings.limits.timeout, self.idle.take());
        let status = Arc::new(AtomicU16::new(StatusCode::BAD_GATEWAY.as_u16()));
        let noted = Arc::clone(&status);
        let (result, (effects, _)) = self.call(prepared, run, timeout, &mut live, Some(&self.room.pace), |live| {
            let (service, store) = live.service(prepared)?;
            let (request, response) = store.data_mut().exchange(exchange, noted)?;
            service.call_handle(store, request, response)
        });
        self.keep(live);
        // What the client makes of it decides, as with any other route.
        self.health.note(result.is_err() || status.load(Ordering::Relaxed) >= 500);
        result.map(|()| effects)
    }

    /// Calls the instance that is given, or a fresh one, and leaves it. It is gone if the call ends badly. How quick
    /// it was is noted where it says something of the plugin's next invocations.
    fn call<T>(
        &self,
        prepared: &Prepared,
        run: Run,
        timeout: Duration,
        live: &mut Option<Live>,
        pace: Option<&Pace>,
        call: impl FnOnce(&mut Live) -> wasmtime::Result<T>,
    ) -> (Result<T, Failure>, (Effects, Option<ReplyTo>)) {
        let mut instance = match live.take() {
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
        let took = started.elapsed();
        if let Some(pace) = pace {
            pace.note(took);
        }
        match returned {
            Ok(value) => {
                let asked = instance.store.data_mut().end();
                *live = Some(instance);
                (Ok(value), asked)
            }
            Err(error) => (Err(Ended::of(&error, instance.store.data()).failure(timeout)), Default::default()),
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
        world: &World,
        state: Box<dyn StateView>,
        ids: IdSeed,
        inherited: BTreeMap<String, String>,
        occasion: Occasion,
    ) -> Run {
        Run {
            plugin: Arc::clone(&self.name),
            settings: Arc::clone(&self.settings),
            connections: Arc::clone(&self.room.connections),
            world: world.entered(),
            buffer: Buffer::new(state, self.settings.limits),
            ids,
            ids_given: 0,
            inherited,
            lines: Arc::new(Lines::new(Arc::clone(&self.name), occasion, self.settings.limits.log_bytes)),
            reply: None,
        }
    }
}

fn run_native(handler: NativeHandler, event: &Event, run: Run) -> Handled {
    let mut invocation = Invocation::new(0);
    invocation.begin(run);
    let outcome = handler(event, &mut |event_type, json| invocation.publish_json(event_type, json));
    let (effects, _) = invocation.end();
    if outcome == Outcome::Ack { Handled { outcome, effects } } else { Handled::without(outcome) }
}

/// The outcome that a failure is. A retry may have been reported as another kind of failure before.
fn outcome_of(failure: wire::Failure, reported: Option<Cause>) -> Outcome {
    let visible = |reason: &str| printable::block(reason).chars().take(2_000).collect();
    match failure {
        wire::Failure::Retry(wire::Retry { delay_ms, reason }) => Outcome::Retry {
            after: delay_ms.map(Duration::from_millis),
            failure: Failure { cause: reported.unwrap_or(Cause::Retry), reason: visible(&reason) },
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
