//! Reads and fills the tables of a schema that no host uses.

use std::sync::Arc;

use tokio_postgres::types::ToSql;

use super::PostgresUrl;
use super::batch::identity_digest;
use super::connection::PgConnection;
use super::error::{PostgresError, open_error};
use super::lease::Lease;
use super::open::check_server;
use super::schema;
use super::server::Server;
use super::session::{Columns as _, Role};
use crate::bus::engine::store::encoding::{EventColumns, holder};
use crate::bus::transfer::{
    CHUNK_ROWS, Column, ColumnKind, NUMBERED, Row, StoreHeader, Table, TableSource, TableTarget, Value, column,
};
use crate::bus::{FailedAttempt, OpenError, OpenErrorKind, StoreError};
use crate::event::{CORRELATION_ID, CORRELATION_SOURCE, Event};
use crate::failure;

/// A schema, in a transaction that keeps hosts out of it.
pub(in crate::bus) struct PostgresTables {
    connection: PgConnection,
}

impl PostgresTables {
    /// Opens a schema to read it. Upgrades it first if an older version has written it. Blocks.
    ///
    /// # Errors
    /// If the database cannot be used, the schema has no store, or a host uses it.
    pub(in crate::bus) fn open_source(url: &PostgresUrl) -> Result<Self, OpenError> {
        let connection = Self::connect(url)?;
        if !schema::has_store(&connection).map_err(|error| open_error(url, &error))? {
            let reason = format!("cannot use {url}: the schema `{}` has no store", url.schema);
            return Err(OpenError::new(OpenErrorKind::Unreachable, reason));
        }
        Self::begin(connection, url)
    }

    /// Opens a schema to fill it. Creates it if it is missing. Blocks.
    ///
    /// # Errors
    /// If the database cannot be used, or a host uses the schema.
    pub(in crate::bus) fn open_target(url: &PostgresUrl) -> Result<Self, OpenError> {
        Self::begin(Self::connect(url)?, url)
    }

    fn connect(url: &PostgresUrl) -> Result<PgConnection, OpenError> {
        let connect = || {
            let connection = PgConnection::open(Arc::new(Server::new(url.clone())?), Role::Writer)?;
            check_server(&connection)?.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(connection)
        };
        connect().map_err(|error| open_error(url, &error))
    }

    fn begin(connection: PgConnection, url: &PostgresUrl) -> Result<Self, OpenError> {
        let unusable = |error: StoreError| open_error(url, &error);
        schema::create(&connection).and_then(|()| schema::upgrade_unused(&connection)).map_err(unusable)?;
        // The lock comes first, so that the transaction sees what hosts have committed until then. The timeout is off,
        // because the server would otherwise end the transaction while it waits for the other store.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE hosts IN SHARE ROW EXCLUSIVE MODE;
             SET LOCAL idle_in_transaction_session_timeout TO 0";
        connection.run(begin).map_err(unusable)?;
        match Lease::holder(&connection).map_err(unusable)? {
            None => Ok(Self { connection }),
            Some(holder) => Err(OpenError::new(
                OpenErrorKind::InUse,
                format!(
                    "cannot use {url}: another host has the lease on the schema: {holder}; stop that host, and try again"
                ),
            )),
        }
    }
}

impl TableSource for PostgresTables {
    fn header(&self) -> Result<StoreHeader, StoreError> {
        let one = |sql: &str| {
            let row = self.connection.query_one(sql, &[])?;
            row.ok_or_else(|| StoreError::from(PostgresError::Damaged(format!("`{sql}` has no row"))))
        };
        let (log, store) = (one("SELECT head, floor, bytes, newest FROM log")?, one("SELECT secret, runs FROM store")?);
        let mut last_numbers = [0; NUMBERED.len()];
        for (last, table) in last_numbers.iter_mut().zip(NUMBERED) {
            let sequence: String = one(&format!("SELECT pg_get_serial_sequence('{table}', 'number')"))?.column(0)?;
            let row = one(&format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"))?;
            *last = row.column(0)?;
        }
        Ok(StoreHeader {
            head: log.column(0)?,
            floor: log.column(1)?,
            bytes: log.column(2)?,
            newest: log.column(3)?,
            secret: store.column(0)?,
            runs: store.column(1)?,
            last_numbers,
        })
    }

    fn has_rows(&self, table: &Table) -> Result<bool, StoreError> {
        Ok(self.connection.query_one(&format!("SELECT 1 FROM {} LIMIT 1", table.name), &[])?.is_some())
    }

    fn read(&self, table: &Table, each: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        let cursor = format!("read_{}", table.name);
        let select = format!("SELECT {} FROM {} ORDER BY {}", names.join(", "), table.name, table.key);
        self.connection.run(&format!("DECLARE {cursor} NO SCROLL CURSOR FOR {select}"))?;
        loop {
            let rows = self.connection.query(&format!("FETCH {CHUNK_ROWS} FROM {cursor}"), &[])?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let value = |(index, column): (usize, &Column)| read_value(&row, index, column.kind);
                each(table.columns.iter().enumerate().map(value).collect::<Result<_, _>>()?)?;
            }
        }
        self.connection.run(&format!("CLOSE {cursor}"))
    }
}

fn read_value(row: &tokio_postgres::Row, index: usize, kind: ColumnKind) -> Result<Value, StoreError> {
    let value = match kind {
        ColumnKind::Integer => row.column::<Option<i64>>(index)?.map(Value::Integer),
        ColumnKind::Flag => row.column::<Option<bool>>(index)?.map(|flag| Value::Integer(flag.into())),
        ColumnKind::Text => row.column::<Option<String>>(index)?.map(Value::Text),
        ColumnKind::AnyText => row.any_text(index)?.map(Value::Text),
        ColumnKind::Bytes => row.column::<Option<Vec<u8>>>(index)?.map(Value::Bytes),
    };
    Ok(value.unwrap_or(Value::Null))
}

impl TableTarget for PostgresTables {
    fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), StoreError> {
        let derived = derived_columns(table.name);
        let mut columns: Vec<Array> =
            table.columns.iter().chain(derived).map(|column| Array::new(column.kind)).collect();
        for row in rows {
            let more = derived_values(table, &row)?;
            for (array, value) in columns.iter_mut().zip(row.into_iter().chain(more)) {
                array.push(value);
            }
        }
        let names: Vec<_> = table.columns.iter().chain(derived).map(|column| column.name).collect();
        let parameters: Vec<_> =
            columns.iter().zip(1..).map(|(array, number)| format!("${number}::{}[]", array.type_name())).collect();
        let sql = format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({})",
            table.name,
            names.join(", "),
            parameters.join(", ")
        );
        let values: Vec<_> = columns.iter().map(Array::as_parameter).collect();
        self.connection.execute(&sql, &values).map(drop)
    }

    fn set_header(&self, header: &StoreHeader) -> Result<(), StoreError> {
        let StoreHeader { head, floor, bytes, newest, secret, runs, last_numbers } = header;
        let sql = "UPDATE log SET head = $1, floor = $2, bytes = $3, newest = $4";
        self.connection.execute(sql, &[head, floor, bytes, newest])?;
        self.connection.execute("UPDATE store SET secret = $1, runs = $2", &[secret, runs])?;
        for (table, last) in NUMBERED.into_iter().zip(last_numbers) {
            let sql = "SELECT setval(pg_get_serial_sequence($1::text, 'number'), greatest($2::bigint, 1), $2 > 0)";
            self.connection.query(sql, &[&table, last])?;
        }
        let sql = "SELECT setval(pg_get_serial_sequence('scheduled', 'number'), coalesce(max(number), 0) + 1, false)
             FROM scheduled";
        self.connection.query(sql, &[]).map(drop)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.connection.run("COMMIT")?;
        // Plans for empty tables are slow. If this fails, the server analyses the tables later.
        drop(self.connection.run("ANALYZE"));
        Ok(())
    }
}

/// The columns that only this store has.
fn derived_columns(table: &str) -> &'static [Column] {
    const EVENTS: [Column; 4] = [
        column("identity", ColumnKind::Bytes),
        column("correlation", ColumnKind::Text),
        column("correlation_source", ColumnKind::Text),
        column("holder", ColumnKind::Text),
    ];
    const SCHEDULED: [Column; 3] =
        [column("identity", ColumnKind::Bytes), column("type", ColumnKind::Text), column("producer", ColumnKind::Text)];
    const DEAD_LETTERS: [Column; 2] = [column("signature", ColumnKind::AnyText), column("digest", ColumnKind::Text)];
    match table {
        "events" => &EVENTS,
        "scheduled" => &SCHEDULED,
        "dead_letters" => &DEAD_LETTERS,
        _ => &[],
    }
}

/// The values of the derived columns.
fn derived_values(table: &Table, row: &Row) -> Result<Vec<Value>, StoreError> {
    let text = |name: &str| {
        let index = table.columns.iter().position(|column| column.name == name);
        match index.and_then(|index| row.get(index)) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    };
    let required = |name: &str| text(name).unwrap_or_default();
    let optional = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let damaged = |error: serde_json::Error| {
        StoreError::from(PostgresError::Damaged(format!("a row of `{}` is not valid: {error}", table.name)))
    };
    Ok(match table.name {
        "events" => {
            let (id, source) = (required("id"), required("source"));
            let columns = EventColumns {
                position: 0,
                event_type: String::new(),
                id: id.clone(),
                source: source.clone(),
                subject: None,
                time: None,
                datacontenttype: None,
                dataschema: None,
                extensions: text("extensions"),
                data: None,
                stored_at: 0,
            };
            let event = columns.decode().map_err(damaged)?.event;
            vec![
                Value::Bytes(identity_digest(&source, &id)),
                optional(event.extensions.get(CORRELATION_ID).cloned()),
                optional(event.extensions.get(CORRELATION_SOURCE).cloned()),
                optional(holder(&source, event.producer.clone())),
            ]
        }
        "scheduled" => {
            let event: Event = serde_json::from_str(&required("event")).map_err(damaged)?;
            vec![
                Value::Bytes(identity_digest(&event.source, &event.id)),
                Value::Text(event.event_type),
                optional(event.producer),
            ]
        }
        "dead_letters" => {
            let history: Vec<FailedAttempt> = serde_json::from_str(&required("history")).map_err(damaged)?;
            let digest = history.into_iter().next_back().and_then(|last| last.digest);
            vec![Value::Text(failure::signature(&required("reason"))), optional(digest)]
        }
        _ => Vec::new(),
    })
}

/// The values of a column, as a parameter.
enum Array {
    Integers(Vec<Option<i64>>),
    Flags(Vec<Option<bool>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Array {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Integer => Self::Integers(Vec::new()),
            ColumnKind::Flag => Self::Flags(Vec::new()),
            ColumnKind::Text => Self::Texts(Vec::new()),
            ColumnKind::AnyText | ColumnKind::Bytes => Self::Bytes(Vec::new()),
        }
    }

    fn push(&mut self, value: Value) {
        match self {
            Self::Integers(values) => values.push(match value {
                Value::Integer(number) => Some(number),
                _ => None,
            }),
            Self::Flags(values) => values.push(match value {
                Value::Integer(number) => Some(number != 0),
                _ => None,
            }),
            Self::Texts(values) => values.push(match value {
                Value::Text(text) => Some(text),
                _ => None,
            }),
            Self::Bytes(values) => values.push(match value {
                Value::Text(text) => Some(text.into_bytes()),
                Value::Bytes(bytes) => Some(bytes),
                _ => None,
            }),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Integers(_) => "bigint",
            Self::Flags(_) => "boolean",
            Self::Texts(_) => "text",
            Self::Bytes(_) => "bytea",
        }
    }

    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Integers(values) => values,
            Self::Flags(values) => values,
            Self::Texts(values) => values,
            Self::Bytes(values) => values,
        }
    }
}
