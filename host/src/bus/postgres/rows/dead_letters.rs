//! Dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value, can_be_stored};
use super::events::{EVENT_COLUMNS, EVENT_WIDTH, logged};
use crate::bus::engine::store::encoding::{signed, to_json};
use crate::bus::engine::store::{DeadLetterRows, NewDeadLetter, TakenDeadLetter};
use crate::bus::{DeadLetter, DeadLetterFilter, DeadLetterId, FailureKind, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::failure;
use crate::subscription::SubscriptionId;

/// Values that a statement owns.
pub(super) type OwnedValues = Vec<Box<dyn ToSql + Sync>>;

/// A condition for a filter, and its values.
pub(super) fn conditions(filter: &DeadLetterFilter) -> (String, OwnedValues) {
    let names = filter.subscription.iter().flat_map(|id| [&id.owner, &id.name]).chain(&filter.cause);
    let digest = filter.failure.as_ref().and_then(|failure| failure.digest.as_ref());
    if !names.chain(digest).all(|name| can_be_stored(name)) {
        return (String::from("false"), OwnedValues::new());
    }
    let mut sql = String::from("true");
    let mut values = OwnedValues::new();
    let mut add = |column: &str, kind: &str, value: Box<dyn ToSql + Sync>| {
        values.push(value);
        // Also compares with NULL.
        sql.push_str(&format!(" AND {column} IS NOT DISTINCT FROM ${}::{kind}", values.len()));
    };
    if let Some(number) = filter.number {
        add("d.number", "bigint", Box::new(number.number()));
    }
    if let Some(subscription) = &filter.subscription {
        add("s.owner", "text", Box::new(subscription.owner.clone()));
        add("s.name", "text", Box::new(subscription.name.clone()));
    }
    if let Some(cause) = &filter.cause {
        add("d.cause", "text", Box::new(cause.clone()));
    }
    if let Some(FailureKind { signature, digest }) = &filter.failure {
        add("d.digest", "text", Box::new(digest.clone()));
        add("d.signature", "bytea", Box::new(signature.clone().into_bytes()));
    }
    (sql, values)
}

/// Values as a statement takes them.
pub(super) fn borrowed(values: &OwnedValues) -> Vec<Value<'_>> {
    values.iter().map(|value| &**value as Value<'_>).collect()
}

impl DeadLetterRows for PgConnection {
    fn insert_dead_letter(&self, letter: &NewDeadLetter<'_>) -> Result<DeadLetterId, StoreError> {
        let last = letter.history.last().expect("a dead letter has at least one failed attempt");
        let values: [Value<'_>; 13] = [
            &letter.subscription,
            &signed(letter.position.0),
            &letter.key.map(str::as_bytes),
            &letter.parks,
            &letter.replay,
            &last.cause.as_str(),
            &last.reason.as_bytes(),
            &failure::signature(&last.reason).into_bytes(),
            &last.digest,
            &i64::from(last.attempt),
            &to_json(&letter.history),
            &signed(letter.now.0),
            &letter.edited,
        ];
        let sql =
            "INSERT INTO dead_letters (subscription, position, key, parks, replay, cause, reason, signature, digest,
               attempts, history, dead_at, edited)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING number";
        let rows = self.query_directly(sql, &values)?;
        self.count_changes(1);
        rows.first().map_or(Ok(0), |row| row.column(0)).map(DeadLetterId::new)
    }

    fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (conditions, mut values) = conditions(filter);
        values.push(Box::new(after.map_or(0, DeadLetterId::number)));
        values.push(Box::new(signed(limit as u64)));
        let sql = format!(
            "SELECT {EVENT_COLUMNS}, d.number, s.owner, s.name, d.key, d.parks, d.replay, d.cause, d.reason, d.attempts,
               d.history, d.dead_at, d.edited
             FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
             JOIN events e ON e.position = d.position JOIN types t ON t.id = e.type
             WHERE {conditions} AND d.number > ${} ORDER BY d.number LIMIT ${}",
            values.len() - 1,
            values.len()
        );
        let letter = |row: &Row| {
            let column = |index: usize| EVENT_WIDTH + index;
            let parks: bool = row.column(column(4))?;
            let logged = logged(row)?;
            let edited: Option<Vec<u8>> = row.column(column(11))?;
            Ok(DeadLetter {
                edited: edited.map(|data| Arc::new(logged.event.with_edited_data(data))),
                logged,
                number: DeadLetterId::new(row.column(column(0))?),
                subscription: SubscriptionId { owner: row.column(column(1))?, name: row.column(column(2))? },
                parks: row.any_text(column(3))?.filter(|_| parks),
                replay: row.column(column(5))?,
                cause: row.column(column(6))?,
                reason: row.any_text(column(7))?.unwrap_or_default(),
                attempts: u32::try_from(row.unsigned(column(8))?).unwrap_or(u32::MAX),
                history: row.json(column(9))?,
                dead_at: Timestamp(row.unsigned(column(10))?),
            })
        };
        self.query(&sql, &borrowed(&values))?.iter().map(letter).collect()
    }

    fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT count(*) FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription WHERE {conditions}"
        );
        self.query_one(&sql, &borrowed(&values))?.map_or(Ok(0), |row| row.unsigned(0))
    }

    fn dead_letter_counts(&self) -> Result<BTreeMap<SubscriptionId, u64>, StoreError> {
        let sql =
            "SELECT s.owner, s.name, count(*) FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
             GROUP BY s.owner, s.name";
        let count = |row: &Row| Ok((SubscriptionId { owner: row.column(0)?, name: row.column(1)? }, row.unsigned(2)?));
        self.query(sql, &[])?.iter().map(count).collect()
    }

    fn take_dead_letters(&self, filter: &DeadLetterFilter, limit: usize) -> Result<Vec<TakenDeadLetter>, StoreError> {
        let (conditions, mut values) = conditions(filter);
        values.push(Box::new(signed(limit as u64)));
        let sql = format!(
            "WITH taken AS (
               DELETE FROM dead_letters WHERE number IN (
                 SELECT d.number FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
                 WHERE {conditions} ORDER BY d.position, d.number LIMIT ${})
               RETURNING number, subscription, position, key, parks, replay, edited)
             SELECT * FROM taken ORDER BY position, number",
            values.len()
        );
        let letter = |row: &Row| {
            Ok(TakenDeadLetter {
                number: row.column(0)?,
                subscription: row.column(1)?,
                position: Position(row.unsigned(2)?),
                key: row.any_text(3)?,
                parks: row.column(4)?,
                replay: row.column(5)?,
                edited: row.column(6)?,
            })
        };
        self.query_changed(&sql, &borrowed(&values))?.iter().map(letter).collect()
    }

    fn delete_dead_letters(&self, subscription: i64) -> Result<Vec<Position>, StoreError> {
        let rows = self
            .query_changed("DELETE FROM dead_letters WHERE subscription = $1 RETURNING position", &[&subscription])?;
        rows.iter().map(|row| row.unsigned(0).map(Position)).collect()
    }

    fn is_parked(&self, subscription: i64, key: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM dead_letters WHERE subscription = $1 AND parks AND key = $2 LIMIT 1";
        Ok(self.query_one(sql, &[&subscription, &key.as_bytes()])?.is_some())
    }

    fn release_parked(&self, subscription: i64) -> Result<Vec<String>, StoreError> {
        let keys = self.parked_keys(subscription)?;
        self.execute("UPDATE dead_letters SET parks = false WHERE subscription = $1 AND parks", &[&subscription])?;
        Ok(keys)
    }

    fn parked_keys(&self, subscription: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT key FROM dead_letters WHERE subscription = $1 AND parks AND key IS NOT NULL";
        let rows = self.query(sql, &[&subscription])?;
        rows.iter().map(|row| Ok(row.any_text(0)?.unwrap_or_default())).collect()
    }
}
