//! Begins and ends spans.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::guest_span::GuestSpan;
use super::queue::Queue;
use super::sampler::Sampler;
use super::span::{Ending, OpenSpan};
use crate::clock::{Clock, UnixNanos};
use crate::span_context::{SpanContext, SpanId, TraceId};

/// Begins and ends spans. Clones share the queue. The default does nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<TracerShared>>);

#[derive(Debug)]
pub(super) struct TracerShared {
    pub(super) queue: Arc<Queue<Span>>,
    pub(super) sampler: Sampler,
    pub(super) clock: Clock,
}

/// The place of an operation in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedOperation {
    /// The context that the operation passes on to what it causes.
    pub context: SpanContext,
    /// The span of the operation, if its trace is sampled.
    pub span: Option<Box<OpenSpan>>,
}

impl TracedOperation {
    /// The context if the trace is sampled.
    #[must_use]
    pub fn sampled(&self) -> Option<SpanContext> {
        self.span.as_ref().map(|span| span.context)
    }
}

/// How an operation begins: the trace that it belongs to, and the span that caused it.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The span that caused the operation.
    pub parent: Option<SpanContext>,
    /// The trace if nothing caused the operation.
    pub trace: TraceId,
    /// When the operation began.
    pub started: UnixNanos,
}

impl Tracer {
    pub(super) fn new(shared: TracerShared) -> Self {
        Self(Some(Arc::new(shared)))
    }

    /// Whether spans are exported at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The time, for the beginnings of spans.
    #[must_use]
    pub fn now(&self) -> UnixNanos {
        self.0.as_ref().map(|shared| shared.clock.unix_nanos()).unwrap_or_default()
    }

    /// Begins an operation. The id of its span is computed only if its trace is sampled. None if nothing is exported.
    #[must_use]
    pub fn begin(&self, beginning: &Beginning, span: impl FnOnce() -> SpanId) -> Option<TracedOperation> {
        let shared = self.0.as_ref()?;
        let Beginning { parent, trace, started } = *beginning;
        let trace = parent.map_or(trace, |parent| parent.trace);
        if !shared.sampler.samples(parent.as_ref(), &trace) {
            let span = parent.map_or_else(|| trace.placeholder(), |parent| parent.span);
            return Some(TracedOperation { context: SpanContext { trace, span, is_sampled: false }, span: None });
        }
        let context = SpanContext { trace, span: span(), is_sampled: true };
        let parent = parent.map(|parent| parent.span);
        Some(TracedOperation { context, span: Some(Box::new(OpenSpan { context, parent, link: None, started })) })
    }

    /// Ends a span, and exports it.
    pub fn end(&self, span: OpenSpan, ending: Ending<'_>) {
        if let Some(shared) = &self.0 {
            shared.queue.push(span.end(ending, &shared.clock));
        }
    }

    /// Exports a span that a guest reports.
    pub(super) fn report(&self, span: GuestSpan) {
        if let Some(shared) = &self.0 {
            shared.queue.push(span.message());
        }
    }
}
