//! A plugin's generations: going back to one, and what a new one would do.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Admin;
use super::body::{Path, Query};
use crate::canary::{Canary, CanaryError, Report};
use crate::plugin::{CanaryRule, FILE_LIMIT_BYTES, RollbackError, RolledBack};
use crate::problem::Problem;
use crate::server::{HttpLimits, read_body};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Goal {
    /// The beginning of a digest; the generation before the one that runs when left out.
    to: Option<String>,
}

/// Goes back to an earlier generation.
pub(super) async fn roll_back(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(goal): Query<Goal>,
) -> Result<Json<RolledBack>, Problem> {
    let rolled_back = admin.folder.roll_back(&name, goal.to).await;
    rolled_back.map(Json).map_err(|error| {
        let detail = error.to_string();
        match error {
            RollbackError::NoPlugin(_) => Problem::not_found(detail),
            RollbackError::NoGeneration(_) => Problem::new(StatusCode::CONFLICT, "no-generation", detail),
            RollbackError::Load(..) => Problem::new(StatusCode::CONFLICT, "generation-unloadable", detail),
            RollbackError::Stopping => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail),
        }
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Past {
    /// How many of the last deliveries both generations handle.
    last: Option<usize>,
}

/// Lets the component in the body handle the past beside the generation that runs, and tells what comes out
/// differently. Nothing else comes of it.
pub(super) async fn canary(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(past): Query<Past>,
    request: Request,
) -> Result<Json<Report>, Problem> {
    let live = admin.registry.snapshot().plugins.get(&name).cloned();
    let live = live.ok_or_else(|| Problem::not_found(format!("there is no plugin `{name}`")))?;
    let last = past.last.unwrap_or(CanaryRule::default().last);
    if last > CanaryRule::MOST_EVENTS {
        let detail = format!("a canary handles {} events at most", CanaryRule::MOST_EVENTS);
        return Err(Problem::bad_request("invalid-query", detail));
    }
    let max_body_bytes = usize::try_from(FILE_LIMIT_BYTES).unwrap_or(usize::MAX);
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, HttpLimits { max_body_bytes, ..admin.limits }).await?;
    let (loader, beside) = (Arc::clone(&admin.loader), Arc::clone(&live));
    let loaded = tokio::task::spawn_blocking(move || loader.load_beside(&bytes, &beside)).await;
    let broken = |detail: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "canary-failed", detail);
    let new = loaded.map_err(|error| broken(error.to_string()))?.map_err(|error| {
        let detail = format!("the file could not take the place of plugin `{name}`: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unloadable", detail)
    })?;
    let canary = Canary { bus: &*admin.bus, capacity: &admin.capacity, live, new: Arc::new(new) };
    canary.run(last).await.map(Json).map_err(|error| match error {
        CanaryError::Store(error) => error.into(),
        CanaryError::Failed(_) => broken(error.to_string()),
    })
}
