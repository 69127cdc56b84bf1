//! Dead letters: listed, looked at, redriven, dropped.

use axum::Json;
use axum::extract::State;

use super::body::{Path, Query};
use super::{Admin, Page, events, page_size};
use crate::api::{AttemptView, DeadLetterPage, DeadLetterQuery, DeadLetterView, DropResult, RedriveResult};
use crate::bus::{DeadLetter, DeadLetterFilter, DeadLetterId, FailedAttempt};
use crate::problem::Problem;

/// The most dead letters in one answer.
const LIMIT: usize = 1_000;
/// How many dead letters one commit redrives or drops, so that none holds up the others' for long.
const CHUNK: usize = 500;

fn filter(query: &DeadLetterQuery) -> Result<DeadLetterFilter, Problem> {
    let subscription = query.subscription.as_deref().map(str::parse).transpose();
    let subscription =
        subscription.map_err(|error| Problem::bad_request("invalid-subscription", format!("{error}")))?;
    Ok(DeadLetterFilter { number: query.number.map(DeadLetterId::new), subscription, cause: query.cause.clone() })
}

/// What is to be redriven or dropped.
fn selection(query: &DeadLetterQuery) -> Result<DeadLetterFilter, Problem> {
    if query.after.is_some() {
        let detail = "`after` is for lists; choose with `number`, `subscription`, `cause` and `limit`";
        return Err(Problem::bad_request("invalid-query", detail));
    }
    filter(query)
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<DeadLetterPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    let after = query.after.map(DeadLetterId::new);
    let letters = admin.bus.dead_letters(filter(&query)?, after, Page::<DeadLetter>::to_read(limit)).await?;
    let page = Page::of(letters, limit);
    let next = page.next(|letter| letter.number.number());
    Ok(Json(DeadLetterPage { dead_letters: page.views(view)?, next }))
}

pub(super) async fn show(State(admin): State<Admin>, Path(number): Path<i64>) -> Result<Json<DeadLetterView>, Problem> {
    let filter = DeadLetterFilter { number: Some(DeadLetterId::new(number)), ..DeadLetterFilter::default() };
    let letters = admin.bus.dead_letters(filter, None, 1).await?;
    view(letters.first().ok_or_else(|| not_found(number))?).map(Json)
}

fn not_found(number: i64) -> Problem {
    Problem::not_found(format!("there is no dead letter {number}"))
}

pub(super) async fn redrive(
    State(admin): State<Admin>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<RedriveResult>, Problem> {
    let filter = selection(&query)?;
    let mut redriven = 0;
    // The count is taken once, so that a delivery that dies again is not redriven without end.
    let mut left = count(&admin, &query).await?;
    while left > 0 {
        let chunk = admin.bus.redrive(filter.clone(), left.min(CHUNK)).await?;
        redriven += chunk;
        left = if chunk == 0 { 0 } else { left - chunk };
    }
    ensure_found(&query, redriven)?;
    Ok(Json(RedriveResult { redriven }))
}

pub(super) async fn drop_matching(
    State(admin): State<Admin>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<DropResult>, Problem> {
    let filter = selection(&query)?;
    let mut dropped = 0;
    let mut left = count(&admin, &query).await?;
    while left > 0 {
        let chunk = admin.bus.drop_dead_letters(filter.clone(), left.min(CHUNK)).await?;
        dropped += chunk;
        left = if chunk == 0 { 0 } else { left - chunk };
    }
    ensure_found(&query, dropped)?;
    Ok(Json(DropResult { dropped }))
}

async fn count(admin: &Admin, query: &DeadLetterQuery) -> Result<usize, Problem> {
    let count = admin.bus.count_dead_letters(filter(query)?).await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX).min(query.limit.unwrap_or(usize::MAX)))
}

/// One that was named must have been there.
fn ensure_found(query: &DeadLetterQuery, count: usize) -> Result<(), Problem> {
    match query.number {
        Some(number) if count == 0 => Err(not_found(number)),
        _ => Ok(()),
    }
}

fn view(letter: &DeadLetter) -> Result<DeadLetterView, Problem> {
    Ok(DeadLetterView {
        number: letter.number.number(),
        subscription: letter.subscription.to_string(),
        cause: letter.cause.clone(),
        reason: letter.reason.clone(),
        attempts: letter.attempts,
        replay: letter.replay,
        parks: letter.parks.clone(),
        buried_at: letter.dead_at.to_string(),
        history: letter.history.iter().map(attempt).collect(),
        logged: events::view(&letter.logged)?,
    })
}

fn attempt(attempt: &FailedAttempt) -> AttemptView {
    AttemptView {
        attempt: attempt.attempt,
        at: attempt.at.to_string(),
        cause: attempt.cause.as_str().to_owned(),
        reason: attempt.reason.clone(),
        digest: attempt.digest.clone(),
    }
}
