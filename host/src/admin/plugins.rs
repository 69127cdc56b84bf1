//! The plugins: what is loaded, what each asks for and is granted, and what is wrong with a file.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

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

fn all(admin: &Admin) -> Vec<Value> {
    let snapshot = admin.registry.snapshot();
    let statuses = admin.folder.statuses();
    let from_file = |(stem, status): (&String, &Status)| {
        let generation = status.plugin.as_ref().and_then(|name| snapshot.plugins.get(name));
        let mut plugin = generation.map_or_else(|| json!({}), |generation| describe(generation));
        plugin["file"] = format!("{stem}.wasm").into();
        plugin["status"] = match (generation, status) {
            (_, Status { disabled: true, .. }) => "disabled",
            (Some(_), Status { error: None, .. }) => "running",
            (Some(_), _) => "running an older file",
            (None, _) => "broken",
        }
        .into();
        plugin["error"] = status.error.clone().into();
        plugin
    };
    let mut plugins: Vec<_> = statuses.iter().map(from_file).collect();
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
        "asks_for": { "publish": descriptor.publishes, "subscribe": descriptor.subscribes },
        "granted": {
            "publish": settings.publish,
            "subscribe": settings.subscribe,
            "webhooks": settings.webhooks,
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
