//! One connection to the database, with its prepared statements.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::error::PostgresError;
use super::server::Server;
use crate::bus::StoreError;

/// A value for a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// Whether a text can be in a column. PostgreSQL's text cannot have U+0000, so no row has such a text, and a statement
/// with one fails.
pub(super) fn can_be_stored(text: &str) -> bool {
    !text.contains('\0')
}

/// A statement that is sent together with others, and its values.
pub(super) struct Request<'a> {
    pub(super) sql: &'a str,
    pub(super) values: Vec<Value<'a>>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It makes changes, in short transactions.
    Writer,
    /// It reads, in transactions that last as long as a handler runs.
    Reader,
    /// It renews the lease.
    Lease,
}

/// How long a renewal of the lease waits for the server. A server that hangs need not close its connections.
const RENEWAL_TIME_LIMIT: Duration = Duration::from_secs(4);

/// A connection whose `search_path` is the schema of the bus, with its prepared statements.
pub(super) struct Session {
    client: Client,
    /// How long a statement may take. None for no limit: only the answer tells whether a commit took place.
    time_limit: Option<Duration>,
    runtime: Handle,
    statements: RefCell<HashMap<String, Statement>>,
}

impl Session {
    /// Opens a connection.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub(super) fn open(server: &Server, role: Role) -> Result<Self, StoreError> {
        let (client, runtime) = server.connect()?;
        let schema = &server.url.schema;
        // The server ends a transaction whose host is silent for this long, so that a host that hangs holds no lock.
        let idle = match role {
            Role::Writer | Role::Lease => "5s",
            Role::Reader => "60s",
        };
        let time_limit = (role == Role::Lease).then_some(RENEWAL_TIME_LIMIT);
        let session = Self { client, time_limit, runtime, statements: RefCell::default() };
        // A `statement_timeout` could end the wait for standbys and leave a commit that is not replicated.
        session.run(&format!(
            "SET search_path TO \"{schema}\"; SET default_transaction_isolation TO 'read committed'; SET synchronous_commit TO on; SET lock_timeout TO '5s';
             SET idle_in_transaction_session_timeout TO '{idle}'; SET statement_timeout TO 0;
             SET client_min_messages TO warning; SET jit TO off; SET TimeZone TO 'UTC'"
        ))?;
        Ok(session)
    }

    /// Whether the connection is lost.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits for an answer of the server. Blocks.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, PostgresError> {
        let Some(limit) = self.time_limit else { return Ok(pollster::block_on(answer)?) };
        // The timer belongs to the thread of the connections, because the caller's thread may have none.
        let limited = {
            let _context = self.runtime.enter();
            tokio::time::timeout(limit, answer)
        };
        pollster::block_on(limited).map_err(|_| PostgresError::NoAnswer)?.map_err(PostgresError::from)
    }

    fn statement(&self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(prepared) = self.statements.borrow().get(sql) {
            return Ok(prepared.clone());
        }
        let prepared = self.wait(self.client.prepare(sql))?;
        self.statements.borrow_mut().insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }

    /// Runs a statement, and returns its rows.
    ///
    /// # Errors
    /// If the server refuses, or the connection is lost.
    pub(super) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql)?;
        Ok(self.wait(self.client.query(&statement, values))?)
    }

    /// Runs a statement, and returns the number of rows that it has changed.
    ///
    /// # Errors
    /// If the server refuses, or the connection is lost.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        Ok(self.wait(self.client.execute(&statement, values))?)
    }

    /// Runs statements without values.
    ///
    /// # Errors
    /// If the server refuses, or the connection is lost.
    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.wait(self.client.batch_execute(sql))?)
    }

    /// Runs statements in one round trip: `before`, the requests in their order, and `after`. Returns the rows of each
    /// request. If one of them fails in a transaction, the later ones have no effect.
    ///
    /// # Errors
    /// The first error.
    pub(super) fn run_all(
        &self,
        before: Option<&str>,
        requests: &[Request<'_>],
        after: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let statements: Vec<_> =
            requests.iter().map(|request| self.statement(request.sql)).collect::<Result<_, _>>()?;
        let run = async |sql: Option<&str>| match sql {
            Some(sql) => self.client.batch_execute(sql).await,
            None => Ok(()),
        };
        // The client sends a request when its future is first polled, and the answers come in the same order.
        let queries =
            statements.iter().zip(requests).map(|(statement, request)| self.client.query(statement, &request.values));
        let all = async { Ok(futures_util::join!(run(before), join_all(queries), run(after))) };
        let (begun, rows, ended) = self.wait(all)?;
        begun?;
        let rows = rows.into_iter().collect::<Result<Vec<_>, _>>()?;
        ended?;
        Ok(rows)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Reads the columns of a row.
pub(super) trait Columns {
    /// A column of any type.
    ///
    /// # Errors
    /// If it has another type.
    fn column<'a, T: tokio_postgres::types::FromSql<'a>>(&'a self, index: usize) -> Result<T, StoreError>;

    /// A number that is never negative.
    ///
    /// # Errors
    /// If the column has another type.
    fn unsigned(&self, index: usize) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.column::<i64>(index)?).unwrap_or(0))
    }

    /// Text that may have any character, and is stored as bytes, because PostgreSQL's text cannot have U+0000.
    ///
    /// # Errors
    /// If the column has another type, or is not UTF-8.
    fn any_text(&self, index: usize) -> Result<Option<String>, StoreError> {
        let bytes: Option<Vec<u8>> = self.column(index)?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|error| PostgresError::Damaged(format!("column {index}: {error}")).into())
    }

    /// A value in JSON.
    ///
    /// # Errors
    /// If the column has another type, or another value.
    fn json<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, StoreError> {
        let text: &str = self.column(index)?;
        serde_json::from_str(text).map_err(|error| PostgresError::Damaged(format!("`{text}`: {error}")).into())
    }
}

impl Columns for Row {
    fn column<'a, T: tokio_postgres::types::FromSql<'a>>(&'a self, index: usize) -> Result<T, StoreError> {
        self.try_get(index).map_err(|error| PostgresError::Damaged(format!("column {index}: {error}")).into())
    }
}
