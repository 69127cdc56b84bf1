//! The one thread that writes.
//!
//! It takes what waits, applies it in one transaction, commits with one fsync, and only then answers and
//! lets others see the result. While a commit is on its way to the disk the next one gathers: the slower
//! the disk, the larger the group.
//!
//! What each change does to the tables is in the modules below, by subject.

mod deliveries;
mod effects;
mod events;
mod retention;
mod schedules;
mod subscriptions;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::batch::{Batch, CursorMove, Redriven, answer, answer_then};
use super::command::Command;
use super::error::EngineError;
use super::held::Held;
use super::rows::{self, Log, ScheduledShare};
use super::schema;
use super::shared::Shared;
use super::subscription::Subscription;
use crate::bus::group_commit::{Group, Waiting};
use crate::bus::window::Gone;
use crate::bus::{CommitError, Settled, StoreError, StoreErrorKind};
use crate::clock::Timestamp;
use crate::event::reserved::publishing_plugin;
use crate::event::{Logged, Position};
use crate::outcome::Version;
use crate::subscription::DeadLetterPolicy;

/// A clock that goes back by no more than this is being adjusted, and not set.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    /// Subscriptions and replays, by number.
    subscriptions: HashMap<i64, Arc<Subscription>>,
    /// Which subscriptions take an event type, for the types seen lately.
    takers: HashMap<String, Arc<Takers>>,
    log: Log,
    held: Held,
    next_type: i64,
    /// The latest time that a commit was made at.
    seen: Timestamp,
    next_version: u64,
    has_scheduled: bool,
    /// Replays that have come to their end.
    ended: Vec<Arc<Subscription>>,
}

/// The subscriptions whose patterns take an event type.
#[derive(Default)]
struct Takers {
    all: Vec<Arc<Subscription>>,
    /// Whether publishers must heed the backlog of one of them.
    limited: bool,
}

/// What is asked of the writer once a commit is done, or could not even begin.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) checkpoint: bool,
    pub(super) anew: Vec<oneshot::Sender<()>>,
    pub(super) close: bool,
}

impl Writer {
    pub(super) fn new(connection: Connection, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let Version(next_version) = rows::first_version(&connection)?;
        let subscriptions = shared.subscriptions().iter().map(|one| (one.number, Arc::clone(one))).collect();
        let log = rows::log(&connection)?;
        let has_scheduled = rows::has_scheduled(&connection)?;
        let takers = HashMap::new();
        let (seen, ended) = (log.newest, Vec::new());
        let next_type = shared.types().next();
        let held = held(&connection, &shared)?;
        let mut writer = Self {
            connection,
            shared,
            subscriptions,
            takers,
            log,
            held,
            next_type,
            seen,
            next_version,
            has_scheduled,
            ended,
        };
        let replays: Vec<_> = writer.subscriptions.values().filter(|one| one.replay.is_some()).cloned().collect();
        replays.iter().for_each(|replay| writer.note_replay(replay));
        writer.end_replays()?;
        Ok(writer)
    }

    /// Runs until it is closed or the store fails. Returns the failure.
    pub(super) fn run(mut self, mut waiting: Waiting<Command>) -> Result<(), StoreError> {
        let mut asked = Asked::default();
        while let Some(group) = waiting.blocking_group() {
            self.commit(group, &mut asked)?;
            if asked.close && waiting.is_empty() {
                // All in one file, for whoever copies it.
                return schema::checkpoint(&self.connection, "TRUNCATE");
            }
            if !asked.anew.is_empty() {
                schema::begin_log_anew(&self.connection)?;
                for done in asked.anew.drain(..) {
                    // Nobody may wait any more.
                    let _ = done.send(());
                }
            } else if asked.checkpoint {
                schema::checkpoint(&self.connection, "PASSIVE")?;
            }
            asked.checkpoint = false;
        }
        Ok(())
    }

    /// Applies a group of changes in one transaction. A store that is full or cannot be reached refuses them all; a
    /// fatal failure of the store is returned, and must end the process's acknowledging.
    fn commit(&mut self, group: Group<'_, Command>, asked: &mut Asked) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        let set_back = self.seen.since(now);
        let mut batch = Batch::new(now, self.log);
        batch.set_back = (set_back > CLOCK_TOLERANCE).then_some(set_back);
        match self.apply_all(group, asked, &mut batch) {
            Ok(()) => {
                self.publish_results(&mut batch);
                batch.thaw(true);
                let ended = self.end_replays();
                batch.reply(&Ok(()));
                ended
            }
            Err(error) => {
                batch.thaw(false);
                batch.reply(&Err(refusal(&error)));
                if error.kind().is_fatal() { Err(error) } else { Ok(()) }
            }
        }
    }

    fn apply_all(
        &mut self,
        mut group: Group<'_, Command>,
        asked: &mut Asked,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if let Err(error) = rows::transact(&self.connection, "BEGIN IMMEDIATE") {
            let error = self.unless_gone(error);
            group.for_each(|command| command.refuse(&refusal(&error), asked));
            return Err(error);
        }
        let result = self
            .follow_clock(batch)
            .and_then(|()| group.try_for_each(|command| self.apply(command, asked, batch)))
            .and_then(|()| self.move_cursors(batch))
            .and_then(|()| self.put_totals(batch))
            .and_then(|()| rows::transact(&self.connection, "COMMIT"));
        if result.is_err() && !self.connection.is_autocommit() {
            // The error that led here is the one to report, whether or not the rollback succeeds.
            drop(rows::transact(&self.connection, "ROLLBACK"));
        }
        result
    }

    /// A store whose file somebody removed does not come back, though it only seems to be unavailable.
    fn unless_gone(&self, error: StoreError) -> StoreError {
        match self.connection.path() {
            Some(path) if !Path::new(path).exists() => EngineError::Aborted(format!("{path} is gone: {error}")).into(),
            _ => error,
        }
    }

    /// Attempts that wait do so for a length of time: if the clock was set back, they follow it.
    fn follow_clock(&self, batch: &Batch) -> Result<(), StoreError> {
        let Some(set_back) = batch.set_back else { return Ok(()) };
        tracing::warn!(by = %humantime::format_duration(set_back), "the clock was set back; what waits for another attempt follows it");
        rows::shift_pending(&self.connection, batch.now, set_back)?;
        rows::shift_holds(&self.connection, set_back)
    }

    fn apply(&mut self, command: Command, asked: &mut Asked, batch: &mut Batch) -> Result<(), StoreError> {
        match command {
            Command::Publish { events, goes_on, part, reply } => {
                answer(batch, reply, |batch| self.publish(events, goes_on, part, batch))
            }
            Command::Settle { attempt, reply } => answer_then(batch, reply, |batch| self.settle(*attempt, batch)),
            Command::Commit { plugin, effects, reply } => answer(batch, reply, |batch| {
                self.check_room(&effects.publishes, batch)?;
                self.apply_effects(&plugin, *effects, batch)
            }),
            Command::Reserve { plugin, name, length, reply } => {
                answer(batch, reply, |_| self.reserve(&plugin, &name, length))
            }
            Command::Cancel { source, id, reply } => {
                answer(batch, reply, |batch| Ok(self.cancel_scheduled(&source, &id, batch)?))
            }
            Command::Declare { plugin, declaration, reply } => {
                answer(batch, reply, |batch| self.declare(&plugin, declaration, batch))
            }
            Command::Withdraw { plugin, reply } => answer(batch, reply, |batch| Ok(self.withdraw(&plugin, batch)?)),
            Command::Subscribe { id, definition, start, reply } => {
                answer(batch, reply, |batch| Ok(self.put_subscription(id, true, *definition, start, batch)?))
            }
            Command::Delete { id, reply } => answer(batch, reply, |batch| self.delete(&id, batch)),
            Command::Pause { id, stop, reply } => answer(batch, reply, |batch| self.stop(&id, stop, batch)),
            Command::HoldBack { endpoint, hold, reply } => answer(batch, reply, |batch| {
                rows::put_hold(&self.connection, &endpoint, &hold, batch.now)?;
                batch.holds.push((endpoint, Some(hold)));
                Ok(())
            }),
            Command::Replay { id, start, per_second, reply } => {
                answer(batch, reply, |batch| self.replay(&id, start, per_second, batch))
            }
            Command::StopReplays { id, reply } => answer(batch, reply, |batch| self.stop_replays(&id, batch)),
            Command::Drain { plugin, drained, reply } => answer(batch, reply, |batch| {
                batch.drained = true;
                Ok(rows::set_drained(&self.connection, &plugin, drained)?)
            }),
            Command::Redrive { filter, limit, reply } => {
                answer(batch, reply, |batch| self.redrive(&filter, limit, batch))
            }
            Command::Drop { filter, limit, reply } => {
                answer(batch, reply, |batch| self.drop_dead_letters(&filter, limit, batch))
            }
            Command::Compact { reply } => answer(batch, reply, |batch| self.compact(batch)),
            Command::Hold { subscription } => self.hold(&subscription, batch),
            Command::Promote => self.promote(batch),
            Command::Look => Ok(()),
            Command::Checkpoint { anew } => {
                asked.checkpoint = true;
                asked.anew.extend(anew);
                Ok(())
            }
            Command::Close => {
                asked.close = true;
                Ok(())
            }
        }
    }

    /// Lets everybody see what has been committed.
    fn publish_results(&mut self, batch: &mut Batch) {
        self.shared.committed.notify_one();
        let head_before = self.log.head;
        self.log = batch.log;
        self.seen = batch.now;
        if let Some(set_back) = batch.set_back.take() {
            self.shared.holds.shift(set_back);
            for subscription in self.subscriptions.values() {
                subscription.progress().row_is_due(Timestamp(0));
                subscription.wake.notify_one();
            }
        }
        self.shared.add_types(std::mem::take(&mut batch.types));
        self.held.apply(&mut batch.held);
        self.held.forgotten(&batch.forgotten);
        self.shared.forget_types(&std::mem::take(&mut batch.forgotten));
        for CursorMove { subscription, cursor, holes } in batch.moves.drain(..) {
            subscription.progress().moved(cursor, holes);
            subscription.wake.notify_one();
        }
        for Redriven { subscription, position, key, held, source } in batch.redriven.drain(..) {
            let mut progress = subscription.progress();
            progress.backlog += 1;
            if let Some(plugin) = source.as_deref().and_then(|source| progress.counted(position, source)) {
                progress.flows.redriven(plugin);
            }
            match &key {
                Some(key) if held => progress.keys.hold(key),
                Some(key) => progress.keys.redriven(key, position),
                None => {}
            }
            progress.row_is_due(batch.now);
            drop(progress);
            subscription.wake.notify_one();
        }
        let mut woken = Woken::default();
        for (subscription, position, settled) in batch.settled.drain(..) {
            self.see_settled(&subscription, position, settled);
            self.note_replay(&subscription);
            woken.add(subscription);
        }
        for (subscription, position, source) in batch.dropped.drain(..) {
            let mut progress = subscription.progress();
            if let Some(plugin) = progress.counted(position, &source) {
                let gone = progress.flows.dropped(plugin);
                self.held.share(plugin).take_off(gone);
            }
        }
        for (subscription, key) in batch.unparked.drain(..) {
            subscription.progress().keys.unpark(&key);
            subscription.wake.notify_one();
        }
        for (subscription, floor, expired) in batch.expired.drain(..) {
            see_expired(&subscription, floor, expired);
            self.held.take_off(see_gone(&subscription));
            subscription.wake.notify_one();
            self.note_replay(&subscription);
        }
        self.see_holds(batch);
        self.change_subscriptions(head_before, batch);
        self.offer(&std::mem::take(&mut batch.appended), &mut woken);
        woken.wake();
        if std::mem::take(&mut batch.drained) {
            self.see_drained();
        }
        if batch.rescheduled {
            self.reschedule();
        }
    }

    fn note_replay(&mut self, subscription: &Arc<Subscription>) {
        if subscription.replay.is_some() && subscription.progress().backlog == 0 {
            self.ended.push(Arc::clone(subscription));
        }
    }

    fn offer(&mut self, appended: &[Logged], woken: &mut Woken) {
        for logged in appended {
            let plugin = publishing_plugin(&logged.event.source);
            let mut counted = 0;
            for subscription in &self.takers_of(&logged.event.event_type).all {
                let mut progress = subscription.progress();
                if progress.definition.filters.matches(&logged.event) {
                    let is_taken = progress.offer(logged);
                    if let Some(plugin) = plugin.filter(|_| is_taken) {
                        progress.flows.add(plugin, 1, 0);
                        counted += 1;
                    }
                    drop(progress);
                    woken.add(Arc::clone(subscription));
                }
            }
            if let Some(plugin) = plugin {
                self.held.share(plugin).deliveries += counted;
            }
            self.shared.replies.offer(logged);
        }
        // Readers of the log go no further than this: what lies before it has been offered.
        self.shared.head.store(self.log.head.0, Ordering::Release);
    }

    fn see_settled(&mut self, subscription: &Subscription, position: Position, settled: Settled) {
        let mut progress = subscription.progress();
        let Some(delivery) = progress.end_claim(position) else { return };
        let source = if delivery.replayed == 0 { delivery.logged.event.source.as_str() } else { "" };
        let plugin = progress.counted(position, source);
        match settled {
            Settled::Handled => {
                progress.done(&delivery, false);
                if let Some(plugin) = plugin {
                    let gone = progress.flows.handled(plugin);
                    self.held.share(plugin).take_off(gone);
                }
            }
            Settled::Dead => {
                let parks = parks(subscription, progress.definition.dead_letter_policy);
                progress.done(&delivery, parks);
                if let Some(plugin) = plugin {
                    progress.flows.buried(plugin);
                }
            }
            Settled::Waiting(due) => progress.row_is_due(due),
        }
        if progress.backlog == 0 {
            self.held.take_off(progress.flows.clamp(0));
        }
    }

    /// Writes down what the batch has changed of the whole, as its last part.
    fn put_totals(&self, batch: &mut Batch) -> Result<(), StoreError> {
        self.forget_types(batch)?;
        for (plugin, bytes) in self.held.changed_log_bytes(&batch.held) {
            rows::put_publisher(&self.connection, plugin, bytes)?;
        }
        if batch.log != self.log {
            rows::put_log(&self.connection, &batch.log)?;
        }
        Ok(())
    }

    /// The subscriptions that take a type. Replays are no part of it: they deliver what was.
    fn takers_of(&mut self, event_type: &str) -> Arc<Takers> {
        /// Types are few in practice; a flood of them must not fill the memory.
        const KNOWN_LIMIT: usize = 4_096;
        if let Some(takers) = self.takers.get(event_type) {
            return Arc::clone(takers);
        }
        if self.takers.len() >= KNOWN_LIMIT {
            self.takers.clear();
        }
        let mut takers = Takers::default();
        for subscription in self.subscriptions.values().filter(|one| one.replay.is_none()) {
            let definition = Arc::clone(&subscription.progress().definition);
            if definition.pattern.matches(event_type) {
                takers.limited |= definition.max_backlog.or(self.shared.settings.max_backlog).is_some();
                takers.all.push(Arc::clone(subscription));
            }
        }
        let takers = Arc::new(takers);
        self.takers.insert(event_type.to_owned(), Arc::clone(&takers));
        takers
    }

    fn see_drained(&self) {
        // An error here shows at the next write as well; until then the former set stands.
        if let Ok(drained) = rows::drained(&self.connection) {
            self.shared.set_drained(drained.into_iter().collect());
        }
    }

    fn reschedule(&mut self) {
        let next = rows::next_scheduled(&self.connection);
        // As above.
        if let (Ok(next), Ok(has_scheduled)) = (next, rows::has_scheduled(&self.connection)) {
            self.has_scheduled = has_scheduled;
            self.shared.next_scheduled.send_replace(next);
        }
    }
}

/// How changes are refused that a failure of the store kept from being committed.
fn refusal(error: &StoreError) -> CommitError {
    /// Others release a lock of the store soon, if they are well.
    const RETRY_AFTER: Duration = Duration::from_secs(1);
    match error.kind() {
        StoreErrorKind::Full => CommitError::DiskFull,
        StoreErrorKind::Unavailable => CommitError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER },
        StoreErrorKind::Damaged | StoreErrorKind::Incompatible | StoreErrorKind::Failed => {
            CommitError::Closed(error.to_string())
        }
    }
}

/// What is held as the store has it.
fn held(connection: &Connection, shared: &Shared) -> Result<Held, StoreError> {
    let types = shared.types();
    let mut held = Held::of_types(types.bytes());
    for (plugin, bytes) in rows::publishers(connection)? {
        held.share(&plugin).log_bytes = bytes;
    }
    for number in types.numbers.values() {
        if let Some(holder) = rows::first_holder_of(connection, *number)? {
            held.introduced(*number, &holder);
        }
    }
    for ScheduledShare { holder, event_type, count, bytes } in rows::scheduled_shares(connection)? {
        held.scheduled_bytes += bytes;
        if let Some(number) = types.number(&event_type) {
            *held.scheduled_types.entry(number).or_default() += count;
        }
        if let Some(holder) = holder {
            let share = held.share(&holder);
            share.scheduled += count;
            share.scheduled_bytes += bytes;
        }
    }
    for subscription in shared.subscriptions().iter() {
        held.add(subscription.progress().flows.held());
    }
    Ok(held)
}

/// Which plugins have fewer deliveries open than was counted, after some have gone that were not told one by one.
fn see_gone(subscription: &Subscription) -> Gone {
    let mut progress = subscription.progress();
    let backlog = progress.backlog;
    progress.flows.clamp(backlog)
}

/// Subscriptions to be woken, each once, when everything is there that they wait for.
#[derive(Default)]
struct Woken(HashMap<i64, Arc<Subscription>>);

impl Woken {
    fn add(&mut self, subscription: Arc<Subscription>) {
        self.0.entry(subscription.number).or_insert(subscription);
    }

    fn wake(self) {
        for subscription in self.0.into_values() {
            subscription.wake.notify_one();
        }
    }
}

/// Whether a dead letter keeps others waiting. A replay's belongs to its subscription, and to no order there.
fn parks(subscription: &Subscription, policy: DeadLetterPolicy) -> bool {
    subscription.replay.is_none() && policy == DeadLetterPolicy::Park
}

fn see_expired(subscription: &Subscription, floor: Position, expired: u64) {
    let mut progress = subscription.progress();
    progress.expired += expired;
    progress.backlog = progress.backlog.saturating_sub(expired);
    progress.drop_ready(|delivery| delivery.logged.position > floor);
    progress.offered = progress.offered.max(floor);
    let (id, total) = (&subscription.id, progress.expired);
    tracing::warn!(subscription = %id, expired, total, "events were deleted by the retention's rules before they were handled");
}
