//! The database server, and the thread that reads and writes its connections.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresUrl;
use super::error::PostgresError;
use super::tls;
use crate::bus::StoreError;

/// How long a connection may take, including TLS and the login.
const CONNECT_TIME: Duration = Duration::from_secs(15);

/// A database server. Its connections have their own thread, so that an answer is read even if all callers block while
/// they wait for it.
pub(super) struct Server {
    pub(super) url: PostgresUrl,
    tls: MakeRustlsConnect,
    /// Counts how often the writer has connected again. Another server may be the primary since then.
    epoch: AtomicU64,
    /// None once the server is dropped.
    runtime: Option<Runtime>,
}

impl Server {
    /// Prepares to connect.
    ///
    /// # Errors
    /// If the certificates cannot be read, or the thread cannot be started.
    pub(super) fn new(url: PostgresUrl) -> Result<Self, StoreError> {
        let tls = tls::connector(&url.tls)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build();
        let runtime = runtime
            .map_err(|error| PostgresError::Local(format!("no thread for connections to the database: {error}")))?;
        Ok(Self { url, tls, epoch: AtomicU64::new(0), runtime: Some(runtime) })
    }

    /// The present epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Begins an epoch. Connections for reading that were opened before it are not used again.
    pub(super) fn begin_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Opens a connection, and returns it with the runtime that reads and writes it. Blocks.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub(super) fn connect(&self) -> Result<(Client, Handle), StoreError> {
        let runtime = self.runtime.as_ref().ok_or(PostgresError::Disconnected)?.handle();
        let (config, tls) = (self.url.config.clone(), self.tls.clone());
        let connected = runtime.spawn(async move {
            let connected = tokio::time::timeout(CONNECT_TIME, config.connect(tls)).await;
            let (client, connection) = connected.map_err(|_| PostgresError::NoAnswer)??;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database was lost");
                }
            });
            Ok::<_, PostgresError>(client)
        });
        let connected = pollster::block_on(connected).map_err(|error| PostgresError::Local(error.to_string()))?;
        Ok((connected?, runtime.clone()))
    }
}

impl Debug for Server {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A runtime must not be dropped in a task; this ends its thread without waiting.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
