//! Subscriptions, their replays, and drained plugins.

use std::num::NonZeroU32;

use rusqlite::{Connection, params};

use super::super::schema::SUBSCRIPTION_SUMMED;
use super::super::subscription::ReplayRange;
use super::{from_json_column, signed, to_json, unsigned};
use crate::bus::window::{Pause, PauseReason};
use crate::bus::{EventFilter, StoreError};
use crate::event::Position;
use crate::subscription::{Definition, SubscriptionId};

/// A subscription's row.
pub(in super::super) struct SubscriptionRow {
    pub(in super::super) number: i64,
    pub(in super::super) id: SubscriptionId,
    pub(in super::super) dynamic: bool,
    pub(in super::super) definition: Definition,
    pub(in super::super) cursor: Position,
    /// The position after which the definition selects events.
    pub(in super::super) selects_after: Position,
    pub(in super::super) pause: Pause,
    /// The range of a replay, and the events that it delivers if not all.
    pub(in super::super) replay: Option<(ReplayRange, Option<EventFilter>)>,
}

pub(in super::super) fn subscriptions(connection: &Connection) -> Result<Vec<SubscriptionRow>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {SUBSCRIPTION_SUMMED} FROM subscriptions ORDER BY number"))?;
    let rows = statement.query_map([], |row| {
        let definition: String = row.get(4)?;
        let subscription: Option<i64> = row.get(8)?;
        let replay = match subscription {
            None => None,
            Some(subscription) => {
                let only: Option<String> = row.get(12)?;
                let range = ReplayRange {
                    subscription,
                    until: Position(unsigned(row, 9)?),
                    per_second: row.get::<_, Option<u32>>(10)?.and_then(NonZeroU32::new),
                };
                Some((range, only.map(|only| from_json_column(12, &only)).transpose()?))
            }
        };
        Ok(SubscriptionRow {
            number: row.get(0)?,
            id: SubscriptionId { owner: row.get(1)?, name: row.get(2)? },
            dynamic: row.get(3)?,
            definition: from_json_column(4, &definition)?,
            cursor: Position(unsigned(row, 5)?),
            selects_after: Position(unsigned(row, 11)?),
            pause: Pause { paused_by: reason_of_number(row.get(6)?), orphaned: row.get(7)? },
            replay,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in super::super) fn add_subscription(
    connection: &Connection,
    id: &SubscriptionId,
    dynamic: bool,
    definition: &Definition,
    cursor: Position,
    pause: Pause,
    replay: Option<(&ReplayRange, Option<&EventFilter>)>,
) -> Result<i64, StoreError> {
    let range = replay.map(|(range, _)| range);
    connection
        .prepare_cached(
            "INSERT INTO subscriptions (owner, name, dynamic, definition, cursor, stopped, orphaned, replay_of, replay_until, replay_rate, selects_after, replay_filter, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?5, ?11, 0)",
        )?
        .execute(params![
            id.owner,
            id.name,
            dynamic,
            to_json(definition),
            signed(cursor.0),
            number_of_reason(pause.paused_by),
            pause.orphaned,
            range.map(|replay| replay.subscription),
            range.map(|replay| signed(replay.until.0)),
            range.and_then(|replay| replay.per_second.map(NonZeroU32::get)),
            replay.and_then(|(_, only)| only).map(to_json),
        ])?;
    let number = connection.last_insert_rowid();
    renew_checksum(connection, number)?;
    Ok(number)
}

fn number_of_reason(reason: Option<PauseReason>) -> i64 {
    match reason {
        None => 0,
        Some(PauseReason::Operator) => 1,
        Some(PauseReason::EndpointGone) => 2,
    }
}

fn reason_of_number(number: i64) -> Option<PauseReason> {
    match number {
        0 => None,
        2 => Some(PauseReason::EndpointGone),
        _ => Some(PauseReason::Operator),
    }
}

/// Computes the checksum of a row again. Its number is known only after the insert, and most changes affect few
/// columns.
fn renew_checksum(connection: &Connection, number: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(&format!("UPDATE subscriptions SET sum = checksum({SUBSCRIPTION_SUMMED}) WHERE number = ?1"))?
        .execute([number])?;
    Ok(())
}

pub(in super::super) fn redefine_subscription(
    connection: &Connection,
    number: i64,
    definition: &Definition,
    selects_after: Position,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE subscriptions SET definition = ?2, selects_after = ?3 WHERE number = ?1")?
        .execute(params![number, to_json(definition), signed(selects_after.0)])?;
    renew_checksum(connection, number)
}

pub(in super::super) fn pause_subscription(
    connection: &Connection,
    number: i64,
    pause: Pause,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE subscriptions SET stopped = ?2, orphaned = ?3 WHERE number = ?1")?
        .execute(params![number, number_of_reason(pause.paused_by), pause.orphaned])?;
    renew_checksum(connection, number)
}

pub(in super::super) fn move_cursor(connection: &Connection, number: i64, cursor: Position) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE subscriptions SET cursor = ?2, sum = checksum(number, owner, name, dynamic, definition, ?2, stopped, orphaned, replay_of, replay_until, replay_rate, selects_after, replay_filter)
             WHERE number = ?1",
        )?
        .execute(params![number, signed(cursor.0)])?;
    Ok(())
}

/// Deletes a subscription and its pending rows.
pub(in super::super) fn delete_subscription(connection: &Connection, number: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM subscriptions WHERE number = ?1")?.execute([number])?;
    Ok(())
}

// Drained plugins.

pub(in super::super) fn drained(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT plugin FROM drained")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in super::super) fn set_drained(connection: &Connection, plugin: &str, drained: bool) -> Result<(), StoreError> {
    let sql = if drained {
        "INSERT INTO drained (plugin, sum) VALUES (?1, checksum(?1)) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM drained WHERE plugin = ?1"
    };
    connection.prepare_cached(sql)?.execute([plugin])?;
    Ok(())
}
