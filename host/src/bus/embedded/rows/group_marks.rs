//! What operators have decided about groups of dead letters.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params};

use super::super::schema::GROUP_MARK_SUMMED;
use super::dead_letters::LAST_DIGEST;
use super::unsigned;
use crate::bus::engine::store::encoding::{decode_group_status, encode_group_status, signed};
use crate::bus::engine::store::*;
use crate::bus::{DeadLetterFilter, DeadLetterGroup, DeadLetterId, GroupStatus, StoreError};
use crate::clock::Timestamp;
use crate::subscription::SubscriptionId;

impl ToSql for GroupStatus {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(encode_group_status(*self).into())
    }
}

impl FromSql for GroupStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        decode_group_status(number).ok_or(FromSqlError::OutOfRange(number))
    }
}

impl GroupMarkRows for Connection {
    fn put_group_mark(&self, mark: &GroupMark<'_>) -> Result<(), StoreError> {
        let GroupMark { subscription, cause, signature, digest, status, since, by } = mark;
        let digest = digest.unwrap_or_default();
        self.prepare_cached(
            "INSERT INTO group_marks (subscription, cause, signature, digest, status, since, set_by, newest, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT ifnull(max(number), 0) FROM dead_letters), 0)
             ON CONFLICT (subscription, cause, signature, digest) DO UPDATE
             SET status = excluded.status, since = excluded.since, set_by = excluded.set_by, newest = excluded.newest",
        )?
        .execute(params![subscription, cause, signature, digest, status, signed(since.0), by])?;
        self.prepare_cached(&format!(
            "UPDATE group_marks SET sum = checksum({GROUP_MARK_SUMMED})
             WHERE subscription = ?1 AND cause = ?2 AND signature = ?3 AND digest = ?4"
        ))?
        .execute(params![subscription, cause, signature, digest])?;
        Ok(())
    }

    fn stale_group_marks(&self, ignored_before: Timestamp) -> Result<StaleMarks, StoreError> {
        let moment = self.unchecked_transaction()?;
        let count: i64 = moment.query_row("SELECT count(*) FROM group_marks", [], |row| row.get(0))?;
        if count <= FEW_MARKS {
            return Ok(StaleMarks::default());
        }
        let newest = moment.query_row("SELECT ifnull(max(number), 0) FROM dead_letters", [], |row| row.get(0))?;
        // One scan computes the groups of all dead letters.
        let sql = format!(
            "WITH present AS MATERIALIZED (
           SELECT DISTINCT d.subscription AS subscription, d.cause AS cause, failure_signature(d.reason) AS signature,
             ifnull({LAST_DIGEST}, '') AS digest FROM dead_letters d)
         SELECT m.number, m.since FROM group_marks m LEFT JOIN present p ON p.subscription = m.subscription
           AND p.cause = m.cause AND p.signature = m.signature AND p.digest = m.digest
         WHERE p.subscription IS NULL AND (m.status IS NOT ?1 OR m.since < ?2) ORDER BY m.number LIMIT {STALE_MARKS_LIMIT}"
        );
        let mut statement = moment.prepare_cached(&sql)?;
        let marks = statement
            .query_map(params![GroupStatus::Ignored, signed(ignored_before.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let marks = marks.collect::<Result<_, _>>()?;
        Ok(StaleMarks { marks, newest })
    }

    fn delete_group_marks(&self, stale: &StaleMarks) -> Result<(), StoreError> {
        let mut delete = self.prepare_cached(
            "DELETE FROM group_marks WHERE number = ?1 AND since = ?2 AND NOT EXISTS (
           SELECT 1 FROM dead_letters d WHERE d.number > ?3 AND d.subscription = group_marks.subscription)",
        )?;
        for (number, since) in &stale.marks {
            delete.execute([*number, *since, stale.newest])?;
        }
        Ok(())
    }

    fn delete_group_marks_of(&self, subscription: i64) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM group_marks WHERE subscription = ?1")?.execute([subscription])?;
        Ok(())
    }

    fn dead_letter_groups(
        &self,
        filter: &DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> Result<Vec<DeadLetterGroup>, StoreError> {
        let (conditions, mut values) = super::dead_letters::conditions(filter);
        let (wanted, limit_at) = (values.len() + 1, values.len() + 2);
        values.push(status.map_or(Value::Null, |status| encode_group_status(status).into()));
        values.push(signed(limit as u64).into());
        // A dead letter that is newer than the mark of a resolved group opens it again. One scan computes the groups.
        let has_recurred =
            format!("m.status IS {} AND g.sample > m.newest", encode_group_status(GroupStatus::Resolved));
        let sql = format!(
            "WITH letters AS MATERIALIZED (
           SELECT d.subscription AS subscription, s.owner AS owner, s.name AS name, d.cause AS cause,
             failure_signature(d.reason) AS signature, {LAST_DIGEST} AS digest, d.number AS number,
             d.buried_at AS buried_at
           FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription WHERE {conditions}),
         groups AS (
           SELECT l.subscription AS subscription, l.owner AS owner, l.name AS name, l.cause AS cause,
             l.signature AS signature, l.digest AS digest, count(*) AS count, min(l.buried_at) AS first,
             max(l.buried_at) AS last, max(l.number) AS sample, m.number AS mark,
             min(CASE WHEN l.number > m.newest THEN l.buried_at END) AS recurred_at
           FROM letters l LEFT JOIN group_marks m ON m.subscription = l.subscription AND m.cause = l.cause
             AND m.signature = l.signature AND m.digest = ifnull(l.digest, '')
           GROUP BY l.subscription, l.cause, l.signature, l.digest)
         SELECT g.owner, g.name, g.cause, g.signature, g.digest, g.count, g.first, g.last, g.sample,
           CASE WHEN {has_recurred} THEN 0 ELSE ifnull(m.status, 0) END AS present,
           CASE WHEN {has_recurred} THEN g.recurred_at ELSE m.since END,
           CASE WHEN {has_recurred} THEN NULL ELSE m.set_by END
         FROM groups g LEFT JOIN group_marks m ON m.number = g.mark
         WHERE ?{wanted} IS NULL OR present = ?{wanted}
         ORDER BY g.count DESC, g.sample DESC LIMIT ?{limit_at}"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
            let status_since: Option<i64> = row.get(10)?;
            Ok(DeadLetterGroup {
                subscription: SubscriptionId { owner: row.get(0)?, name: row.get(1)? },
                cause: row.get(2)?,
                signature: row.get(3)?,
                digest: row.get(4)?,
                count: unsigned(row, 5)?,
                first: Timestamp(unsigned(row, 6)?),
                last: Timestamp(unsigned(row, 7)?),
                sample: DeadLetterId::new(row.get(8)?),
                status: row.get(9)?,
                status_since: status_since.and_then(|since| u64::try_from(since).ok()).map(Timestamp),
                status_by: row.get(11)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
