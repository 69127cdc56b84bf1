//! The subscriptions: their rules, how far they are, and why one delivers nothing; made, paused, replayed
//! and deleted.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Body, Path};
use super::subscription_rules::{self as rules, WantedRules, changes};
use super::{Admin, list as as_list};
use crate::bus::{DeadLetterFilter, HeldBack, Overview, Subscribed};
use crate::clock::Timestamp;
use crate::plugin::Snapshot;
use crate::problem::Problem;
use crate::subscription::{OPERATOR, Start, SubscriptionId, Target};

pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    let snapshot = admin.registry.snapshot();
    let oldest = admin.bus.oldest_unhandled().await?;
    let mut subscriptions = Vec::new();
    for subscription in admin.bus.subscriptions() {
        let oldest = oldest.get(&subscription.number()).copied();
        subscriptions.push(describe(&admin, &*subscription, &snapshot, oldest).await?);
    }
    Ok(as_list("subscriptions", &subscriptions))
}

/// Makes a subscription of the operator's own, or changes rules of the one of this name.
pub(super) async fn put(
    State(admin): State<Admin>,
    Body(wanted): Body<WantedRules>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id = SubscriptionId { owner: OPERATOR.to_owned(), name: wanted.name.clone() };
    let all = admin.bus.subscriptions();
    let present = all.iter().find(|one| *one.id() == id && one.overview().replay.is_none());
    let present = present.map(|one| one.definition());
    if present.is_some() && wanted.start.is_some() {
        let detail = format!(
            "the subscription `{id}` exists, and `start` is for a new one; leave it out, or replay the subscription"
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-start", detail));
    }
    let definition = wanted.definition(present.as_deref(), &admin.defaults)?;
    let changed = present.as_ref().map(|present| changes(present, &definition)).unwrap_or_default();
    admin.bus.subscribe(id.clone(), definition, wanted.start.unwrap_or_default()).await?;
    let created = present.is_none();
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "id": id.to_string(), "created": created, "changes": changed }))))
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

async fn describe(
    admin: &Admin,
    subscription: &dyn Subscribed,
    snapshot: &Snapshot,
    oldest: Option<Timestamp>,
) -> Result<Value, Problem> {
    let overview = subscription.overview();
    let of_it = DeadLetterFilter { subscription: Some(overview.id.clone()), ..DeadLetterFilter::default() };
    let dead_letters = admin.bus.count_dead_letters(of_it).await?;
    let waits_for = waits_for(admin, &overview, snapshot);
    let now = admin.clock.now();
    let progress = json!({
        "id": overview.id.to_string(),
        "dynamic": overview.dynamic,
        "status": if waits_for.is_some() { "paused" } else { "active" },
        "waits_for": waits_for,
        "held_back_until": overview.held_back.as_ref().map(|hold| hold.until.to_string()),
        "cursor": overview.cursor,
        "backlog": overview.backlog,
        "in_flight": overview.in_flight,
        "committing": overview.committing,
        "parked_keys": overview.parked_keys,
        "expired": overview.expired,
        "lag_seconds": oldest.map(|oldest| now.since(oldest).as_secs_f64()),
        "next_attempt": next_attempt(&overview).map(|due| due.to_string()),
        "dead_letters": dead_letters,
        "replay": overview.replay,
    });
    let mut described = rules::describe(&overview.definition);
    if let Target::Webhook(webhook) = &overview.definition.target {
        let former = webhook.former_secrets.iter().map(|former| former.until).filter(|until| *until > now);
        let former: Vec<_> = former.map(|until| until.to_string()).collect();
        if !former.is_empty() {
            described["target"]["former_secrets_until"] = former.into();
        }
    }
    described.extend(progress.as_object().cloned().unwrap_or_default());
    Ok(Value::Object(described))
}

/// When the next delivery that waits for another attempt is made.
fn next_attempt(overview: &Overview) -> Option<Timestamp> {
    let until = overview.held_back.as_ref().map(|hold| hold.until);
    overview.next_due.map(|due| until.map_or(due, |until| due.max(until)))
}

/// Why nothing is delivered, if that is so.
fn waits_for(admin: &Admin, overview: &Overview, snapshot: &Snapshot) -> Option<String> {
    if let Some(reason) = &overview.paused {
        return Some(reason.clone());
    }
    if let Some(HeldBack { until, reason }) = &overview.held_back {
        return Some(format!("{reason}; nothing is sent to it until {until}, unless the subscription is resumed"));
    }
    let handler = overview.handler()?;
    if admin.bus.drained().contains(handler) {
        return Some(format!("the plugin `{handler}` is drained"));
    }
    (!snapshot.plugins.contains_key(handler)).then(|| format!("the plugin `{handler}` is not loaded"))
}
