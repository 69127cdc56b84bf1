//! Dead letters: listed, looked at, redriven, dropped.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{Path, Query};
use super::{Admin, Page, events, page_size, raw};
use crate::bus::{DeadLetter, DeadLetterFilter};
use crate::problem::Problem;

/// The most dead letters in one answer.
const LIMIT: usize = 1_000;
/// How many dead letters one commit redrives or drops, so that none holds up the others' for long.
const CHUNK: usize = 500;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    number: Option<i64>,
    subscription: Option<String>,
    cause: Option<String>,
    /// Only those after this number.
    after: Option<i64>,
    limit: Option<usize>,
}

impl Choice {
    fn filter(&self) -> Result<DeadLetterFilter, Problem> {
        let subscription = self.subscription.as_deref().map(str::parse).transpose();
        let subscription =
            subscription.map_err(|error| Problem::bad_request("invalid-subscription", format!("{error}")))?;
        Ok(DeadLetterFilter { number: self.number, subscription, cause: self.cause.clone() })
    }
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Query(choice): Query<Choice>,
) -> Result<Json<Box<RawValue>>, Problem> {
    let limit = page_size(choice.limit, 100, LIMIT)?;
    let after = choice.after.unwrap_or(0);
    let letters = admin.bus.dead_letters(choice.filter()?, after, Page::<DeadLetter>::to_read(limit)).await?;
    Page::of(letters, limit).to_json("dead_letters", describe, |letter| letter.number)
}

pub(super) async fn show(State(admin): State<Admin>, Path(number): Path<i64>) -> Result<Json<Box<RawValue>>, Problem> {
    let filter = DeadLetterFilter { number: Some(number), ..DeadLetterFilter::default() };
    let letters = admin.bus.dead_letters(filter, 0, 1).await?;
    raw(&describe(letters.first().ok_or_else(|| none(number))?))
}

fn none(number: i64) -> Problem {
    Problem::not_found(format!("there is no dead letter {number}"))
}

pub(super) async fn redrive(State(admin): State<Admin>, Query(choice): Query<Choice>) -> Result<Json<Value>, Problem> {
    let filter = choice.filter()?;
    let mut redriven = 0;
    // Those that are there now: one that dies again meanwhile is not driven round and round.
    let mut left = count(&admin, &choice).await?;
    while left > 0 {
        let chunk = admin.bus.redrive(filter.clone(), left.min(CHUNK)).await?;
        redriven += chunk;
        left = if chunk == 0 { 0 } else { left - chunk };
    }
    found(&choice, redriven)?;
    Ok(Json(json!({ "redriven": redriven })))
}

pub(super) async fn drop_all(State(admin): State<Admin>, Query(choice): Query<Choice>) -> Result<Json<Value>, Problem> {
    let filter = choice.filter()?;
    let mut dropped = 0;
    let mut left = count(&admin, &choice).await?;
    while left > 0 {
        let chunk = admin.bus.drop_dead_letters(filter.clone(), left.min(CHUNK)).await?;
        dropped += chunk;
        left = if chunk == 0 { 0 } else { left - chunk };
    }
    found(&choice, dropped)?;
    Ok(Json(json!({ "dropped": dropped })))
}

async fn count(admin: &Admin, choice: &Choice) -> Result<usize, Problem> {
    let count = admin.bus.count_dead_letters(choice.filter()?).await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX).min(choice.limit.unwrap_or(usize::MAX)))
}

/// One that was named must have been there.
fn found(choice: &Choice, count: usize) -> Result<(), Problem> {
    match choice.number {
        Some(number) if count == 0 => Err(none(number)),
        _ => Ok(()),
    }
}

/// A dead letter with what became of its event, and the event itself.
#[derive(Debug, Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    letter: serde_json::Map<String, Value>,
    logged: events::Described<'a>,
}

fn describe(letter: &DeadLetter) -> Described<'_> {
    let attempts = letter.history.iter().map(|attempt| {
        json!({
            "attempt": attempt.attempt,
            "at": attempt.at.to_string(),
            "cause": attempt.cause.as_str(),
            "reason": attempt.reason,
            "digest": attempt.digest,
        })
    });
    let described = [
        ("number", json!(letter.number)),
        ("subscription", json!(letter.subscription.to_string())),
        ("cause", json!(letter.cause)),
        ("reason", json!(letter.reason)),
        ("attempts", json!(letter.attempts)),
        ("replay", json!(letter.replay)),
        ("parks", json!(letter.parks)),
        ("buried_at", json!(letter.buried_at.to_string())),
        ("history", attempts.collect()),
    ];
    let letter_members = described.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Described { letter: letter_members, logged: events::describe(&letter.logged) }
}
