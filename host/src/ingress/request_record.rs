//! The record of a request for the ledger. The record is complete when the handler and the response have both ended,
//! because the handler of a streamed response may still run after the head is sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

use crate::clock::Timestamp;
use crate::event::{CauseTreeId, trace_of};
use crate::ledger::{RecordedFailure, Recorder, RequestEntry, StatisticsSubject, SubjectStatistics};
use crate::otlp::{Attributes, Beginning, Ending, OpenSpan, Role, TracedOperation, Tracer};
use crate::outcome::{EffectNames, Effects, Failure};
use crate::plugin::{Generation, Route};
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::span_context::{SpanContext, SpanId, TraceId};
use crate::usage::Usage;

/// The record of a request. It is written when it is dropped.
#[derive(Debug)]
pub(super) struct RequestRecord {
    recorder: Recorder,
    statistics: Option<Arc<SubjectStatistics>>,
    id: RequestId,
    generation: Arc<Generation>,
    route: Arc<Route>,
    method: Method,
    path: String,
    started: Instant,
    tracer: Tracer,
    /// The place of the request in a trace, if it is traced.
    trace: Option<TracedOperation>,
    progress: Mutex<RequestProgress>,
}

/// What is known about the result so far.
#[derive(Debug, Default)]
struct RequestProgress {
    status: Option<StatusCode>,
    usage: Usage,
    failure: Option<RecordedFailure>,
    effects: EffectSummary,
    is_committed: bool,
}

/// The names in the effects, and the cause trees of the published events.
type EffectSummary = (EffectNames, Vec<CauseTreeId>);

impl RequestRecord {
    pub(super) fn new(
        recorder: &Recorder,
        tracer: &Tracer,
        generation: &Arc<Generation>,
        route: &Arc<Route>,
        request: &Request<Body>,
    ) -> Arc<Self> {
        let id = RequestId::unique();
        Arc::new(Self {
            trace: begin(tracer, &id, request),
            tracer: tracer.clone(),
            recorder: recorder.clone(),
            statistics: recorder.subject(StatisticsSubject::Routes { plugin: generation.name.to_string() }),
            id,
            generation: Arc::clone(generation),
            route: Arc::clone(route),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            started: Instant::now(),
            progress: Mutex::default(),
        })
    }

    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    /// The place of the request in a trace, if it is traced.
    pub(super) fn trace(&self) -> Option<SpanContext> {
        self.trace.as_ref().map(|operation| operation.context)
    }

    /// The span of the request, if it is sampled.
    pub(super) fn span(&self) -> Option<SpanContext> {
        self.trace.as_ref().and_then(TracedOperation::sampled)
    }

    /// The handler has ended. It may run again, after a conflict.
    pub(super) fn handler_ended(&self, queued: Duration, usage: Usage) {
        let mut progress = self.progress();
        let earlier = std::mem::take(&mut progress.usage);
        progress.usage =
            Usage { queued: earlier.queued + queued, cpu_time: earlier.cpu_time + usage.cpu_time, ..usage };
    }

    /// The handler has failed.
    pub(super) fn failed(&self, failure: &Failure) {
        self.progress().failure = Some(failure.into());
    }

    /// The host responds with a problem. It is the failure, unless the handler has failed before.
    pub(super) fn refused(&self, problem: &Problem) {
        if problem.status().is_server_error() {
            let failure = || RecordedFailure { cause: problem.code().to_owned(), reason: problem.detail().to_owned() };
            self.progress().failure.get_or_insert_with(failure);
        }
    }

    /// The effects are about to be committed.
    pub(super) fn will_commit(&self, effects: &Effects) {
        if self.statistics.is_some() && !effects.is_empty() {
            let mut trees: Vec<_> = effects.publishes.iter().map(|publish| publish.event.cause_tree()).collect();
            trees.dedup();
            self.progress().effects = (EffectNames::of(effects), trees);
        }
    }

    /// The effects are committed.
    pub(super) fn committed(&self) {
        self.progress().is_committed = true;
    }

    /// The head of the response is decided.
    pub(super) fn answered(&self, status: StatusCode) {
        self.progress().status = Some(status);
    }

    fn end_span(&self, span: OpenSpan, status: u16, progress: &RequestProgress) {
        let Self { id, generation, route, method, path, .. } = self;
        let mut attributes = Attributes::default();
        attributes.text("http.request.method", method.as_str());
        attributes.text("http.route", &route.path);
        attributes.text("url.path", path);
        attributes.number("http.response.status_code", status.into());
        attributes.text("sandbus.request.id", id.as_str());
        attributes.text("sandbus.plugin.name", &generation.name);
        attributes.text("sandbus.plugin.digest", generation.digest.as_str());
        attributes.seconds("sandbus.queued", progress.usage.queued);
        attributes.seconds("sandbus.cpu_time", progress.usage.cpu_time);
        attributes.number("sandbus.memory", progress.usage.memory_bytes);
        let failure = progress.failure.as_ref();
        attributes.optional("error.type", failure.map(|failure| failure.cause.as_str()));
        let reason = failure.map(|failure| failure.reason.as_str()).or((status >= 500).then_some(""));
        let name = format!("{method} {}", route.path);
        self.tracer.end(span, Ending { name, role: Role::Server, attributes, failure: reason });
    }

    fn progress(&self) -> MutexGuard<'_, RequestProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the span of a request: within the client's trace, or in one of its own.
fn begin(tracer: &Tracer, id: &RequestId, request: &Request<Body>) -> Option<TracedOperation> {
    if !tracer.is_on() {
        return None;
    }
    let parent = trace_of(request.headers()).first().and_then(|(_, traceparent)| SpanContext::parse(traceparent));
    let trace = TraceId::derived("request", &[id.as_str().as_bytes()]);
    let beginning = Beginning { parent, trace, started: tracer.now() };
    tracer.begin(&beginning, || SpanId::derived("server", &[id.as_str().as_bytes()]))
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let progress = std::mem::take(&mut *self.progress());
        // If there is no status, the client disconnected before the host decided one. Like nginx, the host records 499.
        let status = progress.status.map_or(499, |status| status.as_u16());
        if let Some(span) = self.trace.take().and_then(|operation| operation.span) {
            self.end_span(*span, status, &progress);
        }
        let Some(statistics) = &self.statistics else { return };
        let is_failure = status >= 500 || progress.failure.is_some();
        self.recorder.count_request(statistics, is_failure, took, &progress.usage);
        if !self.recorder.wants(is_failure, took) {
            return;
        }
        let (names, trees) = if progress.is_committed { progress.effects } else { EffectSummary::default() };
        self.recorder.record_request(RequestEntry {
            at: Timestamp::default(),
            id: self.id.as_str().to_owned(),
            plugin: self.generation.name.to_string(),
            digest: self.generation.digest.as_str().to_owned(),
            method: self.method.to_string(),
            route: self.route.path.clone(),
            path: std::mem::take(&mut self.path),
            status,
            took,
            usage: progress.usage,
            failure: progress.failure,
            names,
            trees,
        });
    }
}
