//! `wasi:otel`: spans, log records and metrics of guests.
//!
//! A span becomes part of the invocation's trace, if the host exports traces and the trace is sampled. A log record
//! becomes a log line. Metrics are accepted and dropped, because the guest would choose their series, and each series
//! takes memory.

use std::fmt::Write as _;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Val, flags};

use crate::clock::UnixNanos;
use crate::otlp::{GuestSpan, GuestSpanEvent, GuestSpanKind};
use crate::plugin::bindings::wasi::logging::logging::Level;
use crate::plugin::invocation::InstanceData;
use crate::span_context::SpanContext;

/// The version that Spin and wasmCloud offer.
const VERSION: &str = "0.2.0-rc.2";
/// How many attributes of a log record become part of the line.
const LOGGED_ATTRIBUTES: usize = 32;

type Store<'a> = StoreContextMut<'a, InstanceData>;

/// Links the interfaces.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:otel/types@{VERSION}"))?;
    let mut tracing = linker.instance(&format!("wasi:otel/tracing@{VERSION}"))?;
    // The host learns of a span when it ends.
    tracing.func_wrap("on-start", |mut store: Store<'_>, (_,): (Context,)| store.data_mut().invocation().map(drop))?;
    tracing.func_wrap("on-end", |mut store: Store<'_>, (span,): (SpanData,)| {
        let invocation = store.data_mut().invocation()?;
        if let Some(span) = span.reported() {
            invocation.log.report_span(span);
        }
        Ok(())
    })?;
    tracing.func_wrap("outer-span-context", |mut store: Store<'_>, (): ()| {
        Ok((Context::of(store.data_mut().invocation()?.trace),))
    })?;
    let mut logs = linker.instance(&format!("wasi:otel/logs@{VERSION}"))?;
    logs.func_wrap("on-emit", |mut store: Store<'_>, (record,): (LogRecord,)| {
        let invocation = store.data_mut().invocation()?;
        invocation.log.add(record.level(), record.context(), &record.line());
        Ok(())
    })?;
    let mut metrics = linker.instance(&format!("wasi:otel/metrics@{VERSION}"))?;
    // Values of any type are accepted, because none of them is used.
    metrics.func_new("export", |mut store: Store<'_>, _: ComponentFunc, _: &[Val], results: &mut [Val]| {
        store.data_mut().invocation()?;
        results.fill(Val::Result(Ok(None)));
        Ok(())
    })
}

flags! {
    TraceFlags {
        #[component(name = "sampled")]
        const SAMPLED;
    }
}

/// The identity of a span.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct Context {
    #[component(name = "trace-id")]
    trace_id: String,
    #[component(name = "span-id")]
    span_id: String,
    #[component(name = "trace-flags")]
    trace_flags: TraceFlags,
    #[component(name = "is-remote")]
    is_remote: bool,
    #[component(name = "trace-state")]
    trace_state: Vec<(String, String)>,
}

impl Context {
    /// The identity of the invocation's span. All zeros if the invocation has no span.
    fn of(span: Option<SpanContext>) -> Self {
        let (trace_id, span_id) = match span {
            Some(span) => (span.trace.to_string(), span.span.to_string()),
            None => ("0".repeat(32), "0".repeat(16)),
        };
        let is_sampled = span.is_some_and(|span| span.is_sampled);
        let trace_flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        Self { trace_id, span_id, trace_flags, is_remote: span.is_some(), trace_state: Vec::new() }
    }

    /// None if an id is malformed or zero.
    fn parsed(&self) -> Option<SpanContext> {
        let is_sampled = (self.trace_flags & TraceFlags::SAMPLED) == TraceFlags::SAMPLED;
        parsed(&self.trace_id, &self.span_id, is_sampled)
    }
}

fn parsed(trace: &str, span: &str, is_sampled: bool) -> Option<SpanContext> {
    SpanContext::parse(&format!("00-{trace}-{span}-{:02x}", u8::from(is_sampled)))
}

/// A time since 1970.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl From<Datetime> for UnixNanos {
    fn from(Datetime { seconds, nanoseconds }: Datetime) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.into()))
    }
}

/// An attribute, whose value is JSON.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct Attribute {
    key: String,
    value: String,
}

fn pairs(attributes: Vec<Attribute>) -> Vec<(String, String)> {
    attributes.into_iter().map(|Attribute { key, value }| (key, value)).collect()
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "only some of the fields are used")]
struct Scope {
    name: String,
    version: Option<String>,
    #[component(name = "schema-url")]
    schema_url: Option<String>,
    attributes: Vec<Attribute>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "the host describes itself")]
struct Origin {
    attributes: Vec<Attribute>,
    #[component(name = "schema-url")]
    schema_url: Option<String>,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "its values come from guests")]
enum Kind {
    #[component(name = "client")]
    Client,
    #[component(name = "server")]
    Server,
    #[component(name = "producer")]
    Producer,
    #[component(name = "consumer")]
    Consumer,
    #[component(name = "internal")]
    Internal,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct SpanEvent {
    name: String,
    time: Datetime,
    attributes: Vec<Attribute>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "the attributes of links are not exported")]
struct SpanLink {
    #[component(name = "span-context")]
    context: Context,
    attributes: Vec<Attribute>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
enum Status {
    #[component(name = "unset")]
    Unset,
    #[component(name = "ok")]
    Ok,
    #[component(name = "error")]
    Error(String),
}

/// A span that has ended.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "what the guest has left out is not counted")]
struct SpanData {
    #[component(name = "span-context")]
    context: Context,
    #[component(name = "parent-span-id")]
    parent: String,
    #[component(name = "span-kind")]
    kind: Kind,
    name: String,
    #[component(name = "start-time")]
    started: Datetime,
    #[component(name = "end-time")]
    ended: Datetime,
    attributes: Vec<Attribute>,
    events: Vec<SpanEvent>,
    links: Vec<SpanLink>,
    status: Status,
    #[component(name = "instrumentation-scope")]
    scope: Scope,
    #[component(name = "dropped-attributes")]
    dropped_attributes: u32,
    #[component(name = "dropped-events")]
    dropped_events: u32,
    #[component(name = "dropped-links")]
    dropped_links: u32,
}

impl SpanData {
    /// None if its identity is malformed.
    fn reported(self) -> Option<GuestSpan> {
        let context = self.context.parsed()?;
        Some(GuestSpan {
            parent: parsed(&self.context.trace_id, &self.parent, context.is_sampled),
            context,
            kind: match self.kind {
                Kind::Client => GuestSpanKind::Client,
                Kind::Server => GuestSpanKind::Server,
                Kind::Producer => GuestSpanKind::Producer,
                Kind::Consumer => GuestSpanKind::Consumer,
                Kind::Internal => GuestSpanKind::Internal,
            },
            name: self.name,
            started: self.started.into(),
            ended: self.ended.into(),
            attributes: pairs(self.attributes),
            events: self.events.into_iter().map(SpanEvent::reported).collect(),
            links: self.links.iter().filter_map(|link| link.context.parsed()).collect(),
            failure: match self.status {
                Status::Unset | Status::Ok => None,
                Status::Error(reason) => Some(reason),
            },
            scope: self.scope.name,
        })
    }
}

impl SpanEvent {
    fn reported(self) -> GuestSpanEvent {
        GuestSpanEvent { name: self.name, time: self.time.into(), attributes: pairs(self.attributes) }
    }
}

/// A log record.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "a log line has the time and the span of the invocation")]
struct LogRecord {
    timestamp: Option<Datetime>,
    #[component(name = "observed-timestamp")]
    observed: Option<Datetime>,
    #[component(name = "severity-text")]
    severity_text: Option<String>,
    #[component(name = "severity-number")]
    severity: Option<u8>,
    body: Option<String>,
    attributes: Option<Vec<Attribute>>,
    #[component(name = "event-name")]
    event_name: Option<String>,
    resource: Option<Origin>,
    #[component(name = "instrumentation-scope")]
    scope: Option<Scope>,
    #[component(name = "trace-id")]
    trace_id: Option<String>,
    #[component(name = "span-id")]
    span_id: Option<String>,
    #[component(name = "trace-flags")]
    trace_flags: Option<TraceFlags>,
}

impl LogRecord {
    /// The level, by the numbers of OpenTelemetry's log data model.
    fn level(&self) -> Level {
        match self.severity {
            Some(1..=4) => Level::Trace,
            Some(5..=8) => Level::Debug,
            Some(13..=16) => Level::Warn,
            Some(17..=20) => Level::Error,
            Some(21..) => Level::Critical,
            Some(0 | 9..=12) | None => Level::Info,
        }
    }

    fn context(&self) -> &str {
        let scope = self.scope.as_ref().map(|scope| scope.name.as_str());
        self.event_name.as_deref().or(scope).unwrap_or_default()
    }

    /// The text, and the attributes behind it.
    fn line(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        let mut line = serde_json::from_str::<String>(body).unwrap_or_else(|_| body.to_owned());
        for Attribute { key, value } in self.attributes.iter().flatten().take(LOGGED_ATTRIBUTES) {
            // Writing to a text cannot fail.
            let _ = write!(line, " {key}={value}");
        }
        line.trim_start().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;
    use wit_bindgen_core::wit_parser::Resolve;
    use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

    use super::*;
    use crate::plugin::imports::linkers::tests::linkers_for;
    use crate::plugin::invocation::guest_call::CallModel;
    use crate::plugin::run::engine::{self, EngineConfig};

    /// The interfaces, as the test guest `traced` imports them.
    const WIT: &str = include_str!("../../../../tests/guests/telemetry/wasi-otel.wit");

    #[test]
    fn the_interfaces_of_spin_and_wasmcloud_link() {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("wasi-otel.wit", WIT).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(
            "(module
                (import \"wasi:otel/tracing@0.2.0-rc.2\" \"on-start\" (func (param i32 i32 i32 i32 i32 i32 i32 i32)))
                (import \"wasi:otel/tracing@0.2.0-rc.2\" \"on-end\" (func (param i32)))
                (import \"wasi:otel/tracing@0.2.0-rc.2\" \"outer-span-context\" (func (param i32)))
                (import \"wasi:otel/logs@0.2.0-rc.2\" \"on-emit\" (func (param i32)))
                (import \"wasi:otel/metrics@0.2.0-rc.2\" \"export\" (func (param i32 i32 i32 i32 i32 i32)))
                (memory (export \"memory\") 1)
                (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 0)))",
        )
        .unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let bytes = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
        let config = EngineConfig {
            concurrency: 1,
            memory_bytes: 1 << 20,
            source_lines: false,
            wasi_0_3: true,
            labelled_imports: true,
        };
        let engine = engine::start(config, CallModel::Synchronous).unwrap();
        let mut linker = Linker::new(&engine);
        link(&mut linker).unwrap();
        linker.instance("wasi:clocks/wall-clock@0.2.0").unwrap();
        linker.instantiate_pre(&Component::new(&engine, &bytes).unwrap()).unwrap();
        assert!(linkers_for(CallModel::Concurrent).offers_name("wasi:otel/tracing@0.2.0-rc.2"));
    }

    fn record(severity: Option<u8>, body: &str) -> LogRecord {
        let attributes = vec![Attribute { key: "shelf".to_owned(), value: "7".to_owned() }];
        LogRecord {
            timestamp: None,
            observed: None,
            severity_text: None,
            severity,
            body: Some(body.to_owned()),
            attributes: Some(attributes),
            event_name: Some("stock".to_owned()),
            resource: None,
            scope: None,
            trace_id: None,
            span_id: None,
            trace_flags: None,
        }
    }

    #[test]
    fn a_log_record_becomes_a_line() {
        for (body, line) in [("\"no bread\"", "no bread shelf=7"), ("{\"a\":1}", "{\"a\":1} shelf=7"), ("", "shelf=7")]
        {
            let record = record(Some(13), body);
            assert_eq!((record.line().as_str(), record.context(), record.level()), (line, "stock", Level::Warn));
        }
        assert_eq!(record(None, "").level(), Level::Info);
        assert_eq!(record(Some(24), "").level(), Level::Critical);
    }

    #[test]
    fn the_context_of_the_invocation_is_that_of_its_span() {
        let span = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let context = Context::of(span);
        assert_eq!(context.parsed(), span);
        assert_eq!(Context::of(None).parsed(), None);
    }
}
