//! The one thread that writes.
//!
//! It takes what waits, applies it in one transaction, commits with one fsync, and only then answers and
//! lets others see the result. While a commit is on its way to the disk the next one gathers: the slower
//! the disk, the larger the group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::batch::{Batch, CursorMove, Refused, answer};
use super::command::{Command, Settled, Settlement, refuse};
use super::progress::{Progress, Subscription};
use super::retry::{self, Next};
use super::rows::{self, Attempt, DeadLetterFilter};
use super::{Accepted, CommitError, Shared, StoreError};
use crate::clock::Timestamp;
use crate::event::{Event, Logged, Position};
use crate::outcome::{Effects, Failure, Outcome, Publish, SubscriptionChange, Version, Write};
use crate::subscription::{Definition, RetryPolicy, SubscriptionId};

/// The most changes that share one commit.
const BATCH_LIMIT: usize = 512;
/// The most scheduled events that enter the log with one commit.
const PROMOTE_LIMIT: usize = 256;
/// The most subscriptions that one plugin may make at run time.
const DYNAMIC_LIMIT: usize = 1_000;

/// A key of the state, and the value that it gets; none deletes it.
type NewValue = (String, Option<Vec<u8>>);

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    subscriptions: HashMap<i64, Arc<Subscription>>,
    /// Which subscriptions take an event type, for the types seen lately.
    takers: HashMap<String, Arc<[Arc<Subscription>]>>,
    next_position: u64,
    next_version: u64,
    has_scheduled: bool,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self, StoreError> {
        let Version(next_version) = rows::first_version(&connection)?;
        let subscriptions = shared.subscriptions().values().map(|one| (one.number, Arc::clone(one))).collect();
        let Position(head) = shared.head();
        let has_scheduled = rows::next_scheduled(&connection)?.is_some();
        Ok(Self {
            connection,
            shared,
            commands,
            subscriptions,
            takers: HashMap::new(),
            next_position: head + 1,
            next_version,
            has_scheduled,
        })
    }

    /// Runs until it is closed or the store fails. Returns the failure.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        while let Some(first) = self.commands.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_LIMIT
                && let Ok(next) = self.commands.try_recv()
            {
                batch.push(next);
            }
            let closing = batch.iter().any(|command| matches!(command, Command::Close));
            let checkpoint = batch.iter().any(|command| matches!(command, Command::Checkpoint));
            self.commit(batch)?;
            if closing {
                // All in one file, for whoever copies it.
                return self.checkpoint("TRUNCATE");
            }
            if checkpoint {
                self.checkpoint("PASSIVE")?;
            }
        }
        Ok(())
    }

    /// Folds the write-ahead log into the store, so that the next write begins it anew. Readers that hold
    /// an old snapshot, or a full disk, keep it from that, which is no error: the next time will do.
    fn checkpoint(&self, mode: &str) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
        match statement.query_row([], |_| Ok(())) {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DiskFull) =>
            {
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// Applies commands in one transaction. A full disk refuses them all; any other failure of the store
    /// is returned, and must end the process's acknowledging.
    fn commit(&mut self, commands: Vec<Command>) -> Result<(), StoreError> {
        let mut batch = Batch::new(self.shared.clock.now());
        match self.apply_all(commands, &mut batch) {
            Ok(moves) => {
                self.publish_results(&mut batch, moves);
                batch.reply(&Ok(()));
                Ok(())
            }
            Err(error) => {
                // What was numbered in this batch was not stored, and is numbered again.
                self.next_position = self.shared.head().0 + 1;
                let refusal =
                    if error.is_disk_full() { CommitError::DiskFull } else { CommitError::Closed(error.to_string()) };
                batch.reply(&Err(refusal));
                if error.is_disk_full() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn apply_all(&mut self, commands: Vec<Command>, batch: &mut Batch) -> Result<Vec<CursorMove>, StoreError> {
        // Dropping the handle below on an error rolls the transaction back, since it was not committed.
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let result = self.apply_each(commands, batch).and_then(|()| self.move_cursors(batch)).and_then(|moves| {
            self.connection.execute_batch("COMMIT")?;
            Ok(moves)
        });
        if result.is_err() && !self.connection.is_autocommit() {
            // The error that led here is the one to report, whether or not the rollback succeeds.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        result
    }

    fn apply_each(&mut self, commands: Vec<Command>, batch: &mut Batch) -> Result<(), StoreError> {
        // Even when one fails, the others must be in the batch, so that they are answered.
        let mut failure = None;
        for command in commands {
            if failure.is_some() {
                batch.replies.extend(refuse(command));
            } else if let Err(error) = self.apply(command, batch) {
                failure = Some(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn apply(&mut self, command: Command, batch: &mut Batch) -> Result<(), StoreError> {
        match command {
            Command::Publish { events, reply } => answer(batch, reply, |batch| self.publish(events, batch)),
            Command::Settle { settlement, reply } => answer(batch, reply, |batch| self.settle(*settlement, batch)),
            Command::Commit { plugin, effects, reply } => {
                answer(batch, reply, |batch| self.apply_effects(&plugin, *effects, batch))
            }
            Command::Declare { plugin, definitions, reply } => {
                answer(batch, reply, |batch| self.declare(&plugin, definitions, batch))
            }
            Command::Delete { id, reply } => answer(batch, reply, |batch| self.delete(&id, batch)),
            Command::Redrive { filter, limit, reply } => {
                answer(batch, reply, |batch| self.redrive(&filter, limit, batch))
            }
            Command::Drop { filter, limit, reply } => {
                answer(batch, reply, |_| Ok(rows::exhume(&self.connection, &filter, limit)?.len()))
            }
            Command::Promote => self.promote(batch),
            Command::Checkpoint | Command::Close => Ok(()),
        }
    }

    fn publish(&mut self, events: Vec<Publish>, batch: &mut Batch) -> Result<Vec<Accepted>, Refused> {
        let mut accepted = Vec::with_capacity(events.len());
        for Publish { event, due } in events {
            let id = event.id.clone();
            let stored = self.store_event(event, due, batch)?;
            accepted.push(Accepted { id, duplicate: !stored });
        }
        Ok(accepted)
    }

    /// Appends or schedules an event. Returns whether it is new.
    fn store_event(&mut self, event: Event, due: Option<Timestamp>, batch: &mut Batch) -> Result<bool, StoreError> {
        match due {
            Some(due) if due > batch.now => {
                if rows::identity_is_logged(&self.connection, &event)? {
                    return Ok(false);
                }
                batch.rescheduled = true;
                rows::schedule(&self.connection, due, &event)
            }
            _ if (self.has_scheduled || batch.rescheduled)
                && rows::identity_is_scheduled(&self.connection, &event)? =>
            {
                Ok(false)
            }
            _ => self.append(event, batch),
        }
    }

    fn append(&mut self, event: Event, batch: &mut Batch) -> Result<bool, StoreError> {
        let type_number = self.type_number(&event.event_type, batch)?;
        let position = Position(self.next_position);
        if !rows::append_event(&self.connection, position, type_number, &event, batch.now)? {
            return Ok(false);
        }
        self.next_position += 1;
        batch.appended.push(Logged { position, stored_at: batch.now, event: Arc::new(event) });
        Ok(true)
    }

    fn type_number(&self, name: &str, batch: &mut Batch) -> Result<i64, StoreError> {
        let known = self.shared.types().number(name);
        let new = || batch.types.iter().find(|(_, other)| other == name).map(|(number, _)| *number);
        if let Some(number) = known.or_else(new) {
            return Ok(number);
        }
        let count = self.shared.types().count() + batch.types.len();
        let number = rows::signed(count as u64 + 1);
        rows::add_type(&self.connection, number, name)?;
        batch.types.push((number, name.to_owned()));
        Ok(number)
    }

    /// Lets scheduled events that are due into the log.
    fn promote(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.rescheduled = true;
        for event in rows::take_scheduled(&self.connection, batch.now, PROMOTE_LIMIT)? {
            self.append(event, batch)?;
        }
        Ok(())
    }

    fn settle(&mut self, settlement: Settlement, batch: &mut Batch) -> Result<Settled, Refused> {
        let Settlement { subscription, position, outcome, effects, digest, jitter } = settlement;
        let (claimed, retry) = {
            let progress = subscription.progress();
            let claimed = progress.claimed.get(&position).filter(|_| !progress.deleted).cloned();
            (claimed.ok_or(CommitError::NotOpen)?, progress.definition.retry.clone())
        };
        let attempt = claimed.attempts + 1;
        let settled = match outcome {
            Outcome::Ack => {
                if let Some((plugin, effects)) = effects {
                    self.apply_effects(&plugin, effects, batch)?;
                }
                if claimed.has_row {
                    rows::delete_pending(&self.connection, subscription.number, position)?;
                }
                Settled::Handled
            }
            Outcome::Retry { after, failure } => {
                let next = retry::next(&retry, attempt, after, jitter);
                self.fail(&subscription, position, (attempt, failure), next, digest, batch)?
            }
            Outcome::Reject(failure) => {
                self.fail(&subscription, position, (attempt, failure), Next::DeadLetter, digest, batch)?
            }
        };
        if !claimed.has_row {
            let number = subscription.number;
            batch.fresh.entry(number).or_insert_with(|| (Arc::clone(&subscription), Vec::new())).1.push(position);
        }
        batch.settled.push((subscription, position, settled));
        Ok(settled)
    }

    /// Writes down a failed attempt: another one later, or a dead letter.
    fn fail(
        &self,
        subscription: &Subscription,
        position: Position,
        (attempt, failure): (u32, Failure),
        next: Next,
        digest: Option<String>,
        batch: &Batch,
    ) -> Result<Settled, StoreError> {
        let number = subscription.number;
        let mut history = rows::history(&self.connection, number, position)?;
        history.push(Attempt { attempt, at: batch.now, cause: failure.cause, reason: failure.reason, digest });
        match next {
            Next::Attempt(delay) => {
                let due = batch.now.after(delay);
                rows::put_pending(&self.connection, number, position, attempt, due, &history)?;
                Ok(Settled::Waiting(due))
            }
            Next::DeadLetter => {
                rows::delete_pending(&self.connection, number, position)?;
                rows::bury(&self.connection, number, position, &history, batch.now)?;
                Ok(Settled::Dead)
            }
        }
    }

    /// Applies what an invocation asked for, if what it has read is still so. Everything is checked
    /// before anything is written, since other changes share the transaction.
    fn apply_effects(&mut self, plugin: &str, effects: Effects, batch: &mut Batch) -> Result<(), Refused> {
        self.check_reads(plugin, &effects)?;
        let values = self.new_values(plugin, &effects)?;
        self.check_subscriptions(plugin, &effects, batch)?;

        for (key, value) in values {
            match value {
                Some(value) => {
                    rows::set_state(&self.connection, plugin, &key, &value, Version(self.next_version))?;
                    self.next_version += 1;
                }
                None => rows::delete_state(&self.connection, plugin, &key)?,
            }
        }
        for change in effects.subscriptions {
            self.change_subscription(plugin, change, batch)?;
        }
        for Publish { event, due } in effects.publishes {
            self.store_event(event, due, batch)?;
        }
        Ok(())
    }

    fn check_reads(&self, plugin: &str, effects: &Effects) -> Result<(), Refused> {
        for (key, version) in &effects.reads.keys {
            if rows::state_version(&self.connection, plugin, key)? != *version {
                return Err(CommitError::Conflict(key.clone()).into());
            }
        }
        if let Some(listing) = effects.reads.listing
            && rows::state_listing(&self.connection, plugin)? != listing
        {
            return Err(CommitError::Conflict("the set of keys".to_owned()).into());
        }
        Ok(())
    }

    fn new_values(&self, plugin: &str, effects: &Effects) -> Result<Vec<NewValue>, Refused> {
        let mut values = Vec::with_capacity(effects.writes.len());
        for (key, write) in &effects.writes {
            let value = match write {
                Write::Set(value) => Some(value.clone()),
                Write::Delete => None,
                Write::Add(delta) => {
                    let (present, _) = rows::state_value(&self.connection, plugin, key)?;
                    let sum = crate::outcome::add(present.as_deref(), *delta);
                    Some(sum.ok_or_else(|| CommitError::NotANumber(key.clone()))?.to_string().into_bytes())
                }
            };
            values.push((key.clone(), value));
        }
        Ok(values)
    }

    fn check_subscriptions(&self, plugin: &str, effects: &Effects, batch: &Batch) -> Result<(), Refused> {
        if effects.subscriptions.is_empty() {
            return Ok(());
        }
        let here = self.subscriptions.values().chain(&batch.added);
        let count = here.filter(|one| one.dynamic && one.id.owner == plugin).count();
        if count + effects.subscriptions.len() > DYNAMIC_LIMIT {
            return Err(CommitError::TooManySubscriptions(DYNAMIC_LIMIT).into());
        }
        Ok(())
    }

    fn find(&self, id: &SubscriptionId, batch: &Batch) -> Option<Arc<Subscription>> {
        let deleted = |one: &Arc<Subscription>| batch.deleted.iter().any(|gone| gone.number == one.number);
        let mut all = self.subscriptions.values().chain(&batch.added);
        all.find(|one| one.id == *id && !deleted(one)).cloned()
    }

    fn change_subscription(
        &self,
        plugin: &str,
        change: SubscriptionChange,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let id = |name| SubscriptionId { owner: plugin.to_owned(), name };
        match change {
            SubscriptionChange::Subscribe { name, pattern, target } => {
                let definition = Definition {
                    pattern,
                    target,
                    concurrency: self.shared.defaults.concurrency,
                    ordering_key: None,
                    retry: RetryPolicy::default(),
                    timeout: self.shared.defaults.timeout,
                };
                self.put_subscription(id(name), true, definition, batch)
            }
            SubscriptionChange::Unsubscribe { name } => {
                if let Some(subscription) = self.find(&id(name), batch).filter(|one| one.dynamic) {
                    rows::delete_subscription(&self.connection, subscription.number)?;
                    batch.deleted.push(subscription);
                }
                Ok(())
            }
        }
    }

    /// Makes a subscription from the events that come after, or gives the one of this name new rules.
    fn put_subscription(
        &self,
        id: SubscriptionId,
        dynamic: bool,
        definition: Definition,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if let Some(present) = self.find(&id, batch) {
            rows::redefine_subscription(&self.connection, present.number, &definition)?;
            batch.redefined.push((present, definition));
            return Ok(());
        }
        let cursor = Position(self.next_position - 1);
        let number = rows::add_subscription(&self.connection, &id, dynamic, &definition, cursor)?;
        batch.added.push(Subscription::new(number, id, dynamic, Progress::new(definition, cursor, cursor, 0)));
        Ok(())
    }

    /// Takes over what a generation declares. What it no longer declares is paused and kept, and named.
    fn declare(
        &mut self,
        plugin: &str,
        definitions: Vec<(String, Definition)>,
        batch: &mut Batch,
    ) -> Result<Vec<SubscriptionId>, Refused> {
        let owned: Vec<_> =
            self.subscriptions.values().filter(|one| one.id.owner == plugin && !one.dynamic).cloned().collect();
        let mut orphans = Vec::new();
        for subscription in owned {
            let declared = definitions.iter().any(|(name, _)| *name == subscription.id.name);
            let reason = (!declared).then(|| "the plugin no longer declares it".to_owned());
            if !declared {
                orphans.push(subscription.id.clone());
            }
            rows::pause_subscription(&self.connection, subscription.number, reason.as_deref())?;
            batch.pauses.push((subscription, reason));
        }
        for (name, definition) in definitions {
            let id = SubscriptionId { owner: plugin.to_owned(), name };
            self.put_subscription(id, false, definition, batch)?;
        }
        Ok(orphans)
    }

    fn delete(&self, id: &SubscriptionId, batch: &mut Batch) -> Result<(), Refused> {
        let subscription = self.find(id, batch).ok_or_else(|| CommitError::NotFound(format!("subscription `{id}`")))?;
        rows::delete_subscription(&self.connection, subscription.number)?;
        batch.deleted.push(subscription);
        Ok(())
    }

    fn redrive(&self, filter: &DeadLetterFilter, limit: usize, batch: &mut Batch) -> Result<usize, Refused> {
        let exhumed = rows::exhume(&self.connection, filter, limit)?;
        for (number, position) in &exhumed {
            rows::put_pending(&self.connection, *number, *position, 0, batch.now, &[])?;
            if let Some(subscription) = self.subscriptions.get(number) {
                batch.due.push((Arc::clone(subscription), batch.now, 1));
            }
        }
        Ok(exhumed.len())
    }

    /// Moves the cursors of the subscriptions whose first attempts were settled in this batch.
    fn move_cursors(&self, batch: &Batch) -> Result<Vec<CursorMove>, StoreError> {
        let mut moves = Vec::with_capacity(batch.fresh.len());
        for (subscription, positions) in batch.fresh.values() {
            let Some((cursor, holes)) = subscription.progress().advance(positions) else { continue };
            for position in &holes {
                rows::put_pending(&self.connection, subscription.number, *position, 0, Timestamp(0), &[])?;
            }
            rows::move_cursor(&self.connection, subscription.number, cursor)?;
            moves.push(CursorMove { subscription: Arc::clone(subscription), cursor, holes });
        }
        Ok(moves)
    }

    /// Lets everybody see what has been committed.
    fn publish_results(&mut self, batch: &mut Batch, moves: Vec<CursorMove>) {
        self.shared.add_types(std::mem::take(&mut batch.types));
        self.change_subscriptions(batch);
        for CursorMove { subscription, cursor, holes } in moves {
            subscription.progress().advanced(cursor, &holes);
        }
        for (subscription, position, settled) in batch.settled.drain(..) {
            let mut progress = subscription.progress();
            progress.claimed.remove(&position);
            match settled {
                Settled::Handled | Settled::Dead => progress.backlog = progress.backlog.saturating_sub(1),
                Settled::Waiting(due) => progress.row_is_due(due),
            }
            drop(progress);
            subscription.wake.notify_one();
        }
        for (subscription, due, count) in batch.due.drain(..) {
            let mut progress = subscription.progress();
            progress.backlog += count;
            progress.row_is_due(due);
            drop(progress);
            subscription.wake.notify_one();
        }
        self.offer(std::mem::take(&mut batch.appended));
        if batch.rescheduled {
            self.reschedule();
        }
    }

    fn change_subscriptions(&mut self, batch: &mut Batch) {
        let changed = !(batch.added.is_empty() && batch.deleted.is_empty() && batch.redefined.is_empty());
        for subscription in batch.added.drain(..) {
            self.subscriptions.insert(subscription.number, subscription);
        }
        for (subscription, definition) in batch.redefined.drain(..) {
            self.redefine(&subscription, definition);
            subscription.wake.notify_one();
        }
        for (subscription, reason) in batch.pauses.drain(..) {
            subscription.progress().paused = reason;
            subscription.wake.notify_one();
        }
        for subscription in batch.deleted.drain(..) {
            subscription.progress().deleted = true;
            self.subscriptions.remove(&subscription.number);
            subscription.wake.notify_one();
        }
        if changed {
            self.takers.clear();
            self.shared.set_subscriptions(self.subscriptions.values().cloned());
        }
    }

    /// Gives a subscription new rules. With a new pattern, what waits and no longer matches is let go, and
    /// what lies in the log past what was offered is read by the new pattern.
    fn redefine(&self, subscription: &Subscription, definition: Definition) {
        let mut progress = subscription.progress();
        let same_pattern = progress.definition.pattern == definition.pattern;
        progress.definition = Arc::new(definition);
        if same_pattern {
            return;
        }
        let pattern = progress.definition.pattern.clone();
        progress.ready.retain(|logged| pattern.matches(&logged.event.event_type));
        // A wrong count would only show in the metrics, and an error of the store shows at the next write.
        let rows = rows::count_pending(&self.connection, subscription.number).unwrap_or(0);
        let unread = self
            .shared
            .types()
            .matching(&pattern)
            .into_iter()
            .map(|number| rows::count_of_type_after(&self.connection, number, progress.offered).unwrap_or(0));
        let unread: u64 = if progress.is_behind() { unread.sum() } else { 0 };
        let claimed = progress.claimed.values().filter(|claimed| !claimed.has_row).count();
        progress.backlog = rows + unread + (progress.ready.len() + claimed) as u64;
    }

    fn offer(&mut self, appended: Vec<Logged>) {
        let Some(last) = appended.last().map(|logged| logged.position) else { return };
        for logged in appended {
            for subscription in self.takers_of(&logged.event.event_type).iter() {
                subscription.progress().offer(&logged);
                subscription.wake.notify_one();
            }
        }
        // Readers of the log go no further than this: what lies before it has been offered.
        self.shared.head.store(last.0, Ordering::Release);
    }

    fn takers_of(&mut self, event_type: &str) -> Arc<[Arc<Subscription>]> {
        /// Types are few in practice; a flood of them must not fill the memory.
        const KNOWN_LIMIT: usize = 4_096;
        if let Some(takers) = self.takers.get(event_type) {
            return Arc::clone(takers);
        }
        if self.takers.len() >= KNOWN_LIMIT {
            self.takers.clear();
        }
        let matching = self.subscriptions.values().filter(|one| one.progress().definition.pattern.matches(event_type));
        let takers: Arc<[_]> = matching.cloned().collect();
        self.takers.insert(event_type.to_owned(), Arc::clone(&takers));
        takers
    }

    fn reschedule(&mut self) {
        // An error here would show at the next write as well; until then the former time stands.
        if let Ok(next) = rows::next_scheduled(&self.connection) {
            self.has_scheduled = next.is_some();
            self.shared.next_scheduled.send_replace(next);
        }
    }
}
