//! The bus: a durable log of events, subscriptions with their cursors, retries, dead letters and
//! schedules, and the plugins' state.
//!
//! Everything that changes goes through one writer, which commits groups of changes with one fsync each
//! and answers after it ([`writer`](self)). Deliveries are claimed one by one, and settled together with
//! the effects of the invocation that handled them, in one transaction. The bus calls nobody: who wants a
//! delivery waits for it.

mod batch;
mod command;
mod error;
mod progress;
mod readers;
pub mod retry;
mod rows;
mod schema;
mod subscribed;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clock, Timestamp};
use crate::event::{Logged, Position};
use crate::outcome::{Effects, Publish, StateView};
use crate::pattern::Pattern;
use crate::subscription::{Definition, SubscriptionId};
pub use command::Settled;
use command::{Command, Reply};
pub use error::{CommitError, OpenError, StoreError};
use progress::{Progress, Subscription};
use readers::{Readers, Snapshot};
pub use rows::{Attempt, DeadLetter, DeadLetterFilter};
pub use subscribed::{Claim, Overview, Subscribed};
use writer::Writer;

/// How many changes wait for the writer before publishers are told to come back later.
const QUEUE_LIMIT: usize = 1_024;
/// The write-ahead log is folded into the store when it has grown to this many bytes.
const CHECKPOINT_BYTES: u64 = 8 << 20;

/// Rules for subscriptions that come without their own.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Deliveries in flight.
    pub concurrency: NonZeroU32,
    /// Time for one invocation.
    pub timeout: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { concurrency: NonZeroU32::new(16).expect("16 is not zero"), timeout: Duration::from_secs(10) }
    }
}

/// A publisher's receipt: the event is durable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// The event's id.
    pub id: String,
    /// Whether an event with its source and id was there already, so that this one was not stored again.
    pub duplicate: bool,
}

/// A handle on the bus. It clones cheaply.
#[derive(Clone, Debug)]
pub struct Bus {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    owner: Arc<Owner>,
}

/// What ends with the bus.
#[derive(Debug)]
struct Owner {
    writer: Mutex<Option<JoinHandle<()>>>,
    failure: watch::Receiver<Option<String>>,
    /// Held as long as the bus lives, so that no other process opens the directory.
    _lock: File,
}

/// What the writer and the readers share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    defaults: Defaults,
    readers: Arc<Readers>,
    subscriptions: RwLock<BTreeMap<SubscriptionId, Arc<Subscription>>>,
    /// Counts changes of the set of subscriptions and of their rules.
    changes: watch::Sender<u64>,
    types: RwLock<Types>,
    /// Every event up to here is durable and has been offered.
    head: AtomicU64,
    next_scheduled: watch::Sender<Option<Timestamp>>,
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

    fn subscriptions(&self) -> BTreeMap<SubscriptionId, Arc<Subscription>> {
        self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_subscriptions(&self, all: impl Iterator<Item = Arc<Subscription>>) {
        let all = all.map(|one| (one.id.clone(), one)).collect();
        *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = all;
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
}

impl Bus {
    /// Opens the bus in a directory, which is made if it isn't there. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the directory cannot be used, another process has it, or what is in it cannot be read.
    pub fn open(directory: &Path, clock: Clock, defaults: Defaults) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Directory { path: directory.to_owned(), error };
        std::fs::create_dir_all(directory).map_err(unusable)?;
        let lock = File::create(directory.join("lock")).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => OpenError::InUse { path: directory.to_owned() },
            std::fs::TryLockError::Error(error) => unusable(error),
        })?;
        let path = directory.join("bus.db");
        Self::open_store(&path, lock, clock, defaults).map_err(|error| OpenError::Store { path, error })
    }

    fn open_store(path: &Path, lock: File, clock: Clock, defaults: Defaults) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        let types = rows::types(&connection)?.into_iter().map(|(number, name)| (name, number)).collect();
        let types = Types { numbers: types };
        let head = rows::head(&connection)?;
        let subscriptions = load_subscriptions(&connection, &types, head)?;
        let next_scheduled = rows::next_scheduled(&connection)?;

        let shared = Arc::new(Shared {
            clock,
            defaults,
            readers: Arc::new(Readers::new(path.to_owned())),
            subscriptions: RwLock::new(subscriptions),
            changes: watch::Sender::new(0),
            types: RwLock::new(types),
            head: AtomicU64::new(head.0),
            next_scheduled: watch::Sender::new(next_scheduled),
        });
        let (commands, receiver) = mpsc::channel(QUEUE_LIMIT);
        let writer = Writer::new(connection, Arc::clone(&shared), receiver)?;
        let (failed, failure) = watch::channel(None);
        let thread = std::thread::Builder::new().name("bus-writer".to_owned()).spawn(move || {
            // A panic is a failure like any other: nothing is committed any more.
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run()));
            match run {
                Ok(Ok(())) => {}
                Ok(Err(error)) => drop(failed.send_replace(Some(error.to_string()))),
                Err(_) => drop(failed.send_replace(Some("the store's writer panicked".to_owned()))),
            }
        });
        let thread = thread.map_err(|error| StoreError::Damaged(format!("no thread for the writer: {error}")))?;
        tokio::spawn(keep_time(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(keep_log_small(commands.downgrade(), path.with_extension("db-wal")));
        let owner = Arc::new(Owner { writer: Mutex::new(Some(thread)), failure, _lock: lock });
        Ok(Self { shared, commands, owner })
    }

    /// Waits for the store to fail, and returns why. After that nothing is acknowledged any more, and the
    /// process must end: nobody knows what the disk holds.
    pub async fn failed(&self) -> String {
        let mut failure = self.owner.failure.clone();
        loop {
            if let Some(reason) = failure.borrow_and_update().clone() {
                return reason;
            }
            if failure.changed().await.is_err() {
                // The writer was closed in good order.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Commits what waits, folds the log into the store and ends the writer.
    pub async fn close(&self) {
        if self.commands.send(Command::Close).await.is_err() {
            return;
        }
        let thread = self.owner.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has nothing more to do; its panic was reported when it happened.
            drop(tokio::task::spawn_blocking(move || drop(thread.join())).await);
        }
    }

    /// Publishes events, all or none, and returns when they are durable.
    ///
    /// # Errors
    /// [`CommitError::Busy`] if too many changes wait already; otherwise if the store refuses.
    pub async fn publish(&self, events: Vec<Publish>) -> Result<Vec<Accepted>, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Command::Publish { events, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => self.closed(),
        })?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// Commits the effects of an invocation that handles no delivery.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the invocation must run again; otherwise if the store refuses.
    pub async fn commit(&self, plugin: &str, effects: Effects) -> Result<(), CommitError> {
        // What was read was so at one moment; without a change nothing depends on whether it still is.
        if effects.is_empty() {
            return Ok(());
        }
        let plugin = plugin.to_owned();
        self.ask(|reply| Command::Commit { plugin, effects: Box::new(effects), reply }).await
    }

    /// Takes over the subscriptions that a plugin's generation declares. Those that it no longer declares
    /// are paused, kept and returned.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn declare(
        &self,
        plugin: &str,
        definitions: Vec<(String, Definition)>,
    ) -> Result<Vec<SubscriptionId>, CommitError> {
        let plugin = plugin.to_owned();
        self.ask(|reply| Command::Declare { plugin, definitions, reply }).await
    }

    /// Deletes a subscription with its backlog and its dead letters.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    pub async fn delete_subscription(&self, id: SubscriptionId) -> Result<(), CommitError> {
        self.ask(|reply| Command::Delete { id, reply }).await
    }

    /// Turns dead letters into deliveries again, at most `limit`, and returns how many.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> Result<usize, CommitError> {
        self.ask(|reply| Command::Redrive { filter, limit, reply }).await
    }

    /// Deletes dead letters, at most `limit`, and returns how many.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> Result<usize, CommitError> {
        self.ask(|reply| Command::Drop { filter, limit, reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    fn closed(&self) -> CommitError {
        let failure = self.owner.failure.borrow().clone();
        CommitError::Closed(failure.unwrap_or_else(|| "it is shutting down".to_owned()))
    }

    /// A plugin's state as of the first read.
    #[must_use]
    pub fn state(&self, plugin: &str) -> Box<dyn StateView> {
        Box::new(Snapshot::new(Arc::clone(&self.shared.readers), plugin.to_owned()))
    }

    /// Counts changes of the set of subscriptions and of their rules.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The subscriptions that there are.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscribed> {
        let bus = || self.clone();
        self.shared.subscriptions().into_values().map(|subscription| Subscribed { bus: bus(), subscription }).collect()
    }

    /// The position of the newest event.
    #[must_use]
    pub fn head(&self) -> Position {
        self.shared.head()
    }

    /// The newest events before a position, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn events(&self, before: Position, limit: usize) -> Result<Vec<Logged>, StoreError> {
        self.read(move |connection| rows::events_before(connection, before, limit)).await
    }

    /// The events with an id; sources may share one.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn events_with_id(&self, id: String) -> Result<Vec<Logged>, StoreError> {
        self.read(move |connection| rows::events_with_id(connection, &id)).await
    }

    /// Dead letters after a number, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.read(move |connection| rows::dead_letters(connection, &filter, after, limit)).await
    }

    /// How many dead letters there are.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn count_dead_letters(&self, filter: DeadLetterFilter) -> Result<usize, StoreError> {
        self.read(move |connection| rows::count_matching_dead_letters(connection, &filter)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.shared.readers);
        let task = tokio::task::spawn_blocking(move || readers.read(read));
        task.await.unwrap_or_else(|error| Err(StoreError::Damaged(format!("a read did not finish: {error}"))))
    }
}

fn load_subscriptions(
    connection: &rusqlite::Connection,
    types: &Types,
    head: Position,
) -> Result<BTreeMap<SubscriptionId, Arc<Subscription>>, StoreError> {
    let mut all = BTreeMap::new();
    for row in rows::subscriptions(connection)? {
        let mut backlog = rows::count_pending(connection, row.number)?;
        for number in types.matching(&row.definition.pattern) {
            backlog += rows::count_of_type_after(connection, number, row.cursor)?;
        }
        let mut progress = Progress::new(row.definition, row.cursor, head, backlog);
        progress.paused = row.paused;
        all.insert(row.id.clone(), Subscription::new(row.number, row.id, row.dynamic, progress));
    }
    Ok(all)
}

/// Lets scheduled events into the log when they are due. It looks at the time once a second at least,
/// since the clock may be set.
async fn keep_time(commands: mpsc::WeakSender<Command>, shared: Arc<Shared>) {
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

/// Asks for a checkpoint when the write-ahead log has grown, so that no commit waits for one by chance.
async fn keep_log_small(commands: mpsc::WeakSender<Command>, log: PathBuf) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let Some(commands) = commands.upgrade() else { return };
        let length = tokio::fs::metadata(&log).await.map_or(0, |metadata| metadata.len());
        if length > CHECKPOINT_BYTES && commands.send(Command::Checkpoint).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
