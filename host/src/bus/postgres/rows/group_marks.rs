//! What operators have decided about groups of dead letters.

use tokio_postgres::Row;

use super::super::connection::PgConnection;
use super::super::session::{Columns as _, Value};
use super::dead_letters::{borrowed, conditions};
use crate::bus::engine::store::encoding::{decode_group_status, encode_group_status, signed};
use crate::bus::engine::store::{FEW_MARKS, GroupMark, GroupMarkRows, STALE_MARKS_LIMIT, StaleMarks};
use crate::bus::{DeadLetterFilter, DeadLetterGroup, DeadLetterId, GroupStatus, StoreError};
use crate::clock::Timestamp;
use crate::subscription::SubscriptionId;

impl GroupMarkRows for PgConnection {
    fn put_group_mark(&self, mark: &GroupMark<'_>) -> Result<(), StoreError> {
        let GroupMark { subscription, cause, signature, digest, status, since, by } = mark;
        let sql = "INSERT INTO group_marks (subscription, cause, signature, digest, status, since, set_by, newest)
             VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT coalesce(max(number), 0) FROM dead_letters))
             ON CONFLICT (subscription, cause, digest, sha256(signature)) DO UPDATE
             SET status = excluded.status, since = excluded.since, set_by = excluded.set_by, newest = excluded.newest";
        let values: [Value<'_>; 7] = [
            subscription,
            cause,
            &signature.as_bytes(),
            &digest.unwrap_or_default(),
            &encode_group_status(*status),
            &signed(since.0),
            by,
        ];
        self.execute(sql, &values).map(drop)
    }

    fn stale_group_marks(&self, ignored_before: Timestamp) -> Result<StaleMarks, StoreError> {
        let sql = "WITH newest AS (SELECT coalesce(max(number), 0) AS number FROM dead_letters)
             SELECT m.number, m.since, newest.number FROM group_marks m, newest
             WHERE (SELECT count(*) FROM group_marks) > $1 AND (m.status <> $2 OR m.since < $3)
               AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.subscription = m.subscription AND d.cause = m.cause
                 AND d.signature = m.signature AND coalesce(d.digest, '') = m.digest)
             ORDER BY m.number LIMIT $4";
        let ignored = encode_group_status(GroupStatus::Ignored);
        let values: [Value<'_>; 4] = [&FEW_MARKS, &ignored, &signed(ignored_before.0), &STALE_MARKS_LIMIT];
        let mut stale = StaleMarks::default();
        for row in self.query(sql, &values)? {
            stale.marks.push((row.column(0)?, row.column(1)?));
            stale.newest = row.column(2)?;
        }
        Ok(stale)
    }

    fn delete_group_marks(&self, stale: &StaleMarks) -> Result<(), StoreError> {
        let (numbers, since): (Vec<i64>, Vec<i64>) = stale.marks.iter().copied().unzip();
        if numbers.is_empty() {
            return Ok(());
        }
        let sql = "DELETE FROM group_marks m USING unnest($1::bigint[], $2::bigint[]) AS s (number, since)
             WHERE m.number = s.number AND m.since = s.since AND NOT EXISTS (
               SELECT 1 FROM dead_letters d WHERE d.number > $3 AND d.subscription = m.subscription)";
        self.execute(sql, &[&numbers, &since, &stale.newest]).map(drop)
    }

    fn delete_group_marks_of(&self, subscription: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM group_marks WHERE subscription = $1", &[&subscription]).map(drop)
    }

    fn dead_letter_groups(
        &self,
        filter: &DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> Result<Vec<DeadLetterGroup>, StoreError> {
        let (conditions, mut values) = conditions(filter);
        let (wanted, limit_at) = (values.len() + 1, values.len() + 2);
        values.push(Box::new(status.map(encode_group_status)));
        values.push(Box::new(signed(limit as u64)));
        // A dead letter that is newer than the mark of a resolved group opens it again.
        let has_recurred = format!("m.status = {} AND g.sample > m.newest", encode_group_status(GroupStatus::Resolved));
        let sql = format!(
            "WITH groups AS (
               SELECT d.subscription, s.owner, s.name, d.cause, d.signature, d.digest, count(*) AS count,
                 min(d.dead_at) AS first, max(d.dead_at) AS last, max(d.number) AS sample, m.number AS mark,
                 min(d.dead_at) FILTER (WHERE d.number > m.newest) AS recurred_at
               FROM dead_letters d JOIN subscriptions s ON s.number = d.subscription
               LEFT JOIN group_marks m ON m.subscription = d.subscription AND m.cause = d.cause
                 AND m.signature = d.signature AND m.digest = coalesce(d.digest, '')
               WHERE {conditions}
               GROUP BY d.subscription, s.owner, s.name, d.cause, d.signature, d.digest, m.number),
             marked AS (
               SELECT g.owner, g.name, g.cause, g.signature, g.digest, g.count, g.first, g.last, g.sample,
                 CASE WHEN {has_recurred} THEN 0 ELSE coalesce(m.status, 0) END AS present,
                 CASE WHEN {has_recurred} THEN g.recurred_at ELSE m.since END AS since,
                 CASE WHEN {has_recurred} THEN NULL ELSE m.set_by END AS set_by
               FROM groups g LEFT JOIN group_marks m ON m.number = g.mark)
             SELECT * FROM marked WHERE ${wanted}::bigint IS NULL OR present = ${wanted}
             ORDER BY count DESC, sample DESC LIMIT ${limit_at}"
        );
        let group = |row: &Row| {
            let status_since: Option<i64> = row.column(10)?;
            Ok(DeadLetterGroup {
                subscription: SubscriptionId { owner: row.column(0)?, name: row.column(1)? },
                cause: row.column(2)?,
                signature: row.any_text(3)?.unwrap_or_default(),
                digest: row.column(4)?,
                count: row.unsigned(5)?,
                first: Timestamp(row.unsigned(6)?),
                last: Timestamp(row.unsigned(7)?),
                sample: DeadLetterId::new(row.column(8)?),
                status: decode_group_status(row.column(9)?).unwrap_or(GroupStatus::Open),
                status_since: status_since.and_then(|since| u64::try_from(since).ok()).map(Timestamp),
                status_by: row.column(11)?,
            })
        };
        self.query(&sql, &borrowed(&values))?.iter().map(group).collect()
    }
}
