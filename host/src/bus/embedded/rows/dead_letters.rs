//! Dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::super::schema::DEAD_LETTER_SUMMED;
use super::events::{EVENT_COLUMNS, EVENT_WIDTH, logged};
use super::{from_json_column, unsigned};
use crate::bus::engine::store::encoding::{signed, to_json};
use crate::bus::engine::store::*;
use crate::bus::{DeadLetter, DeadLetterFilter, DeadLetterId, FailureKind, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::SubscriptionId;

/// The digest of the component in the last attempt.
pub(super) const LAST_DIGEST: &str = "d.history ->> '$[#-1].digest'";

pub(super) fn conditions(filter: &DeadLetterFilter) -> (String, Vec<Value>) {
    let mut sql = String::from("1");
    let mut values = Vec::new();
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        // `IS` also compares with NULL.
        sql.push_str(&format!(" AND {condition} IS ?{}", values.len()));
    };
    if let Some(number) = filter.number {
        add("d.number", number.number().into());
    }
    if let Some(subscription) = &filter.subscription {
        add("s.owner", subscription.owner.clone().into());
        add("s.name", subscription.name.clone().into());
    }
    if let Some(cause) = &filter.cause {
        add("d.cause", cause.clone().into());
    }
    if let Some(FailureKind { signature, digest }) = &filter.failure {
        add(LAST_DIGEST, digest.clone().into());
        add("failure_signature(d.reason)", signature.clone().into());
    }
    (sql, values)
}

impl DeadLetterRows for Connection {
    fn insert_dead_letter(&self, letter: &NewDeadLetter<'_>) -> Result<DeadLetterId, StoreError> {
        let last = letter.history.last().expect("a dead letter has at least one failed attempt");
        self
        .prepare_cached(
            "INSERT INTO dead_letters (subscription, position, key, parks, replay, cause, reason, attempts, history, buried_at, edited, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0)",
        )?
        .execute(params![
            letter.subscription,
            signed(letter.position.0),
            letter.key,
            letter.parks,
            letter.replay,
            last.cause.as_str(),
            last.reason,
            last.attempt,
            to_json(&letter.history),
            signed(letter.now.0),
            letter.edited
        ])?;
        let number = self.last_insert_rowid();
        self.prepare_cached(&format!(
            "UPDATE dead_letters SET sum = checksum({DEAD_LETTER_SUMMED}) WHERE number = ?1"
        ))?
        .execute([number])?;
        Ok(DeadLetterId::new(number))
    }

    fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (conditions, mut values) = conditions(filter);
        values.push(after.map_or(0, DeadLetterId::number).into());
        values.push(signed(limit as u64).into());
        let sql = format!(
        "SELECT {EVENT_COLUMNS}, d.number, s.owner, s.name, d.key, d.parks, d.replay, d.cause, d.reason, d.attempts, d.history, d.buried_at, d.edited
         FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
         JOIN events e ON e.position = d.position JOIN types t ON t.id = e.type
         WHERE {conditions} AND d.number > ?{} ORDER BY d.number LIMIT ?{}",
        values.len() - 1,
        values.len()
    );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
            let column = |index: usize| EVENT_WIDTH + index;
            let key: Option<String> = row.get(column(3))?;
            let history: String = row.get(column(9))?;
            let logged = logged(row)?;
            let edited: Option<Vec<u8>> = row.get(column(11))?;
            Ok(DeadLetter {
                edited: edited.map(|data| Arc::new(logged.event.with_edited_data(data))),
                logged,
                number: DeadLetterId::new(row.get(column(0))?),
                subscription: SubscriptionId { owner: row.get(column(1))?, name: row.get(column(2))? },
                parks: key.filter(|_| row.get(column(4)).unwrap_or(false)),
                replay: row.get(column(5))?,
                cause: row.get(column(6))?,
                reason: row.get(column(7))?,
                attempts: row.get(column(8))?,
                history: from_json_column(column(9), &history)?,
                dead_at: Timestamp(unsigned(row, column(10))?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT count(*) FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription WHERE {conditions}"
        );
        let mut statement = self.prepare_cached(&sql)?;
        Ok(statement.query_row(rusqlite::params_from_iter(values), |row| unsigned(row, 0))?)
    }

    fn dead_letter_counts(&self) -> Result<BTreeMap<SubscriptionId, u64>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT s.owner, s.name, sum(d.count) FROM
           (SELECT subscription, count(*) AS count FROM dead_letters GROUP BY subscription) d
         JOIN subscriptions s ON s.number = d.subscription GROUP BY s.owner, s.name",
        )?;
        let rows = statement
            .query_map([], |row| Ok((SubscriptionId { owner: row.get(0)?, name: row.get(1)? }, unsigned(row, 2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn take_dead_letters(&self, filter: &DeadLetterFilter, limit: usize) -> Result<Vec<TakenDeadLetter>, StoreError> {
        let (conditions, mut values) = conditions(filter);
        values.push(signed(limit as u64).into());
        let sql = format!(
            "SELECT d.number, d.subscription, d.position, d.key, d.parks, d.replay, d.edited
         FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
         WHERE {conditions} ORDER BY d.position, d.number LIMIT ?{}",
            values.len()
        );
        let mut select = self.prepare_cached(&sql)?;
        let rows = select.query_map(rusqlite::params_from_iter(values), |row| {
            Ok(TakenDeadLetter {
                number: row.get(0)?,
                subscription: row.get(1)?,
                position: Position(unsigned(row, 2)?),
                key: row.get(3)?,
                parks: row.get(4)?,
                replay: row.get(5)?,
                edited: row.get(6)?,
            })
        })?;
        let taken = rows.collect::<Result<Vec<_>, _>>()?;
        let mut delete = self.prepare_cached("DELETE FROM dead_letters WHERE number = ?1")?;
        for letter in &taken {
            delete.execute([letter.number])?;
        }
        Ok(taken)
    }

    fn delete_dead_letters(&self, subscription: i64) -> Result<Vec<Position>, StoreError> {
        let mut statement =
            self.prepare_cached("DELETE FROM dead_letters WHERE subscription = ?1 RETURNING position")?;
        let rows = statement.query_map([subscription], |row| Ok(Position(unsigned(row, 0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn is_parked(&self, subscription: i64, key: &str) -> Result<bool, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT 1 FROM dead_letters WHERE subscription = ?1 AND parks AND key = ?2 LIMIT 1")?;
        Ok(statement.exists(rusqlite::params![subscription, key])?)
    }

    fn release_parked(&self, subscription: i64) -> Result<Vec<String>, StoreError> {
        let keys = self.parked_keys(subscription)?;
        let released = DEAD_LETTER_SUMMED.replace("parks", "0");
        self.prepare_cached(&format!(
            "UPDATE dead_letters SET parks = 0, sum = checksum({released}) WHERE subscription = ?1 AND parks"
        ))?
        .execute([subscription])?;
        Ok(keys)
    }

    fn parked_keys(&self, subscription: i64) -> Result<Vec<String>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT DISTINCT key FROM dead_letters WHERE subscription = ?1 AND parks AND key IS NOT NULL",
        )?;
        let rows = statement.query_map([subscription], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
