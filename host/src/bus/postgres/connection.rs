//! A connection with the changes that it has not sent yet.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use tokio_postgres::Row;

use super::batch::WriteBatch;
use super::error::PostgresError;
use super::server::Server;
use super::session::{Request, Role, Session, Value};
use crate::bus::StoreError;

/// A connection. Frequent changes gather in a batch, which is sent before the next statement that may depend on it,
/// and at the commit.
pub(super) struct PgConnection {
    pub(super) server: Arc<Server>,
    role: Role,
    session: RefCell<Option<Session>>,
    pub(super) batch: RefCell<WriteBatch>,
    /// The plugins that run here. The schedules of others are suspended.
    pub(super) running: RefCell<BTreeSet<String>>,
    /// Grows with each change, which shows whether a transaction has changed anything.
    pub(super) changes: Cell<u64>,
    /// The number of the host's lease, if this is the connection that writes.
    lease: Option<i64>,
    /// The number of the open transaction, counted from the first one of the lease. Zero if none is open.
    pub(super) transaction: Cell<i64>,
    /// The number of changes at the beginning of the transaction.
    pub(super) changes_at_begin: Cell<u64>,
    /// The number of the last transaction that was committed, counted in the same way.
    pub(super) committed: Cell<i64>,
    /// The epoch of the server in which the connection was opened.
    epoch: u64,
}

impl PgConnection {
    /// Connects.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub(super) fn open(server: Arc<Server>, role: Role) -> Result<Self, StoreError> {
        let epoch = server.epoch();
        let session = Session::open(&server, role)?;
        Ok(Self {
            server,
            role,
            session: RefCell::new(Some(session)),
            batch: RefCell::default(),
            running: RefCell::default(),
            changes: Cell::new(0),
            lease: None,
            transaction: Cell::new(0),
            changes_at_begin: Cell::new(0),
            committed: Cell::new(0),
            epoch,
        })
    }

    /// Makes this the connection that writes.
    pub(super) fn with_lease(self, lease: i64) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// The number of the host's lease.
    ///
    /// # Errors
    /// If this is not the connection that writes.
    pub(super) fn lease_number(&self) -> Result<i64, StoreError> {
        self.lease.ok_or_else(|| PostgresError::Local("this connection has no lease".to_owned()).into())
    }

    /// Whether a connection for reading can be used again. A connection that was opened before the writer last
    /// reconnected cannot: it may lead to a former primary.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_closed() && self.epoch == self.server.epoch()
    }

    /// Whether the connection is lost.
    pub(super) fn is_closed(&self) -> bool {
        self.session.borrow().as_ref().is_none_or(Session::is_closed)
    }

    /// Connects again if the connection is lost. What its transaction had not committed is gone.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub(super) fn reconnect(&self) -> Result<(), StoreError> {
        if self.is_closed() {
            self.session.replace(None);
            self.batch.take();
            if self.role == Role::Writer {
                self.server.begin_epoch();
            }
            self.session.replace(Some(Session::open(&self.server, self.role)?));
        }
        Ok(())
    }

    /// Ends the connection. The server rolls back its transaction.
    pub(super) fn disconnect(&self) {
        self.session.replace(None);
        self.batch.take();
    }

    fn with_session<T>(&self, run: impl FnOnce(&Session) -> Result<T, StoreError>) -> Result<T, StoreError> {
        run(self.session.borrow().as_ref().ok_or(PostgresError::Disconnected)?)
    }

    /// Runs a statement that does not depend on the batch, and returns its rows. Outside of a transaction, the writer
    /// reconnects if the connection is lost, and runs the statement again.
    pub(super) fn query_directly(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let answer = self.with_session(|session| session.query(sql, values));
        if answer.is_err() && self.lease.is_some() && self.transaction.get() == 0 && self.is_closed() {
            self.reconnect()?;
            return self.with_session(|session| session.query(sql, values));
        }
        answer
    }

    /// Sends the batch, runs a statement, and returns its rows.
    pub(super) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.flush()?;
        self.query_directly(sql, values)
    }

    /// [`Self::query`] for a statement with at most one row.
    pub(super) fn query_one(&self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// Sends the batch, runs a statement that changes rows, and returns these.
    pub(super) fn query_changed(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let changed = self.query(sql, values)?;
        self.count_changes(changed.len() as u64);
        Ok(changed)
    }

    /// Sends the batch, runs a statement, and returns the number of rows that it has changed.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.flush()?;
        let changed = self.with_session(|session| session.execute(sql, values))?;
        self.count_changes(changed);
        Ok(changed)
    }

    /// Runs statements without values.
    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.with_session(|session| session.run(sql))
    }

    /// Runs statements in one round trip. See [`Session::run_all`].
    pub(super) fn run_all(
        &self,
        before: Option<&str>,
        requests: &[Request<'_>],
        after: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        self.with_session(|session| session.run_all(before, requests, after))
    }

    /// Counts changes.
    pub(super) fn count_changes(&self, more: u64) {
        self.changes.set(self.changes.get() + more);
    }

    /// Sends the batch.
    ///
    /// # Errors
    /// If the server refuses, or the connection is lost. The transaction has failed then.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        if self.batch.borrow().is_empty() {
            return Ok(());
        }
        let sent = self.batch.borrow_mut().take_changes();
        self.run_all(None, &sent.into_columns().requests(), None).map(drop)
    }

    /// Sends the batch and commits, in one round trip. The batch is empty then.
    pub(super) fn send_and_commit(&self) -> Result<(), StoreError> {
        let columns = self.batch.take().into_columns();
        self.run_all(None, &columns.requests(), Some("COMMIT")).map(drop)
    }

    /// Counts a change of the batch, and changes the batch. Sends it if it is large.
    pub(super) fn change(&self, change: impl FnOnce(&mut WriteBatch)) -> Result<(), StoreError> {
        self.count_changes(1);
        change(&mut self.batch.borrow_mut());
        if self.batch.borrow().is_large() { self.flush() } else { Ok(()) }
    }
}

impl Debug for PgConnection {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PgConnection").field("server", &self.server).finish_non_exhaustive()
    }
}
