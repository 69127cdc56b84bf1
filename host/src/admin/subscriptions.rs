//! Lists, creates, changes, pauses, replays and deletes subscriptions.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use tokio::sync::MutexGuard;

use super::access::Caller;
use super::audit;
use super::body::{Body, Path, Query};
use super::cursor::List;
use super::plugin_target::absence;
use super::precondition::{EntityTag, IfMatch, IfMatchHeader, Tagged};
use super::subscription_rules::{self as rules, changes};
use super::{Admin, Page, events, page_size};
use crate::access::Permission;
use crate::api::{
    ReplayRequest, ReplayResult, ReplayUntil, ReplayView, StopReplaysResult, SubscriptionChangeResult,
    SubscriptionList, SubscriptionQuery, SubscriptionRequest, SubscriptionRules, SubscriptionStatus, SubscriptionView,
    TargetView,
};
use crate::bus::{CommitError, EndpointHold, FeedEntry, FeedId, Overview, ReplayEnd, ReplayScope};
use crate::clock::Timestamp;
use crate::endpoint;
use crate::plugin::RegistrySnapshot;
use crate::problem::Problem;
use crate::subscription::{Definition, OPERATOR, Start, SubscriptionId, Target};

/// The largest page.
const LIMIT: usize = 1_000;

/// List subscriptions and their replays
#[utoipa::path(
    get,
    path = "/subscriptions",
    operation_id = "list_subscriptions",
    tag = "subscriptions",
    params(SubscriptionQuery),
    responses((status = 200, body = SubscriptionList, description = "The subscriptions."))
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<SubscriptionQuery>,
) -> Result<Json<SubscriptionList>, Problem> {
    let limit = page_size(query.limit, LIMIT, LIMIT)?;
    let after = admin.decode_cursor(List::Subscriptions, query.after.as_deref())?;
    let snapshot = admin.registry.snapshot();
    let oldest = admin.bus.oldest_unhandled().await?;
    let dead_letters = admin.bus.dead_letter_counts().await?;
    let catalogue = Arc::clone(&admin.bus.catalogue().borrow());
    let view = |entry: &Arc<FeedEntry>| {
        let overview = admin.bus.feed(entry.feed)?.overview();
        let dead_letters = dead_letters.get(&overview.id).copied().unwrap_or(0);
        Some(view(&admin, &overview, &snapshot, oldest.get(&entry.feed).copied(), dead_letters))
    };
    // Feeds of a subscription have ascending numbers.
    let key = |entry: &Arc<FeedEntry>| format!("{}/{:020}", entry.id, entry.feed.number());
    let is_meant = |entry: &&Arc<FeedEntry>| query.plugin.as_ref().is_none_or(|plugin| entry.id.owner == *plugin);
    let mut feeds: Vec<_> = catalogue.feeds.iter().filter(is_meant).map(|entry| (key(entry), entry)).collect();
    feeds.sort_by(|one, other| one.0.cmp(&other.0));
    let page = Page::of_sorted(feeds, |(key, _)| key, after.as_deref(), limit);
    let next = page.next(|(key, _)| admin.cursor(List::Subscriptions, key));
    let subscriptions = page.items.iter().filter_map(|(_, entry)| view(entry)).collect();
    Ok(Json(SubscriptionList { subscriptions, next }))
}

/// Show a subscription
///
/// Its replays are in the list only.
#[utoipa::path(
    get,
    path = "/subscriptions/{owner}/{name}",
    operation_id = "get_subscription",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."),),
    responses((status = 200, body = SubscriptionView, description = "The subscription.",
               headers(("ETag" = String, description = "Changes with the rules, and when the subscription is paused or resumed."))))
)]
pub(super) async fn show(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Tagged<SubscriptionView>, Problem> {
    let id = SubscriptionId { owner, name };
    let no_subscription = || Problem::not_found(format!("there is no subscription `{id}`"));
    let feed = admin.bus.catalogue().borrow().subscription(&id).map(|entry| entry.feed).ok_or_else(no_subscription)?;
    let overview = admin.bus.feed(feed).ok_or_else(no_subscription)?.overview();
    let oldest = admin.bus.oldest_unhandled().await?.get(&feed).copied();
    let dead_letters = admin.bus.dead_letter_counts().await?.get(&id).copied().unwrap_or(0);
    let view = view(&admin, &overview, &admin.registry.snapshot(), oldest, dead_letters);
    Ok(Tagged(tag_of(&overview), view))
}

/// The tag of what clients can change about a subscription.
fn tag_of(overview: &Overview) -> EntityTag {
    let rules = serde_json::to_vec(&rules::view(&overview.definition)).unwrap_or_default();
    let paused = overview.paused.as_deref().unwrap_or_default().as_bytes();
    EntityTag::of(&[&rules, paused].join(&0))
}

/// Locks the subscriptions for a change, and checks the condition of the change.
pub(super) async fn lock<'a>(
    admin: &'a Admin,
    condition: &IfMatch,
    id: &SubscriptionId,
) -> Result<MutexGuard<'a, ()>, Problem> {
    let guard = admin.changes.subscriptions.lock().await;
    let feed = admin.bus.catalogue().borrow().subscription(id).map(|entry| entry.feed);
    let tag = feed.and_then(|feed| admin.bus.feed(feed)).map(|feed| tag_of(&feed.overview()));
    condition.check(&format!("the subscription `{id}`"), tag.as_ref())?;
    Ok(guard)
}

/// Create or change a subscription of the operator
///
/// Omitted rules keep their value, or have the default of a new subscription.
#[utoipa::path(
    post,
    path = "/subscriptions",
    operation_id = "put_subscription",
    tag = "subscriptions",
    params(IfMatchHeader),
    request_body(content = SubscriptionRequest),
    responses(
        (status = 200, body = SubscriptionChangeResult, description = "The subscription existed, and has these rules now."),
        (status = 201, body = SubscriptionChangeResult, description = "The subscription was created."),
    )
)]
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    condition: IfMatch,
    Body(request): Body<SubscriptionRequest>,
) -> Result<(StatusCode, Json<SubscriptionChangeResult>), Problem> {
    if let Some(pattern) = request.pattern.as_ref().filter(|pattern| audit::names_audit_events(pattern))
        && !caller.role().permits(Permission::Admin)
    {
        let detail = format!("the pattern `{pattern}` selects audit events, which need the role admin");
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let id = SubscriptionId { owner: OPERATOR.to_owned(), name: request.name.clone() };
    let _lock = lock(&admin, &condition, &id).await?;
    let present = admin.bus.catalogue().borrow().subscription(&id).map(|entry| Arc::clone(&entry.definition));
    if present.is_some() && request.start.is_some() {
        let detail = format!(
            "the subscription `{id}` exists, and `start` applies to new ones only; omit it, or replay the subscription"
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-start", detail));
    }
    let definition = rules::definition(&request, present.as_deref(), &admin.loader.host_settings().defaults)?;
    check_target(&admin, &definition)?;
    let changes = present.as_ref().map(|present| changes(present, &definition)).unwrap_or_default();
    let start = request.start.unwrap_or_default();
    admin.bus.subscribe(id.clone(), definition, start).await.map_err(start_problem)?;
    let created = present.is_none();
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(SubscriptionChangeResult { id: id.to_string(), created, changes })))
}

/// Delete a subscription
///
/// Its backlog and its dead letters are deleted, too. A subscription that a loaded plugin declares cannot be deleted.
#[utoipa::path(
    delete,
    path = "/subscriptions/{owner}/{name}",
    operation_id = "delete_subscription",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn delete(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    let id = SubscriptionId { owner, name };
    let _lock = lock(&admin, &condition, &id).await?;
    let declared = admin.registry.snapshot().plugins.get(&id.owner).is_some_and(|plugin| plugin.declares(&id.name));
    if declared {
        let detail = format!("plugin `{}` declares the subscription `{}`; remove the plugin first", id.owner, id.name);
        return Err(Problem::new(StatusCode::CONFLICT, "subscription-declared", detail));
    }
    admin.bus.delete_subscription(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a subscription
#[utoipa::path(
    post,
    path = "/subscriptions/{owner}/{name}/pause",
    operation_id = "pause_subscription",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn pause(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    let id = SubscriptionId { owner, name };
    let _lock = lock(&admin, &condition, &id).await?;
    admin.bus.pause(id, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resume a subscription
///
/// If the endpoint of the subscription is on hold, the hold ends, too.
#[utoipa::path(
    post,
    path = "/subscriptions/{owner}/{name}/resume",
    operation_id = "resume_subscription",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn resume(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    let id = SubscriptionId { owner, name };
    let _lock = lock(&admin, &condition, &id).await?;
    admin.bus.pause(id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replay past events
///
/// Delivers them again, in parallel with new ones.
#[utoipa::path(
    post,
    path = "/subscriptions/{owner}/{name}/replay",
    operation_id = "start_replay",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."),),
    request_body(content = ReplayRequest),
    responses((status = 202, body = ReplayResult, description = "The replay has started."))
)]
pub(super) async fn replay(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
    Body(request): Body<ReplayRequest>,
) -> Result<(StatusCode, Json<ReplayResult>), Problem> {
    if request.start == Start::Now {
        let detail = "a replay cannot start at `now`; start at a time, a position or the beginning";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-start", detail));
    }
    let scope = ReplayScope {
        start: request.start,
        end: request.until.map(|until| match until {
            ReplayUntil::Time(time) => ReplayEnd::Time(time),
            ReplayUntil::Position(position) => ReplayEnd::Position(position),
        }),
        filter: request.only.map(events::selection).unwrap_or_default(),
        per_second: request.per_second,
    };
    let replay = admin.bus.replay(SubscriptionId { owner, name }, scope).await;
    let replay = replay.map_err(start_problem)?;
    Ok((StatusCode::ACCEPTED, Json(ReplayResult { replay: replay.feed.map(FeedId::number), events: replay.events })))
}

/// The problem of a request with a start. The bus refuses a start that the log has not reached.
fn start_problem(error: CommitError) -> Problem {
    match error {
        CommitError::StartInFuture { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-start", error.to_string())
        }
        error => error.into(),
    }
}

/// Rejects a webhook to the host itself. Its deliveries would be refused anyway, but only when they are sent.
fn check_target(admin: &Admin, definition: &Definition) -> Result<(), Problem> {
    let Target::Webhook(webhook) = &definition.target else { return Ok(()) };
    let Ok(host) = endpoint::host_and_port(&webhook.url) else { return Ok(()) };
    admin.listeners.refuse(&host).map_err(|error| {
        let detail = format!("{error}; deliver to a plugin instead");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-subscription", detail)
    })
}

/// Stop all replays of a subscription
#[utoipa::path(
    delete,
    path = "/subscriptions/{owner}/{name}/replay",
    operation_id = "stop_replays",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."),),
    responses((status = 200, body = StopReplaysResult, description = "The replays have stopped."))
)]
pub(super) async fn stop_replays(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<StopReplaysResult>, Problem> {
    let stopped = admin.bus.stop_replays(SubscriptionId { owner, name }).await?;
    Ok(Json(StopReplaysResult { stopped }))
}

fn view(
    admin: &Admin,
    overview: &Overview,
    snapshot: &RegistrySnapshot,
    oldest: Option<Timestamp>,
    dead_letters: u64,
) -> SubscriptionView {
    let waits_for = wait_reason(admin, overview, snapshot);
    let now = admin.clock.now();
    SubscriptionView {
        id: overview.id.to_string(),
        dynamic: overview.dynamic,
        status: if waits_for.is_some() { SubscriptionStatus::Paused } else { SubscriptionStatus::Active },
        resumable: overview.paused.is_some() || overview.endpoint_hold.is_some(),
        waits_for,
        held_back_until: overview.endpoint_hold.as_ref().map(|hold| hold.until.to_string()),
        cursor: overview.cursor.0,
        backlog: overview.backlog,
        in_flight: overview.in_flight,
        committing: overview.committing,
        parked_keys: overview.parked_keys,
        expired: overview.expired,
        lag_seconds: oldest.map(|oldest| now.since(oldest).as_secs_f64()),
        next_attempt: next_attempt_at(overview).map(|due| due.to_string()),
        dead_letters,
        replay: overview.replay.map(|replay| ReplayView {
            number: replay.feed.number(),
            until: replay.until.0,
            per_second: replay.per_second,
        }),
        rules: current_rules(&overview.definition, now),
    }
}

/// The rules, including the former secrets that still sign.
fn current_rules(definition: &Definition, now: Timestamp) -> SubscriptionRules {
    let mut rules = rules::view(definition);
    if let (Target::Webhook(webhook), TargetView::Webhook { former_secrets_until, .. }) =
        (&definition.target, &mut rules.target)
    {
        let former = webhook.former_secrets.iter().map(|former| former.until).filter(|until| *until > now);
        former_secrets_until.extend(former.map(|until| until.to_string()));
    }
    rules
}

/// The time of the next retry.
fn next_attempt_at(overview: &Overview) -> Option<Timestamp> {
    let until = overview.endpoint_hold.as_ref().map(|hold| hold.until);
    overview.next_due.map(|due| until.map_or(due, |until| due.max(until)))
}

/// Why deliveries are paused, if they are.
fn wait_reason(admin: &Admin, overview: &Overview, snapshot: &RegistrySnapshot) -> Option<String> {
    if let Some(reason) = &overview.paused {
        return Some(reason.clone());
    }
    if let Some(EndpointHold { until, reason }) = &overview.endpoint_hold {
        return Some(format!("{reason}; deliveries are on hold until {until}, unless the subscription is resumed"));
    }
    let handler = overview.handler()?;
    if admin.bus.is_drained(handler) {
        return Some(format!("plugin `{handler}` is drained"));
    }
    (!snapshot.plugins.contains_key(handler)).then(|| absence(admin, handler))
}
