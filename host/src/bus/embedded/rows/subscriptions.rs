//! Subscriptions, their replays, and drained plugins.

use std::num::NonZeroU32;

use rusqlite::{Connection, params};

use super::super::schema::SUBSCRIPTION_SUMMED;
use super::{from_json_column, unsigned};
use crate::bus::engine::ReplayRange;
use crate::bus::engine::store::encoding::{decode_pause_reason, encode_pause_reason, signed, to_json};
use crate::bus::engine::store::*;
use crate::bus::window::Pause;
use crate::bus::{EventFilter, StoreError};
use crate::event::Position;
use crate::subscription::{Definition, SubscriptionId};

/// Computes the checksum of a row again. Its number is known only after the insert, and most changes affect few
/// columns.
fn renew_checksum(connection: &Connection, number: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(&format!("UPDATE subscriptions SET sum = checksum({SUBSCRIPTION_SUMMED}) WHERE number = ?1"))?
        .execute([number])?;
    Ok(())
}

impl SubscriptionRows for Connection {
    fn subscriptions(&self) -> Result<Vec<SubscriptionRow>, StoreError> {
        let mut statement =
            self.prepare_cached(&format!("SELECT {SUBSCRIPTION_SUMMED} FROM subscriptions ORDER BY number"))?;
        let rows = statement.query_map([], |row| {
            let definition: String = row.get(4)?;
            let subscription: Option<i64> = row.get(8)?;
            let replay = match subscription {
                None => None,
                Some(subscription) => {
                    let filter: Option<String> = row.get(12)?;
                    let range = ReplayRange {
                        subscription,
                        until: Position(unsigned(row, 9)?),
                        per_second: row.get::<_, Option<u32>>(10)?.and_then(NonZeroU32::new),
                    };
                    Some((range, filter.map(|filter| from_json_column(12, &filter)).transpose()?))
                }
            };
            Ok(SubscriptionRow {
                number: row.get(0)?,
                id: SubscriptionId { owner: row.get(1)?, name: row.get(2)? },
                dynamic: row.get(3)?,
                definition: from_json_column(4, &definition)?,
                cursor: Position(unsigned(row, 5)?),
                selects_after: Position(unsigned(row, 11)?),
                pause: Pause { paused_by: decode_pause_reason(row.get(6)?), orphaned: row.get(7)? },
                replay,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn add_subscription(
        &self,
        id: &SubscriptionId,
        dynamic: bool,
        definition: &Definition,
        cursor: Position,
        pause: Pause,
        replay: Option<(&ReplayRange, Option<&EventFilter>)>,
    ) -> Result<i64, StoreError> {
        let range = replay.map(|(range, _)| range);
        self
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
            encode_pause_reason(pause.paused_by),
            pause.orphaned,
            range.map(|replay| replay.subscription),
            range.map(|replay| signed(replay.until.0)),
            range.and_then(|replay| replay.per_second.map(NonZeroU32::get)),
            replay.and_then(|(_, filter)| filter).map(to_json),
        ])?;
        let number = self.last_insert_rowid();
        renew_checksum(self, number)?;
        Ok(number)
    }

    fn redefine_subscription(
        &self,
        number: i64,
        definition: &Definition,
        selects_after: Position,
    ) -> Result<(), StoreError> {
        self.prepare_cached("UPDATE subscriptions SET definition = ?2, selects_after = ?3 WHERE number = ?1")?
            .execute(params![number, to_json(definition), signed(selects_after.0)])?;
        renew_checksum(self, number)
    }

    fn pause_subscription(&self, number: i64, pause: Pause) -> Result<(), StoreError> {
        self.prepare_cached("UPDATE subscriptions SET stopped = ?2, orphaned = ?3 WHERE number = ?1")?
            .execute(params![number, encode_pause_reason(pause.paused_by), pause.orphaned])?;
        renew_checksum(self, number)
    }

    fn move_cursor(&self, number: i64, cursor: Position) -> Result<(), StoreError> {
        self
        .prepare_cached(
            "UPDATE subscriptions SET cursor = ?2, sum = checksum(number, owner, name, dynamic, definition, ?2, stopped, orphaned, replay_of, replay_until, replay_rate, selects_after, replay_filter)
             WHERE number = ?1",
        )?
        .execute(params![number, signed(cursor.0)])?;
        Ok(())
    }

    fn delete_subscription(&self, number: i64) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM subscriptions WHERE number = ?1")?.execute([number])?;
        Ok(())
    }

    fn drained(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.prepare_cached("SELECT plugin FROM drained")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn set_drained(&self, plugin: &str, drained: bool) -> Result<(), StoreError> {
        let sql = if drained {
            "INSERT INTO drained (plugin, sum) VALUES (?1, checksum(?1)) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM drained WHERE plugin = ?1"
        };
        self.prepare_cached(sql)?.execute([plugin])?;
        Ok(())
    }
}
