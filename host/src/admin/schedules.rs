//! Lists schedules and delayed events, and cancels delayed events.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::Query;
use super::cursor::List;
use super::{Admin, Page, events, page_size};
use crate::api::{CancelQuery, ListQuery, ScheduleList, ScheduleView, ScheduledPage, ScheduledQuery, ScheduledView};
use crate::bus::{PluginSchedule, ScheduledEvent};
use crate::clock::Timestamp;
use crate::problem::Problem;
use crate::schedule::MissedPolicy;

/// The largest page.
const LIMIT: usize = 1_000;
/// How many of the next times of a schedule are listed.
const UPCOMING: usize = 5;

/// List delayed events, in the order in which they are due
#[utoipa::path(
    get,
    path = "/scheduled",
    operation_id = "list_scheduled",
    tag = "schedules",
    params(ScheduledQuery),
    responses((status = 200, body = ScheduledPage, description = "A page of the list."))
)]
pub(super) async fn scheduled(
    State(admin): State<Admin>,
    Query(query): Query<ScheduledQuery>,
) -> Result<Json<ScheduledPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    let after = admin.parse_cursor(List::Scheduled, query.after.as_deref())?;
    let page = Page::of(admin.bus.scheduled(after, Page::<ScheduledEvent>::to_read(limit)).await?, limit);
    let next = page.next(|scheduled| admin.cursor(List::Scheduled, &scheduled.cursor.to_string()));
    let view = |scheduled: &ScheduledEvent| {
        Ok(ScheduledView { due: scheduled.due.to_string(), event: events::document(&scheduled.event)? })
    };
    Ok(Json(ScheduledPage { scheduled: page.views(view)?, next }))
}

/// Cancel a delayed event
#[utoipa::path(
    delete,
    path = "/scheduled",
    operation_id = "cancel_scheduled",
    tag = "schedules",
    params(CancelQuery),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn cancel(
    State(admin): State<Admin>,
    Query(CancelQuery { source, id }): Query<CancelQuery>,
) -> Result<StatusCode, Problem> {
    if admin.bus.cancel(&source, &id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found(format!("there is no delayed event `{id}` of source `{source}`")))
}

/// List the schedules that plugins declare
///
/// Schedules of plugins that do not run are paused.
#[utoipa::path(
    get,
    path = "/schedules",
    operation_id = "list_schedules",
    tag = "schedules",
    params(ListQuery),
    responses((status = 200, body = ScheduleList, description = "The schedules."))
)]
pub(super) async fn schedules(
    State(admin): State<Admin>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ScheduleList>, Problem> {
    let limit = page_size(query.limit, LIMIT, LIMIT)?;
    let after = admin.decode_cursor(List::Schedules, query.after.as_deref())?;
    let schedules = admin.bus.schedules().await?;
    let running = admin.registry.snapshot();
    let now = admin.clock.now();
    let mut schedules: Vec<_> = schedules.into_iter().map(|it| (format!("{}/{}", it.plugin, it.name), it)).collect();
    schedules.sort_by(|(one, _), (other, _)| one.cmp(other));
    let page = Page::of_sorted(schedules, |(id, _)| id, after.as_deref(), limit);
    let next = page.next(|(id, _)| admin.cursor(List::Schedules, id));
    let view = |(_, it): &(String, PluginSchedule)| view(it, !running.plugins.contains_key(&*it.plugin), now);
    Ok(Json(ScheduleList { schedules: page.items.iter().map(view).collect(), next }))
}

fn view(it: &PluginSchedule, paused: bool, now: Timestamp) -> ScheduleView {
    let missed = match it.schedule.missed {
        MissedPolicy::RunOnce => "run-once",
        MissedPolicy::Skip => "skip",
        MissedPolicy::CatchUp => "catch-up",
    };
    let upcoming = it.next.map(|next| it.schedule.upcoming(next, now, UPCOMING)).unwrap_or_default();
    ScheduleView {
        paused,
        id: format!("{}/{}", it.plugin, it.name),
        cron: it.schedule.cron.clone(),
        timezone: it.schedule.timezone.clone(),
        missed: missed.to_owned(),
        event_type: it.schedule.event_type.clone(),
        next: it.next.map(|next| next.to_string()),
        upcoming: upcoming.iter().map(ToString::to_string).collect(),
    }
}
