//! Opens the bus on a database: the checks, the tables, the lease, the connections.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::PostgresUrl;
use super::connection::PgConnection;
use super::error::{PostgresError, open_error};
use super::lease::{Lease, RenewalFailure, TakeError};
use super::readers::{PgReaders, ReaderPool};
use super::schema;
use super::server::Server;
use super::session::{Columns as _, Role};
use crate::bus::cluster::{JoinStore, Joined};
use crate::bus::engine::{DurableBus, EngineState, OpenedStore};
use crate::bus::remote::Advertisement;
use crate::bus::{BoxFuture, LeaseWait, OpenError, OpenErrorKind, Settings, StoreError, StoreErrorKind};
use crate::clock::Clock;
use crate::files;

/// The oldest server: 14, as `server_version_num` gives it.
const OLDEST_SERVER: i32 = 140_000;

/// How long a standby that has lost its connection waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Opens the bus on a database. Must be called in a tokio runtime. Blocks.
///
/// # Errors
/// If the database cannot be reached or used, or if `wait` ends while another host still has the lease.
pub(in crate::bus) fn open(
    url: &PostgresUrl,
    data: &Path,
    clock: Clock,
    settings: Settings,
    wait: &LeaseWait,
) -> Result<DurableBus, OpenError> {
    let unusable = |error: StoreError| open_error(url, &error);
    let server = Arc::new(Server::new(url.clone()).map_err(unusable)?);
    let identity = host_identity(data).map_err(unusable)?;
    let taken = take_lease(&server, &identity, wait).map_err(|error| match error {
        TakeError::InUse(holder) => OpenError::new(
            OpenErrorKind::InUse,
            format!("cannot use {url}: another host has the lease on the schema: {holder}"),
        ),
        TakeError::Cancelled => OpenError::new(OpenErrorKind::Cancelled, "the host was stopped"),
        TakeError::Store(error) => unusable(error),
    })?;
    wait.note_holder(None);
    start(server, taken, clock, settings).map_err(unusable)
}

/// Starts the engine of a host that has the lease.
fn start(
    server: Arc<Server>,
    (connection, lease): (PgConnection, Lease),
    clock: Clock,
    settings: Settings,
) -> Result<DurableBus, StoreError> {
    // A thread renews the lease from now on, because the start may take longer than the lease lasts.
    let (stop_on_drop, stopped) = mpsc::channel();
    let (started, engine) = mpsc::channel::<Arc<EngineState>>();
    let kept = Arc::clone(&server);
    let heartbeat_thread = std::thread::Builder::new().name("postgres-lease".to_owned()).spawn(move || {
        let mut running = None;
        lease.keep(&kept, &stopped, |failure| match failure {
            // Otherwise an idle host would not notice an outage: it would still seem ready, and clients would be sent
            // to it.
            RenewalFailure::Outage(error) => {
                running = running.take().or_else(|| engine.try_recv().ok());
                running.iter().for_each(|engine| engine.note_outage(&error));
            }
            // If the start fails, the sender is dropped, and no engine arrives.
            RenewalFailure::Lost(error) => {
                let engine = running.take().or_else(|| engine.recv().ok());
                engine.iter().for_each(|engine| engine.fail(error.to_string()));
            }
        });
    });
    heartbeat_thread
        .map_err(|error| StoreError::new(StoreErrorKind::Failed, format!("no thread for the lease: {error}")))?;
    let readers = Arc::new(ReaderPool(Arc::new(PgReaders::new(server))));
    let writer = Box::new(connection.with_lease(lease.number));
    let store = OpenedStore { readers, writer, held: Box::new(stop_on_drop) };
    let bus = DurableBus::start(store, clock, settings)?;
    // If the lease was lost already, the thread waits for the engine, and reports the failure to it.
    drop(started.send(Arc::clone(bus.shared())));
    Ok(bus)
}

/// A schema whose hosts share their work.
#[derive(Clone, Debug)]
pub(in crate::bus) struct ClusterSchema {
    url: PostgresUrl,
    data: PathBuf,
    clock: Clock,
}

impl ClusterSchema {
    /// The schema of a URL, for a host with a data directory.
    pub(in crate::bus) fn new(url: &PostgresUrl, data: &Path, clock: Clock) -> Self {
        Self { url: url.clone(), data: data.to_owned(), clock }
    }

    /// Blocks.
    fn join_now(&self, own: &Advertisement, settings: Settings) -> Result<Joined, StoreError> {
        let server = Arc::new(Server::new(self.url.clone())?);
        let identity = host_identity(&self.data)?;
        let connection = PgConnection::open(Arc::clone(&server), Role::Writer)?;
        let warnings = check_server(&connection)?;
        schema::create(&connection)?;
        let lease = loop {
            if let Some(holder) = Lease::holder_except(&connection, Some(&identity))? {
                let active =
                    if schema::has_advertisements(&connection)? { holder.advertisement(&connection)? } else { None };
                return Ok(Joined::Member { name: holder.name().to_owned(), active });
            }
            if let Some(lease) = Lease::try_take(&connection, &identity)? {
                break lease;
            }
        };
        if let Err(error) = schema::upgrade(&connection).and_then(|()| lease.advertise(&connection, own)) {
            lease.end(&connection)?;
            return Err(error);
        }
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let bus = start(server, (connection, lease), self.clock.clone(), settings)?;
        Ok(Joined::Active(Box::new(bus)))
    }
}

impl JoinStore for ClusterSchema {
    fn join(&self, own: Advertisement, settings: Settings) -> BoxFuture<'static, Result<Joined, OpenError>> {
        let schema = self.clone();
        Box::pin(async move {
            let url = schema.url.clone();
            let joined = tokio::task::spawn_blocking(move || schema.join_now(&own, settings)).await;
            let joined = joined.unwrap_or_else(|error| {
                Err(StoreError::new(StoreErrorKind::Failed, format!("the start of the bus: {error}")))
            });
            joined.map_err(|error| open_error(&url, &error))
        })
    }
}

/// Connects, prepares the schema, and takes the lease. A standby that loses its connection connects again.
fn take_lease(server: &Arc<Server>, identity: &str, wait: &LeaseWait) -> Result<(PgConnection, Lease), TakeError> {
    let (mut was_reachable, mut is_lost) = (false, false);
    loop {
        let taken = PgConnection::open(Arc::clone(server), Role::Writer).map_err(TakeError::Store);
        let taken = taken.and_then(|connection| {
            let warnings = check_server(&connection)?;
            if !was_reachable {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            if std::mem::take(&mut is_lost) {
                tracing::info!("the standby has connected to the database again");
            }
            was_reachable = true;
            schema::create(&connection)?;
            let lease = Lease::take(&connection, identity, wait)?;
            let ready = if wait.is_cancelled() {
                Err(TakeError::Cancelled)
            } else {
                schema::upgrade(&connection).map_err(TakeError::Store)
            };
            if let Err(error) = ready {
                lease.end(&connection)?;
                return Err(error);
            }
            Ok((connection, lease))
        });
        match taken {
            Err(TakeError::Store(error))
                if wait.is_standby() && was_reachable && error.kind() == StoreErrorKind::Unavailable =>
            {
                if !std::mem::replace(&mut is_lost, true) {
                    tracing::warn!(%error, "the standby has lost its connection to the database, and tries to connect again");
                }
                if wait.is_cancelled_within(RECONNECT_AFTER) {
                    return Err(TakeError::Cancelled);
                }
            }
            taken => return taken,
        }
    }
}

/// The identity of this host, which does not depend on its machine, user or process: a random text in its data
/// directory. Only one process uses the directory at a time.
fn host_identity(data: &Path) -> Result<String, StoreError> {
    let path = data.join("host-id");
    let unusable = |error: std::io::Error| PostgresError::Local(format!("cannot use {}: {error}", path.display()));
    match files::read_text(&path, 100) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(error).into()),
        Ok(_) | Err(_) => {}
    }
    let identity = uuid::Uuid::new_v4().to_string();
    files::make_directory(data).and_then(|()| files::write_durably(&path, identity.as_bytes())).map_err(unusable)?;
    Ok(identity)
}

/// Refuses a server that is too old, cannot be written, or does not make commits durable. Returns warnings for the
/// operator.
pub(super) fn check_server(connection: &PgConnection) -> Result<Vec<&'static str>, StoreError> {
    let sql = "SELECT current_setting('server_version'), current_setting('server_version_num')::int,
         pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'),
         current_setting('data_checksums'), current_setting('synchronous_standby_names'),
         current_setting('default_transaction_read_only'), current_setting('server_encoding')";
    let row = connection.query_one(sql, &[])?;
    let row = row.ok_or_else(|| PostgresError::Unusable("the server does not report its settings".to_owned()))?;
    let setting = |index: usize| row.column::<String>(index);
    let (version, number): (String, i32) = (row.column(0)?, row.column(1)?);
    let refuse = |reason: String| Err(PostgresError::Unusable(reason).into());
    if number < OLDEST_SERVER {
        return refuse(format!(
            "the server is PostgreSQL {version}, and Sandbus needs 14 or newer; upgrade the server"
        ));
    }
    if row.column::<bool>(2)? || setting(7)? == "on" {
        return refuse("the server is a standby or read-only; name the primary in the URL, or all servers".to_owned());
    }
    for (index, name) in [(3, "fsync"), (4, "full_page_writes")] {
        if setting(index)? != "on" {
            return refuse(format!(
                "the server has `{name} = off` and can lose or damage commits in a power failure; set `{name} = on`"
            ));
        }
    }
    let encoding = setting(8)?;
    if encoding != "UTF8" {
        return refuse(format!(
            "the database has the encoding {encoding}, which lacks characters; create it with `ENCODING 'UTF8'`"
        ));
    }
    let mut warnings = Vec::new();
    if setting(5)? != "on" {
        warnings.push(
            "the database has no data checksums, so damage of its files is not noticed; enable them with pg_checksums",
        );
    }
    if setting(6)?.is_empty() {
        warnings.push(
            "the database waits for no standby (`synchronous_standby_names` is empty): if it fails over to an asynchronous one, acknowledged events can be lost"
        );
    }
    Ok(warnings)
}
