//! The only thread that writes.
//!
//! It takes the changes that wait, applies them in one transaction, and commits with one fsync. Only then does it
//! reply and make the changes visible. While a commit is on its way to the disk, the next group gathers: the slower the
//! disk, the larger the group.
//!
//! The modules below implement the changes, one kind each: its part of the transaction, and the update of memory after
//! the commit, which makes the change visible ([`after_commit`]).

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
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::command::{Command, WriterRequests};
use super::engine_state::EngineState;
use super::error::EngineError;
use super::rows::{self, Log};
use super::schema;
use super::subscription::Subscription;
use super::usage::StoreUsage;
use crate::bus::group_commit::{ChangeReceiver, Group};
use crate::bus::{CommitError, StoreError, StoreErrorKind};
use crate::clock::Timestamp;
use crate::outcome::Version;
use after_commit::{AfterCommit as _, AfterCommitContext};
use batch::{Batch, apply_and_notify, apply_and_reply};
use matching::MatchCache;

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<EngineState>,
    /// Subscriptions and replays, by number.
    subscriptions: HashMap<i64, Arc<Subscription>>,
    /// The subscriptions that match the event types seen recently.
    matches: MatchCache,
    log: Log,
    usage: StoreUsage,
    next_type: i64,
    /// The latest time of a commit.
    last_commit_at: Timestamp,
    next_version: u64,
    has_scheduled: bool,
    /// Whether a duplicate with other content was reported since the start.
    has_reported_duplicate: bool,
    /// Replays that have no deliveries left, which [`Writer::end_replays`] deletes.
    finished_replays: Vec<Arc<Subscription>>,
}

impl Writer {
    pub(super) fn new(connection: Connection, shared: Arc<EngineState>) -> Result<Self, StoreError> {
        let Version(next_version) = rows::first_version(&connection)?;
        let subscriptions = shared.subscriptions().iter().map(|one| (one.number, Arc::clone(one))).collect();
        let log = rows::log(&connection)?;
        let has_scheduled = rows::has_scheduled(&connection)?;
        let matches = MatchCache::new();
        let (last_commit_at, finished_replays) = (log.newest, Vec::new());
        let next_type = shared.types().next();
        let usage = totals::load_usage(&connection, &shared)?;
        let mut writer = Self {
            connection,
            shared,
            subscriptions,
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
        let replays: Vec<_> = writer.subscriptions.values().filter(|one| one.replay.is_some()).cloned().collect();
        replays.iter().for_each(|replay| writer.note_finished_replay(replay));
        writer.end_replays()?;
        Ok(writer)
    }

    /// Runs until the bus is closed or the store fails. Returns the failure.
    pub(super) fn run(mut self, mut waiting: ChangeReceiver<Command>) -> Result<(), StoreError> {
        let mut requests = WriterRequests::default();
        while let Some(group) = waiting.blocking_group() {
            self.commit(group, &mut requests)?;
            if requests.close && waiting.is_empty() {
                // Empties the write-ahead log, so that a stopped host's store is a single file, which is easy to copy.
                return schema::checkpoint(&self.connection, "TRUNCATE");
            }
            if !requests.log_restarts.is_empty() {
                schema::restart_log(&self.connection)?;
                for done in requests.log_restarts.drain(..) {
                    // The requester may have given up.
                    let _ = done.send(());
                }
            } else if requests.checkpoint {
                schema::checkpoint(&self.connection, "PASSIVE")?;
            }
            requests.checkpoint = false;
        }
        Ok(())
    }

    /// Applies a group of changes in one transaction. If the store is full or unreachable, all of them are refused. A
    /// fatal failure is returned: the process must acknowledge nothing more.
    fn commit(&mut self, group: Group<'_, Command>, requests: &mut WriterRequests) -> Result<(), StoreError> {
        let mut batch = Batch::new(self.shared.clock.now(), self.log);
        requests.commits_effects = false;
        match self.apply_all(group, requests, &mut batch) {
            Ok(()) => {
                if batch.changes_store {
                    self.pass_crash_point(true, requests.commits_effects)?;
                }
                self.apply_after_commit(&mut batch);
                batch.frozen.thaw(true);
                let ended = self.end_replays();
                batch.reply(&Ok(()));
                ended
            }
            Err(error) => {
                self.shared.note_outage(&error);
                batch.frozen.thaw(false);
                batch.reply(&Err(commit_error(&error)));
                if error.kind().is_fatal() { Err(error) } else { Ok(()) }
            }
        }
    }

    fn apply_all(
        &mut self,
        mut group: Group<'_, Command>,
        requests: &mut WriterRequests,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let begun = schema::wait_for_others(&self.connection, self.shared.is_reachable())
            .and_then(|()| rows::transact(&self.connection, "BEGIN IMMEDIATE"));
        if let Err(error) = begun {
            let error = self.unless_file_removed(error);
            group.for_each(|command| command.refuse(&commit_error(&error), requests));
            return Err(error);
        }
        let changes_before = self.connection.total_changes();
        let result = self
            .follow_clock(batch)
            .and_then(|()| group.try_for_each(|command| self.apply(command, requests, batch)))
            .and_then(|()| self.move_cursors(batch))
            .and_then(|()| self.put_totals(batch))
            .and_then(|()| {
                batch.changes_store = self.connection.total_changes() != changes_before;
                if batch.changes_store { self.pass_crash_point(false, false) } else { Ok(()) }
            })
            .and_then(|()| rows::transact(&self.connection, "COMMIT"));
        if result.is_err() && !self.connection.is_autocommit() {
            // The error that led here is reported, even if the rollback fails.
            drop(rows::transact(&self.connection, "ROLLBACK"));
        }
        result
    }

    /// Ends the writer if a scenario simulates a crash before or after this commit. No reply is sent, as in a real
    /// crash.
    fn pass_crash_point(&self, after: bool, with_effects: bool) -> Result<(), StoreError> {
        let settings = self.shared.settings.load();
        let Some(crash_point) = &settings.crash_point else { return Ok(()) };
        let Some(path) = self.connection.path() else { return Ok(()) };
        match crash_point.pass(after, Path::new(path), with_effects).map_err(EngineError::File)? {
            true => Err(EngineError::Aborted("a crash is simulated".to_owned()).into()),
            false => Ok(()),
        }
    }

    /// Makes the error fatal if the store's file was removed. SQLite reports the store as unavailable, but it cannot
    /// come back.
    fn unless_file_removed(&self, error: StoreError) -> StoreError {
        match self.connection.path() {
            Some(path) if !Path::new(path).exists() => EngineError::Aborted(format!("{path} is gone: {error}")).into(),
            _ => error,
        }
    }

    fn apply(&mut self, command: Command, requests: &mut WriterRequests, batch: &mut Batch) -> Result<(), StoreError> {
        match command {
            Command::Publish { events, is_rest, part, reply } => {
                apply_and_reply(batch, reply, |batch| self.publish(events, is_rest, part, batch))
            }
            Command::Settle { request, reply } => apply_and_notify(batch, reply, |batch| self.settle(*request, batch)),
            Command::Commit { plugin, effects, reply } => {
                requests.commits_effects = true;
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
            Command::Promote => self.promote(batch),
            Command::CheckClock => Ok(()),
            Command::Checkpoint { restart_log } => {
                requests.checkpoint = true;
                requests.log_restarts.extend(restart_log);
                Ok(())
            }
            Command::Close => {
                requests.close = true;
                Ok(())
            }
        }
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

/// The error for changes that could not be committed because of a store failure.
fn commit_error(error: &StoreError) -> CommitError {
    /// A healthy process soon releases its lock on the store.
    const RETRY_AFTER: Duration = Duration::from_secs(1);
    match error.kind() {
        StoreErrorKind::Full => CommitError::DiskFull,
        StoreErrorKind::Unavailable => CommitError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER },
        StoreErrorKind::Damaged | StoreErrorKind::Incompatible | StoreErrorKind::Failed => {
            CommitError::Closed(error.to_string())
        }
    }
}
