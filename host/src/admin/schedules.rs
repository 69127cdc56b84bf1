//! What comes later: scheduled events, and the schedules of plugins.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::Query;
use super::{Admin, Page, list as as_list, page_size};
use crate::bus::{CursorError, Scheduled};
use crate::event::AsJson;
use crate::problem::Problem;

/// The most events in one answer.
const LIMIT: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// The cursor of the page before, from its `next`.
    after: Option<String>,
    limit: Option<usize>,
}

/// An event that comes later.
#[derive(Debug, Serialize)]
struct Described<'a> {
    due: String,
    event: AsJson<'a>,
}

fn describe(scheduled: &Scheduled) -> Described<'_> {
    Described { due: scheduled.due.to_string(), event: scheduled.event.as_json() }
}

/// The events that enter the log later, the next one first.
pub(super) async fn events(
    State(admin): State<Admin>,
    Query(page): Query<Choice>,
) -> Result<Json<Box<RawValue>>, Problem> {
    let limit = page_size(page.limit, 100, LIMIT)?;
    let after = page.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|error: CursorError| Problem::bad_request("invalid-query", error.to_string()))?;
    let events = admin.bus.scheduled(after, Page::<Scheduled>::to_read(limit)).await?;
    Page::of(events, limit).to_json("scheduled", describe, |it| it.cursor.to_string())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    source: String,
    id: String,
}

/// Takes an event back.
pub(super) async fn cancel(
    State(admin): State<Admin>,
    Query(Identity { source, id }): Query<Identity>,
) -> Result<StatusCode, Problem> {
    if admin.bus.cancel(&source, &id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found(format!("no event `{id}` of `{source}` waits to enter the log")))
}

/// The schedules that plugins declare. Those of plugins that do not run rest.
pub(super) async fn schedules(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    let schedules = admin.bus.schedules().await?;
    let running = admin.registry.snapshot();
    let schedules: Vec<_> = schedules
        .iter()
        .map(|it| {
            json!({
                "rests": !running.plugins.contains_key(it.plugin.as_str()),
                "id": format!("{}/{}", it.plugin, it.name),
                "cron": it.schedule.cron,
                "timezone": it.schedule.timezone,
                "missed": it.schedule.missed,
                "type": it.schedule.event_type,
                "next": it.next.map(|next| next.to_string()),
            })
        })
        .collect();
    Ok(as_list("schedules", &schedules))
}
