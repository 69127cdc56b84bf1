//! Writes records as rows.

use rusqlite::{Connection, params};

use super::StoreError;
use crate::duration::micros;
use crate::ledger::integers::signed;
use crate::ledger::record::{AttemptEntry, AttemptVerdict, Details, RequestEntry};
use crate::usage::Usage;

/// The most cause trees by which a request is found.
const MAX_TREES: usize = 20;

pub(super) fn insert_attempt(connection: &Connection, attempt: &AttemptEntry) -> Result<(), StoreError> {
    let Usage { queued, cpu_time, memory_bytes, calls } = &attempt.usage;
    let (verdict, due) = match attempt.verdict {
        AttemptVerdict::Handled => (0, None),
        AttemptVerdict::Retry(due) => (1, Some(signed(due.0))),
        AttemptVerdict::Dead => (2, None),
    };
    let details = serde_json::to_string(&Details {
        names: attempt.names.clone(),
        calls: calls.clone(),
        redriven_replay: attempt.is_replay && attempt.replay.is_none(),
        redriven_at: attempt.redriven_at,
        edited: attempt.edited,
        ..Details::default()
    })
    .unwrap_or_default();
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
        signed(micros(*queued)),
        signed(micros(attempt.took)),
        signed(micros(*cpu_time)),
        signed(*memory_bytes),
        verdict,
        due,
        attempt.failure.as_ref().map(|failure| &failure.cause),
        attempt.failure.as_ref().map(|failure| &failure.reason),
        details,
    ])?;
    Ok(())
}

pub(super) fn insert_request(connection: &Connection, request: &RequestEntry) -> Result<(), StoreError> {
    let Usage { queued, cpu_time, memory_bytes, calls } = &request.usage;
    let details = serde_json::to_string(&Details {
        names: request.names.clone(),
        calls: calls.clone(),
        trees: request.trees.clone(),
        ..Details::default()
    })
    .unwrap_or_default();
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
        signed(micros(*queued)),
        signed(micros(request.took)),
        signed(micros(*cpu_time)),
        signed(*memory_bytes),
        request.failure.as_ref().map(|failure| &failure.cause),
        request.failure.as_ref().map(|failure| &failure.reason),
        details,
    ])?;
    let number = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached("INSERT INTO request_trees VALUES (?1, ?2)")?;
    for tree in request.trees.iter().take(MAX_TREES) {
        insert.execute(params![tree.id, number])?;
    }
    Ok(())
}
