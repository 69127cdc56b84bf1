//! The connections that read.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::PgConnection;
use super::error::PostgresError;
use super::server::Server;
use super::session::{Columns as _, Role};
use crate::bus::StoreError;
use crate::bus::engine::store::{Readers, RowSource, Rows, Snapshot};

/// The maximum number of snapshots, each of which has a connection while a handler runs. A server admits about a
/// hundred connections.
const SNAPSHOTS: usize = 32;
/// The maximum number of other reads at a time.
const READS: usize = 8;
/// How long a snapshot or another read waits for a connection.
const WAIT: Duration = Duration::from_secs(5);

/// The connections for reading. Snapshots and other reads have separate limits, so that handlers never keep the host
/// from reading.
pub(super) struct PgReaders {
    server: Arc<Server>,
    pool: Mutex<Pool>,
    /// Notified when a connection is put back.
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<PgConnection>,
    /// The number of connections in use, by purpose.
    snapshots: usize,
    reads: usize,
}

/// What a connection is taken for.
#[derive(Clone, Copy)]
enum Purpose {
    Snapshot,
    Read,
}

impl Purpose {
    fn limit(self) -> usize {
        match self {
            Self::Snapshot => SNAPSHOTS,
            Self::Read => READS,
        }
    }
}

impl Pool {
    fn used(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::Snapshot => &mut self.snapshots,
            Purpose::Read => &mut self.reads,
        }
    }
}

impl PgReaders {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, pool: Mutex::default(), returned: Condvar::new() }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, purpose: Purpose) -> Result<Reader, StoreError> {
        let limit = purpose.limit();
        let is_full = |pool: &mut Pool| *pool.used(purpose) >= limit;
        let waited = self.returned.wait_timeout_while(self.pool(), WAIT, is_full);
        let (mut pool, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *pool.used(purpose) >= limit {
            return Err(PostgresError::NoReader(limit).into());
        }
        *pool.used(purpose) += 1;
        pool.idle.retain(PgConnection::is_usable);
        let idle = pool.idle.pop();
        drop(pool);
        // From here on the reader gives its place back.
        let mut reader = Reader { readers: Arc::clone(self), purpose, connection: idle };
        if reader.connection.is_none() {
            reader.connection = Some(PgConnection::open(Arc::clone(&self.server), Role::Reader)?);
        }
        Ok(reader)
    }

    fn with_reader<T>(
        self: &Arc<Self>,
        read: impl FnOnce(&PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let reader = self.take(Purpose::Read)?;
        read(reader.connection()?)
    }
}

impl Debug for PgReaders {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PgReaders").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A connection of the pool, which goes back when this value is dropped.
struct Reader {
    readers: Arc<PgReaders>,
    purpose: Purpose,
    /// None if it could not be opened.
    connection: Option<PgConnection>,
}

impl Reader {
    fn connection(&self) -> Result<&PgConnection, StoreError> {
        self.connection.as_ref().ok_or_else(|| PostgresError::Disconnected.into())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut pool = self.readers.pool();
        *pool.used(self.purpose) -= 1;
        pool.idle.extend(self.connection.take().filter(PgConnection::is_usable));
        drop(pool);
        // Those that wait have different purposes.
        self.readers.returned.notify_all();
    }
}

/// Shares the pool, so that its connections can go back.
#[derive(Clone, Debug)]
pub(super) struct ReaderPool(pub(super) Arc<PgReaders>);

impl RowSource for ReaderPool {
    fn with_rows(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.0.with_reader(|connection| read(connection))
    }
}

impl Readers for ReaderPool {
    fn begin_snapshot(self: Arc<Self>) -> Result<Box<dyn Snapshot>, StoreError> {
        let reader = self.0.take(Purpose::Snapshot)?;
        reader.connection()?.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        Ok(Box::new(PgSnapshot(reader)))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.0.with_reader(|connection| {
            let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
            let row = connection.query_one(sql, &[&connection.server.url.schema])?;
            row.map_or(Ok(0), |row| row.unsigned(0))
        })
    }
}

/// An open snapshot.
struct PgSnapshot(Reader);

impl Snapshot for PgSnapshot {}

impl RowSource for PgSnapshot {
    fn with_rows(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), StoreError>) -> Result<(), StoreError> {
        read(self.0.connection()?)
    }
}

impl Debug for PgSnapshot {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("PgSnapshot")
    }
}

impl Drop for PgSnapshot {
    fn drop(&mut self) {
        if let Ok(connection) = self.0.connection()
            && connection.run("ROLLBACK").is_err()
        {
            connection.disconnect();
        }
    }
}
