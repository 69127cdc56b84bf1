//! Writes records as rows.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::LedgerError;
use super::recorded_responses::{self, RecordKind};
use crate::duration::micros;
use crate::ledger::integers::signed;
use crate::ledger::record::{AttemptEntry, AttemptVerdict, Details, RecordedFailure, RequestEntry};
use crate::usage::Usage;

/// The largest number of cause trees by which a request is found.
const MAX_TREES: usize = 20;

/// Writes an attempt. Returns the size of its recorded responses.
pub(super) fn insert_attempt(connection: &Connection, attempt: &AttemptEntry) -> Result<u64, LedgerError> {
    let [queued, took, cpu_time, memory_bytes] = usage_columns(&attempt.usage, attempt.took);
    let (cause, reason) = failure_columns(attempt.failure.as_ref());
    let (verdict, due) = match attempt.verdict {
        AttemptVerdict::Handled => (0, None),
        AttemptVerdict::Retry(due) => (1, Some(signed(due.0))),
        AttemptVerdict::Dead => (2, None),
    };
    let details = Details {
        names: attempt.names.clone(),
        calls: attempt.usage.calls.clone(),
        log: attempt.usage.log.clone(),
        redriven_replay: attempt.is_replay && attempt.replay.is_none(),
        redriven_at: attempt.redriven_at,
        edited: attempt.edited,
        ..Details::default()
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO attempts VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
         ?18, ?19, ?20, ?21, ?22)",
    )?;
    insert.execute(params![
        signed(attempt.at.0),
        signed(attempt.position),
        attempt.event_id,
        attempt.event_source,
        attempt.event_type,
        signed(attempt.stored_at.0),
        attempt.tree.id,
        attempt.tree.source,
        attempt.owner,
        attempt.subscription,
        attempt.replay,
        attempt.digest,
        attempt.attempt,
        queued,
        took,
        cpu_time,
        memory_bytes,
        verdict,
        due,
        cause,
        reason,
        details.to_json(),
    ])?;
    let number = connection.last_insert_rowid();
    Ok(recorded_responses::insert(connection, RecordKind::Attempt, number, &attempt.usage.calls)?)
}

/// Writes a request. Returns the size of its recorded responses.
pub(super) fn insert_request(connection: &Connection, request: &RequestEntry) -> Result<u64, LedgerError> {
    let [queued, took, cpu_time, memory_bytes] = usage_columns(&request.usage, request.took);
    let (cause, reason) = failure_columns(request.failure.as_ref());
    let details = Details {
        names: request.names.clone(),
        calls: request.usage.calls.clone(),
        log: request.usage.log.clone(),
        trees: request.trees.clone(),
        ..Details::default()
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO requests VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    insert.execute(params![
        signed(request.at.0),
        request.id,
        request.plugin,
        request.digest,
        request.method,
        request.route,
        request.path,
        request.status,
        queued,
        took,
        cpu_time,
        memory_bytes,
        cause,
        reason,
        details.to_json(),
    ])?;
    let number = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached("INSERT INTO request_trees VALUES (?1, ?2)")?;
    for tree in request.trees.iter().take(MAX_TREES) {
        insert.execute(params![tree.id, number])?;
    }
    Ok(recorded_responses::insert(connection, RecordKind::Request, number, &request.usage.calls)?)
}

/// The queue wait, the run time, the CPU time and the memory.
fn usage_columns(usage: &Usage, took: Duration) -> [i64; 4] {
    [micros(usage.queued), micros(took), micros(usage.cpu_time), usage.memory_bytes].map(signed)
}

/// The cause and the reason.
fn failure_columns(failure: Option<&RecordedFailure>) -> (Option<&str>, Option<&str>) {
    failure.map(|failure| (failure.cause.as_str(), failure.reason.as_str())).unzip()
}
