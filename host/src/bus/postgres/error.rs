//! Translates errors of PostgreSQL into the contract's errors.

use tokio_postgres::error::SqlState;

use crate::bus::{OpenError, OpenErrorKind, StoreError, StoreErrorKind};

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostgresError {
    /// An error that the server or the client reports.
    #[error("the database failed: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The server accepted the connection and said nothing.
    #[error("the server does not answer")]
    NoAnswer,
    /// The database lacks commits of this host.
    #[error(
        "the database lacks commits of this host: it was restored to an earlier state, or it failed over to a standby that did not have them; start the host again to continue with the state of the database"
    )]
    LostCommits,
    /// The connection was lost.
    #[error("the connection to the database was lost")]
    Disconnected,
    /// All connections for reading are in use.
    #[error("all {0} connections for reading are in use")]
    NoReader(usize),
    /// Another host has taken over.
    #[error("this host has lost its lease on the schema `{schema}`, because {reason}; another host may use it now")]
    Fenced {
        /// The schema.
        schema: String,
        /// Why the lease has ended.
        reason: String,
    },
    /// A row contains something that Sandbus never writes.
    #[error("the store is damaged: {0}; restore the database from a backup")]
    Damaged(String),
    /// A newer Sandbus has upgraded the schema.
    #[error(
        "the schema `{schema}` has version {found}, from a newer Sandbus; this is Sandbus {own}, which supports versions up to {newest}; run the newer Sandbus"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// The version of the schema.
        found: i64,
        /// The newest version that this program knows.
        newest: i64,
        /// The version of this program.
        own: &'static str,
    },
    /// The schema has tables of another program.
    #[error(
        "the schema `{schema}` has tables of another program, such as `{table}`; nothing has been changed; name another schema with `?schema=NAME` in the URL"
    )]
    Foreign {
        /// The schema.
        schema: String,
        /// One of the tables.
        table: String,
    },
    /// The server cannot make commits durable, or cannot be used for another reason.
    #[error("{0}")]
    Unusable(String),
    /// The host's own thread or certificate files failed.
    #[error("{0}")]
    Local(String),
}

/// The server's message with its detail and its hint. The client's own text leaves them out.
fn describe(error: &tokio_postgres::Error) -> String {
    let Some(reported) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(|source| format!(": {source}"));
        return format!("{error}{}", cause.filter(|cause| !error.to_string().ends_with(cause)).unwrap_or_default());
    };
    let extra = [reported.detail(), reported.hint()];
    let extra: String = extra.into_iter().flatten().map(|text| format!("; {text}")).collect();
    format!("{} (SQLSTATE {}){extra}", reported.message(), reported.code().code())
}

impl PostgresError {
    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Database(error) => kind_of(error),
            Self::Disconnected | Self::NoAnswer | Self::NoReader(_) => StoreErrorKind::Unavailable,
            Self::Damaged(_) => StoreErrorKind::Damaged,
            Self::Newer { .. } | Self::Foreign { .. } | Self::Unusable(_) => StoreErrorKind::Incompatible,
            Self::Fenced { .. } | Self::LostCommits | Self::Local(_) => StoreErrorKind::Failed,
        }
    }
}

/// The consequence of an error. The server rolls a transaction back after an error, so most kinds of errors leave
/// nothing behind.
fn kind_of(error: &tokio_postgres::Error) -> StoreErrorKind {
    let Some(code) = error.code() else { return StoreErrorKind::Unavailable };
    if [SqlState::DISK_FULL, SqlState::OUT_OF_MEMORY].contains(code) {
        return StoreErrorKind::Full;
    }
    if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) {
        return StoreErrorKind::Damaged;
    }
    // PostgreSQL's manual, appendix A: the first two characters are the class.
    match &code.code()[..2] {
        // Connection exceptions, resources that ran out, interventions of operators, rollbacks for concurrency, and
        // system errors of the server.
        "08" | "53" | "57" | "40" | "58" => StoreErrorKind::Unavailable,
        // Timeouts of locks, and of idle transactions.
        "55" => StoreErrorKind::Unavailable,
        // A transaction that the server ended, and a primary that has become a standby.
        "25" => StoreErrorKind::Unavailable,
        // Credentials and privileges that were changed while the host ran.
        "28" => StoreErrorKind::Unavailable,
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Failed,
    }
}

impl From<PostgresError> for StoreError {
    fn from(error: PostgresError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        PostgresError::from(error).into()
    }
}

/// The error for a host that cannot begin to use the database.
pub(super) fn open_error(url: &super::PostgresUrl, error: &StoreError) -> OpenError {
    let kind = match error.kind() {
        StoreErrorKind::Unavailable => OpenErrorKind::Unreachable,
        other => OpenErrorKind::Store(other),
    };
    OpenError::new(kind, format!("cannot use {url}: {error}"))
}
