//! The files of the plugin folders of all hosts.

use std::sync::Arc;

use super::PostgresUrl;
use super::connection::PgConnection;
use super::server::Server;
use super::session::{Columns as _, Role};
use crate::bus::StoreError;

/// A file, without its content: its name, its generation, and its digest unless it was removed.
pub type PluginFileRow = (String, i64, Option<String>);

/// The files of the plugin folders of all hosts on a schema. Its methods block.
#[derive(Debug)]
pub struct PluginFiles {
    server: Arc<Server>,
    /// None until it is first used, and after it was lost.
    connection: Option<PgConnection>,
}

impl PluginFiles {
    /// The files of a schema, whose tables must exist.
    ///
    /// # Errors
    /// If the certificates cannot be read.
    pub fn new(url: &PostgresUrl) -> Result<Self, StoreError> {
        Ok(Self { server: Arc::new(Server::new(url.clone())?), connection: None })
    }

    fn with_connection<T>(
        &mut self,
        run: impl FnOnce(&PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => PgConnection::open(Arc::clone(&self.server), Role::Reader)?,
        };
        let result = run(&connection);
        self.connection = Some(connection);
        result
    }

    /// All files.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn list(&mut self) -> Result<Vec<PluginFileRow>, StoreError> {
        self.with_connection(|connection| {
            let rows = connection.query("SELECT name, generation, digest FROM plugin_files", &[])?;
            rows.iter().map(|row| Ok((row.column(0)?, row.column(1)?, row.column(2)?))).collect()
        })
    }

    /// The content of a file. None if it was removed.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_connection(|connection| {
            let row = connection.query_one("SELECT content FROM plugin_files WHERE name = $1", &[&name])?;
            Ok(row.map(|row| row.column::<Option<Vec<u8>>>(0)).transpose()?.flatten())
        })
    }

    /// Stores the next generation of a file with its digest, or its removal. None if its present generation is not
    /// `base`, which is 0 for a new file.
    ///
    /// # Errors
    /// If the database refuses.
    pub fn put(&mut self, name: &str, base: i64, content: Option<(&str, &[u8])>) -> Result<Option<i64>, StoreError> {
        // The counter's row is locked until the commit, so generations become visible in their order.
        let sql = "WITH next AS (UPDATE plugin_file_generation SET last = last + 1 RETURNING last)
             INSERT INTO plugin_files AS f (name, generation, digest, content, stored_at)
             SELECT $1, next.last, $3, $4, clock_timestamp() FROM next
             ON CONFLICT (name) DO UPDATE
             SET generation = EXCLUDED.generation, digest = EXCLUDED.digest, content = EXCLUDED.content, stored_at = EXCLUDED.stored_at
             WHERE f.generation = $2
             RETURNING generation";
        let (digest, bytes) = content.unzip();
        self.with_connection(|connection| {
            let row = connection.query_one(sql, &[&name, &base, &digest, &bytes])?;
            row.map(|row| row.column(0)).transpose()
        })
    }
}
