//! Health, readiness and metrics.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::Admin;
use crate::bus::Reachability;
use crate::files;
use crate::problem::Problem;
use crate::telemetry::MetricsFormat;

/// Whether the process responds
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "get_health",
    tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", description = "It does."))
)]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Whether the host accepts events
///
/// The host has loaded its plugins and is not stopping, it reaches its store, its disk has room, and it can read the
/// plugin folder.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", description = "It does."))
)]
pub(super) async fn readiness(State(admin): State<Admin>) -> Response {
    match check(&admin).await {
        Ok(()) => READY.into_response(),
        Err(fault) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", fault.to_string()).into_response(),
    }
}

/// The body of the response of a host that is ready.
pub(super) const READY: &str = "ready\n";

/// The reason why the host does not accept events.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unready {
    #[error("{}", self.kind())]
    StartingOrStopping,
    #[error("{}: {}", self.kind(), .0)]
    StoreUnreachable(String),
    #[error("{0}")]
    FolderUnreadable(String),
    #[error("{}; free some space", self.kind())]
    DiskFull,
    #[error("{}: {}", self.kind(), .0)]
    DataUnwritable(std::io::Error),
    #[error("{}: {}", self.kind(), .0)]
    Unknown(tokio::task::JoinError),
}

impl Unready {
    /// The reason without paths and errors of the system.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::StartingOrStopping => "the host is starting or stopping",
            Self::StoreUnreachable(_) => "the store is unreachable",
            Self::FolderUnreadable(_) => "the plugin folder cannot be read",
            Self::DiskFull => "the disk of the data directory is full",
            Self::DataUnwritable(_) => "cannot write to the data directory",
            Self::Unknown(_) => "cannot check the disk space",
        }
    }
}

/// Checks whether the host accepts events.
pub(super) async fn check(admin: &Admin) -> Result<(), Unready> {
    if !*admin.ready.borrow() {
        return Err(Unready::StartingOrStopping);
    }
    // Without the store, the host accepts no events.
    if let Reachability::Unreachable { reason } = &*admin.bus.reachable().borrow() {
        return Err(Unready::StoreUnreachable(reason.clone()));
    }
    if let Some(fault) = admin.reconciler.fault() {
        return Err(Unready::FolderUnreadable(fault));
    }
    let data = admin.data.clone();
    match tokio::task::spawn_blocking(move || files::has_free_space(&data)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(Unready::DiskFull),
        Ok(Err(error)) => Err(Unready::DataUnwritable(error)),
        Err(error) => Err(Unready::Unknown(error)),
    }
}

/// The metrics, in the text format of Prometheus, or in OpenMetrics if the client accepts that
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "health",
    responses((
        status = 200,
        content((String = "text/plain"), (String = "application/openmetrics-text")),
        description = "The metrics."
    ))
)]
pub(super) async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let format = MetricsFormat::accepted(&headers);
    let text = admin.metrics.render(format, &*admin.bus, &admin.registry, &admin.clock).await;
    ([(CONTENT_TYPE, format.media_type())], text).into_response()
}
