//! Background tasks, which end with the bus: they let due events into the log, keep the write-ahead log small, probe
//! an unreachable store, and delete old events.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::command::Command;
use super::engine_state::EngineState;
use super::error::EngineError;
use super::{rows, schema};
use crate::bus::group_commit::WeakQueue;
use crate::bus::{StoreError, StoreErrorKind};

/// The number of pages, of 4 KiB, by which the write-ahead log grows before a checkpoint. Commits share the disk with
/// checkpoints. Large checkpoints delay commits. With small checkpoints, pages that every commit changes are written
/// too often.
pub(super) const CHECKPOINT_PAGES: i64 = 512;
/// How long commits gather before the log's size is checked.
const GATHER_TIME: Duration = Duration::from_millis(50);
/// The number of pages that may be left for the writer to checkpoint. Commits wait for it.
const OUTSTANDING_PAGES: i64 = 128;
/// The maximum number of passes of a checkpoint.
const MAX_PASSES: usize = 8;
/// The size of the log at which it is restarted even if handlers read in it. While one reads, no part of the log can be
/// reused.
const LOG_LIMIT_PAGES: i64 = 32_768;
/// How long these readers have to finish before their snapshots are closed.
const READERS_TIME: Duration = Duration::from_secs(1);
/// The time between two attempts to restart the log. It doubles after each failure, since another reader may be slow.
const RESTART_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum time between two attempts to restart the log.
const MAX_RESTART_INTERVAL: Duration = Duration::from_mins(5);
/// How often the log's size and age are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Lets scheduled events into the log when they are due. It checks the time at least once a second, because the clock
/// may be set.
pub(super) async fn promote(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    let mut next = shared.next_scheduled.subscribe();
    loop {
        let due = *next.borrow_and_update();
        let wait = due.map_or(Duration::from_hours(1), |due| due.since(shared.clock.now()).min(Duration::from_secs(1)));
        if due.is_some_and(|due| due <= shared.clock.now()) {
            let Some(commands) = commands.upgrade() else { return };
            if commands.send(Command::Promote).await.is_err() {
                return;
            }
            // The commit updates the next due time. A commit that fails, on a full disk, does not.
            match tokio::time::timeout(Duration::from_secs(1), next.changed()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) | Err(_) => continue,
            }
        }
        tokio::select! {
            changed = next.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => if commands.strong_count() == 0 { return },
        }
    }
}

/// Makes the writer check the clock after it was set back, even if there is nothing else to write.
pub(super) async fn watch_clock(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    let mut seen = shared.clock.now();
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let now = shared.clock.now();
        let Some(commands) = commands.upgrade() else { return };
        if now < seen && commands.send(Command::CheckClock).await.is_err() {
            return;
        }
        seen = now;
    }
}

/// Detects when an unreachable store is reachable again, with a read and a commit that changes nothing.
pub(super) async fn probe(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let Some(commands) = commands.upgrade() else { return };
        if shared.is_reachable() {
            continue;
        }
        let state = Arc::clone(&shared);
        let read = tokio::task::spawn_blocking(move || state.readers.read(rows::log)).await;
        let (reply, answer) = oneshot::channel();
        let nothing = Command::Cancel { source: String::new(), id: String::new(), reply };
        if commands.send(nothing).await.is_err() {
            return;
        }
        if matches!((read, answer.await), (Ok(Ok(_)), Ok(Ok(_)))) {
            shared.note_recovery();
        }
    }
}

/// Checkpoints the write-ahead log when it has grown, so that no commit has to. Most of the work is concurrent with the
/// writer. The writer checkpoints the remaining pages and restarts the log.
pub(super) async fn checkpoint(commands: WeakQueue<Command>, shared: Arc<EngineState>, store: PathBuf) {
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
        let (path, connection, state) = (store.clone(), open_connection.take(), Arc::clone(&shared));
        let checkpointed = tokio::task::spawn_blocking(move || {
            let connection = connection.map_or_else(|| schema::open_checkpointer(&path), Ok)?;
            let pages = schema::log_pages(&connection)?;
            let has_grown = pages.outstanding > CHECKPOINT_PAGES;
            if has_grown {
                checkpoint_log(&connection, &state.store)?;
            }
            Ok::<_, StoreError>((connection, has_grown, pages.all > LOG_LIMIT_PAGES))
        });
        match checkpointed.await {
            Ok(Ok((connection, has_grown, is_large))) => {
                open_connection = Some(connection);
                writer_must_finish = has_grown;
                if !is_large {
                    interval = RESTART_INTERVAL;
                } else if restart_at <= Instant::now() {
                    match restart_log(&commands, &shared, &store).await {
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
            if commands.send(Command::Checkpoint { restart_log: None }).await.is_err() {
                return;
            }
        }
    }
}

/// Restarts the write-ahead log while no handler reads in it.
async fn restart_log(commands: &WeakQueue<Command>, shared: &Arc<EngineState>, store: &Path) -> Result<(), StoreError> {
    let (state, path) = (Arc::clone(shared), store.to_owned());
    let checkpointed = tokio::task::spawn_blocking(move || {
        let pause = state.readers.pause_snapshots(READERS_TIME);
        // The readers prevented this part of the checkpoint before. Otherwise the writer would have to do it.
        checkpoint_log(&schema::open_checkpointer(&path)?, &state.store)?;
        Ok::<_, StoreError>(pause)
    });
    let ended = |error| EngineError::Aborted(format!("a checkpoint did not finish: {error}"));
    let pause = checkpointed.await.map_err(ended)??;
    let Some(commands) = commands.upgrade() else { return Ok(()) };
    let (sender, restarted) = oneshot::channel();
    if commands.send(Command::Checkpoint { restart_log: Some(sender) }).await.is_ok() {
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
fn checkpoint_log(connection: &Connection, store: &File) -> Result<(), StoreError> {
    let mut previous = i64::MAX;
    for _ in 0..MAX_PASSES {
        schema::checkpoint(connection, "PASSIVE")?;
        store.sync_data()?;
        let outstanding = schema::log_pages(connection)?.outstanding;
        if outstanding <= OUTSTANDING_PAGES || outstanding >= previous {
            break;
        }
        previous = outstanding;
    }
    Ok(())
}

/// Deletes events that the retention rules do not keep, in small steps with room for other changes between them.
pub(super) async fn compact(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        if !shared.settings.load().retention.is_limited() {
            continue;
        }
        loop {
            let Some(commands) = commands.upgrade() else { return };
            let (reply, answer) = oneshot::channel();
            if commands.send(Command::Compact { reply }).await.is_err() {
                return;
            }
            drop(commands);
            match answer.await {
                Ok(Ok(count)) if count > 0 => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => break,
            }
        }
    }
}
