//! The probe listener: health and metrics for orchestrators and monitoring. It may have any address, because nothing on
//! it changes the host or shows data of clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::Semaphore;

use super::{Admin, health};
use crate::problem::Problem;

/// The number of probes that are answered at a time. Others wait, so that a flood of probes does not slow down the
/// host.
const RUNNING: usize = 2;

/// Answers probes from before the start of the host until its end.
#[derive(Clone, Debug)]
pub struct Probes {
    started: Arc<OnceLock<Admin>>,
    /// Whether the host stands by while another host is active.
    standby: Arc<AtomicBool>,
    running: Arc<Semaphore>,
}

impl Default for Probes {
    fn default() -> Self {
        Self { started: Arc::default(), standby: Arc::default(), running: Arc::new(Semaphore::new(RUNNING)) }
    }
}

impl Probes {
    /// Sets the state of the host, once the host has started.
    pub fn set_started(&self, admin: Admin) {
        // A host starts once.
        drop(self.started.set(admin));
    }

    /// Sets whether the host stands by while another host is active.
    pub fn set_standby(&self, is_standby: bool) {
        self.standby.store(is_standby, Ordering::Relaxed);
    }

    /// The router of the probe listener.
    pub fn router(self) -> Router {
        let paths = Router::new()
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&self.running), take_turn))
            .route("/livez", get(health::health));
        paths
            .fallback(|| async { Problem::not_found("the probe listener has only /livez, /readyz and /metrics") })
            .method_not_allowed_fallback(|| async { Problem::method_not_allowed(&["GET".into(), "HEAD".into()]) })
            .with_state(self)
    }

    fn host(&self) -> Result<Admin, Problem> {
        self.started.get().cloned().ok_or_else(|| {
            let (code, detail) = match self.standby.load(Ordering::Relaxed) {
                true => ("standby", "the host stands by while another host is active"),
                false => ("starting", "the host is starting"),
            };
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
        })
    }
}

/// Waits while other probes run.
async fn take_turn(State(running): State<Arc<Semaphore>>, request: Request, next: middleware::Next) -> Response {
    // The semaphore is never closed.
    let _turn = running.acquire().await;
    next.run(request).await
}

/// Anybody can read the response, so it contains no path and no error of the system, unlike `/readyz` of the admin
/// interface.
async fn readiness(State(probes): State<Probes>) -> Result<Response, Problem> {
    let admin = probes.host()?;
    Ok(match health::check(&admin).await {
        Ok(()) => health::READY.into_response(),
        Err(fault) => {
            let detail = format!("{}; see /readyz of the admin interface for details", fault.kind());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail).into_response()
        }
    })
}

async fn metrics(State(probes): State<Probes>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(health::metrics(State(probes.host()?), headers).await)
}
