//! The ingress: HTTP requests become events on the bus, or go to a plugin's route.

pub(crate) mod cloudevents;
pub(crate) mod events;
pub(crate) mod producers;
pub(crate) mod reply;
pub(crate) mod respond;
pub(crate) mod routes;
mod services;
mod spool;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::SharedBus;
use crate::observer::Observer;
use crate::plugin::Registry;
use crate::server::Intake;
use crate::telemetry::RequestMetrics;
use crate::threads::Capacity;
pub use producers::{EventsRule, IngressConfig, Producers};
pub use spool::Spools;

/// What the ingress needs.
#[derive(Debug)]
pub struct Ingress {
    /// Where events go.
    pub bus: SharedBus,
    /// Who may publish at `POST /events`.
    pub producers: Producers,
    /// Where routes lead.
    pub registry: Registry,
    /// What there is for invocations of all plugins together.
    pub capacity: Capacity,
    /// What the bodies of requests are held to.
    pub intake: Intake,
    /// Is cancelled when no reply comes any more, since the host stops.
    pub replies_end: CancellationToken,
    /// How long a request waits for a place before it is told to come back.
    pub admission_timeout: Duration,
    /// Places for requests whose bodies flow to handlers that run already.
    pub flowing: Arc<Semaphore>,
    /// What bounds responses that are written faster than they are read.
    pub spools: Spools,
    /// What goes on behind responses that have begun, to be waited for at the end.
    pub begun: TaskTracker,
    /// Who watches what becomes of requests.
    pub observer: Observer,
    /// What is counted of requests.
    pub metrics: RequestMetrics,
}

impl Ingress {
    /// The router of the public listener.
    pub fn router(self) -> Router {
        Router::new().route("/events", any(events::handle)).fallback(routes::handle).with_state(Arc::new(self))
    }
}
