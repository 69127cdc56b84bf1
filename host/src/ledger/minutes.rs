//! Aggregates: the activity of each subject in each minute of the UTC clock.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};

use super::distribution::Distribution;
use super::integers::{duration, signed, unsigned};
use super::selection::Selection;
use super::statistics::{Activity, SLOT, SLOTS_PER_MINUTE, Statistics, StatisticsSubject};
use crate::clock::Timestamp;
use crate::duration::micros;

/// The length of a minute, in milliseconds.
pub(super) const MINUTE_MS: u64 = 60_000;
/// The largest number of rows that wait while the ledger cannot be written.
const MAX_UNWRITTEN: usize = 4_096;

/// The backlog of a subscription, by its owner and name.
pub type BacklogSource = Box<dyn Fn(&str, &str) -> Option<u64> + Send>;

/// The aggregates of a subject in a minute.
#[derive(Clone, Debug)]
pub struct MinuteAggregate {
    /// The beginning of the minute.
    pub at: Timestamp,
    /// The subject.
    pub subject: StatisticsSubject,
    /// What happened.
    pub activity: Activity,
    /// The backlog of a subscription at the end of the minute.
    pub backlog: Option<u64>,
}

/// The columns of a minute, in the order in which [`read_row`] reads them.
const COLUMNS: &str = "minute, owner, name, succeeded, retried, failed, cpu, memory, backlog, run, latency, wait";

impl MinuteAggregate {
    /// Adds what happened later in the same minute.
    fn add(&mut self, later: &Self) {
        self.activity.add(&later.activity);
        self.backlog = later.backlog.or(self.backlog);
    }
}

/// Selects the aggregates of minutes. Every part that is set must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinuteFilter {
    /// A time in the first minute.
    pub since: Timestamp,
    /// A time in the last minute.
    pub until: Timestamp,
    /// The owner of the subscription, or the plugin of the routes.
    pub owner: Option<String>,
    /// The name of the subscription.
    pub subscription: Option<String>,
}

/// Reads minutes, in order.
pub(super) fn read(
    connection: &Connection,
    filter: MinuteFilter,
    limit: usize,
) -> rusqlite::Result<Vec<MinuteAggregate>> {
    let mut selection = Selection::default();
    selection.add("minute >= ?", Value::Integer(signed(filter.since.0 / MINUTE_MS)));
    selection.add("minute <= ?", Value::Integer(signed(filter.until.0 / MINUTE_MS)));
    selection.equal("owner", filter.owner);
    selection.equal("name", filter.subscription);
    selection.read(connection, ("minutes", COLUMNS, "minute, owner, name"), limit, read_row)
}

/// Writes minutes. If the host was restarted within a minute, its row exists already, and the new counts are added to
/// it.
pub(super) fn write<'a>(
    connection: &Connection,
    minutes: impl IntoIterator<Item = &'a MinuteAggregate>,
) -> rusqlite::Result<()> {
    let mut stored = (None, BTreeMap::new());
    for minute in minutes {
        if stored.0 != Some(minute.at) {
            stored = (Some(minute.at), stored_in(connection, minute.at)?);
        }
        match stored.1.remove(&minute.subject) {
            Some((row, mut sum)) => {
                sum.add(minute);
                connection.prepare_cached("DELETE FROM minutes WHERE rowid = ?1")?.execute([row])?;
                insert(connection, &sum)?;
            }
            None => insert(connection, minute)?,
        }
    }
    Ok(())
}

/// The rows of a minute.
fn stored_in(
    connection: &Connection,
    at: Timestamp,
) -> rusqlite::Result<BTreeMap<StatisticsSubject, (i64, MinuteAggregate)>> {
    let sql = format!("SELECT {COLUMNS}, rowid FROM minutes WHERE minute = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([signed(at.0 / MINUTE_MS)], |row| Ok((row.get(12)?, read_row(row)?)))?;
    rows.map(|row| row.map(|(number, minute): (i64, MinuteAggregate)| (minute.subject.clone(), (number, minute))))
        .collect()
}

fn insert(connection: &Connection, minute: &MinuteAggregate) -> rusqlite::Result<()> {
    let MinuteAggregate { at, subject, activity, backlog } = minute;
    let (owner, name) = match subject {
        StatisticsSubject::Subscription { owner, name } => (owner, Some(name)),
        StatisticsSubject::Routes { plugin } => (plugin, None),
    };
    let sql = format!("INSERT INTO minutes ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    let mut insert = connection.prepare_cached(&sql)?;
    let row = params![
        signed(at.0 / MINUTE_MS),
        owner,
        name,
        signed(activity.succeeded),
        signed(activity.retried),
        signed(activity.failed),
        signed(micros(activity.cpu_time)),
        signed(activity.memory_bytes),
        backlog.map(signed),
        activity.run.encode(),
        activity.latency.encode(),
        activity.wait.encode(),
    ];
    insert.execute(row).map(drop)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<MinuteAggregate> {
    let owner: String = row.get(1)?;
    let subject = match row.get(2)? {
        Some(name) => StatisticsSubject::Subscription { owner, name },
        None => StatisticsSubject::Routes { plugin: owner },
    };
    let distribution = |index| row.get::<_, String>(index).map(|text| Distribution::decode(&text));
    let activity = Activity {
        succeeded: unsigned(row, 3)?,
        retried: unsigned(row, 4)?,
        failed: unsigned(row, 5)?,
        cpu_time: duration(row, 6)?,
        memory_bytes: unsigned(row, 7)?,
        run: distribution(9)?,
        latency: distribution(10)?,
        wait: distribution(11)?,
    };
    let backlog: Option<i64> = row.get(8)?;
    let at = Timestamp(unsigned(row, 0)?.saturating_mul(MINUTE_MS));
    Ok(MinuteAggregate { at, subject, activity, backlog: backlog.map(|backlog| u64::try_from(backlog).unwrap_or(0)) })
}

/// Collects the activity of all subjects into minutes.
pub(super) struct MinuteCollector {
    backlogs: BacklogSource,
    /// The number of the current slot, since 1970.
    slot: u64,
    /// The sums of the slots of the current minute.
    sums: BTreeMap<StatisticsSubject, Activity>,
    /// The minutes that have ended and are not written yet.
    unwritten: BTreeMap<(u64, StatisticsSubject), MinuteAggregate>,
}

impl MinuteCollector {
    pub(super) fn new(backlogs: BacklogSource, now: Timestamp) -> Self {
        Self { backlogs, slot: slot_of(now), sums: BTreeMap::new(), unwritten: BTreeMap::new() }
    }

    /// Ends the slot, if it is over, and with the last slot of a minute, the minute. Returns whether a slot has ended.
    pub(super) fn advance(&mut self, statistics: &Statistics, now: Timestamp) -> bool {
        let slot = slot_of(now);
        if slot == self.slot {
            return false;
        }
        // The clock may jump. After a jump of a minute or more, all earlier slots leave the last minute.
        let ended = slot.saturating_sub(self.slot).clamp(1, SLOTS_PER_MINUTE as u64);
        (0..ended).for_each(|_| self.add_slot(statistics));
        let minute = self.slot / SLOTS_PER_MINUTE as u64;
        if slot / SLOTS_PER_MINUTE as u64 != minute {
            self.end_minute(minute);
        }
        self.slot = slot;
        true
    }

    /// Ends the current minute before it is over.
    pub(super) fn finish(&mut self, statistics: &Statistics) {
        self.add_slot(statistics);
        self.end_minute(self.slot / SLOTS_PER_MINUTE as u64);
    }

    fn add_slot(&mut self, statistics: &Statistics) {
        for (subject, statistics) in statistics.all() {
            let ended = statistics.rotate();
            self.sums.entry(subject).or_default().add(&ended);
        }
    }

    fn end_minute(&mut self, minute: u64) {
        for (subject, activity) in std::mem::take(&mut self.sums) {
            let backlog = match &subject {
                StatisticsSubject::Subscription { owner, name } => (self.backlogs)(owner, name),
                StatisticsSubject::Routes { .. } => None,
            };
            // A subject that did nothing and has nothing to do needs no row.
            if activity.count() == 0 && backlog.is_none_or(|backlog| backlog == 0) {
                continue;
            }
            let at = Timestamp(minute.saturating_mul(MINUTE_MS));
            let ended = MinuteAggregate { at, subject: subject.clone(), activity, backlog };
            // The minute is there already if the clock was set back.
            match self.unwritten.get_mut(&(minute, subject.clone())) {
                Some(sum) => sum.add(&ended),
                None => drop(self.unwritten.insert((minute, subject), ended)),
            }
        }
        while self.unwritten.len() > MAX_UNWRITTEN {
            self.unwritten.pop_first();
        }
    }

    /// The minutes that are not written yet, in order.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = &MinuteAggregate> {
        self.unwritten.values()
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    pub(super) fn note_written(&mut self) {
        self.unwritten.clear();
    }
}

fn slot_of(now: Timestamp) -> u64 {
    now.0 / u64::try_from(SLOT.as_millis()).expect("a slot is short")
}
