//! The connection that writes.
//!
//! A group of frequent changes takes two round trips. The first one begins the transaction, renews the lease, and reads
//! what the group needs. The second one sends the changes and commits. Other changes and reads add round trips between
//! them.

use std::path::Path;
use std::time::Duration;

use super::batch::{EventIdentity, StateKey, identity_digest};
use super::connection::PgConnection;
use super::error::PostgresError;
use super::lease::Lease;
use super::session::{Columns as _, Request};
use crate::bus::engine::store::{GroupNeeds, Maintenance, WriterConnection};
use crate::bus::{StoreError, StoreErrorKind};
use crate::outcome::Version;

/// How long a host waits between two attempts to find out whether a commit took place.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(200);

impl PgConnection {
    fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease { number: self.lease_number()? })
    }

    /// Begins a transaction, and reads what a group of changes needs.
    fn begin_group(&self, is_reachable: bool, needs: &GroupNeeds) -> Result<(), StoreError> {
        self.reconnect()?;
        let lease = self.lease()?;
        // After one timeout, the changes that queue up during an outage are refused sooner.
        let begin = if is_reachable { "BEGIN" } else { "BEGIN; SET LOCAL lock_timeout TO '200ms'" };
        let digests: Vec<_> = needs.events.iter().map(|(source, id)| identity_digest(source, id)).collect();
        let (plugins, keys): (Vec<&str>, Vec<&[u8]>) =
            needs.state.iter().map(|(plugin, key)| (plugin.as_str(), key.as_bytes())).unzip();
        let mut requests = vec![Request {
            sql: "UPDATE hosts SET commits = commits + 1, seen = clock_timestamp() WHERE number = $1 AND ended IS NULL
                 RETURNING commits",
            values: vec![&lease.number],
        }];
        if !digests.is_empty() {
            requests.push(Request {
                sql: "SELECT source, id FROM events WHERE identity = ANY ($1)",
                values: vec![&digests],
            });
            requests.push(Request {
                sql: "SELECT source, id FROM scheduled WHERE identity = ANY ($1)",
                values: vec![&digests],
            });
        }
        if !keys.is_empty() {
            requests.push(Request {
                sql:
                    "SELECT s.plugin, s.key, s.value, s.version FROM unnest($1::text[], $2::bytea[]) AS n (plugin, key)
                     JOIN state s ON s.plugin = n.plugin AND s.key = n.key",
                values: vec![&plugins, &keys],
            });
        }
        let mut answers = self.run_all(Some(begin), &requests, None)?.into_iter();
        let fence = answers.next().unwrap_or_default();
        let Some(fence) = fence.first() else { return Err(lease.lost(self)) };
        let transaction: i64 = fence.column(0)?;
        if transaction != self.committed.get() + 1 {
            return Err(PostgresError::LostCommits.into());
        }
        self.transaction.set(transaction);
        let mut batch = self.batch.borrow_mut();
        let cache = &mut batch.cache;
        if !digests.is_empty() {
            for found in [&mut cache.logged, &mut cache.scheduled] {
                found.extend(needs.events.iter().map(|identity| (identity.clone(), false)));
                for row in answers.next().unwrap_or_default() {
                    let identity: EventIdentity = (row.column(0)?, row.column(1)?);
                    found.insert(identity, true);
                }
            }
        }
        if !keys.is_empty() {
            let state_key = |(plugin, key): &(String, String)| (plugin.clone(), key.as_bytes().to_vec());
            cache.state.extend(needs.state.iter().map(|key| (state_key(key), None)));
            for row in answers.next().unwrap_or_default() {
                let key: StateKey = (row.column(0)?, row.column(1)?);
                cache.state.insert(key, Some((row.column(2)?, Version(row.unsigned(3)?))));
            }
        }
        Ok(())
    }

    /// Finds out whether a transaction took effect although its connection broke. Waits until the server answers.
    #[expect(clippy::disallowed_methods, reason = "nothing tells when a server can be reached again")]
    fn was_committed(&self, transaction: i64, on_failed_attempt: &dyn Fn(&StoreError)) -> Result<bool, StoreError> {
        loop {
            match self.commits() {
                Ok(Some(commits)) => return Ok(commits >= transaction),
                Ok(None) => return Err(self.lease()?.lost(self)),
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                    on_failed_attempt(&error);
                    self.disconnect();
                    std::thread::sleep(RESOLVE_INTERVAL);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The number of commits of this lease. It waits for a transaction of the broken connection that still runs,
    /// because that has locked the row. None if another host has taken over.
    fn commits(&self) -> Result<Option<i64>, StoreError> {
        self.reconnect()?;
        // The transaction that has failed may still be open.
        self.run("ROLLBACK; BEGIN")?;
        // A commit waits for the standbys to have all earlier ones, so the answer is as durable as the commit.
        let sql = "UPDATE hosts SET seen = clock_timestamp() WHERE number = $1 AND ended IS NULL RETURNING commits";
        let row = self.query_one(sql, &[&self.lease_number()?])?;
        self.run("COMMIT")?;
        row.map(|row| row.column(0)).transpose()
    }
}

impl WriterConnection for PgConnection {
    fn needs_complete_group(&self) -> bool {
        true
    }

    fn begin(&self, is_reachable: bool, needs: &GroupNeeds) -> Result<(), StoreError> {
        self.changes_at_begin.set(self.changes.get());
        self.begin_group(is_reachable, needs).inspect_err(|_| self.disconnect())
    }

    fn changes(&self) -> u64 {
        self.changes.get()
    }

    fn commit(&self, on_failed_attempt: &dyn Fn(&StoreError)) -> Result<(), StoreError> {
        let transaction = self.transaction.take();
        if self.changes.get() == self.changes_at_begin.get() {
            // Nothing to wait for. The server was reached, and the lease is valid.
            self.batch.take();
            return self.run("ROLLBACK").inspect_err(|_| self.disconnect());
        }
        let Err(error) = self.send_and_commit() else {
            self.committed.set(transaction);
            return Ok(());
        };
        if self.is_closed() {
            tracing::warn!(%error, "a commit failed with the connection to the database; finding out whether it took place");
        }
        // Even after an error that the server reports, the commit may have taken place: for example, the server may
        // shut down while it waits for a standby.
        match self.was_committed(transaction, on_failed_attempt)? {
            true => {
                self.committed.set(transaction);
                Ok(())
            }
            false => Err(error),
        }
    }

    fn roll_back(&self) {
        self.transaction.set(0);
        self.batch.take();
        // Without a connection, the server rolls back.
        if self.run("ROLLBACK").is_err() {
            self.disconnect();
        }
    }

    fn maintain(&self, task: Maintenance) -> Result<(), StoreError> {
        match task {
            Maintenance::Checkpoint | Maintenance::RestartWal => Ok(()),
            // If the server cannot be reached, the lease expires.
            Maintenance::Close => {
                drop(self.reconnect().and_then(|()| self.lease()).and_then(|lease| lease.end(self)));
                Ok(())
            }
        }
    }

    fn file(&self) -> Option<&Path> {
        None
    }
}
