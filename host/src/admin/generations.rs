//! Rollbacks and canaries of plugins.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::Admin;
use super::body::{self, Path, Query};
use super::plugins::no_plugin;
use crate::api::{
    CanaryQuery, CanaryView, DifferenceView, DifferingDeliveryView, MeasurementView, RollbackQuery, RollbackResult,
    schemas,
};
use crate::canary::{Canary, CanaryError, CanaryReport, Difference, DifferingDelivery, Measurement};
use crate::plugin::{CanaryRule, RollbackError, RollbackReport};
use crate::problem::Problem;

/// Roll a plugin back to an earlier generation
///
/// The earlier generation runs until the file in the folder changes.
#[utoipa::path(
    post,
    path = "/plugins/{name}/rollback",
    operation_id = "roll_back_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), RollbackQuery),
    responses((status = 200, body = RollbackResult, description = "The generation runs."))
)]
pub(super) async fn roll_back(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(query): Query<RollbackQuery>,
) -> Result<Json<RollbackResult>, Problem> {
    let rolled_back = admin.folder.roll_back(&name, query.to).await;
    let view = |RollbackReport { from, to, version, is_file }| Json(RollbackResult { from, to, version, is_file });
    rolled_back.map(view).map_err(|error| {
        let detail = error.to_string();
        match error {
            RollbackError::NoPlugin(_) => no_plugin(&admin, &name),
            RollbackError::NoGeneration(_) => Problem::new(StatusCode::CONFLICT, "no-generation", detail),
            RollbackError::Load(..) => Problem::new(StatusCode::CONFLICT, "generation-unloadable", detail),
            RollbackError::Stopping => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail),
        }
    })
}

/// Compare a new build with the running plugin
///
/// Runs past events through the component in the body and through the running generation, and compares the results. There
/// are no side effects.
#[utoipa::path(
    post,
    path = "/plugins/{name}/canary",
    operation_id = "run_canary",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), CanaryQuery),
    request_body(content((schemas::Component = "application/wasm"), (schemas::Component = "application/octet-stream")), description = "The component of the new build."),
    responses((status = 200, body = CanaryView, description = "The comparison."))
)]
pub(super) async fn canary(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(query): Query<CanaryQuery>,
    request: Request,
) -> Result<Json<CanaryView>, Problem> {
    let running = admin.registry.snapshot().plugins.get(&name).cloned();
    let running = running.ok_or_else(|| no_plugin(&admin, &name))?;
    let max_events = query.events.unwrap_or(CanaryRule::default().events);
    if !(1..=CanaryRule::MAX_EVENTS).contains(&max_events) {
        let detail = format!("`events` is {max_events}; a canary handles 1 to {} events", CanaryRule::MAX_EVENTS);
        return Err(Problem::bad_request("invalid-query", detail));
    }
    let bytes = body::component(&admin, request).await?;
    let (loader, replaced) = (Arc::clone(&admin.loader), Arc::clone(&running));
    let loaded = tokio::task::spawn_blocking(move || loader.load_replacement(&bytes, &replaced)).await;
    let broken = |detail: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "canary-failed", detail);
    let new = loaded.map_err(|error| broken(error.to_string()))?.map_err(|error| {
        let detail = format!("the component cannot replace plugin `{name}`: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unloadable", detail)
    })?;
    let canary = Canary { bus: &*admin.bus, capacity: &admin.capacity, running, new: Arc::new(new) };
    canary.run(max_events).await.map(|report| Json(view(report))).map_err(|error| match error {
        CanaryError::Store(error) => error.into(),
        CanaryError::Failed(_) => broken(error.to_string()),
    })
}

fn view(report: CanaryReport) -> CanaryView {
    let measurement = |Measurement { running, new }| MeasurementView { running, new };
    CanaryView {
        plugin: report.plugin,
        running: report.running,
        new: report.new,
        handled: report.handled,
        different: report.different,
        inconclusive: report.inconclusive,
        differences: report.differences.into_iter().map(differing).collect(),
        subscriptions_removed: report.subscriptions_removed,
        subscriptions_added: report.subscriptions_added,
        time_us: measurement(report.time_us),
        memory_bytes: measurement(report.memory_bytes),
    }
}

fn differing(differing: DifferingDelivery) -> DifferingDeliveryView {
    let DifferingDelivery { event, event_type, subscription, differs } = differing;
    let difference = |Difference { path, running, new }| DifferenceView { path, running, new };
    DifferingDeliveryView { event, event_type, subscription, differs: differs.into_iter().map(difference).collect() }
}
