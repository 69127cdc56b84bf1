//! The only thread that writes.
//!
//! It takes the changes that wait, applies them in one transaction, and commits them durably. Only then does it make
//! the changes visible and reply. While a commit is on its way to the store, the next group gathers: the slower the
//! store, the larger the group.
//!
//! Each submodule implements one kind of change: what it does in the transaction, and the update of memory after the
//! commit, which makes the change visible ([`after_commit`]).

mod after_commit;
mod batch;
mod clock;
mod cursors;
mod dead_letters;
mod deliveries;
mod drains;
mod duplicates;
mod effects;
mod endpoints;
mod events;
mod matching;
mod notifications;
mod redefining;
mod replays;
mod retention;
mod schedules;
mod subscriptions;
mod totals;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::command::{Command, FollowUp};
use super::engine_state::EngineState;
use super::feed_state::FeedState;
use super::store::{GroupNeeds, Log, Maintenance, WriterConnection};
use super::usage::StoreUsage;
use crate::bus::group_commit::{ChangeReceiver, Group};
use crate::bus::{CommitError, StoreError, StoreErrorKind};
use crate::clock::Timestamp;
use crate::outcome::Version;
use after_commit::{AfterCommit as _, AfterCommitContext};
use batch::{Batch, apply_and_notify, apply_and_reply};
use matching::MatchCache;

pub(super) struct Writer {
    rows: Box<dyn WriterConnection>,
    shared: Arc<EngineState>,
    /// The feeds, by number.
    feeds: HashMap<i64, Arc<FeedState>>,
    /// The subscriptions that match the event types seen recently.
    matches: MatchCache,
    log: Log,
    usage: StoreUsage,
    next_type: i64,
    /// The time of the last commit. Before the first one, the time of the newest event.
    last_commit_at: Timestamp,
    next_version: u64,
    has_scheduled: bool,
    /// Whether a duplicate with other content was reported since the start.
    has_reported_duplicate: bool,
    /// Replays that have no deliveries left, which [`Writer::delete_finished_replays`] deletes.
    finished_replays: Vec<Arc<FeedState>>,
}

impl Writer {
    pub(super) fn new(rows: Box<dyn WriterConnection>, shared: Arc<EngineState>) -> Result<Self, StoreError> {
        let Version(next_version) = rows.first_version()?;
        let feeds = shared.feeds().iter().map(|one| (one.number, Arc::clone(one))).collect();
        let log = rows.log()?;
        let has_scheduled = rows.has_scheduled()?;
        let matches = MatchCache::new();
        let (last_commit_at, finished_replays) = (log.newest, Vec::new());
        let next_type = shared.types().next();
        let usage = totals::load_usage(&*rows, &shared)?;
        let mut writer = Self {
            rows,
            shared,
            feeds,
            matches,
            log,
            usage,
            next_type,
            last_commit_at,
            next_version,
            has_scheduled,
            has_reported_duplicate: false,
            finished_replays,
        };
        let replays: Vec<_> = writer.feeds.values().filter(|one| one.replay.is_some()).cloned().collect();
        replays.iter().for_each(|replay| writer.note_finished_replay(replay));
        writer.delete_finished_replays()?;
        Ok(writer)
    }

    /// Runs until the bus is closed or the store fails. Returns the failure.
    pub(super) fn run(mut self, mut waiting: ChangeReceiver<Command>) -> Result<(), StoreError> {
        let mut follow_up = FollowUp::default();
        while let Some(group) = waiting.blocking_group() {
            self.commit(group, &mut follow_up)?;
            if follow_up.close && waiting.is_empty() {
                return self.rows.maintain(Maintenance::Close);
            }
            if let Some(task) = follow_up.maintenance.take() {
                self.rows.maintain(task)?;
            }
            for done in follow_up.maintained.drain(..) {
                // The requester may have given up.
                let _ = done.send(());
            }
        }
        Ok(())
    }

    /// Applies a group of changes in one transaction. If the store is full or unreachable, all of them are refused. A
    /// fatal failure is returned: the process must acknowledge nothing more.
    fn commit(&mut self, group: Group<'_, Command>, follow_up: &mut FollowUp) -> Result<(), StoreError> {
        let mut batch = Batch::new(self.shared.clock.now(), self.log);
        match self.apply_group(group, follow_up, &mut batch) {
            Ok(()) => {
                if batch.changes_store {
                    self.pass_crash_point(true, batch.commits_effects)?;
                }
                self.apply_after_commit(&mut batch);
                batch.windows.clear_flags(true);
                let ended = self.delete_finished_replays();
                batch.reply(&Ok(()));
                ended
            }
            Err(GroupError { error, is_in_doubt }) => {
                self.shared.note_outage(&error);
                batch.windows.clear_flags(false);
                batch.reply(&Err(if is_in_doubt { CommitError::InDoubt } else { commit_error(&error) }));
                if error.kind().is_fatal() { Err(error) } else { Ok(()) }
            }
        }
    }

    /// Applies a group and commits it. If the store must know the whole group before the transaction begins, all of
    /// its changes are collected first.
    fn apply_group(
        &mut self,
        group: Group<'_, Command>,
        follow_up: &mut FollowUp,
        batch: &mut Batch,
    ) -> Result<(), GroupError> {
        if !self.rows.needs_complete_group() {
            return self.run_transaction(group, &GroupNeeds::default(), follow_up, batch);
        }
        let group: Vec<_> = group.collect();
        let mut needs = GroupNeeds::default();
        group.iter().for_each(|command| command.add_needs(&mut needs));
        self.run_transaction(group.into_iter(), &needs, follow_up, batch)
    }

    /// Applies changes in a transaction, and commits it.
    fn run_transaction(
        &mut self,
        mut group: impl Iterator<Item = Command>,
        needs: &GroupNeeds,
        follow_up: &mut FollowUp,
        batch: &mut Batch,
    ) -> Result<(), GroupError> {
        if let Err(error) = self.rows.begin(self.shared.is_reachable(), needs) {
            group.for_each(|command| command.refuse(&commit_error(&error), follow_up));
            return Err(error.into());
        }
        let changes_before = self.rows.changes();
        let applied = self
            .follow_clock(batch)
            .and_then(|()| group.try_for_each(|command| self.apply(command, follow_up, batch)))
            .and_then(|()| self.move_cursors(batch))
            .and_then(|()| self.put_totals(batch))
            .and_then(|()| {
                batch.changes_store = self.rows.changes() != changes_before;
                if batch.changes_store { self.pass_crash_point(false, false) } else { Ok(()) }
            });
        let result = applied
            .map_err(GroupError::from)
            .and_then(|()| self.rows.commit(&|error| self.shared.note_outage(error)).map_err(GroupError::of_commit));
        if result.is_err() {
            self.rows.roll_back();
        }
        result
    }

    /// Ends the writer if a scenario simulates a crash before or after this commit. No reply is sent, as in a real
    /// crash.
    fn pass_crash_point(&self, after: bool, with_effects: bool) -> Result<(), StoreError> {
        let settings = self.shared.settings.load();
        let Some(crash_point) = &settings.crash_point else { return Ok(()) };
        let Some(file) = self.rows.file() else { return Ok(()) };
        let failed = |error| StoreError::new(StoreErrorKind::Failed, error);
        match crash_point.pass(after, file, with_effects).map_err(|error| failed(error.to_string()))? {
            true => Err(failed("a crash is simulated".to_owned())),
            false => Ok(()),
        }
    }

    fn apply(&mut self, command: Command, follow_up: &mut FollowUp, batch: &mut Batch) -> Result<(), StoreError> {
        match command {
            Command::Publish { events, is_rest, part, reply } => {
                apply_and_reply(batch, reply, |batch| self.publish(events, is_rest, part, batch))
            }
            Command::Settle { request, reply } => apply_and_notify(batch, reply, |batch| self.settle(*request, batch)),
            Command::Commit { plugin, effects, reply } => {
                batch.commits_effects = true;
                apply_and_reply(batch, reply, |batch| self.commit_effects(&plugin, *effects, batch))
            }
            Command::Reserve { plugin, name, length, reply } => {
                apply_and_reply(batch, reply, |_| self.reserve(&plugin, &name, length))
            }
            Command::Cancel { source, id, reply } => {
                apply_and_reply(batch, reply, |batch| Ok(self.cancel_scheduled(&source, &id, batch)?))
            }
            Command::Declare { plugin, declaration, reply } => {
                apply_and_reply(batch, reply, |batch| self.declare(&plugin, declaration, batch))
            }
            Command::Withdraw { plugin, reply } => {
                apply_and_reply(batch, reply, |batch| Ok(self.withdraw(&plugin, batch)?))
            }
            Command::Subscribe { id, definition, start, reply } => {
                apply_and_reply(batch, reply, |batch| self.subscribe(id, *definition, start, batch))
            }
            Command::Delete { id, reply } => apply_and_reply(batch, reply, |batch| self.delete(&id, batch)),
            Command::Pause { id, reason, reply } => {
                apply_and_reply(batch, reply, |batch| self.set_pause(&id, reason, batch))
            }
            Command::HoldEndpoint { endpoint, hold, reply } => {
                apply_and_reply(batch, reply, |batch| self.hold_endpoint(endpoint, hold, batch))
            }
            Command::Replay { id, scope, reply } => {
                apply_and_reply(batch, reply, |batch| self.replay(&id, *scope, batch))
            }
            Command::StopReplays { id, reply } => apply_and_reply(batch, reply, |batch| self.stop_replays(&id, batch)),
            Command::RetryNow { filter, reply } => {
                apply_and_reply(batch, reply, |batch| self.retry_now(&filter, batch))
            }
            Command::Drain { plugin, drained, reply } => {
                apply_and_reply(batch, reply, |batch| self.drain(&plugin, drained, batch))
            }
            Command::Redrive { filter, limit, reply } => {
                apply_and_reply(batch, reply, |batch| self.redrive(&filter, limit, batch))
            }
            Command::RedriveEdited { number, data, reply } => {
                apply_and_reply(batch, reply, |batch| self.redrive_edited(number, &data, batch))
            }
            Command::DropDeadLetters { filter, limit, reply } => {
                apply_and_reply(batch, reply, |batch| self.drop_dead_letters(&filter, limit, batch))
            }
            Command::SetGroupStatus { member, status, by, stale, reply } => {
                apply_and_reply(batch, reply, |batch| self.set_group_status(member, status, &by, &stale, batch))
            }
            Command::Compact { reply } => apply_and_reply(batch, reply, |batch| self.compact(batch)),
            Command::Spill { subscription } => self.spill(&subscription, batch),
            Command::AppendDue => self.append_due(batch),
            Command::CheckClock => Ok(()),
            Command::Maintain { task, done } => {
                follow_up.add_maintenance(task, done);
                Ok(())
            }
            Command::Close => {
                follow_up.close = true;
                Ok(())
            }
        }
    }

    /// Returns what was read after a commit, to update the memory. If the read failed, the memory no longer shows what
    /// is stored, and the bus fails: the next start reads everything again.
    fn or_fail_bus<T>(&self, read: Result<T, StoreError>) -> Option<T> {
        read.inspect_err(|error| self.shared.fail(format!("the store cannot be read after a commit: {error}"))).ok()
    }

    /// Applies the committed changes in memory, one kind of change after the other, and then wakes the tasks that wait
    /// for them.
    fn apply_after_commit(&mut self, batch: &mut Batch) {
        self.shared.committed.notify_one();
        let mut context = AfterCommitContext::new(batch.now, self.log.head);
        self.log = batch.log;
        std::mem::take(&mut batch.changes).apply(self, &mut context);
        context.end();
    }
}

/// The store failed before or during the commit of a group of changes.
struct GroupError {
    error: StoreError,
    /// Whether the group may be stored nevertheless.
    is_in_doubt: bool,
}

impl GroupError {
    /// A commit failed. After a fatal failure, nothing can tell whether it took place.
    fn of_commit(error: StoreError) -> Self {
        Self { is_in_doubt: error.kind().is_fatal(), error }
    }
}

impl From<StoreError> for GroupError {
    /// A change failed before the commit.
    fn from(error: StoreError) -> Self {
        Self { error, is_in_doubt: false }
    }
}

/// The error for changes that were not committed because the store failed.
fn commit_error(error: &StoreError) -> CommitError {
    /// When a caller may try again. Many outages, such as another process's lock on the store, are short.
    const RETRY_AFTER: Duration = Duration::from_secs(1);
    match error.kind() {
        StoreErrorKind::Full => CommitError::DiskFull,
        StoreErrorKind::Unavailable => CommitError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER },
        StoreErrorKind::Damaged | StoreErrorKind::Incompatible | StoreErrorKind::Failed => {
            CommitError::Closed(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_failed_for_good_is_in_doubt() {
        for (kind, is_in_doubt) in [
            (StoreErrorKind::Full, false),
            (StoreErrorKind::Unavailable, false),
            (StoreErrorKind::Damaged, true),
            (StoreErrorKind::Failed, true),
        ] {
            let error = || StoreError::new(kind, "a test");
            assert_eq!(GroupError::of_commit(error()).is_in_doubt, is_in_doubt, "{kind:?}");
            assert!(!GroupError::from(error()).is_in_doubt, "{kind:?}: nothing was sent to the store");
        }
    }
}
