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
/// checkpoints. A large checkpoint delays them, and with small ones the pages that every commit changes are written
/// too often.
pub(super) const CHECKPOINT_PAGES: i64 = 512;
/// How long commits gather before the log's size is checked.
const GATHER_TIME: Duration = Duration::from_millis(50);
/// The number of pages that may be left to the writer, whose commits wait for them.
const REST_PAGES: i64 = 128;
/// The number of attempts to leave the writer no more than that.
const PASSES: usize = 8;
/// A longer log is restarted although handlers read in it. While one does, no part of the log can be reused.
const LOG_LIMIT_PAGES: i64 = 32_768;
/// How long these readers then have to finish.
const READERS_TIME: Duration = Duration::from_secs(1);
/// The time between two attempts to restart the log. It doubles after each failure, since another reader may be slow.
const RESTART_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time between two attempts to restart the log.
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

/// Lets the writer check the clock after it was set back, even if there is nothing else to write.
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

/// Finds out when an unreachable store is reachable again: it reads, and makes a commit that changes nothing.
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

/// Moves the write-ahead log into the store when it has grown, so that no commit has to. Most of it is done
/// concurrently with the writer, which then does the small rest and restarts the log.
pub(super) async fn checkpoint(commands: WeakQueue<Command>, shared: Arc<EngineState>, store: PathBuf) {
    let (mut kept, mut is_left) = (None, false);
    let (mut restart_at, mut interval) = (Instant::now(), RESTART_INTERVAL);
    loop {
        let has_committed = tokio::time::timeout(CHECK_INTERVAL, shared.committed.notified()).await.is_ok();
        if commands.strong_count() == 0 {
            return;
        }
        if !has_committed && !is_left {
            continue;
        }
        tokio::time::sleep(GATHER_TIME).await;
        let (path, connection, state) = (store.clone(), kept.take(), Arc::clone(&shared));
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
                kept = Some(connection);
                is_left = has_grown;
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
                is_left = true;
                continue;
            }
            // A write that failed may seem to succeed the next time: nothing can be trusted.
            Ok(Err(error)) => return shared.fail(error.to_string()),
            Err(error) => return shared.fail(format!("a checkpoint did not finish: {error}")),
        }
        if is_left {
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
        // Otherwise the writer would have to do the part that could not be done before.
        checkpoint_log(&schema::open_checkpointer(&path)?, &state.store)?;
        Ok::<_, StoreError>(pause)
    });
    let ended = |error| EngineError::Aborted(format!("a checkpoint did not finish: {error}"));
    let pause = checkpointed.await.map_err(ended)??;
    let Some(commands) = commands.upgrade() else { return Ok(()) };
    let (restarted, begun) = oneshot::channel();
    if commands.send(Command::Checkpoint { restart_log: Some(restarted) }).await.is_ok() {
        // The wait ends with the writer at the latest.
        drop(begun.await);
    }
    drop(pause);
    Ok(())
}

/// Checkpoints what there is and what is added in the meantime, until little is left or it does not get less because
/// of a reader. The store is synced here. SQLite syncs it only when nothing is left, so all of it would be the
/// writer's part.
fn checkpoint_log(connection: &Connection, store: &File) -> Result<(), StoreError> {
    let mut before = i64::MAX;
    for _ in 0..PASSES {
        schema::checkpoint(connection, "PASSIVE")?;
        store.sync_data()?;
        let left = schema::log_pages(connection)?.outstanding;
        if left <= REST_PAGES || left >= before {
            break;
        }
        before = left;
    }
    Ok(())
}

/// Deletes events that the retention rules do not keep, in small steps with room for other changes between them.
pub(super) async fn compact(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    if !shared.settings.retention.is_limited() {
        return;
    }
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
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
