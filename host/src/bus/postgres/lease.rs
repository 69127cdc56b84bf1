//! The lease of a host on the schema.
//!
//! Each transaction of a host first updates the host's row in the table `hosts`. A host that takes over ends the row of
//! the former host: from then on, no transaction of the former host commits. Leases expire by the database's clock.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::connection::PgConnection;
use super::error::PostgresError;
use super::server::Server;
use super::session::{Columns as _, Role};
use crate::bus::host_name::host_name;
use crate::bus::remote::Advertisement;
use crate::bus::{LeaseWait, StoreError};

/// How long a host keeps a lease that it does not renew.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How often a host renews its lease.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often a host that waits for the lease of another one looks again.
const POLL: Duration = Duration::from_millis(250);

/// The recorded reason when a stopped host ends its lease.
const STOPPED: &str = "it was stopped";

/// The lease of this run of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// The number of the host's row.
    pub(super) number: i64,
}

/// The other host that has the lease.
#[derive(Debug)]
pub(super) struct LeaseHolder {
    number: i64,
    name: String,
    /// When it last renewed the lease, in milliseconds before now.
    age: i64,
}

impl LeaseHolder {
    /// The name of the host, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How to connect to the host, if it shares its work.
    pub(super) fn advertisement(&self, connection: &PgConnection) -> Result<Option<Advertisement>, StoreError> {
        let sql = "SELECT address, certificate, token FROM hosts WHERE number = $1 AND address IS NOT NULL";
        let row = connection.query_one(sql, &[&self.number])?;
        let advertisement = |row: tokio_postgres::Row| {
            Ok(Advertisement { address: row.column(0)?, certificate: row.column(1)?, token: row.column(2)? })
        };
        row.map(advertisement).transpose()
    }
}

impl Display for LeaseHolder {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { number, name, age } = self;
        let seconds = age / 1_000;
        write!(formatter, "the host {name} (number {number}), which renewed it {seconds} s ago")
    }
}

impl Lease {
    /// Takes the lease for the host with an identity. The lease of an earlier run of this host is taken over at once,
    /// because that run has ended. The lease of another host that has died must expire first.
    ///
    /// # Errors
    /// If another host has the lease and is alive, unless this is a standby; if the wait is cancelled; or if the store
    /// cannot be written.
    pub(super) fn take(connection: &PgConnection, identity: &str, wait: &LeaseWait) -> Result<Self, TakeError> {
        let started = Instant::now();
        let mut known_holder = None;
        loop {
            // Without a lock first, so that hosts that wait do not delay the transactions of the active host.
            let Some(holder) = Self::holder_except(connection, Some(identity))? else {
                if let Some(lease) = Self::try_take(connection, identity)? {
                    return Ok(lease);
                }
                continue;
            };
            // A host that is alive has renewed its lease within this time.
            if !wait.is_standby() && started.elapsed() > LEASE + HEARTBEAT {
                return Err(TakeError::InUse(format!(
                    "{holder}; stop that host, run this one as its standby with `--standby`, or name another schema with `?schema=NAME` in the URL"
                )));
            }
            if known_holder != Some(holder.number) {
                known_holder = Some(holder.number);
                if !wait.is_standby() {
                    let host = &holder.name;
                    tracing::info!(host, "waiting until the lease of another host on the schema expires");
                }
                wait.note_holder(Some(&holder.name));
            }
            if wait.is_cancelled() {
                return Err(TakeError::Cancelled);
            }
            // The server waits, so that its clock counts.
            connection.query("SELECT pg_sleep($1)", &[&POLL.as_secs_f64()])?;
        }
    }

    /// Takes the lease, unless another host has taken it since the caller looked.
    pub(super) fn try_take(connection: &PgConnection, identity: &str) -> Result<Option<Self>, StoreError> {
        connection.run("BEGIN")?;
        let taken = Self::take_in_transaction(connection, identity);
        connection.run(if matches!(taken, Ok(Some(_))) { "COMMIT" } else { "ROLLBACK" })?;
        taken
    }

    fn take_in_transaction(connection: &PgConnection, identity: &str) -> Result<Option<Self>, StoreError> {
        // One host at a time looks, so that two do not take the lease together. A host that hangs in a transaction
        // delays this lock by some seconds.
        connection.run("SET LOCAL lock_timeout TO '15s'; LOCK TABLE hosts IN SHARE ROW EXCLUSIVE MODE")?;
        if Self::holder_except(connection, Some(identity))?.is_some() {
            return Ok(None);
        }
        let sql =
            "UPDATE hosts SET ended = CASE WHEN identity = $1 THEN 'the host was started again' ELSE 'it was not renewed in time' END
             WHERE ended IS NULL";
        connection.execute(sql, &[&identity])?;
        let sql = "INSERT INTO hosts (identity, name, version, joined, seen, commits)
             VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), 0) RETURNING number";
        let row = connection.query_one(sql, &[&identity, &host_name(), &env!("CARGO_PKG_VERSION")])?;
        let number = row.map_or(Ok(0), |row| row.column(0))?;
        Ok(Some(Self { number }))
    }

    /// The host that has the lease on the schema, if any.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn holder(connection: &PgConnection) -> Result<Option<LeaseHolder>, StoreError> {
        Self::holder_except(connection, None)
    }

    /// The host that has the lease, unless it has the given identity.
    pub(super) fn holder_except(
        connection: &PgConnection,
        identity: Option<&str>,
    ) -> Result<Option<LeaseHolder>, StoreError> {
        let sql = "SELECT number, name, (extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint FROM hosts
             WHERE ended IS NULL AND identity IS DISTINCT FROM $2::text
               AND seen > clock_timestamp() - make_interval(secs => $1)
             ORDER BY seen DESC LIMIT 1";
        let row = connection.query_one(sql, &[&LEASE.as_secs_f64(), &identity])?;
        let holder = |row: tokio_postgres::Row| {
            Ok(LeaseHolder { number: row.column(0)?, name: row.column(1)?, age: row.column(2)? })
        };
        row.map(holder).transpose()
    }

    /// Lets the hosts of the store connect to this one.
    pub(super) fn advertise(self, connection: &PgConnection, own: &Advertisement) -> Result<(), StoreError> {
        let sql = "UPDATE hosts SET address = $2, certificate = $3, token = $4 WHERE number = $1";
        connection.execute(sql, &[&self.number, &own.address, &own.certificate, &own.token]).map(drop)
    }

    /// Gives the lease back, so that another host need not wait.
    pub(super) fn end(self, connection: &PgConnection) -> Result<(), StoreError> {
        let sql = "UPDATE hosts SET ended = $2 WHERE number = $1 AND ended IS NULL";
        connection.execute(sql, &[&self.number, &STOPPED]).map(drop)
    }

    /// Renews the lease from time to time, through a connection of its own, until the sender of `stopped`
    /// is dropped, or another host has taken over. Reports failures. Blocks.
    pub(super) fn keep(self, server: &Arc<Server>, stopped: &Receiver<()>, mut report: impl FnMut(RenewalFailure)) {
        let mut connection = None;
        while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            let opened = match connection.take() {
                Some(open) => Ok(open),
                None => PgConnection::open(Arc::clone(server), Role::Lease),
            };
            let open = match opened {
                Ok(open) => open,
                Err(error) => {
                    report(RenewalFailure::Outage(error));
                    continue;
                }
            };
            let sql = "UPDATE hosts SET seen = clock_timestamp() WHERE number = $1 AND ended IS NULL";
            match open.execute(sql, &[&self.number]) {
                Ok(0) => match self.end_reason(&open) {
                    Ok(reason) if reason == STOPPED => return,
                    Ok(reason) => return report(RenewalFailure::Lost(Self::fenced(server, reason))),
                    Err(error) => report(RenewalFailure::Outage(error)),
                },
                Ok(_) => connection = Some(open),
                Err(error) => report(RenewalFailure::Outage(error)),
            }
        }
    }

    /// Why the lease has ended.
    fn end_reason(self, connection: &PgConnection) -> Result<String, StoreError> {
        let row = connection.query_one("SELECT ended FROM hosts WHERE number = $1", &[&self.number])?;
        let reason: Option<String> = row.map_or(Ok(None), |row| row.column(0))?;
        Ok(reason.unwrap_or_else(|| "its row is gone".to_owned()))
    }

    /// The error of a host whose lease has ended.
    fn fenced(server: &Server, reason: String) -> StoreError {
        PostgresError::Fenced { schema: server.url.schema.clone(), reason }.into()
    }

    /// The error of a host whose lease has ended, with the reason if it can be read.
    pub(super) fn lost(self, connection: &PgConnection) -> StoreError {
        let reason = self.end_reason(connection).unwrap_or_else(|_| "another host has taken over".to_owned());
        Self::fenced(&connection.server, reason)
    }
}

/// Why a lease was not renewed.
#[derive(Debug)]
pub(super) enum RenewalFailure {
    /// The store cannot be reached. The host tries again.
    Outage(StoreError),
    /// Another host has taken over.
    Lost(StoreError),
}

/// Why a lease was not taken.
#[derive(Debug)]
pub(super) enum TakeError {
    /// Another host has it.
    InUse(String),
    /// The host stopped while it waited.
    Cancelled,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for TakeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
