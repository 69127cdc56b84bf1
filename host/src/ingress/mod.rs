//! The ingress: publishes events from HTTP requests, and routes requests to plugins.

pub(crate) mod cloudevents;
mod cors;
pub(crate) mod events;
pub(crate) mod handler_responses;
pub(crate) mod producers;
mod publish_trace;
pub(crate) mod reply;
mod request_record;
pub(crate) mod routes;
mod spool;
mod tokens;
mod wasi_http;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::any;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::SharedBus;
use crate::ledger::Recorder;
use crate::observer::Observer;
use crate::otlp::Tracer;
use crate::plugin::Registry;
use crate::server::BodyReader;
use crate::telemetry::RequestMetrics;
use crate::threads::Capacity;
pub use producers::{EventsRule, IngressConfig, Producers};
pub use spool::SpoolLimits;

/// The state of the ingress.
#[derive(Debug)]
pub struct Ingress {
    /// The bus that events are published on.
    pub bus: SharedBus,
    /// Who may publish at `POST /events`.
    pub producers: Arc<ArcSwap<Producers>>,
    /// The plugins' routes.
    pub registry: Registry,
    /// The invocation permits that all plugins share.
    pub capacity: Capacity,
    /// The limits of request bodies.
    pub body_reader: BodyReader,
    /// Cancelled when the host stops and no reply can come any more.
    pub replies_ended: CancellationToken,
    /// How long a request waits for a permit before it gets 503.
    pub admission_timeout: Duration,
    /// Permits for requests whose bodies stream into running handlers.
    pub streaming_permits: Arc<Semaphore>,
    /// The bounds of responses that handlers write faster than their clients read.
    pub spool_limits: SpoolLimits,
    /// Tracks the tasks of streaming responses, which a shutdown waits for.
    pub streaming_responses: TaskTracker,
    /// The observer of completed requests.
    pub observer: Observer,
    /// The ledger of requests.
    pub recorder: Recorder,
    /// Traces requests.
    pub tracer: Tracer,
    /// The metrics of requests.
    pub metrics: RequestMetrics,
}

impl Ingress {
    /// The router of the public listener.
    pub fn router(self) -> Router {
        Router::new().route("/events", any(events::handle)).fallback(routes::handle).with_state(Arc::new(self))
    }
}
