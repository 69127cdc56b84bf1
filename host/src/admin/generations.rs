//! Rollbacks and canaries of plugins.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::Admin;
use super::body::{self, Path, Query};
use super::plugins::no_plugin;
use super::query;
use crate::api::{
    CanaryQuery, CanaryView, DifferenceView, DifferingDeliveryView, MeasurementView, RollbackQuery, RollbackResult,
};
use crate::canary::{Canary, CanaryError, CanaryReport, CanarySelection, Difference, DifferingDelivery, Measurement};
use crate::plugin::{ArchivedError, CanaryRule, Generation, LoadError, RollbackError, RollbackReport};
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
    let rolled_back = admin.reconciler.roll_back(&name, query.to).await;
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

/// Compare a new build or an archived generation with the running plugin
///
/// Runs events of the log through the running generation, and through the component in the body or the archived
/// generation that the query names, and compares the results. There are no side effects.
#[utoipa::path(
    post,
    path = "/plugins/{name}/canary",
    operation_id = "run_canary",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), CanaryQuery),
    request_body(
        content(
            (ref("#/components/schemas/Component") = "application/wasm"),
            (ref("#/components/schemas/Component") = "application/octet-stream")
        ),
        description = "The component of the new build. Required unless the query names a generation."
    ),
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
    let selection = select(&query)?;
    let component = body::optional_component(&admin, request).await?;
    let new = match (query.generation, component) {
        (None, Some(bytes)) => load_replacement(&admin, &running, bytes).await?.map_err(|error| {
            let detail = format!("the component cannot replace plugin `{name}`: {error}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unloadable", detail)
        })?,
        (Some(digest), None) => {
            let bytes = admin.reconciler.read_archived(&name, &digest).await;
            let bytes = bytes.map_err(|error| unarchived(&admin, &name, &error))?;
            load_replacement(&admin, &running, bytes).await?.map_err(|error| {
                let detail = format!("generation {digest} cannot replace the running generation: {error}");
                Problem::new(StatusCode::CONFLICT, "generation-unloadable", detail)
            })?
        }
        (Some(_), Some(_)) => {
            return Err(query::invalid("`generation` cannot be combined with a component in the body"));
        }
        (None, None) => {
            let detail = "send the component of the new build, or name an archived generation with `generation`";
            return Err(Problem::bad_request("component-required", detail));
        }
    };
    let canary = Canary { bus: &*admin.bus, capacity: &admin.capacity, running, new: Arc::new(new) };
    canary.run(selection).await.map(|report| Json(view(report))).map_err(|error| match error {
        CanaryError::NoEvent(_) => Problem::not_found(error.to_string()),
        CanaryError::AmbiguousId(_) => Problem::bad_request("ambiguous-id", error.to_string()),
        CanaryError::Store(error) => error.into(),
        CanaryError::Failed(_) => failed(error.to_string()),
    })
}

/// The deliveries that a query selects.
fn select(query: &CanaryQuery) -> Result<CanarySelection, Problem> {
    if query.generation.as_deref() == Some("") {
        return Err(query::invalid("`generation` is empty"));
    }
    match (&query.event, query.events, &query.source) {
        (Some(_), Some(_), _) => Err(query::invalid("`event` cannot be combined with `events`")),
        (Some(id), None, source) => Ok(CanarySelection::Event { id: id.clone(), source: source.clone() }),
        (None, _, Some(_)) => Err(query::invalid("`source` needs `event`")),
        (None, events, None) => {
            let max_events = events.unwrap_or(CanaryRule::default().events);
            if !(1..=CanaryRule::MAX_EVENTS).contains(&max_events) {
                let detail =
                    format!("`events` is {max_events}; a canary handles 1 to {} events", CanaryRule::MAX_EVENTS);
                return Err(query::invalid(detail));
            }
            Ok(CanarySelection::Recent(max_events))
        }
    }
}

/// Loads a component that could replace the running generation.
async fn load_replacement(
    admin: &Admin,
    running: &Arc<Generation>,
    bytes: Vec<u8>,
) -> Result<Result<Generation, LoadError>, Problem> {
    let (loader, replaced) = (Arc::clone(&admin.loader), Arc::clone(running));
    let loaded = tokio::task::spawn_blocking(move || loader.load_replacement(&bytes, &replaced)).await;
    loaded.map_err(|error| failed(error.to_string()))
}

fn unarchived(admin: &Admin, plugin: &str, error: &ArchivedError) -> Problem {
    let detail = error.to_string();
    match error {
        ArchivedError::NoPlugin(_) => no_plugin(admin, plugin),
        ArchivedError::NoGeneration(_) => Problem::new(StatusCode::CONFLICT, "no-generation", detail),
        ArchivedError::Unreadable(..) => Problem::new(StatusCode::CONFLICT, "generation-unloadable", detail),
    }
}

fn failed(detail: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "canary-failed", detail)
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
