//! What the bus does by itself, in tasks that end with it: lets in what is due, keeps the write-ahead log
//! small, and deletes what is old enough.

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

/// The write-ahead log is folded into the store when it has grown by this many pages, of 4 KiB. Commits share the disk
/// with that: they wait for long where much is folded at a time, and where it is little the pages that each commit
/// changes are written often.
pub(super) const CHECKPOINT_PAGES: i64 = 512;
/// How long what is committed gathers before the log's size is looked at.
const GATHER: Duration = Duration::from_millis(50);
/// So many pages may be left to the writer, whose commits wait meanwhile.
const REST_PAGES: i64 = 128;
/// As often it is tried to leave it no more.
const PASSES: usize = 8;
/// A log that is longer is begun anew though handlers read in it: as long as one does, nothing of it can be used again.
const LOG_LIMIT_PAGES: i64 = 32_768;
/// So long they have then to come to their end.
const READERS_TIME: Duration = Duration::from_secs(1);
/// After this time it is tried again, and after twice as long if it came to nothing: somebody else may read for long.
const ANEW_EVERY: Duration = Duration::from_secs(5);
/// But after this time at the latest.
const LONGEST_PATIENCE: Duration = Duration::from_mins(5);
/// How often the log's size and age are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Lets scheduled events into the log when they are due. It looks at the time once a second at least,
/// since the clock may be set.
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
            // The commit says when the next one is due. One that fails, on a full disk, says nothing.
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

/// Has the writer look at the clock when it was set back, also if nothing else is to be written.
pub(super) async fn watch_clock(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    let mut seen = shared.clock.now();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = shared.clock.now();
        let Some(commands) = commands.upgrade() else { return };
        if now < seen && commands.send(Command::CheckClock).await.is_err() {
            return;
        }
        seen = now;
    }
}

/// Finds out that a store which could not be reached can be again: it reads, and makes a commit that changes nothing.
pub(super) async fn probe(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(commands) = commands.upgrade() else { return };
        if shared.is_reachable() {
            continue;
        }
        let beside = Arc::clone(&shared);
        let read = tokio::task::spawn_blocking(move || beside.readers.read(rows::log)).await;
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

/// Folds the write-ahead log into the store when it has grown, so that no commit waits for that by chance.
/// Most of it is done beside the writer, which goes on meanwhile; the writer then does what has been added,
/// and begins the log anew.
pub(super) async fn checkpoint(commands: WeakQueue<Command>, shared: Arc<EngineState>, store: PathBuf) {
    let (mut kept, mut is_left) = (None, false);
    let (mut anew_at, mut patience) = (Instant::now(), ANEW_EVERY);
    loop {
        let has_committed = tokio::time::timeout(LOOK, shared.committed.notified()).await.is_ok();
        if commands.strong_count() == 0 {
            return;
        }
        if !has_committed && !is_left {
            continue;
        }
        tokio::time::sleep(GATHER).await;
        let (path, connection, beside) = (store.clone(), kept.take(), Arc::clone(&shared));
        let folded = tokio::task::spawn_blocking(move || {
            let connection = connection.map_or_else(|| schema::open_checkpointer(&path), Ok)?;
            let pages = schema::log_pages(&connection)?;
            let has_grown = pages.unfolded > CHECKPOINT_PAGES;
            if has_grown {
                fold(&connection, &beside.store)?;
            }
            Ok::<_, StoreError>((connection, has_grown, pages.all > LOG_LIMIT_PAGES))
        });
        match folded.await {
            Ok(Ok((connection, has_grown, is_large))) => {
                kept = Some(connection);
                is_left = has_grown;
                if !is_large {
                    patience = ANEW_EVERY;
                } else if anew_at <= Instant::now() {
                    match restart_log(&commands, &shared, &store).await {
                        Err(error) if !(error.kind() == StoreErrorKind::Unavailable && store.exists()) => {
                            return shared.fail(error.to_string());
                        }
                        _ => {}
                    }
                    (anew_at, patience) = (Instant::now() + patience, (2 * patience).min(LONGEST_PATIENCE));
                    continue;
                }
            }
            Ok(Err(error)) if error.kind() == StoreErrorKind::Unavailable && store.exists() => {
                tracing::warn!(%error, "the write-ahead log cannot be folded now; another attempt follows");
                is_left = true;
                continue;
            }
            // What the disk has not taken now it may seem to take the next time: nothing can be trusted.
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

/// Has the write-ahead log begin anew, with no handler that reads in it.
async fn restart_log(commands: &WeakQueue<Command>, shared: &Arc<EngineState>, store: &Path) -> Result<(), StoreError> {
    let (beside, path) = (Arc::clone(shared), store.to_owned());
    let folded = tokio::task::spawn_blocking(move || {
        let pause = beside.readers.pause_snapshots(READERS_TIME);
        // What nobody could fold before would be the writer's part otherwise.
        fold(&schema::open_checkpointer(&path)?, &beside.store)?;
        Ok::<_, StoreError>(pause)
    });
    let ended = |error| EngineError::Aborted(format!("a checkpoint did not finish: {error}"));
    let pause = folded.await.map_err(ended)??;
    let Some(commands) = commands.upgrade() else { return Ok(()) };
    let (anew, begun) = oneshot::channel();
    if commands.send(Command::Checkpoint { restart_log: Some(anew) }).await.is_ok() {
        // It ends with the writer at the latest.
        drop(begun.await);
    }
    drop(pause);
    Ok(())
}

/// Folds in what there is, and what was added meanwhile, until that is little or does not get less: somebody may read
/// what was before. The store is synced here, since SQLite does so only when nothing is left to fold: all of it would be
/// the writer's part.
fn fold(connection: &Connection, store: &File) -> Result<(), StoreError> {
    let mut before = i64::MAX;
    for _ in 0..PASSES {
        schema::checkpoint(connection, "PASSIVE")?;
        store.sync_data()?;
        let left = schema::log_pages(connection)?.unfolded;
        if left <= REST_PAGES || left >= before {
            break;
        }
        before = left;
    }
    Ok(())
}

/// Deletes what the retention's rules do not keep, in small steps with room for others between them.
pub(super) async fn compact(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    if !shared.settings.retention.is_limited() {
        return;
    }
    loop {
        tokio::time::sleep(LOOK).await;
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
