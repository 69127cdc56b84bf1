//! The plugins: what is loaded, what each asks for and is granted, and what is wrong with a file.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Path, Query};
use super::{Admin, list as as_list};
use crate::plugin::{Generation, Status};
use crate::problem::Problem;

pub(super) async fn list(State(admin): State<Admin>) -> Json<Value> {
    let plugins: Vec<_> = all(&admin);
    as_list("plugins", &plugins)
}

pub(super) async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let found =
        all(&admin).into_iter().find(|plugin| plugin["name"] == name || plugin["file"] == format!("{name}.wasm"));
    found.map(Json).ok_or_else(|| Problem::not_found(format!("there is no plugin `{name}`")))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patience {
    /// How long the answer waits for what runs.
    #[serde(default, deserialize_with = "crate::duration::option::deserialize")]
    wait: Option<Duration>,
}

/// Delivers nothing to a plugin any more, lets its routes answer that it is not there, and waits for what
/// runs. It stays so until it is resumed, across restarts too.
pub(super) async fn drain(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(patience): Query<Patience>,
) -> Result<Json<Value>, Problem> {
    let generation = admin.registry.snapshot().plugins.get(&name).cloned();
    let Some(generation) = generation else {
        return Err(Problem::not_found(format!("there is no plugin `{name}`")));
    };
    admin.bus.drain(&name, true).await?;
    let wait = patience.wait.unwrap_or(Duration::from_secs(10));
    let room = &generation.room;
    let idle = tokio::time::timeout(wait, room.idle()).await.is_ok();
    Ok(Json(json!({ "drained": idle, "running": if idle { 0 } else { room.running() } })))
}

pub(super) async fn resume(State(admin): State<Admin>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    admin.bus.drain(&name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn all(admin: &Admin) -> Vec<Value> {
    let snapshot = admin.registry.snapshot();
    let drained = admin.bus.drained();
    let statuses = admin.folder.statuses();
    let from_file = |(stem, status): (&String, &Status)| {
        let generation = status.plugin.as_ref().and_then(|name| snapshot.plugins.get(name));
        let mut plugin = generation.map_or_else(|| json!({}), |generation| describe(generation));
        plugin["file"] = format!("{stem}.wasm").into();
        plugin["status"] = match (generation, status) {
            (_, Status { disabled: true, .. }) => "disabled",
            (Some(generation), _) if drained.contains(&*generation.name) => "drained",
            (Some(_), Status { error: None, rolled_back: Some(_), .. }) => "rolled back",
            (Some(_), Status { error: None, .. }) => "running",
            (Some(_), _) => "running an older file",
            (None, _) => "broken",
        }
        .into();
        plugin["error"] = status.error.clone().into();
        plugin["overlaps"] =
            json!(generation.map(|generation| snapshot.overlaps(&generation.name)).unwrap_or_default());
        plugin["rolled_back"] = json!(status.rolled_back);
        plugin["generations"] = json!(status.kept);
        plugin
    };
    let mut plugins: Vec<_> = statuses.iter().map(from_file).collect();
    let ignored = admin.folder.ignored();
    plugins.extend(ignored.iter().map(|(file, reason)| json!({ "file": file, "status": "ignored", "error": reason })));
    plugins.extend(snapshot.absent.iter().map(|(name, routes)| {
        json!({ "name": name, "status": "removed", "routes": routes.iter().map(ToString::to_string).collect::<Vec<_>>() })
    }));
    plugins
}

fn describe(generation: &Generation) -> Value {
    let (descriptor, settings) = (&generation.descriptor, &generation.settings);
    json!({
        "name": descriptor.name,
        "version": descriptor.version,
        "description": descriptor.description,
        "digest": generation.digest.as_str(),
        "routes": descriptor.routes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subscriptions": descriptor.subscriptions.iter().map(|subscription| json!({
            "name": subscription.name,
            "pattern": subscription.pattern,
        })).collect::<Vec<_>>(),
        "schedules": descriptor.schedules.iter().map(|(name, schedule)| json!({
            "name": name,
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "type": schedule.event_type,
        })).collect::<Vec<_>>(),
        "asks_for": { "publish": descriptor.publishes, "subscribe": descriptor.subscribes },
        "granted": {
            "publish": settings.publish,
            "subscribe": settings.subscribe,
            "webhooks": settings.webhooks,
            "http": settings.http,
        },
        "withheld": settings.withheld(descriptor),
        "limits": {
            "memory_bytes": settings.limits.memory_bytes,
            "timeout": humantime::format_duration(settings.limits.timeout).to_string(),
            "concurrency": settings.concurrency,
        },
        "config_keys": descriptor.config.iter().map(|key| json!({
            "name": key.name,
            "default": key.default,
            "description": key.description,
        })).collect::<Vec<_>>(),
    })
}
