//! The subscriptions: their rules, how far they are, and why one delivers nothing.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, list as as_list};
use crate::bus::Subscribed;
use crate::plugin::Snapshot;
use crate::problem::Problem;
use crate::subscription::{SubscriptionId, Target};

pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    let snapshot = admin.registry.snapshot();
    let mut subscriptions = Vec::new();
    for subscription in admin.bus.subscriptions() {
        subscriptions.push(describe(&admin, &subscription, &snapshot).await?);
    }
    Ok(as_list("subscriptions", &subscriptions))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = SubscriptionId { owner, name };
    let declared = admin.registry.snapshot().plugins.get(&id.owner).is_some_and(|plugin| plugin.declares(&id.name));
    if declared {
        let detail =
            format!("the plugin `{}` declares the subscription `{}`; remove the plugin first", id.owner, id.name);
        return Err(Problem::new(StatusCode::CONFLICT, "subscription-declared", detail));
    }
    admin.bus.delete_subscription(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn describe(admin: &Admin, subscription: &Subscribed, snapshot: &Snapshot) -> Result<Value, Problem> {
    let overview = subscription.overview();
    let dead_letters = subscription.dead_letter_count().await?;
    let handler = match &overview.definition.target {
        Target::Plugin(name) => name,
        Target::Webhook(_) => &overview.id.owner,
    };
    let served = snapshot.plugins.get(handler);
    let waits_for = match (&overview.paused, served) {
        (Some(reason), _) => Some(reason.clone()),
        (None, None) => Some(format!("the plugin `{handler}` is not loaded")),
        (None, Some(_)) => None,
    };
    let lag = overview.oldest.map(|oldest| admin.clock.now().since(oldest).as_secs_f64());
    Ok(json!({
        "id": overview.id.to_string(),
        "pattern": overview.definition.pattern,
        "target": overview.definition.target,
        "dynamic": overview.dynamic,
        "status": if waits_for.is_some() { "paused" } else { "active" },
        "waits_for": waits_for,
        "concurrency": overview.definition.parallelism(),
        "ordering_key": overview.definition.ordering_key,
        "retry": overview.definition.retry,
        "cursor": overview.cursor,
        "backlog": overview.backlog,
        "in_flight": overview.in_flight,
        "lag_seconds": lag,
        "dead_letters": dead_letters,
    }))
}
