//! Subscriptions, their replays, and drained plugins.

use std::num::NonZeroU32;

use tokio_postgres::Row;

use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value, can_be_stored};
use crate::bus::engine::ReplayRange;
use crate::bus::engine::store::encoding::{decode_pause_reason, encode_pause_reason, signed, to_json};
use crate::bus::engine::store::{SubscriptionRow, SubscriptionRows};
use crate::bus::window::Pause;
use crate::bus::{EventFilter, StoreError};
use crate::event::Position;
use crate::subscription::{Definition, SubscriptionId};

fn subscription(row: &Row) -> Result<SubscriptionRow, StoreError> {
    let replayed: Option<i64> = row.column(8)?;
    let replay = match replayed {
        None => None,
        Some(subscription) => {
            let rate: Option<i64> = row.column(10)?;
            let per_second = rate.and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new);
            let filter = row.column::<Option<&str>>(12)?.map(|_| row.json(12)).transpose()?;
            Some((ReplayRange { subscription, until: Position(row.unsigned(9)?), per_second }, filter))
        }
    };
    Ok(SubscriptionRow {
        number: row.column(0)?,
        id: SubscriptionId { owner: row.column(1)?, name: row.column(2)? },
        dynamic: row.column(3)?,
        definition: row.json(4)?,
        cursor: Position(row.unsigned(5)?),
        selects_after: Position(row.unsigned(11)?),
        pause: Pause { paused_by: decode_pause_reason(row.column(6)?), orphaned: row.column(7)? },
        replay,
    })
}

impl SubscriptionRows for PgConnection {
    fn subscriptions(&self) -> Result<Vec<SubscriptionRow>, StoreError> {
        let sql =
            "SELECT number, owner, name, dynamic, definition, cursor, paused_by, orphaned, replay_of, replay_until,
               replay_rate, selects_after, replay_filter FROM subscriptions ORDER BY number";
        self.query(sql, &[])?.iter().map(subscription).collect()
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
        let values: [Value<'_>; 11] = [
            &id.owner,
            &id.name,
            &dynamic,
            &to_json(definition),
            &signed(cursor.0),
            &encode_pause_reason(pause.paused_by),
            &pause.orphaned,
            &range.map(|replay| replay.subscription),
            &range.map(|replay| signed(replay.until.0)),
            &range.and_then(|replay| replay.per_second.map(|rate| i64::from(rate.get()))),
            &replay.and_then(|(_, filter)| filter).map(to_json),
        ];
        let sql =
            "INSERT INTO subscriptions (owner, name, dynamic, definition, cursor, selects_after, paused_by, orphaned,
               replay_of, replay_until, replay_rate, replay_filter)
             VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11) RETURNING number";
        self.query_changed(sql, &values)?.first().map_or(Ok(0), |row| row.column(0))
    }

    fn redefine_subscription(
        &self,
        number: i64,
        definition: &Definition,
        selects_after: Position,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE subscriptions SET definition = $2, selects_after = $3 WHERE number = $1";
        self.execute(sql, &[&number, &to_json(definition), &signed(selects_after.0)]).map(drop)
    }

    fn pause_subscription(&self, number: i64, pause: Pause) -> Result<(), StoreError> {
        let sql = "UPDATE subscriptions SET paused_by = $2, orphaned = $3 WHERE number = $1";
        self.execute(sql, &[&number, &encode_pause_reason(pause.paused_by), &pause.orphaned]).map(drop)
    }

    fn move_cursor(&self, number: i64, cursor: Position) -> Result<(), StoreError> {
        self.change(|batch| batch.move_cursor(number, cursor))
    }

    fn delete_subscription(&self, number: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM subscriptions WHERE number = $1", &[&number]).map(drop)
    }

    fn drained(&self) -> Result<Vec<String>, StoreError> {
        self.query("SELECT plugin FROM drained", &[])?.iter().map(|row| row.column(0)).collect()
    }

    fn set_drained(&self, plugin: &str, drained: bool) -> Result<(), StoreError> {
        if !can_be_stored(plugin) {
            return Ok(());
        }
        let sql = match drained {
            true => "INSERT INTO drained (plugin) VALUES ($1) ON CONFLICT DO NOTHING",
            false => "DELETE FROM drained WHERE plugin = $1",
        };
        self.execute(sql, &[&plugin]).map(drop)
    }
}
