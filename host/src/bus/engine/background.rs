//! Background tasks, which end with the bus: they append due events to the log, check whether the clock was set back,
//! probe an unreachable store, and delete old events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::command::Command;
use super::engine_state::EngineState;
use super::store::read_rows;
use crate::bus::group_commit::WeakQueue;

/// How often the tasks poll for changes that send no notification, such as those of the clock.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Appends scheduled events to the log when they are due. It checks the time at least once a second, because the clock
/// may be set.
pub(super) async fn append_due(commands: WeakQueue<Command>, shared: Arc<EngineState>) {
    let mut next = shared.next_scheduled.subscribe();
    loop {
        let due = *next.borrow_and_update();
        let wait = due.map_or(Duration::from_hours(1), |due| due.since(shared.clock.now()).min(Duration::from_secs(1)));
        if due.is_some_and(|due| due <= shared.clock.now()) {
            let Some(commands) = commands.upgrade() else { return };
            if commands.send(Command::AppendDue).await.is_err() {
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
        let read = tokio::task::spawn_blocking(move || read_rows(&*state.readers, |rows| rows.log())).await;
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
                Ok(Ok(step)) if step.examined > 0 => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => break,
            }
        }
    }
}
