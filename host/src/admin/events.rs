//! The log: publishing into it and looking at it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{Path, Query};
use super::{Admin, Page, page_size, raw_list};
use crate::event::{AsJson, Logged, Position};
use crate::ingress;
use crate::ingress::producers::Publisher;
use crate::problem::Problem;

/// The most events in one answer.
const LIMIT: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// Only events before this position.
    before: Option<u64>,
    limit: Option<usize>,
}

/// The newest events first.
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(page): Query<Choice>,
) -> Result<Json<Box<RawValue>>, Problem> {
    // Positions in the store are signed.
    let before = Position(page.before.unwrap_or(u64::MAX >> 1));
    let limit = page_size(page.limit, 50, LIMIT)?;
    let events = admin.bus.events(before, Page::<Logged>::to_read(limit)).await?;
    Page::of(events, limit).to_json("events", describe, |logged| logged.position)
}

pub(super) async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<Box<RawValue>>, Problem> {
    let events = admin.bus.events_with_id(id.clone()).await?;
    if events.is_empty() {
        return Err(Problem::not_found(format!("there is no event with the id `{id}`")));
    }
    let events: Vec<_> = events.iter().map(describe).collect();
    raw_list("events", &events)
}

/// As the ingress does, in the operator's name.
pub(super) async fn publish(State(admin): State<Admin>, request: Request<Body>) -> Result<Response, Problem> {
    ingress::events::publish(&*admin.bus, admin.limits, &Publisher::Operator, request).await
}

/// Deletes at once what the retention's rules do not keep.
pub(super) async fn compact(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    let mut deleted = 0;
    loop {
        match admin.bus.compact().await? {
            0 => return Ok(Json(json!({ "deleted": deleted }))),
            count => deleted += count,
        }
    }
}

/// An event at its place in the log.
#[derive(Debug, Serialize)]
pub(super) struct Described<'a> {
    position: Position,
    stored_at: String,
    event: AsJson<'a>,
}

pub(super) fn describe(logged: &Logged) -> Described<'_> {
    Described { position: logged.position, stored_at: logged.stored_at.to_string(), event: logged.event.as_json() }
}
