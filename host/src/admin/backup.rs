//! Sends a backup as a download.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::body::Query;
use crate::api::BackupQuery;
use crate::backup::{BackupError, Snapshot};
use crate::bus::StoreErrorKind;
use crate::problem::Problem;

/// The size of the parts that are sent.
const PART_BYTES: usize = 256 << 10;
/// How many parts wait for a slow client.
const WAITING_PARTS: usize = 4;

/// Back up the host
///
/// The response is a tar archive, whose last member is `manifest.json`. An archive without it is incomplete. The store in it
/// is one moment: it has every event that was acknowledged before the request.
#[utoipa::path(
    post,
    path = "/backup",
    operation_id = "create_backup",
    tag = "backup",
    params(BackupQuery),
    responses((status = 200, content_type = "application/x-tar", description = "The backup."))
)]
pub(super) async fn create(State(admin): State<Admin>, Query(query): Query<BackupQuery>) -> Result<Response, Problem> {
    let Ok(only) = Arc::clone(&admin.changes.backup).try_lock_owned() else {
        let detail = "another backup is being made; wait until it has ended";
        return Err(Problem::new(StatusCode::CONFLICT, "backup-in-progress", detail).retry_after(5));
    };
    let (source, with_ledger, now) = (admin.backup.clone(), query.ledger.unwrap_or(false), admin.clock.now());
    let copied = tokio::task::spawn_blocking(move || source.copy(with_ledger, now)).await;
    let snapshot = copied.expect("copying the store does not panic").map_err(|error| problem(&error))?;
    let (parts, sent) = mpsc::channel(WAITING_PARTS);
    tokio::task::spawn_blocking(move || send(snapshot, &parts, only));
    let body = Body::from_stream(stream(sent, admin.body_reader.stop));
    Ok(([(CONTENT_TYPE, "application/x-tar")], body).into_response())
}

fn problem(error: &BackupError) -> Problem {
    tracing::warn!(%error, "a backup cannot be made");
    let refused = |code, status| Problem::new(status, code, error.to_string());
    match error {
        BackupError::StoreIsDatabase => refused("backup-of-database", StatusCode::CONFLICT),
        BackupError::Store(error) if error.kind() == StoreErrorKind::Full => {
            refused("disk-full", StatusCode::INSUFFICIENT_STORAGE)
        }
        BackupError::Store(error) if error.kind() == StoreErrorKind::Unavailable => {
            refused("store-unavailable", StatusCode::SERVICE_UNAVAILABLE)
        }
        _ => refused("backup-failed", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A part of the archive, or the failure that ends the response without its end.
type SentPart = io::Result<Bytes>;

/// Writes the archive to the client. No other backup begins until the end.
fn send(snapshot: Snapshot, parts: &mpsc::Sender<SentPart>, only: OwnedMutexGuard<()>) {
    let output = BufWriter::with_capacity(PART_BYTES, PartWriter(parts));
    match snapshot.write(output) {
        Ok(manifest) => {
            let (members, bytes) = (manifest.members.len(), manifest.bytes());
            tracing::info!(position = manifest.position, members, bytes, "sent a backup");
        }
        Err(error) => {
            tracing::warn!(%error, "a backup was not sent completely");
            // The client may be gone.
            drop(parts.blocking_send(Err(io::Error::other(error.to_string()))));
        }
    }
    drop(only);
}

/// Sends what is written in parts.
struct PartWriter<'a>(&'a mpsc::Sender<SentPart>);

impl Write for PartWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client closed the connection"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts as a body. If the host stops, the body ends with an error, so that the client detects an incomplete
/// backup.
fn stream(
    sent: mpsc::Receiver<SentPart>,
    stop: CancellationToken,
) -> impl futures_util::Stream<Item = SentPart> + Send + 'static {
    futures_util::stream::unfold(Some((sent, stop)), |state| async move {
        let (mut sent, stop) = state?;
        match stop.run_until_cancelled(sent.recv()).await {
            None => Some((Err(io::Error::other("the host is stopping")), None)),
            Some(part) => Some((part?, Some((sent, stop)))),
        }
    })
}
