//! Rows of the store, read and written: the statements of the bus.

use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::progress::Pending;
use crate::clock::Timestamp;
use crate::event::{Event, Logged, Position};
use crate::outcome::{Cause, Listing, Version};
use crate::subscription::{Definition, SubscriptionId};

/// One failed attempt, as rows keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// What kind of failure it was.
    pub cause: Cause,
    /// What happened.
    pub reason: String,
    /// The digest of the component that ran, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
}

const EVENT_COLUMNS: &str = "e.position, t.name, e.id, e.source, e.subject, e.time, e.datacontenttype, e.dataschema, e.extensions, e.data, e.stored_at";
const EVENTS: &str = "events e JOIN types t ON t.id = e.type";

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|number| u64::try_from(number).unwrap_or(0))
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("`{text}`: {error}")))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the bus's own types have string keys and cannot fail to be written")
}

fn logged(row: &Row<'_>) -> rusqlite::Result<Logged> {
    let extensions: Option<String> = row.get(8)?;
    let event = Event {
        event_type: row.get(1)?,
        id: row.get(2)?,
        source: row.get(3)?,
        subject: row.get(4)?,
        time: row.get(5)?,
        datacontenttype: row.get(6)?,
        dataschema: row.get(7)?,
        extensions: extensions.map_or_else(|| Ok(Default::default()), |text| from_json_column(8, &text))?,
        data: row.get(9)?,
    };
    Ok(Logged {
        position: Position(unsigned(row, 0)?),
        stored_at: Timestamp(unsigned(row, 10)?),
        event: Arc::new(event),
    })
}

fn from_json_column<T: for<'a> Deserialize<'a>>(index: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error)))
}

// Events.

/// Appends an event, unless one with its source and id is there.
pub(super) fn append_event(
    connection: &Connection,
    position: Position,
    type_number: i64,
    event: &Event,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let extensions = (!event.extensions.is_empty()).then(|| to_json(&event.extensions));
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (position, type, id, source, subject, time, datacontenttype, dataschema, extensions, data, stored_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id, source) DO NOTHING",
    )?;
    let added = statement.execute(params![
        signed(position.0),
        type_number,
        event.id,
        event.source,
        event.subject,
        event.time,
        event.datacontenttype,
        event.dataschema,
        extensions,
        event.data,
        signed(now.0)
    ])?;
    Ok(added == 1)
}

pub(super) fn head(connection: &Connection) -> Result<Position, StoreError> {
    let head = connection
        .prepare_cached("SELECT coalesce(max(position), 0) FROM events")?
        .query_row([], |row| unsigned(row, 0))?;
    Ok(Position(head))
}

/// Events of one type after a position, in order.
pub(super) fn events_of_type(
    connection: &Connection,
    type_number: i64,
    after: Position,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM {EVENTS} WHERE e.type = ?1 AND e.position > ?2 ORDER BY e.position LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![type_number, signed(after.0), signed(limit as u64)], logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Events of all types after a position, in order.
pub(super) fn events_after(connection: &Connection, after: Position, limit: usize) -> Result<Vec<Logged>, StoreError> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM {EVENTS} WHERE e.position > ?1 ORDER BY e.position LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![signed(after.0), signed(limit as u64)], logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest events before a position, newest first.
pub(super) fn events_before(
    connection: &Connection,
    before: Position,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM {EVENTS} WHERE e.position < ?1 ORDER BY e.position DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![signed(before.0), signed(limit as u64)], logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Events with an id; sources may share one.
pub(super) fn events_with_id(connection: &Connection, id: &str) -> Result<Vec<Logged>, StoreError> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM {EVENTS} WHERE e.id = ?1 ORDER BY e.position LIMIT 100");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([id], logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_of_type_after(
    connection: &Connection,
    type_number: i64,
    after: Position,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM events WHERE type = ?1 AND position > ?2")?;
    Ok(statement.query_row(params![type_number, signed(after.0)], |row| unsigned(row, 0))?)
}

// Types.

pub(super) fn types(connection: &Connection) -> Result<Vec<(i64, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM types ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add_type(connection: &Connection, number: i64, name: &str) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT INTO types (id, name) VALUES (?1, ?2)")?.execute(params![number, name])?;
    Ok(())
}

// Scheduled events.

pub(super) fn identity_is_scheduled(connection: &Connection, event: &Event) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM scheduled WHERE id = ?1 AND source = ?2")?;
    Ok(statement.exists(params![event.id, event.source])?)
}

pub(super) fn identity_is_logged(connection: &Connection, event: &Event) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND source = ?2")?;
    Ok(statement.exists(params![event.id, event.source])?)
}

/// Keeps an event for later, unless one with its source and id is kept already.
pub(super) fn schedule(connection: &Connection, due: Timestamp, event: &Event) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO scheduled (due, id, source, event) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id, source) DO NOTHING",
    )?;
    let event_bytes = serde_json::to_vec(event).expect("an event has string keys and cannot fail to be written");
    Ok(statement.execute(params![signed(due.0), event.id, event.source, event_bytes])? == 1)
}

pub(super) fn next_scheduled(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT due FROM scheduled ORDER BY due LIMIT 1")?;
    Ok(statement.query_row([], |row| unsigned(row, 0)).optional()?.map(Timestamp))
}

/// Takes out events that are due, in the order of their times.
pub(super) fn take_scheduled(connection: &Connection, now: Timestamp, limit: usize) -> Result<Vec<Event>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT number, event FROM scheduled WHERE due <= ?1 ORDER BY due, number LIMIT ?2")?;
    let rows = select.query_map(params![signed(now.0), signed(limit as u64)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM scheduled WHERE number = ?1")?;
    let mut events = Vec::with_capacity(rows.len());
    for (number, bytes) in rows {
        delete.execute([number])?;
        let event = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::Damaged(format!("scheduled event {number}: {error}")))?;
        events.push(event);
    }
    Ok(events)
}

// Subscriptions.

/// A subscription's row.
pub(super) struct SubscriptionRow {
    pub(super) number: i64,
    pub(super) id: SubscriptionId,
    pub(super) dynamic: bool,
    pub(super) definition: Definition,
    pub(super) cursor: Position,
    pub(super) paused: Option<String>,
}

pub(super) fn subscriptions(connection: &Connection) -> Result<Vec<SubscriptionRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, owner, name, dynamic, definition, cursor, paused FROM subscriptions ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| {
        let definition: String = row.get(4)?;
        Ok(SubscriptionRow {
            number: row.get(0)?,
            id: SubscriptionId { owner: row.get(1)?, name: row.get(2)? },
            dynamic: row.get(3)?,
            definition: from_json_column(4, &definition)?,
            cursor: Position(unsigned(row, 5)?),
            paused: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add_subscription(
    connection: &Connection,
    id: &SubscriptionId,
    dynamic: bool,
    definition: &Definition,
    cursor: Position,
) -> Result<i64, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO subscriptions (owner, name, dynamic, definition, cursor) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id.owner, id.name, dynamic, to_json(definition), signed(cursor.0)])?;
    Ok(connection.last_insert_rowid())
}

pub(super) fn redefine_subscription(
    connection: &Connection,
    number: i64,
    definition: &Definition,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE subscriptions SET definition = ?2 WHERE number = ?1")?
        .execute(params![number, to_json(definition)])?;
    Ok(())
}

pub(super) fn pause_subscription(connection: &Connection, number: i64, paused: Option<&str>) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE subscriptions SET paused = ?2 WHERE number = ?1")?
        .execute(params![number, paused])?;
    Ok(())
}

pub(super) fn move_cursor(connection: &Connection, number: i64, cursor: Position) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE subscriptions SET cursor = ?2 WHERE number = ?1")?
        .execute(params![number, signed(cursor.0)])?;
    Ok(())
}

/// Deletes a subscription with what waits for it. Its dead letters go too.
pub(super) fn delete_subscription(connection: &Connection, number: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM pending WHERE subscription = ?1",
        "DELETE FROM dead_letters WHERE subscription = ?1",
        "DELETE FROM subscriptions WHERE number = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([number])?;
    }
    Ok(())
}

// Pending deliveries.

/// Makes a delivery's row, or renews it.
pub(super) fn put_pending(
    connection: &Connection,
    subscription: i64,
    position: Position,
    attempts: u32,
    due: Timestamp,
    history: &[Attempt],
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO pending (subscription, position, attempts, due, history) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (subscription, position) DO UPDATE SET attempts = ?3, due = ?4, history = ?5",
        )?
        .execute(params![subscription, signed(position.0), attempts, signed(due.0), to_json(&history)])?;
    Ok(())
}

pub(super) fn delete_pending(connection: &Connection, subscription: i64, position: Position) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM pending WHERE subscription = ?1 AND position = ?2")?
        .execute(params![subscription, signed(position.0)])?;
    Ok(())
}

pub(super) fn history(
    connection: &Connection,
    subscription: i64,
    position: Position,
) -> Result<Vec<Attempt>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT history FROM pending WHERE subscription = ?1 AND position = ?2")?;
    let text: Option<String> =
        statement.query_row(params![subscription, signed(position.0)], |row| row.get(0)).optional()?;
    text.map_or_else(|| Ok(Vec::new()), |text| parse(&text))
}

/// Rows that are due, in order, and when the first one after them is due.
pub(super) fn due_pending(
    connection: &Connection,
    subscription: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Pending>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, p.attempts FROM pending p JOIN events e ON e.position = p.position JOIN types t ON t.id = e.type
         WHERE p.subscription = ?1 AND p.due <= ?2 ORDER BY p.due, p.position LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![subscription, signed(now.0), signed(limit as u64)], |row| {
        Ok(Pending { logged: logged(row)?, attempts: row.get(11)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn next_pending_after(
    connection: &Connection,
    subscription: i64,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT due FROM pending WHERE subscription = ?1 AND due > ?2 ORDER BY due LIMIT 1")?;
    Ok(statement.query_row(params![subscription, signed(now.0)], |row| unsigned(row, 0)).optional()?.map(Timestamp))
}

pub(super) fn count_pending(connection: &Connection, subscription: i64) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM pending WHERE subscription = ?1")?;
    Ok(statement.query_row([subscription], |row| unsigned(row, 0))?)
}

// Dead letters.

/// A delivery that nobody will try again by itself.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its number, by which it is shown, redriven and dropped.
    pub number: i64,
    /// The subscription that it was for.
    pub subscription: SubscriptionId,
    /// The event.
    pub logged: Logged,
    /// What kind of failure the last attempt was.
    pub cause: String,
    /// What happened at the last attempt.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Each failed attempt.
    pub history: Vec<Attempt>,
    /// When it became a dead letter.
    pub buried_at: Timestamp,
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Only this one.
    pub number: Option<i64>,
    /// Only those of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only those with this cause.
    pub cause: Option<String>,
}

impl DeadLetterFilter {
    fn conditions(&self) -> (String, Vec<Value>) {
        let mut sql = String::from("1");
        let mut values = Vec::new();
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            sql.push_str(&format!(" AND {condition} = ?{}", values.len()));
        };
        if let Some(number) = self.number {
            add("d.number", number.into());
        }
        if let Some(subscription) = &self.subscription {
            add("s.owner", subscription.owner.clone().into());
            add("s.name", subscription.name.clone().into());
        }
        if let Some(cause) = &self.cause {
            add("d.cause", cause.clone().into());
        }
        (sql, values)
    }
}

pub(super) fn bury(
    connection: &Connection,
    subscription: i64,
    position: Position,
    history: &[Attempt],
    now: Timestamp,
) -> Result<(), StoreError> {
    let last = history.last().expect("a delivery is buried after an attempt, which is in its history");
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (subscription, position, cause, reason, attempts, history, buried_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            subscription,
            signed(position.0),
            last.cause.as_str(),
            last.reason,
            last.attempt,
            to_json(&history),
            signed(now.0)
        ])?;
    Ok(())
}

/// Dead letters after a number, in order.
pub(super) fn dead_letters(
    connection: &Connection,
    filter: &DeadLetterFilter,
    after: i64,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let (conditions, mut values) = filter.conditions();
    values.push(after.into());
    values.push(signed(limit as u64).into());
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, d.number, s.owner, s.name, d.cause, d.reason, d.attempts, d.history, d.buried_at
         FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
         JOIN events e ON e.position = d.position JOIN types t ON t.id = e.type
         WHERE {conditions} AND d.number > ?{} ORDER BY d.number LIMIT ?{}",
        values.len() - 1,
        values.len()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        let history: String = row.get(17)?;
        Ok(DeadLetter {
            logged: logged(row)?,
            number: row.get(11)?,
            subscription: SubscriptionId { owner: row.get(12)?, name: row.get(13)? },
            cause: row.get(14)?,
            reason: row.get(15)?,
            attempts: row.get(16)?,
            history: from_json_column(17, &history)?,
            buried_at: Timestamp(unsigned(row, 18)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_dead_letters(connection: &Connection, subscription: i64) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM dead_letters WHERE subscription = ?1")?;
    Ok(statement.query_row([subscription], |row| unsigned(row, 0))?)
}

pub(super) fn count_matching_dead_letters(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<usize, StoreError> {
    let (conditions, values) = filter.conditions();
    let sql = format!(
        "SELECT count(*) FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription WHERE {conditions}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let count = statement.query_row(rusqlite::params_from_iter(values), |row| unsigned(row, 0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Removes dead letters and returns their subscriptions and positions.
pub(super) fn exhume(
    connection: &Connection,
    filter: &DeadLetterFilter,
    limit: usize,
) -> Result<Vec<(i64, Position)>, StoreError> {
    let (conditions, mut values) = filter.conditions();
    values.push(signed(limit as u64).into());
    let sql = format!(
        "DELETE FROM dead_letters WHERE number IN (
             SELECT d.number FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
             WHERE {conditions} ORDER BY d.number LIMIT ?{})
         RETURNING subscription, position",
        values.len()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        Ok((row.get::<_, i64>(0)?, Position(unsigned(row, 1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

// State.

pub(super) fn state_value(
    connection: &Connection,
    plugin: &str,
    key: &str,
) -> Result<(Option<Vec<u8>>, Version), StoreError> {
    let mut statement = connection.prepare_cached("SELECT value, version FROM state WHERE plugin = ?1 AND key = ?2")?;
    let found = statement.query_row([plugin, key], |row| Ok((row.get(0)?, Version(unsigned(row, 1)?)))).optional()?;
    Ok(found.map_or((None, Version(0)), |(value, version)| (Some(value), version)))
}

pub(super) fn state_version(connection: &Connection, plugin: &str, key: &str) -> Result<Version, StoreError> {
    let mut statement = connection.prepare_cached("SELECT version FROM state WHERE plugin = ?1 AND key = ?2")?;
    let version = statement.query_row([plugin, key], |row| unsigned(row, 0)).optional()?;
    Ok(Version(version.unwrap_or(0)))
}

pub(super) fn state_keys(
    connection: &Connection,
    plugin: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    // The empty string sorts first and may be a key itself.
    let mut statement = connection
        .prepare_cached("SELECT key FROM state WHERE plugin = ?1 AND (?2 IS NULL OR key > ?2) ORDER BY key LIMIT ?3")?;
    let rows = statement.query_map(params![plugin, after, signed(limit as u64)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn state_listing(connection: &Connection, plugin: &str) -> Result<Listing, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT count(*), coalesce(max(made), 0) FROM state WHERE plugin = ?1")?;
    Ok(statement
        .query_row([plugin], |row| Ok(Listing { count: unsigned(row, 0)?, newest: Version(unsigned(row, 1)?) }))?)
}

pub(super) fn set_state(
    connection: &Connection,
    plugin: &str,
    key: &str,
    value: &[u8],
    version: Version,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO state (plugin, key, value, version, made) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (plugin, key) DO UPDATE SET value = ?3, version = ?4",
        )?
        .execute(params![plugin, key, value, signed(version.0)])?;
    Ok(())
}

pub(super) fn delete_state(connection: &Connection, plugin: &str, key: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM state WHERE plugin = ?1 AND key = ?2")?.execute([plugin, key])?;
    Ok(())
}

/// The version that this run's first write gets: above all of earlier runs, of which each has 2^40.
pub(super) fn first_version(connection: &Connection) -> Result<Version, StoreError> {
    let run =
        connection.query_row("UPDATE runs SET number = number + 1 RETURNING number", [], |row| unsigned(row, 0))?;
    Ok(Version(run << 40))
}
