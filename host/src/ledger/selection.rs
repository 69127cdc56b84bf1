//! The conditions of queries.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::integers::signed;
use crate::clock::Timestamp;

/// The conditions of a query. All of them must hold.
#[derive(Debug, Default)]
pub(super) struct Selection {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Selection {
    /// Adds a condition with one parameter.
    pub(super) fn add(&mut self, condition: &'static str, value: Value) {
        self.conditions.push(condition.to_owned());
        self.values.push(value);
    }

    /// Adds that a column has a value, if there is one.
    pub(super) fn equal(&mut self, column: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.conditions.push(format!("{column} = ?"));
            self.values.push(Value::Text(value));
        }
    }

    /// Adds that a record ended in a period, which may be open at either end.
    pub(super) fn ended_in(&mut self, since: Option<Timestamp>, until: Option<Timestamp>) {
        if let Some(since) = since {
            self.add("at >= ?", Value::Integer(signed(since.0)));
        }
        if let Some(until) = until {
            self.add("at < ?", Value::Integer(signed(until.0)));
        }
    }

    /// Reads the first `limit` rows of a table in an order.
    pub(super) fn read<T>(
        mut self,
        connection: &Connection,
        (table, columns, order): (&str, &str, &str),
        limit: usize,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let conditions = self.conditions.join(" AND ");
        let sql = format!("SELECT {columns} FROM {table} WHERE {conditions} ORDER BY {order} LIMIT ?");
        let mut statement = connection.prepare(&sql)?;
        statement.query_map(params_from_iter(self.values), read)?.collect()
    }
}
