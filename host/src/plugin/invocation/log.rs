//! The log of an invocation: its lines, which become lines of the host's log, and the requests that it sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::response_recorder::{ResponseRecorder, ResponseRecording};
use crate::event::Event;
use crate::otlp::{ClientTrace, GuestSpan};
use crate::plugin::bindings::wasi::logging::logging::Level;
use crate::plugin::manifest::descriptor::Route;
use crate::plugin::manifest::settings::Settings;
use crate::printable;
use crate::request_id::RequestId;
use crate::secrecy::SecretMask;
use crate::span_context::SpanContext;
use crate::usage::{LogLevel, OutboundCall, OutboundCalls, RecordedLog};

/// The longest line that is kept when the limit is reached.
const KEPT_CHARACTERS: usize = 4_000;
/// The overhead of a line in bytes, because an empty line is written too.
const LINE_BYTES: usize = 64;

/// The trigger of an invocation, for its log lines.
#[derive(Clone, Debug)]
pub(crate) enum Trigger {
    Delivery { event: Arc<Event>, subscription: String, attempt: u32 },
    Request { route: Arc<Route>, request: RequestId },
}

/// The log of one invocation: its context, how many bytes it may still log, and the requests that it sent.
pub(crate) struct InvocationLog {
    pub(crate) plugin: Arc<str>,
    pub(crate) trigger: Trigger,
    bytes_left: AtomicUsize,
    /// The text of the last error.
    last_error: Mutex<Option<String>>,
    /// The context and the text of the last error that was dropped.
    dropped_error: Mutex<Option<(String, String)>>,
    calls: Mutex<Calls>,
    /// The first lines.
    lines: Mutex<RecordedLog>,
    mask: SecretMask,
    pub(crate) response_recorder: ResponseRecorder,
    /// The span of the invocation, if it is sampled.
    span: Option<SpanContext>,
    /// Traces the requests.
    pub(crate) client: ClientTrace,
}

/// The requests of an invocation.
#[derive(Default)]
struct Calls {
    recorded: OutboundCalls,
    /// The responses that are being recorded, by the index of the request.
    recordings: Vec<(usize, ResponseRecording)>,
}

impl InvocationLog {
    pub(crate) fn new(
        plugin: Arc<str>,
        trigger: Trigger,
        limit_bytes: usize,
        response_recorder: ResponseRecorder,
    ) -> Self {
        let (last_error, dropped_error, calls, lines, mask, client) = Default::default();
        let bytes_left = AtomicUsize::new(limit_bytes);
        Self {
            plugin,
            trigger,
            bytes_left,
            last_error,
            dropped_error,
            calls,
            lines,
            mask,
            response_recorder,
            span: None,
            client,
        }
    }

    /// This log, which hides secrets.
    pub(crate) fn masked(self, mask: SecretMask) -> Self {
        Self { mask, ..self }
    }

    /// This log, with the span of the invocation and the trace of its requests.
    pub(crate) fn traced(self, span: Option<SpanContext>, client: ClientTrace) -> Self {
        Self { span: span.filter(|span| span.is_sampled), client, ..self }
    }

    /// Logs a line, within the limit of the invocation. Reaching the limit is logged once.
    pub(crate) fn add(&self, level: Level, context: &str, message: &str) {
        let (context, message) = (&*self.mask.mask(context), &*self.mask.mask(message));
        if matches!(level, Level::Error | Level::Critical) {
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(shortened(message));
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).add(recorded_level(level), message);
        let size = LINE_BYTES + context.len() + message.len();
        let left = self.bytes_left.load(Ordering::Relaxed);
        if size <= left {
            self.bytes_left.store(left - size, Ordering::Relaxed);
            self.emit(level, context, message);
            return;
        }
        if matches!(level, Level::Error | Level::Critical) {
            self.keep(context, message);
        }
        if left > 0 {
            self.bytes_left.store(0, Ordering::Relaxed);
            let reached = "this invocation has reached its log limit; further lines are dropped";
            self.emit(Level::Warn, "sandbus", reached);
        }
    }

    fn keep(&self, context: &str, message: &str) {
        let kept = (shortened(context), shortened(message));
        *self.dropped_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// Logs the last error that was dropped because of the limit. This line may exceed the limit.
    pub(crate) fn emit_dropped_error(&self) {
        let dropped = self.dropped_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((context, message)) = dropped {
            self.emit(Level::Error, &context, &message);
        }
    }

    /// Takes the text of the last error, for a call that failed: it may be the reason.
    pub(crate) fn take_last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Records a request that has a response or has failed. The recording of its response may go on until the calls are
    /// taken.
    pub(crate) fn record_call(&self, call: OutboundCall, recording: Option<ResponseRecording>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let index = calls.recorded.recorded.len();
        calls.recorded.add(call);
        if calls.recorded.recorded.len() > index {
            calls.recordings.extend(recording.map(|recording| (index, recording)));
        }
    }

    /// Takes the recorded requests. Secrets of the settings are hidden in their recorded responses.
    pub(crate) fn take_calls(&self, settings: &Settings) -> OutboundCalls {
        let Calls { mut recorded, recordings } =
            std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner));
        for (index, recording) in recordings {
            recorded.recorded[index].recorded_response =
                recording.close(&settings.config, settings.imports.all_values());
        }
        recorded
    }

    /// Exports a span of the guest as part of the invocation's trace, without secrets.
    pub(crate) fn report_span(&self, mut span: GuestSpan) {
        let context = span.context;
        let masked = || {
            let attributes = span.events.iter_mut().flat_map(|event| &mut event.attributes);
            for (name, value) in span.attributes.iter_mut().chain(attributes) {
                self.mask.apply(name);
                self.mask.apply(value);
            }
            let events = span.events.iter_mut().map(|event| &mut event.name);
            for text in [&mut span.name, &mut span.scope].into_iter().chain(&mut span.failure).chain(events) {
                self.mask.apply(text);
            }
            span
        };
        self.client.report(masked, context);
    }

    /// Takes the first lines.
    pub(crate) fn take_lines(&self) -> RecordedLog {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Control characters are escaped, because a log line must not control a terminal.
    fn emit(&self, level: Level, context: &str, message: &str) {
        let plugin = &*self.plugin;
        let message = printable::block(message);
        let context = printable::block(context);
        let trace_id = self.span.map(|span| tracing::field::display(span.trace));
        let span_id = self.span.map(|span| tracing::field::display(span.span));
        macro_rules! line {
            ($level:ident) => {
                match &self.trigger {
                    Trigger::Delivery { event, subscription, attempt } => {
                        tracing::$level!(target: "plugin", plugin, event = %event.id, %subscription, attempt, trace_id, span_id, %context, "{message}");
                    }
                    Trigger::Request { route, request } => {
                        tracing::$level!(target: "plugin", plugin, %route, %request, trace_id, span_id, %context, "{message}");
                    }
                }
            };
        }
        match level {
            Level::Trace => line!(trace),
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error | Level::Critical => line!(error),
        }
    }
}

fn recorded_level(level: Level) -> LogLevel {
    match level {
        Level::Trace => LogLevel::Trace,
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
        Level::Critical => LogLevel::Critical,
    }
}

/// The beginning of a long text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(KEPT_CHARACTERS) {
        Some((end, _)) => format!("{}… (shortened)", &text[..end]),
        None => text.to_owned(),
    }
}
