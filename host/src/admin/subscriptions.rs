//! The subscriptions: their rules, how far they are, and why one delivers nothing; made, paused, replayed
//! and deleted.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, Path};
use super::{Admin, list as as_list};
use crate::bus::{DeadLetterFilter, Overview, Subscribed};
use crate::endpoint;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::plugin::{Snapshot, SubscriptionOverrides};
use crate::problem::Problem;
use crate::subscription::{Definition, OPERATOR, RetryPolicy, Start, SubscriptionId, Target, is_valid_name};

pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    let snapshot = admin.registry.snapshot();
    let mut subscriptions = Vec::new();
    for subscription in admin.bus.subscriptions() {
        subscriptions.push(describe(&admin, &*subscription, &snapshot).await?);
    }
    Ok(as_list("subscriptions", &subscriptions))
}

/// What an operator wants a subscription to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    pattern: Pattern,
    target: Target,
    #[serde(default)]
    filters: Filters,
    #[serde(default)]
    start: Start,
    #[serde(default)]
    ordering_key: Option<OrderingKey>,
    #[serde(default)]
    rules: SubscriptionOverrides,
}

/// Makes a subscription of the operator's own, or gives the one of this name new rules.
pub(super) async fn put(
    State(admin): State<Admin>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let invalid = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-subscription", detail);
    if !is_valid_name(&wanted.name) {
        return Err(invalid(format!("`{}` is no name; use 1 to 128 letters, digits, `-` and `_`", wanted.name)));
    }
    if let Target::Webhook(webhook) = &wanted.target {
        endpoint::host_and_port(&webhook.url).map_err(invalid)?;
    }
    let retry = wanted.rules.retry(RetryPolicy::default()).map_err(|error| invalid(error.to_string()))?;
    let defaults = &admin.defaults;
    let definition = Definition {
        pattern: wanted.pattern,
        filters: wanted.filters,
        target: wanted.target,
        concurrency: wanted.rules.concurrency.unwrap_or(defaults.subscription_concurrency),
        ordering_key: wanted.ordering_key,
        dead_letter_policy: wanted.rules.dead_letter_policy.unwrap_or_default(),
        retry,
        max_backlog: wanted.rules.max_backlog.map(std::num::NonZeroU64::get),
        timeout: wanted.rules.timeout.unwrap_or(defaults.limits.timeout),
    };
    let id = SubscriptionId { owner: OPERATOR.to_owned(), name: wanted.name };
    admin.bus.subscribe(id.clone(), definition, wanted.start).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id.to_string() }))))
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

pub(super) async fn pause(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    admin.bus.pause(SubscriptionId { owner, name }, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resume(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    admin.bus.pause(SubscriptionId { owner, name }, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is to be replayed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    start: Start,
    #[serde(default)]
    per_second: Option<NonZeroU32>,
}

pub(super) async fn replay(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
    Body(history): Body<History>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if history.start == Start::Now {
        let detail = "there is nothing to replay from now on; begin at a time, a position or the beginning";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-start", detail));
    }
    let replay = admin.bus.replay(SubscriptionId { owner, name }, history.start, history.per_second).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "replay": replay.number, "events": replay.events }))))
}

pub(super) async fn stop_replays(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let stopped = admin.bus.stop_replays(SubscriptionId { owner, name }).await?;
    Ok(Json(json!({ "stopped": stopped })))
}

async fn describe(admin: &Admin, subscription: &dyn Subscribed, snapshot: &Snapshot) -> Result<Value, Problem> {
    let overview = subscription.overview();
    let of_it = DeadLetterFilter { subscription: Some(overview.id.clone()), ..DeadLetterFilter::default() };
    let dead_letters = admin.bus.count_dead_letters(of_it).await?;
    let waits_for = waits_for(admin, &overview, snapshot);
    let now = admin.clock.now();
    let target = match &overview.definition.target {
        Target::Plugin(name) => json!({ "plugin": name }),
        Target::Webhook(webhook) => {
            json!({ "webhook": webhook.url, "signed": webhook.secret.is_some(), "handshake": webhook.handshake })
        }
    };
    Ok(json!({
        "id": overview.id.to_string(),
        "pattern": overview.definition.pattern,
        "filters": overview.definition.filters,
        "target": target,
        "dynamic": overview.dynamic,
        "status": if waits_for.is_some() { "paused" } else { "active" },
        "waits_for": waits_for,
        "concurrency": overview.definition.parallelism(),
        "ordering_key": overview.definition.ordering_key,
        "dead_letter_policy": overview.definition.dead_letter_policy,
        "retry": overview.definition.retry,
        "max_backlog": overview.definition.max_backlog,
        "cursor": overview.cursor,
        "backlog": overview.backlog,
        "in_flight": overview.in_flight,
        "parked_keys": overview.parked_keys,
        "expired": overview.expired,
        "lag_seconds": overview.oldest.map(|oldest| now.since(oldest).as_secs_f64()),
        "next_attempt": overview.next_due.map(|due| due.to_string()),
        "dead_letters": dead_letters,
        "replay": overview.replay,
    }))
}

/// Why nothing is delivered, if that is so.
fn waits_for(admin: &Admin, overview: &Overview, snapshot: &Snapshot) -> Option<String> {
    if let Some(reason) = &overview.paused {
        return Some(reason.clone());
    }
    let handler = overview.handler()?;
    if admin.bus.drained().contains(handler) {
        return Some(format!("the plugin `{handler}` is drained"));
    }
    (!snapshot.plugins.contains_key(handler)).then(|| format!("the plugin `{handler}` is not loaded"))
}
