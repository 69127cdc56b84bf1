//! What other services answered to the requests of invocations. Responses are stored apart from the records, because
//! they are much larger: lists of records do not read them, and retention deletes them first.

use rusqlite::{Connection, params};

use crate::ledger::integers::{signed, unsigned};
use crate::recorded_response::RecordedResponse;
use crate::usage::OutboundCalls;

/// The number of rows that one step deletes. A row has up to 1.5 MiB: in JSON, a control character takes six bytes.
const STEP: u32 = 4;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum RecordKind {
    /// An attempt.
    Attempt,
    /// A request for a plugin's route.
    Request,
}

impl RecordKind {
    fn number(self) -> i64 {
        match self {
            Self::Attempt => 0,
            Self::Request => 1,
        }
    }
}

/// Writes the recorded responses of a record, if it has some. Returns their size.
pub(super) fn insert(
    connection: &Connection,
    kind: RecordKind,
    record: i64,
    calls: &OutboundCalls,
) -> rusqlite::Result<u64> {
    let numbered = calls.recorded.iter().enumerate();
    let responses: Vec<_> =
        numbered.filter_map(|(index, call)| Some((index, call.recorded_response.as_deref()?))).collect();
    if responses.is_empty() {
        return Ok(0);
    }
    let text = serde_json::to_string(&responses).unwrap_or_default();
    let bytes = text.len() as u64;
    let mut insert = connection.prepare_cached("INSERT INTO exchanges VALUES (NULL, ?1, ?2, ?3, ?4)")?;
    insert.execute(params![kind.number(), record, signed(bytes), text])?;
    Ok(bytes)
}

/// Adds the recorded responses of a record to its requests.
pub(in super::super) fn read(
    connection: &Connection,
    kind: RecordKind,
    record: i64,
    calls: &mut OutboundCalls,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("SELECT exchanges FROM exchanges WHERE kind = ?1 AND record = ?2")?;
    let texts = select.query_map(params![kind.number(), record], |row| row.get::<_, String>(0))?;
    for text in texts {
        let responses: Vec<(usize, RecordedResponse)> = serde_json::from_str(&text?).unwrap_or_default();
        for (index, response) in responses {
            if let Some(call) = calls.recorded.get_mut(index) {
                call.recorded_response = Some(response.into());
            }
        }
    }
    Ok(())
}

/// The size of all recorded responses.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(sum(bytes), 0) FROM exchanges", [], |row| unsigned(row, 0))
}

/// Deletes some of the oldest recorded responses. Returns their size.
pub(super) fn delete_oldest(connection: &Connection) -> rusqlite::Result<u64> {
    let oldest = format!("SELECT number FROM exchanges ORDER BY number LIMIT {STEP}");
    delete(connection, &format!("number IN ({oldest})"))
}

/// Deletes the recorded responses of records that no longer exist. Returns their size.
pub(super) fn delete_orphans(connection: &Connection) -> rusqlite::Result<u64> {
    // Records are deleted in the order of their numbers, so all recorded responses before the oldest record can be
    // deleted.
    let before = |kind: RecordKind, table: &str| {
        let next = format!("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = '{table}'");
        let first = format!("SELECT coalesce((SELECT min(number) FROM {table}), ({next}))");
        delete(connection, &format!("kind = {} AND record < ({first})", kind.number()))
    };
    Ok(before(RecordKind::Attempt, "attempts")? + before(RecordKind::Request, "requests")?)
}

fn delete(connection: &Connection, condition: &str) -> rusqlite::Result<u64> {
    let mut delete = connection.prepare_cached(&format!("DELETE FROM exchanges WHERE {condition} RETURNING bytes"))?;
    let sizes = delete.query_map([], |row| unsigned(row, 0))?;
    sizes.sum()
}
