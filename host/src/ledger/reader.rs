//! Reads the ledger.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::database::{self, LedgerError, RecordKind, read_recorded_responses};
use super::gap::Gap;
use super::integers::{duration, signed, time, unsigned};
use super::minutes::{self, MinuteAggregate, MinuteFilter};
use super::record::{AttemptEntry, AttemptVerdict, Details, RecordedFailure, RequestEntry};
use super::selection::Selection;
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::duration::micros;
use crate::event::CauseTreeId;
use crate::files;
use crate::usage::Usage;

/// Reads the ledger. Each call first waits until the records that are queued are written, for half a second at most,
/// and reads one committed moment.
#[derive(Clone, Debug)]
pub struct LedgerReader {
    path: PathBuf,
    shared: Arc<Shared>,
}

/// The ledger cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be read: {0}")]
pub struct ReadError(String);

impl From<LedgerError> for ReadError {
    fn from(error: LedgerError) -> Self {
        Self(error.to_string())
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        LedgerError::from(error).into()
    }
}

/// Selects attempts. Every part that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// The id of the event.
    pub event_id: Option<String>,
    /// The source of the event.
    pub event_source: Option<String>,
    /// The id of the cause tree.
    pub tree: Option<String>,
    /// The owner of the subscription.
    pub owner: Option<String>,
    /// The name of the subscription.
    pub subscription: Option<String>,
    /// Only failures.
    pub failed: bool,
    /// Only those that took at least this long.
    pub slower_than: Option<Duration>,
    /// The cause of the failure.
    pub cause: Option<String>,
    /// The digest of the component.
    pub digest: Option<String>,
    /// Those that ended at this time or later.
    pub since: Option<Timestamp>,
    /// Those that ended before this time.
    pub until: Option<Timestamp>,
    /// Whether what other services answered is read, too.
    pub with_recorded_responses: bool,
}

/// Selects requests. Every part that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// The id.
    pub id: Option<String>,
    /// The plugin.
    pub plugin: Option<String>,
    /// Only those with a status from 500.
    pub failed: bool,
    /// Those that ended at this time or later.
    pub since: Option<Timestamp>,
    /// Those that ended before this time.
    pub until: Option<Timestamp>,
    /// Whether what other services answered is read, too.
    pub with_recorded_responses: bool,
}

/// The columns of an attempt, in the order in which [`attempt_of`] reads them.
const ATTEMPT: &str = "number, at, position, event, source, type, stored_at, tree, tree_source, owner, subscription,
    replay, digest, attempt, queued, took, cpu, memory, verdict, due, cause, reason, details";
/// The columns of a request, in the order in which [`request_of`] reads them.
const REQUEST: &str = "number, at, id, plugin, digest, method, route, path, status, queued, took, cpu, memory, cause,
    reason, details";

impl LedgerReader {
    pub(super) fn new(path: PathBuf, shared: Arc<Shared>) -> Self {
        Self { path, shared }
    }

    /// The size of the ledger's files, in bytes.
    pub async fn size_bytes(&self) -> u64 {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || files::database_bytes(&path)).await.unwrap_or(0)
    }

    /// The attempts that match, newest first, starting before a number or with the newest one. Each comes with its
    /// number.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn attempts(
        &self,
        filter: AttemptFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, AttemptEntry)>, ReadError> {
        let with_recorded_responses = filter.with_recorded_responses;
        self.read(move |connection| {
            let mut selection = Selection::default();
            selection.equal("event", filter.event_id);
            selection.equal("source", filter.event_source);
            selection.equal("tree", filter.tree);
            selection.equal("owner", filter.owner);
            selection.equal("subscription", filter.subscription);
            selection.equal("cause", filter.cause);
            selection.equal("digest", filter.digest);
            if filter.failed {
                selection.add("verdict > ?", Value::Integer(0));
            }
            if let Some(slower) = filter.slower_than {
                selection.add("took >= ?", Value::Integer(signed(micros(slower))));
            }
            selection.ended_in(filter.since, filter.until);
            let snapshot = connection.unchecked_transaction()?;
            let mut read = newest_first(selection, &snapshot, ("attempts", ATTEMPT), before, limit, attempt_of)?;
            for (number, attempt) in read.iter_mut().filter(|_| with_recorded_responses) {
                read_recorded_responses(&snapshot, RecordKind::Attempt, *number, &mut attempt.usage.calls)?;
            }
            Ok(read)
        })
        .await
    }

    /// The requests that match, newest first, starting before a number or with the newest one. Each comes with its
    /// number.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn requests(
        &self,
        filter: RequestFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, RequestEntry)>, ReadError> {
        self.read(move |connection| {
            let mut selection = Selection::default();
            selection.equal("id", filter.id);
            selection.equal("plugin", filter.plugin);
            if filter.failed {
                selection.add("status >= ?", Value::Integer(500));
            }
            selection.ended_in(filter.since, filter.until);
            let snapshot = connection.unchecked_transaction()?;
            let mut read = newest_first(selection, &snapshot, ("requests", REQUEST), before, limit, request_of)?;
            for (number, request) in read.iter_mut().filter(|_| filter.with_recorded_responses) {
                read_recorded_responses(&snapshot, RecordKind::Request, *number, &mut request.usage.calls)?;
            }
            Ok(read)
        })
        .await
    }

    /// The request with an id.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn request(&self, id: String) -> Result<Option<RequestEntry>, ReadError> {
        let filter = RequestFilter { id: Some(id), ..RequestFilter::default() };
        Ok(self.requests(filter, None, 1).await?.into_iter().next().map(|(_, request)| request))
    }

    /// The request whose handler published the first event of a cause tree.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn request_of_tree(&self, tree: CauseTreeId) -> Result<Option<RequestEntry>, ReadError> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {REQUEST} FROM requests WHERE number IN (SELECT request FROM request_trees WHERE tree = ?1) LIMIT 10"
            );
            let mut statement = connection.prepare(&sql)?;
            let found = statement.query_map([&tree.id], request_of)?;
            for request in found {
                let (_, request) = request?;
                if request.trees.contains(&tree) {
                    return Ok(Some(request));
                }
            }
            Ok(None)
        })
        .await
    }

    /// The gaps that overlap a time.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn gaps(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Gap>, ReadError> {
        self.read(move |connection| Ok(Gap::overlapping(connection, from, until)?)).await
    }

    /// The aggregates of the minutes that match, in order, at most `limit` of them.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn minutes(&self, filter: MinuteFilter, limit: usize) -> Result<Vec<MinuteAggregate>, ReadError> {
        self.read(move |connection| Ok(minutes::read(connection, filter, limit)?)).await
    }

    /// Reads on a thread that may block. A ledger that does not exist yet is empty.
    async fn read<T: Default + Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.shared.settle().await;
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || match database::open_reader(&path)? {
            Some(connection) => read(&connection),
            None => Ok(T::default()),
        });
        task.await.map_err(|error| ReadError(error.to_string()))?
    }
}

/// Reads records, newest first, starting before a number or with the newest one.
fn newest_first<T>(
    mut selection: Selection,
    connection: &Connection,
    (table, columns): (&str, &str),
    before: Option<i64>,
    limit: usize,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, ReadError> {
    selection.add("number < ?", Value::Integer(before.unwrap_or(i64::MAX)));
    Ok(selection.read(connection, (table, columns, "number DESC"), limit, read)?)
}

fn attempt_of(row: &Row<'_>) -> rusqlite::Result<(i64, AttemptEntry)> {
    let Details { names, calls, log, redriven_replay, redriven_at, edited, .. } = details(row, 22)?;
    let verdict = match row.get(18)? {
        0_i64 => AttemptVerdict::Handled,
        1 => AttemptVerdict::Retry(time(row, 19)?),
        _ => AttemptVerdict::Dead,
    };
    let (queued, cpu_time, memory_bytes) = (duration(row, 14)?, duration(row, 16)?, unsigned(row, 17)?);
    let usage = Usage { queued, cpu_time, memory_bytes, calls, log };
    let replay: Option<i64> = row.get(11)?;
    let attempt = AttemptEntry {
        at: time(row, 1)?,
        position: unsigned(row, 2)?,
        event_id: row.get(3)?,
        event_source: row.get(4)?,
        event_type: row.get(5)?,
        stored_at: time(row, 6)?,
        tree: CauseTreeId { id: row.get(7)?, source: row.get(8)? },
        owner: row.get(9)?,
        subscription: row.get(10)?,
        replay,
        is_replay: replay.is_some() || redriven_replay,
        redriven_at,
        edited,
        digest: row.get(12)?,
        attempt: row.get(13)?,
        took: duration(row, 15)?,
        usage,
        verdict,
        failure: failure(row, 20)?,
        names,
    };
    Ok((row.get(0)?, attempt))
}

fn request_of(row: &Row<'_>) -> rusqlite::Result<(i64, RequestEntry)> {
    let Details { names, calls, log, trees, .. } = details(row, 15)?;
    let (queued, cpu_time, memory_bytes) = (duration(row, 9)?, duration(row, 11)?, unsigned(row, 12)?);
    let usage = Usage { queued, cpu_time, memory_bytes, calls, log };
    let request = RequestEntry {
        at: time(row, 1)?,
        id: row.get(2)?,
        plugin: row.get(3)?,
        digest: row.get(4)?,
        method: row.get(5)?,
        route: row.get(6)?,
        path: row.get(7)?,
        status: row.get(8)?,
        took: duration(row, 10)?,
        usage,
        failure: failure(row, 13)?,
        names,
        trees,
    };
    Ok((row.get(0)?, request))
}

fn details(row: &Row<'_>, index: usize) -> rusqlite::Result<Details> {
    Ok(serde_json::from_str(&row.get::<_, String>(index)?).unwrap_or_default())
}

fn failure(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<RecordedFailure>> {
    let (cause, reason): (Option<String>, Option<String>) = (row.get(index)?, row.get(index + 1)?);
    Ok(cause.map(|cause| RecordedFailure { cause, reason: reason.unwrap_or_default() }))
}
