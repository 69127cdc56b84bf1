//! What the sandbox offers to a running component. Nothing here reaches outside: reads come from the
//! state as of one moment, and everything else is kept aside as effects of the invocation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use wasmtime::component::{Resource, ResourceTable};

use super::buffer::{Buffer, Refused};
use super::environment::World;
use super::log::Lines;
use super::wasi::Wasi;
use crate::clock::{Clock, FARTHEST, Timestamp};
use crate::event::reserved::{ReservedType, is_host_attribute, plugin_source};
use crate::event::{Data, Event, IdSeed, check_type};
use crate::outcome::{Cause, StateView, SubscriptionChange};
use crate::pattern::Pattern;
use crate::plugin::bindings::sandbus::plugin::{bus, rules as wire_rules, types};
use crate::plugin::bindings::wasi::clocks::wall_clock;
use crate::plugin::bindings::wasi::config::store as config;
use crate::plugin::bindings::wasi::keyvalue::{atomics, store};
use crate::plugin::bindings::wasi::logging::logging;
use crate::plugin::bindings::wasi::random::random;
use crate::plugin::manifest::descriptor::Route;
use crate::plugin::manifest::limits::Meter;
use crate::plugin::manifest::settings::Settings;
use crate::plugin::manifest::subscription_rules;
use crate::subscription::{Definition, Secret, Target, Webhook};

/// The data of one wasmtime store: one invocation.
pub(crate) struct Invocation {
    pub(crate) meter: Meter,
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
    pub(crate) wasi: Option<Box<Wasi>>,
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
    pub(crate) world: World,
    pub(crate) buffer: Buffer,
    pub(crate) ids: IdSeed,
    /// How many ids have been given away.
    pub(crate) ids_given: u64,
    /// Attributes that every published event gets: its cause and its flow.
    pub(crate) inherited: BTreeMap<String, String>,
    /// Its log lines, with what they carry besides the plugin's name.
    pub(crate) lines: Arc<Lines>,
    pub(crate) reply: Option<ReplyTo>,
}

/// The reply that the client of a request waits for.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    /// The id of the event that begins the flow.
    pub id: String,
    /// Which event is the reply.
    pub pattern: Pattern,
    /// How long the client waits.
    pub timeout: Duration,
}

/// How many handles an instance may have: buckets, streams, what it polls, requests. What the host keeps for one that is
/// not counted as the instance's memory has some 60 KiB at most.
const HANDLES: usize = 1_024;

/// How many extension attributes an event may have of its publisher.
const EXTENSIONS: usize = 256;

/// As many random bytes as a guest can need at once; more would be a way to fill the host's memory.
pub(crate) const RANDOM_LIMIT_BYTES: u64 = 64 << 10;

/// The longest that a client may wait for a reply.
pub const REPLY_LIMIT: Duration = Duration::from_mins(1);

/// What an invocation is about, for its log lines.
#[derive(Clone, Debug)]
pub(crate) enum Occasion {
    Delivery { event: Arc<Event>, subscription: String, attempt: u32 },
    Request { route: Arc<Route> },
}

impl std::fmt::Debug for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

/// A plugin's only bucket.
#[derive(Clone, Copy, Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Bucket;

/// A compare-and-swap in progress.
#[derive(Clone, Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Cas {
    key: String,
    current: Option<Vec<u8>>,
}

impl Invocation {
    /// For calls, one after the other: of handlers, each begun with a run, or of `describe`, for which the bus,
    /// the state and the configuration refuse. The instance's memory, and the handles that it has, outlive a call;
    /// nothing else does.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (meter, until) = (Meter::new(memory_bytes), Instant::now());
        Self { meter, table, run: None, panic: None, reported: None, cursors: Vec::new(), until, wasi: None }
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, run: Run) {
        self.meter.was_refused = false;
        self.panic = None;
        self.reported = None;
        self.cursors.clear();
        if let Some(wasi) = &self.wasi {
            wasi.output.begin(Some(Arc::clone(&run.lines)));
        }
        self.run = Some(run);
    }

    /// Ends a call. What it asked for: its effects, and the reply that the client of a request waits for.
    pub(crate) fn end(&mut self) -> (crate::outcome::Effects, Option<ReplyTo>) {
        if let Some(wasi) = &self.wasi {
            wasi.output.end();
        }
        self.run.take().map(|run| (run.buffer.into_effects(), run.reply)).unwrap_or_default()
    }

    /// Publishes as a component would. For native handlers, which are trusted to publish what they may.
    pub(crate) fn publish_json(&mut self, event_type: &str, json: Vec<u8>) {
        let message = bus::Message {
            type_: event_type.to_owned(),
            subject: None,
            datacontenttype: Some("application/json".to_owned()),
            dataschema: None,
            extensions: Vec::new(),
            data: Some(json),
            due: bus::Due::Now,
        };
        if let Some(run) = &mut self.run
            && let Err(error) = run.publish(message)
        {
            tracing::error!(plugin = %run.plugin, event_type, ?error, "a native handler published what it may not");
        }
    }

    /// A wasmtime error ends the guest: a trap.
    pub(crate) fn run(&mut self) -> wasmtime::Result<&mut Run> {
        self.run.as_mut().ok_or_else(|| wasmtime::Error::msg("`describe` must be pure, and called an import"))
    }
}

impl Run {
    fn draw(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        let drawn = self.world.chance.fill(bytes);
        drawn.map_err(|error| wasmtime::Error::msg(format!("no random bytes: {error}")))
    }

    fn event(&mut self, message: bus::Message) -> Result<(Event, Option<Timestamp>), bus::Error> {
        let event_type = message.type_;
        check_type(&event_type).map_err(invalid)?;
        if !self.settings.publish.iter().any(|pattern| pattern.matches(&event_type)) {
            let reason = format!(
                "plugin `{}` may not publish `{event_type}`; name it among what the plugin publishes, or grant it in the sidecar",
                self.plugin
            );
            return Err(bus::Error::Denied(reason));
        }
        if ReservedType::of(&event_type).is_some() {
            let reason = format!("`{event_type}` is a type that only the host publishes; choose another first word");
            return Err(bus::Error::Denied(reason));
        }
        let now = self.world.clock.now();
        let due = match message.due {
            bus::Due::Now => None,
            bus::Due::AfterMs(delay) if Duration::from_millis(delay) > FARTHEST => {
                return Err(bus::Error::Invalid("an event is put off for a hundred years at most".to_owned()));
            }
            bus::Due::AfterMs(delay) => Some(now.after(Duration::from_millis(delay))),
            bus::Due::At(time) => Some(
                Timestamp::parse(&time)
                    .ok_or_else(|| bus::Error::Invalid(format!("`{time}` is no time in RFC 3339")))?,
            ),
        };
        if message.extensions.len() > EXTENSIONS {
            return Err(bus::Error::Invalid(format!("an event has {EXTENSIONS} extension attributes at most")));
        }
        let mut extensions = BTreeMap::new();
        for (name, value) in message.extensions {
            if !crate::event::is_extension_name(&name) {
                return Err(bus::Error::Invalid(format!("`{name}` is no extension attribute")));
            }
            // What it took over from the event that it handles says nothing of the one that it publishes.
            if !is_host_attribute(&name) {
                extensions.insert(name, value);
            }
        }
        // The host's own come last, so that a plugin cannot forge them.
        extensions.extend(self.inherited.clone());
        let event = Event {
            id: self.ids.id(self.ids_given),
            source: plugin_source(&self.plugin),
            event_type,
            subject: message.subject,
            time: Some(now.to_string()),
            data: message.data.map(|bytes| Data::published(message.datacontenttype.as_deref(), bytes)),
            datacontenttype: message.datacontenttype,
            dataschema: message.dataschema,
            extensions,
            typed: std::collections::BTreeSet::new(),
            producer: None,
        };
        event.check_message().map_err(invalid)?;
        Ok((event, due))
    }

    fn publish(&mut self, message: bus::Message) -> Result<String, bus::Error> {
        let (event, due) = self.event(message)?;
        let id = event.id.clone();
        self.buffer.publish(event, due).map_err(|refused| limit(&refused))?;
        self.ids_given += 1;
        Ok(id)
    }

    fn cancel(&mut self, id: String) -> Result<(), bus::Error> {
        self.buffer.cancel(id).map_err(|refused| limit(&refused))
    }

    fn reply(&mut self, id: String, pattern: &str, timeout: Duration) -> Result<(), bus::Error> {
        if !matches!(self.lines.occasion, Occasion::Request { .. }) {
            return Err(bus::Error::Invalid("only the client of a request can wait for a reply".to_owned()));
        }
        if !self.buffer.has_published(&id) {
            return Err(bus::Error::Invalid(format!("this invocation has not published the event `{id}`")));
        }
        if timeout > REPLY_LIMIT {
            return Err(bus::Error::Limit(format!("a client waits {} s at most", REPLY_LIMIT.as_secs())));
        }
        let pattern = Pattern::parse(pattern).map_err(invalid)?;
        self.reply = Some(ReplyTo { id, pattern, timeout });
        Ok(())
    }

    fn subscribe(&mut self, wanted: bus::Subscription) -> Result<(), bus::Error> {
        let name = wanted.name;
        if !crate::subscription::is_valid_name(&name) {
            let reason = format!("`{name}` is no subscription's name; use 1 to 128 letters, digits, `-` and `_`");
            return Err(bus::Error::Invalid(reason));
        }
        if self.settings.declared.subscriptions.iter().any(|(declared, ..)| *declared == name) {
            let reason =
                format!("the plugin declares the subscription `{name}`; one made at run time needs another name");
            return Err(bus::Error::Invalid(reason));
        }
        let pattern = Pattern::parse(&wanted.pattern).map_err(invalid)?;
        if !self.settings.subscribe.iter().any(|grant| grant.covers(&pattern)) {
            let reason = format!(
                "plugin `{}` may not subscribe to `{pattern}`; name it among what the plugin subscribes, or grant it in the sidecar",
                self.plugin
            );
            return Err(bus::Error::Denied(reason));
        }
        let target = match wanted.target {
            bus::Target::Plugin(name) => Target::Plugin(name),
            bus::Target::Webhook(webhook) => self.webhook(webhook)?,
        };
        let start = subscription_rules::start(wanted.start).map_err(invalid)?;
        let concurrency = subscription_rules::concurrency(wanted.concurrency).map_err(invalid)?;
        let definition = Box::new(Definition {
            pattern,
            filters: subscription_rules::filters(wanted.filters.as_deref()).map_err(invalid)?,
            target,
            concurrency: concurrency.unwrap_or(self.settings.subscription_concurrency),
            ordering_key: subscription_rules::ordering_key(wanted.ordering_key.as_deref()).map_err(invalid)?,
            dead_letter_policy: subscription_rules::dead_letter_policy(wanted.dead_letter_policy),
            retry: subscription_rules::retry(wanted.retry).map_err(invalid)?,
            max_backlog: None,
            timeout: self.settings.limits.timeout,
        });
        self.buffer
            .subscribe(SubscriptionChange::Subscribe { name, definition, start })
            .map_err(|refused| limit(&refused))
    }

    fn webhook(&self, webhook: bus::Webhook) -> Result<Target, bus::Error> {
        let host = crate::endpoint::host_and_port(&webhook.url).map_err(bus::Error::Invalid)?;
        if !crate::endpoint::is_granted(&host, &self.settings.webhooks) {
            let reason = format!(
                "plugin `{}` may not send to `{host}`; grant it in the sidecar: [grants] webhooks = [\"{host}\"]",
                self.plugin
            );
            return Err(bus::Error::Denied(reason));
        }
        let secret = webhook.secret.as_deref().map(Secret::parse).transpose().map_err(invalid)?;
        Ok(Target::Webhook(Webhook { secret, handshake: webhook.handshake, ..Webhook::new(webhook.url) }))
    }
}

fn invalid(error: impl std::fmt::Display) -> bus::Error {
    bus::Error::Invalid(error.to_string())
}

fn limit(refused: &Refused) -> bus::Error {
    bus::Error::Limit(refused.to_string())
}

fn other(reason: impl std::fmt::Display) -> store::Error {
    store::Error::Other(reason.to_string())
}

impl types::Host for Invocation {}
impl wire_rules::Host for Invocation {}

impl bus::Host for Invocation {
    fn publish(&mut self, message: bus::Message) -> wasmtime::Result<Result<String, bus::Error>> {
        Ok(self.run()?.publish(message))
    }

    fn publish_many(&mut self, messages: Vec<bus::Message>) -> wasmtime::Result<Result<Vec<String>, bus::Error>> {
        let run = self.run()?;
        let before = run.buffer.published();
        let ids = messages.into_iter().map(|message| run.publish(message)).collect::<Result<Vec<_>, _>>();
        if ids.is_err() {
            run.buffer.take_back_published(before);
        }
        Ok(ids)
    }

    fn cancel(&mut self, id: String) -> wasmtime::Result<Result<(), bus::Error>> {
        Ok(self.run()?.cancel(id))
    }

    fn reply(&mut self, id: String, pattern: String, timeout_ms: u64) -> wasmtime::Result<Result<(), bus::Error>> {
        Ok(self.run()?.reply(id, &pattern, Duration::from_millis(timeout_ms)))
    }

    fn subscribe(&mut self, wanted: bus::Subscription) -> wasmtime::Result<Result<(), bus::Error>> {
        Ok(self.run()?.subscribe(wanted))
    }

    fn unsubscribe(&mut self, name: String) -> wasmtime::Result<Result<(), bus::Error>> {
        let change = SubscriptionChange::Unsubscribe { name };
        Ok(self.run()?.buffer.subscribe(change).map_err(|refused| limit(&refused)))
    }
}

impl store::Host for Invocation {
    fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
        self.run()?;
        if !identifier.is_empty() && identifier != "default" {
            return Ok(Err(store::Error::NoSuchStore));
        }
        Ok(Ok(self.table.push(Bucket)?))
    }
}

impl store::HostBucket for Invocation {
    fn get(&mut self, _: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Ok(self.run()?.buffer.get(&key).map_err(other))
    }

    fn set(&mut self, _: Resource<Bucket>, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(self.run()?.buffer.set(key, value).map_err(other))
    }

    fn delete(&mut self, _: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(self.run()?.buffer.delete(key).map_err(other))
    }

    fn exists(&mut self, _: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, store::Error>> {
        Ok(self.run()?.buffer.get(&key).map(|value| value.is_some()).map_err(other))
    }

    fn list_keys(
        &mut self,
        _: Resource<Bucket>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
        let page = self.run()?.buffer.keys(cursor.as_deref()).map_err(other);
        Ok(page.map(|(keys, cursor)| store::KeyResponse { keys, cursor }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl Cas {
    /// What of it counts as the instance's memory.
    fn size_bytes(&self) -> usize {
        self.key.len() + self.current.as_ref().map_or(0, Vec::len)
    }
}

impl Invocation {
    fn begin_swap(&mut self, cas: Cas) -> wasmtime::Result<Resource<Cas>> {
        self.meter.hold(0, cas.size_bytes())?;
        Ok(self.table.push(cas)?)
    }

    fn end_swap(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Cas> {
        let cas = self.table.delete(cas)?;
        self.meter.hold(cas.size_bytes(), 0)?;
        Ok(cas)
    }
}

impl atomics::HostCas for Invocation {
    fn new(&mut self, _: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Resource<Cas>, store::Error>> {
        match self.run()?.buffer.get(&key) {
            Ok(current) => Ok(Ok(self.begin_swap(Cas { key, current })?)),
            Err(error) => Ok(Err(other(error))),
        }
    }

    fn current(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Ok(Ok(self.table.get(&cas)?.current.clone()))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.end_swap(cas).map(drop)
    }
}

impl atomics::Host for Invocation {
    fn increment(
        &mut self,
        _: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, store::Error>> {
        Ok(self.run()?.buffer.increment(key, delta).map_err(other))
    }

    fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Cas { key, current } = self.end_swap(cas)?;
        let buffer = &mut self.run()?.buffer;
        match buffer.get(&key) {
            // Only the invocation itself can have changed it; the commit checks for all others.
            Ok(now) if now != current => {
                let again = self.begin_swap(Cas { key, current: now })?;
                Ok(Err(atomics::CasError::CasFailed(again)))
            }
            Ok(_) => Ok(buffer.set(key, value).map_err(|error| atomics::CasError::StoreError(other(error)))),
            Err(error) => Ok(Err(atomics::CasError::StoreError(other(error)))),
        }
    }
}

impl config::Host for Invocation {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        Ok(Ok(self.run()?.settings.config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, config::Error>> {
        Ok(Ok(self.run()?.settings.config.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
    }
}

/// The kind of failure that the context of a critical line reports.
fn reported(context: &str) -> Option<Cause> {
    [Cause::Exception, Cause::Request].into_iter().find(|cause| cause.as_str() == context)
}

impl logging::Host for Invocation {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        if matches!(level, logging::Level::Critical) {
            // An SDK reports the kind of a failure so. It is no line: the failure itself is logged with its reason.
            if let Some(cause) = reported(&context) {
                self.reported = Some(cause);
                return Ok(());
            }
            // And a panic so; it becomes the reason of the trap that follows.
            self.panic = Some(message.chars().take(1_000).collect());
        }
        if let Some(run) = &self.run {
            run.lines.add(level, &context, &message);
        }
        Ok(())
    }
}

impl wall_clock::Host for Invocation {
    #[allow(clippy::disallowed_methods, reason = "the guest asks for the time of day")]
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let since = match &self.run()?.world.clock {
            // The system's has a finer resolution than a timestamp.
            Clock::System => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            clock @ Clock::Manual(_) => Duration::from_millis(clock.now().0),
        };
        Ok(wall_clock::Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl random::Host for Invocation {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let run = self.run()?;
        if len > RANDOM_LIMIT_BYTES {
            let reason = format!("{len} random bytes were asked for; {RANDOM_LIMIT_BYTES} is the limit");
            return Err(wasmtime::Error::msg(reason));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        run.draw(&mut bytes)?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.run()?.draw(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// A buffer of effects for a run.
pub(crate) fn buffer(state: Box<dyn StateView>, settings: &Settings) -> Buffer {
    Buffer::new(state, settings.limits)
}
