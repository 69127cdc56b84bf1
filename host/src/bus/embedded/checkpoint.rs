//! Keeps the write-ahead log small.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::EmbeddedError;
use super::readers::SqliteReaders;
use super::schema;
use crate::bus::engine::store::Maintenance;
use crate::bus::engine::{Command, EngineState};
use crate::bus::group_commit::WeakQueue;
use crate::bus::{StoreError, StoreErrorKind};

/// The number of pages, of 4 KiB, by which the write-ahead log grows before a checkpoint. Commits share the disk with
/// checkpoints. Large checkpoints delay commits. With small checkpoints, pages that every commit changes are written
/// too often.
pub(super) const CHECKPOINT_PAGES: i64 = 512;
/// How long commits gather before the size of the write-ahead log is checked.
const GATHER_TIME: Duration = Duration::from_millis(50);
/// The number of pages that may be left for the writer to checkpoint. Commits wait for it.
const OUTSTANDING_PAGES: i64 = 128;
/// The maximum number of passes of a checkpoint.
const MAX_PASSES: usize = 8;
/// The size of the write-ahead log at which it is restarted even if handlers read in it. While one reads, no part of it
/// can be reused.
const WAL_LIMIT_PAGES: i64 = 32_768;
/// How long handlers that read in the write-ahead log have to finish before their snapshots are closed.
const READERS_TIME: Duration = Duration::from_secs(1);
/// The time between two attempts to restart the write-ahead log. It doubles after each one while the write-ahead log
/// stays large, since another reader may be slow.
const RESTART_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum time between two attempts to restart the write-ahead log.
const MAX_RESTART_INTERVAL: Duration = Duration::from_mins(5);
/// How often the loop checks whether the bus has ended, or whether a checkpoint must be completed.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Checkpoints the write-ahead log when it has grown, so that no commit has to. Most of the work is concurrent with the
/// writer. The writer checkpoints the remaining pages, so that its next commit restarts the write-ahead log.
pub(super) async fn checkpoint(
    commands: WeakQueue<Command>,
    shared: Arc<EngineState>,
    readers: Arc<SqliteReaders>,
    store: PathBuf,
) {
    let (mut open_connection, mut writer_must_finish) = (None, false);
    let (mut restart_at, mut interval) = (Instant::now(), RESTART_INTERVAL);
    loop {
        let has_committed = tokio::time::timeout(CHECK_INTERVAL, shared.committed.notified()).await.is_ok();
        if commands.strong_count() == 0 {
            return;
        }
        if !has_committed && !writer_must_finish {
            continue;
        }
        tokio::time::sleep(GATHER_TIME).await;
        let (path, connection, state) = (store.clone(), open_connection.take(), Arc::clone(&readers));
        let checkpointed = tokio::task::spawn_blocking(move || {
            let connection = connection.map_or_else(|| schema::open_checkpointer(&path), Ok)?;
            let pages = schema::wal_pages(&connection)?;
            let has_grown = pages.outstanding > CHECKPOINT_PAGES;
            if has_grown {
                checkpoint_wal(&connection, state.file())?;
            }
            Ok::<_, StoreError>((connection, has_grown, pages.all > WAL_LIMIT_PAGES))
        });
        match checkpointed.await {
            Ok(Ok((connection, has_grown, is_large))) => {
                open_connection = Some(connection);
                writer_must_finish = has_grown;
                if !is_large {
                    interval = RESTART_INTERVAL;
                } else if restart_at <= Instant::now() {
                    match restart_wal(&commands, &readers, &store).await {
                        Err(error) if !(error.kind() == StoreErrorKind::Unavailable && store.exists()) => {
                            return shared.fail(error.to_string());
                        }
                        _ => {}
                    }
                    (restart_at, interval) = (Instant::now() + interval, (2 * interval).min(MAX_RESTART_INTERVAL));
                    continue;
                }
            }
            Ok(Err(error)) if error.kind() == StoreErrorKind::Unavailable && store.exists() => {
                tracing::warn!(%error, "cannot checkpoint the write-ahead log; trying again");
                writer_must_finish = true;
                continue;
            }
            // After a failed write the next one may seem to succeed, so the content of the store is unknown.
            Ok(Err(error)) => return shared.fail(error.to_string()),
            Err(error) => return shared.fail(format!("a checkpoint did not finish: {error}")),
        }
        if writer_must_finish {
            let Some(commands) = commands.upgrade() else { return };
            if commands.send(Command::Maintain { task: Maintenance::Checkpoint, done: None }).await.is_err() {
                return;
            }
        }
    }
}

/// Restarts the write-ahead log while no handler reads in it.
async fn restart_wal(
    commands: &WeakQueue<Command>,
    readers: &Arc<SqliteReaders>,
    store: &Path,
) -> Result<(), StoreError> {
    let (state, path) = (Arc::clone(readers), store.to_owned());
    let checkpointed = tokio::task::spawn_blocking(move || {
        let pause = state.pause_snapshots(READERS_TIME);
        // Until now, readers prevented this part of the checkpoint. If it were not done here, the writer would have to
        // do it.
        checkpoint_wal(&schema::open_checkpointer(&path)?, state.file())?;
        Ok::<_, StoreError>(pause)
    });
    let ended = |error| EmbeddedError::Aborted(format!("a checkpoint did not finish: {error}"));
    let pause = checkpointed.await.map_err(ended)??;
    let Some(commands) = commands.upgrade() else { return Ok(()) };
    let (sender, restarted) = oneshot::channel();
    if commands.send(Command::Maintain { task: Maintenance::RestartWal, done: Some(sender) }).await.is_ok() {
        // If the writer ends, it drops the sender, and the wait ends, too.
        drop(restarted.await);
    }
    drop(pause);
    Ok(())
}

/// Moves pages of the write-ahead log into the store. It needs several passes, because the writer adds pages at the
/// same time. Stops when few pages are outstanding, or when a pass makes no progress because of a reader.
///
/// Each pass syncs the store. SQLite itself would sync it only after a pass that leaves no pages, and so leave the
/// whole sync to the writer.
fn checkpoint_wal(connection: &Connection, store: &File) -> Result<(), StoreError> {
    let mut previous = i64::MAX;
    for _ in 0..MAX_PASSES {
        schema::checkpoint(connection, "PASSIVE")?;
        store.sync_data()?;
        let outstanding = schema::wal_pages(connection)?.outstanding;
        if outstanding <= OUTSTANDING_PAGES || outstanding >= previous {
            break;
        }
        previous = outstanding;
    }
    Ok(())
}
