//! Times in which records are missing.

use rusqlite::{Connection, Row, params};

use super::integers::{signed, time};
use super::queue::Loss;
use crate::clock::Timestamp;

/// The largest number of gaps that one query returns.
const LIMIT: u32 = 100;
/// The largest number of gaps that wait to be stored.
const MAX_UNSTORED: usize = 16;
/// How an unknown number is stored.
const UNKNOWN: i64 = -1;

/// A time in which records are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the first missing attempt ended.
    pub from: Timestamp,
    /// When the last missing attempt ended.
    pub until: Timestamp,
    /// How many records are missing. None if that is unknown: there may be none.
    pub lost: Option<u64>,
    /// Why they are missing.
    pub reason: String,
}

impl Gap {
    /// The gap for lost records.
    pub(super) fn of(loss: Loss, reason: &str) -> Self {
        let Loss { from, until, count } = loss;
        Self { from, until, lost: Some(count), reason: reason.to_owned() }
    }

    /// Adds a later gap with the same reason.
    fn extend(&mut self, later: &Self) {
        self.from = self.from.min(later.from);
        self.until = self.until.max(later.until);
        self.lost = self.lost.zip(later.lost).map(|(lost, more)| lost + more);
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let lost = self.lost.map_or(UNKNOWN, signed);
        let mut insert = connection.prepare_cached("INSERT INTO gaps VALUES (?1, ?2, ?3, ?4)")?;
        insert.execute(params![signed(self.from.0), signed(self.until.0), lost, self.reason]).map(drop)
    }

    /// The gaps that overlap a time, in order.
    pub(super) fn overlapping(
        connection: &Connection,
        from: Timestamp,
        until: Timestamp,
    ) -> rusqlite::Result<Vec<Self>> {
        let mut statement = connection.prepare(
            "SELECT starts, ends, lost, reason FROM gaps WHERE ends >= ?1 AND starts <= ?2 ORDER BY starts LIMIT ?3",
        )?;
        let gaps = statement.query_map(params![signed(from.0), signed(until.0), LIMIT], read)?;
        gaps.collect()
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Gap> {
    let lost: i64 = row.get(2)?;
    Ok(Gap { from: time(row, 0)?, until: time(row, 1)?, lost: u64::try_from(lost).ok(), reason: row.get(3)? })
}

/// The gaps that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct UnstoredGaps(Vec<Gap>);

impl UnstoredGaps {
    /// Adds a gap. Gaps with the same reason are merged. When the list is full, a gap is merged into the first one,
    /// whatever its reason.
    pub(super) fn add(&mut self, gap: Gap) {
        let is_full = self.0.len() >= MAX_UNSTORED;
        match self.0.iter_mut().find(|earlier| is_full || earlier.reason == gap.reason) {
            Some(earlier) => earlier.extend(&gap),
            None => self.0.push(gap),
        }
    }

    pub(super) fn all(&self) -> &[Gap] {
        &self.0
    }
}
