//! The embedded bus: one file in the data directory, by SQLite.
//!
//! Everything that changes goes through one writer, which commits groups of changes with one fsync each and
//! answers after it ([`writer`]). Readers have connections of their own. What a subscription has ready and
//! in flight is in memory ([`progress`]), and found again from the tables after a crash.

mod batch;
mod command;
mod damage;
mod error;
mod held;
mod holds;
mod keys;
mod lock;
mod progress;
mod queue;
mod readers;
mod replies;
mod rows;
mod schema;
mod sequences;
mod subscribed;
mod timekeeper;
mod writer;
mod written;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{
    Accepted, Answer, Bus, Claim, CommitError, DeadLetter, DeadLetterFilter, HeldBack, OpenError, Replay, Reply,
    Scheduled, ScheduledCursor, Scheduling, Settings, StoreError, StoreErrorKind, Subscribed,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, IdKey, Logged, Position};
use crate::files;
use crate::outcome::{Effects, Publish, StateView};
use crate::pattern::Pattern;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};
use command::{Command, Stored};
use error::EngineError;
use holds::Holds;
use keys::Keys;
use lock::Locked;
use progress::{Progress, Stop, Subscription};
use queue::Queue;
use readers::{Readers, Snapshot};
use replies::Replies;
use sequences::Sequences;
use subscribed::Feed;
use writer::Writer;
use written::Written;

/// A store up to this size, in bytes, is checked as a whole before anything is done with it; a larger one
/// beside its work.
const CHECK_FIRST_BYTES: u64 = 32 << 20;

/// A handle on the embedded bus. It clones cheaply.
#[derive(Clone, Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    commands: Queue,
    owner: Arc<Owner>,
}

/// What ends with the bus.
#[derive(Debug)]
struct Owner {
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the bus lives, so that no other process opens the directory.
    _lock: Locked,
}

/// What the writer and the readers share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    settings: Settings,
    readers: Arc<Readers>,
    subscriptions: RwLock<Arc<Vec<Arc<Subscription>>>>,
    drained: RwLock<Arc<BTreeSet<String>>>,
    /// Counts changes of the set of subscriptions, of their rules, and of what is drained.
    changes: watch::Sender<u64>,
    types: RwLock<Types>,
    replies: Replies,
    /// What ids of published events are derived from.
    ids: IdKey,
    written: Arc<Written>,
    holds: Holds,
    sequences: Sequences,
    /// Every event up to here is durable and has been offered.
    head: AtomicU64,
    next_scheduled: watch::Sender<Option<Timestamp>>,
    /// The write-ahead log may have grown.
    committed: Notify,
    failure: watch::Sender<Option<String>>,
    /// The store's file, to be synced beside SQLite. The last to be dropped: to close a file takes all of the process's
    /// locks on it away (`fcntl_locking(2)`), SQLite's among them.
    store: File,
}

/// Event types and their numbers in the store.
#[derive(Clone, Debug, Default)]
struct Types {
    numbers: HashMap<String, i64>,
}

impl Types {
    fn number(&self, name: &str) -> Option<i64> {
        self.numbers.get(name).copied()
    }

    fn count(&self) -> usize {
        self.numbers.len()
    }

    fn bytes(&self) -> u64 {
        self.numbers.keys().map(|name| name.len() as u64).sum()
    }

    /// The number that comes after all that are given.
    fn next(&self) -> i64 {
        self.numbers.values().max().map_or(1, |last| last + 1)
    }

    fn matching(&self, pattern: &Pattern) -> Vec<i64> {
        match pattern.exact() {
            Some(name) => self.number(name).into_iter().collect(),
            None => self.numbers.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, number)| *number).collect(),
        }
    }
}

impl Shared {
    fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    /// Subscriptions and replays, by their identities.
    fn subscriptions(&self) -> Arc<Vec<Arc<Subscription>>> {
        Arc::clone(&self.subscriptions.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_subscriptions(&self, all: impl Iterator<Item = Arc<Subscription>>) {
        let all = Arc::new(sorted(all));
        *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = all;
        self.changes.send_modify(|count| *count += 1);
    }

    fn set_drained(&self, drained: BTreeSet<String>) {
        *self.drained.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(drained);
        self.changes.send_modify(|count| *count += 1);
    }

    fn types(&self) -> std::sync::RwLockReadGuard<'_, Types> {
        self.types.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_types(&self, new: Vec<(i64, String)>) {
        if !new.is_empty() {
            let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
            types.numbers.extend(new.into_iter().map(|(number, name)| (name, number)));
        }
    }

    /// Forgets types, whose numbers are in order.
    fn forget_types(&self, forgotten: &[i64]) {
        if !forgotten.is_empty() {
            let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
            types.numbers.retain(|_, number| forgotten.binary_search(number).is_err());
            if types.numbers.len() < types.numbers.capacity() / 4 {
                types.numbers.shrink_to_fit();
            }
        }
    }

    /// Notes a failure of the store. The first one is the one to tell.
    fn fail(&self, reason: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(reason);
            }
            first
        });
    }
}

fn sorted(all: impl Iterator<Item = Arc<Subscription>>) -> Vec<Arc<Subscription>> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(|one, other| one.id.cmp(&other.id).then(one.number.cmp(&other.number)));
    all
}

impl Embedded {
    /// Opens the bus in a directory, which is made if it isn't there. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the directory cannot be used, another process has it, or what is in it cannot be read.
    pub fn open(directory: &Path, clock: Clock, settings: Settings) -> Result<Self, OpenError> {
        let unusable = |error| error::unusable(directory, error);
        files::make_directory(directory).map_err(unusable)?;
        let lock = Locked::try_new(directory).map_err(unusable)?;
        let lock = lock.ok_or_else(|| error::in_use(directory))?;
        tighten(directory);
        let path = directory.join("bus.db");
        // SQLite gives what it makes beside the store the store's own permissions.
        drop(files::open_private(&path).map_err(unusable)?);
        let bus = Self::open_store(&path, lock, clock, settings).map_err(|error| error::unreadable(path, error))?;
        // A directory that was just made must outlive a power cut as well, and so must the files' names in it.
        let synced = files::sync_directory(directory);
        synced.and_then(|()| files::sync_directory(files::parent(directory))).map_err(unusable)?;
        Ok(bus)
    }

    fn open_store(path: &Path, lock: Locked, clock: Clock, settings: Settings) -> Result<Self, StoreError> {
        damage::check_log(path)?;
        let connection = schema::open(path, clock.now())?;
        let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= CHECK_FIRST_BYTES);
        if is_small {
            damage::check_store(&connection, &schema::summed())?;
        }
        rows::forget_unused_types(&connection)?;
        let types = rows::types(&connection)?.into_iter().map(|(number, name)| (name, number)).collect();
        let types = Types { numbers: types };
        let head = rows::log(&connection)?.head;
        let subscriptions = sorted(load_subscriptions(&connection, &types, head)?.into_iter());
        let next_scheduled = rows::next_scheduled(&connection)?;
        let drained = rows::drained(&connection)?.into_iter().collect();
        let holds = Holds::new(rows::holds(&connection)?);
        let store = File::options().write(true).open(path)?;

        let ids =
            if settings.repeatable_ids { IdKey::new(b"repeatable") } else { IdKey::new(&rows::secret(&connection)?) };
        let shared = Arc::new(Shared {
            clock,
            settings,
            readers: Arc::new(Readers::new(path.to_owned())),
            subscriptions: RwLock::new(Arc::new(subscriptions)),
            drained: RwLock::new(Arc::new(drained)),
            changes: watch::Sender::new(0),
            types: RwLock::new(types),
            replies: Replies::default(),
            ids,
            written: Arc::new(Written::new(head)),
            holds,
            sequences: Sequences::default(),
            head: AtomicU64::new(head.0),
            next_scheduled: watch::Sender::new(next_scheduled),
            committed: Notify::new(),
            failure: watch::Sender::new(None),
            store,
        });
        let (commands, waiting) = queue::new();
        let writer = Writer::new(connection, Arc::clone(&shared))?;
        let thread = start_writer(writer, waiting, Arc::clone(&shared))?;
        if !is_small {
            check_beside(&shared);
        }
        tokio::spawn(timekeeper::promote(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(timekeeper::watch_clock(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(timekeeper::checkpoint(commands.downgrade(), Arc::clone(&shared), path.to_owned()));
        tokio::spawn(timekeeper::compact(commands.downgrade(), Arc::clone(&shared)));
        let owner = Arc::new(Owner { writer: Mutex::new(Some(thread)), _lock: lock });
        Ok(Self { shared, commands, owner })
    }

    /// Lets in what is due by now, as the bus does by itself within a second. For those who move the clock.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn promote(&self) -> Result<(), CommitError> {
        while self.shared.next_scheduled.borrow().is_some_and(|due| due <= self.shared.clock.now()) {
            self.commands.send(Command::Promote).await.map_err(|_| self.closed())?;
            // Commands are applied in order: the answer to one that changes nothing comes after the commit.
            self.cancel("", "").await?;
        }
        Ok(())
    }

    /// When the bus will next have something to do that only time brings: a delivery that waits for another
    /// attempt, an event that comes later, a schedule.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let attempts = self.subscriptions().into_iter().filter_map(|subscription| subscription.overview().next_due);
        let waiting = attempts.filter(|due| *due < progress::HELD);
        waiting.chain(*self.shared.next_scheduled.borrow()).min()
    }

    /// Claims a delivery if there is one now. Unlike [`Subscribed::try_claim`] it also finds those that wait in
    /// the store; unlike [`Subscribed::claim`] it does not wait for one.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn claim_now(&self, subscription: &dyn Subscribed) -> Result<Option<Claim>, StoreError> {
        let all = self.shared.subscriptions();
        let Some(found) = all.iter().find(|one| one.number == subscription.number()) else { return Ok(None) };
        Feed { bus: self.clone(), subscription: Arc::clone(found) }.claim_now().await
    }

    async fn ask<T>(&self, command: impl FnOnce(command::Reply<T>) -> Command) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    fn closed(&self) -> CommitError {
        let failure = self.shared.failure.borrow().clone();
        CommitError::Closed(failure.unwrap_or_else(|| "it is shutting down".to_owned()))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            // To read on past damage would be to skip or to alter events.
            shared.readers.read(read).inspect_err(|error| {
                if error.kind() == StoreErrorKind::Damaged {
                    shared.fail(error.to_string());
                }
            })
        });
        task.await.unwrap_or_else(|error| Err(EngineError::Aborted(format!("a read did not finish: {error}")).into()))
    }
}

/// Makes what an earlier version or another program left readable private.
fn tighten(directory: &Path) {
    let path = directory.display();
    let files::Tightened { changed, refused } = files::tighten(directory);
    if changed > 0 {
        tracing::info!(%path, changed, "others could use the data directory's files; only the owner can now");
    }
    if refused > 0 {
        tracing::warn!(%path, refused, "others may use files of the data directory that belong to another user; restrict them with chmod");
    }
}

fn start_writer(writer: Writer, waiting: queue::Waiting, shared: Arc<Shared>) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name("bus-writer".to_owned()).spawn(move || {
        // A panic is a failure like any other: nothing is committed any more.
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run(waiting)));
        match run {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(error.to_string()),
            Err(_) => shared.fail("the store's writer panicked".to_owned()),
        }
    });
    Ok(thread.map_err(|error| EngineError::Aborted(format!("no thread for the writer: {error}")))?)
}

/// Checks a large store beside its work, and ends it if anything is wrong.
fn check_beside(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || {
        match shared.readers.read(|connection| damage::check_store(connection, &schema::summed())) {
            Ok(()) => tracing::debug!("the store is whole"),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                tracing::warn!(%error, "the store could not be checked; it is checked at the next start");
            }
            Err(error) => shared.fail(error.to_string()),
        }
    });
}

fn load_subscriptions(
    connection: &Connection,
    types: &Types,
    head: Position,
) -> Result<Vec<Arc<Subscription>>, StoreError> {
    let mut all = Vec::new();
    for row in rows::subscriptions(connection)? {
        let last = row.replay.map_or(head, |replay| replay.until);
        let unread = count_taken(connection, types, &row.definition, row.cursor, last)?;
        let backlog = unread + rows::count_pending(connection, row.number)?;
        let last = if unread > 0 { last } else { row.cursor };
        let mut progress = Progress::new(Arc::new(row.definition), row.cursor, last, backlog)
            .paced(row.replay.and_then(|replay| replay.per_second));
        progress.pause = row.pause;
        progress.keys = load_keys(connection, row.number)?;
        if row.replay.is_none() {
            count_flows(connection, types, row.number, &mut progress)?;
        }
        all.push(Subscription::new(row.number, row.id, row.dynamic, row.replay, progress));
    }
    Ok(all)
}

/// Counts which plugins published what a subscription has open or dead. Returns whether it did: where that is much, or
/// has to be read to be known, nothing changes.
fn count_flows(
    connection: &Connection,
    types: &Types,
    number: i64,
    progress: &mut Progress,
) -> Result<bool, StoreError> {
    /// So many deliveries are looked at.
    const LIMIT: u64 = 50_000;
    if progress.backlog > LIMIT || !progress.definition.filters.is_empty() {
        return Ok(false);
    }
    progress.flows.take();
    for (plugin, count) in rows::rows_by_plugin(connection, rows::Rows::Pending, number)? {
        progress.flows.add(&plugin, count, 0);
    }
    for (plugin, count) in rows::rows_by_plugin(connection, rows::Rows::DeadLetters, number)? {
        progress.flows.add(&plugin, 0, count);
    }
    for type_number in types.matching(&progress.definition.pattern) {
        for (plugin, count) in rows::events_by_plugin(connection, type_number, progress.cursor, progress.missed)? {
            progress.flows.add(&plugin, count, 0);
        }
    }
    progress.counted_from = Position(0);
    Ok(true)
}

fn load_keys(connection: &Connection, number: i64) -> Result<Keys, StoreError> {
    let parked = rows::parked_keys(connection, number)?.into_iter().map(Into::into).collect();
    Ok(Keys::restore(rows::stored_keys(connection, number)?, parked))
}

/// How many events after a position, up to another one, a definition takes. With filters they are read.
fn count_taken(
    connection: &Connection,
    types: &Types,
    definition: &Definition,
    after: Position,
    until: Position,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for number in types.matching(&definition.pattern) {
        if definition.filters.is_empty() {
            count += rows::count_of_type(connection, number, after, until)?;
            continue;
        }
        let mut after = after;
        loop {
            let page = rows::events_of_type(connection, number, after, progress::PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.position;
            let taken = page.iter().filter(|logged| logged.position <= until && definition.takes(&logged.event));
            count += taken.count() as u64;
        }
    }
    Ok(count)
}

impl Bus for Embedded {
    fn publish(&self, events: Vec<Publish>) -> Answer<'_, Result<Vec<Accepted>, CommitError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let begin = Command::Publish { events: events.into_iter(), goes_on: false, part: 0, reply };
            self.commands.try_send(begin).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommitError::Busy,
                mpsc::error::TrySendError::Closed(_) => self.closed(),
            })?;
            let Stored { mut accepted, mut rest } = answer.await.unwrap_or_else(|_| Err(self.closed()))?;
            while rest.len() > 0 {
                let events = std::mem::take(&mut rest);
                let stored = self.ask(|reply| Command::Publish { events, goes_on: true, part: 0, reply }).await?;
                accepted.extend(stored.accepted);
                rest = stored.rest;
            }
            Ok(accepted)
        })
    }

    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> Answer<'a, Result<(), CommitError>> {
        Box::pin(async move {
            // What was read was so at one moment; without a change nothing depends on whether it still is.
            if effects.is_empty() {
                return Ok(());
            }
            let plugin = plugin.to_owned();
            self.ask(|reply| Command::Commit { plugin, effects: Box::new(effects), reply }).await
        })
    }

    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<Reply, CommitError> {
        self.shared.replies.expect(event, pattern)
    }

    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> Answer<'a, Result<bool, CommitError>> {
        let (source, id) = (source.to_owned(), id.to_owned());
        Box::pin(self.ask(|reply| Command::Cancel { source, id, reply }))
    }

    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> Answer<'_, Result<Vec<Scheduled>, StoreError>> {
        Box::pin(self.read(move |connection| rows::scheduled_events(connection, after, limit)))
    }

    fn schedules(&self) -> Answer<'_, Result<Vec<Scheduling>, StoreError>> {
        Box::pin(self.read(rows::schedules))
    }

    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> Answer<'a, Result<Vec<SubscriptionId>, CommitError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.ask(|reply| Command::Declare { plugin, declaration, reply }))
    }

    fn withdraw<'a>(&'a self, plugin: &'a str) -> Answer<'a, Result<(), CommitError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.ask(|reply| Command::Withdraw { plugin, reply }))
    }

    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> Answer<'_, Result<(), CommitError>> {
        let definition = Box::new(definition);
        Box::pin(self.ask(move |reply| Command::Subscribe { id, definition, start, reply }))
    }

    fn delete_subscription(&self, id: SubscriptionId) -> Answer<'_, Result<(), CommitError>> {
        Box::pin(self.ask(|reply| Command::Delete { id, reply }))
    }

    fn pause(&self, id: SubscriptionId, paused: bool) -> Answer<'_, Result<(), CommitError>> {
        let stop = paused.then_some(Stop::Operator);
        Box::pin(self.ask(move |reply| Command::Pause { id, stop, reply }))
    }

    fn retire(&self, id: SubscriptionId) -> Answer<'_, Result<(), CommitError>> {
        Box::pin(self.ask(move |reply| Command::Pause { id, stop: Some(Stop::Gone), reply }))
    }

    fn hold_back(&self, endpoint: String, hold: HeldBack) -> Answer<'_, Result<(), CommitError>> {
        Box::pin(self.ask(move |reply| Command::HoldBack { endpoint, hold, reply }))
    }

    fn held_back(&self, endpoint: &str) -> Option<HeldBack> {
        self.shared.holds.get(endpoint, self.shared.clock.now())
    }

    fn replay(
        &self,
        id: SubscriptionId,
        start: Start,
        per_second: Option<NonZeroU32>,
    ) -> Answer<'_, Result<Replay, CommitError>> {
        Box::pin(self.ask(move |reply| Command::Replay { id, start, per_second, reply }))
    }

    fn stop_replays(&self, id: SubscriptionId) -> Answer<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(|reply| Command::StopReplays { id, reply }))
    }

    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> Answer<'a, Result<(), CommitError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.ask(move |reply| Command::Drain { plugin, drained, reply }))
    }

    fn drained(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.shared.drained.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> Answer<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(move |reply| Command::Redrive { filter, limit, reply }))
    }

    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> Answer<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(move |reply| Command::Drop { filter, limit, reply }))
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Answer<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(self.read(move |connection| rows::dead_letters(connection, &filter, after, limit)))
    }

    fn count_dead_letters(&self, filter: DeadLetterFilter) -> Answer<'_, Result<u64, StoreError>> {
        Box::pin(self.read(move |connection| rows::count_dead_letters(connection, &filter)))
    }

    fn compact(&self) -> Answer<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(|reply| Command::Compact { reply }))
    }

    fn state(&self, plugin: &str) -> Box<dyn StateView> {
        Box::new(Snapshot::new(Arc::clone(&self.shared), self.commands.clone(), plugin.to_owned()))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    fn subscriptions(&self) -> Vec<Arc<dyn Subscribed>> {
        let feed = |subscription: &Arc<Subscription>| -> Arc<dyn Subscribed> {
            Arc::new(Feed { bus: self.clone(), subscription: Arc::clone(subscription) })
        };
        self.shared.subscriptions().iter().map(feed).collect()
    }

    fn oldest_unhandled(&self) -> Answer<'_, Result<BTreeMap<i64, Timestamp>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.read(move |connection| subscribed::oldest_unhandled(connection, &shared)))
    }

    fn head(&self) -> Position {
        self.shared.head()
    }

    fn events(&self, before: Position, limit: usize) -> Answer<'_, Result<Vec<Logged>, StoreError>> {
        Box::pin(self.read(move |connection| rows::events_before(connection, before, limit)))
    }

    fn events_with_id(&self, id: String) -> Answer<'_, Result<Vec<Logged>, StoreError>> {
        Box::pin(self.read(move |connection| rows::events_with_id(connection, &id)))
    }

    fn failed(&self) -> Answer<'_, String> {
        Box::pin(async {
            let mut failure = self.shared.failure.subscribe();
            loop {
                if let Some(reason) = failure.borrow_and_update().clone() {
                    return reason;
                }
                if failure.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async {
            if self.commands.send(Command::Close).await.is_err() {
                return;
            }
            let thread = self.owner.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // A writer that panicked has nothing more to do; its panic was reported when it happened.
                drop(tokio::task::spawn_blocking(move || drop(thread.join())).await);
            }
        })
    }
}
