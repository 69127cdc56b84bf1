//! Health, readiness and metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::Admin;
use crate::bus::Reachability;
use crate::files;
use crate::problem::Problem;

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
    let not_ready = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail).into_response();
    if !*admin.ready.borrow() {
        return not_ready("the host is starting or stopping".to_owned());
    }
    // Without the store, the host accepts no events.
    if let Reachability::Unreachable { reason } = &*admin.bus.reachable().borrow() {
        return not_ready(format!("the store is unreachable: {reason}"));
    }
    if let Some(fault) = admin.folder.fault() {
        return not_ready(fault);
    }
    let data = admin.data.clone();
    match tokio::task::spawn_blocking(move || files::has_free_space(&data)).await {
        Ok(Ok(true)) => "ready\n".into_response(),
        Ok(Ok(false)) => not_ready("the disk of the data directory is full; free some space".to_owned()),
        Ok(Err(error)) => not_ready(format!("cannot write to the data directory: {error}")),
        Err(error) => not_ready(format!("cannot check the disk space: {error}")),
    }
}

/// The metrics, in the text format of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", description = "The metrics."))
)]
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    let text = admin.metrics.render(&*admin.bus, &admin.registry, &admin.clock).await;
    // Prometheus text format 0.0.4.
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
