//! Group commit: changes share a commit. While one commit is on its way, the next group gathers; the slower the
//! store, the larger the group.
//!
//! Changes wait in two queues by priority, so that interactive changes do not wait for bulk ones. An engine defines
//! its changes ([`Change`]), sends them to a [`Queue`], and receives them in groups from the [`ChangeReceiver`], on a
//! thread or in a task.

use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};

/// A change that can share a commit with others.
pub(crate) trait Change {
    /// Whether the change is large, or one of many. Such a change lets interactive changes go first.
    fn is_bulk(&self) -> bool;

    /// Whether the change needs a commit of its own.
    fn commits_alone(&self) -> bool;

    /// Whether the change is part of the traffic of publishers and handlers. If such a change is interactive, another
    /// interactive one is expected soon after it.
    fn has_waiter(&self) -> bool;

    /// Reduces the change to the part that this commit takes, and returns the weight of this part, which counts changes
    /// and events. A bulk change is reduced further if interactive changes are expected.
    fn fit_into_commit(&mut self, expects_interactive: bool) -> usize;
}

/// Publishes of more events than this, and settlements of subscriptions with a larger backlog, are bulk changes.
pub(crate) const INTERACTIVE_LIMIT: usize = 16;
/// How many events of one publish share a commit. It bounds the wait of the next change.
const PART: usize = 128;
/// How many events of one publish share a commit if interactive changes are expected.
const SHORT_PART: usize = 32;

/// How many of a publisher's events one commit takes.
pub(crate) fn part_length(events: usize, expects_interactive: bool) -> usize {
    events.min(if expects_interactive { SHORT_PART } else { PART })
}

/// The length of each queue. When one is full, publishers are refused.
const QUEUE_LIMIT: usize = 1_024;
/// The weight at which a group is complete. The next change waits until the whole group is committed.
const GROUP_LIMIT: usize = 512;
/// The weight of bulk changes that each commit includes, even if interactive changes wait.
const BULK_SHARE: usize = 64;
/// For this long after an interactive change, another one is expected. Bulk changes then get only their share,
/// because an interactive change waits for the commit that is on its way.
const INTERACTIVE_EXPECTED: Duration = Duration::from_millis(100);

/// The sending end. Clones share it.
pub(crate) struct Queue<C> {
    interactive: mpsc::Sender<C>,
    bulk: mpsc::Sender<C>,
}

/// The queue is closed. Holds the change that was not sent.
pub(crate) struct Closed<C>(pub(crate) C);

/// Sends changes while the bus exists, without keeping it alive.
pub(crate) type WeakQueue<C> = mpsc::WeakSender<C>;

/// A queue and its receiver. Must be called in a tokio runtime.
pub(crate) fn new<C: Change>() -> (Queue<C>, ChangeReceiver<C>) {
    let (interactive, interactive_receiver) = mpsc::channel(QUEUE_LIMIT);
    let (bulk, bulk_receiver) = mpsc::channel(QUEUE_LIMIT);
    let (set_aside, owes_bulk, last_interactive, runtime) = (None, false, None, Handle::current());
    let receiver = ChangeReceiver {
        interactive: interactive_receiver,
        bulk: bulk_receiver,
        set_aside,
        owes_bulk,
        last_interactive,
        runtime,
    };
    (Queue { interactive, bulk }, receiver)
}

impl<C> Debug for Queue<C> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<C> Clone for Queue<C> {
    fn clone(&self) -> Self {
        Self { interactive: self.interactive.clone(), bulk: self.bulk.clone() }
    }
}

impl<C: Change> Queue<C> {
    fn sender_for(&self, change: &C) -> &mpsc::Sender<C> {
        if change.is_bulk() { &self.bulk } else { &self.interactive }
    }

    /// Sends a change, and waits while the queue is full.
    pub(crate) async fn send(&self, change: C) -> Result<(), Closed<C>> {
        self.sender_for(&change).send(change).await.map_err(|error| Closed(error.0))
    }

    /// A permit to send an interactive change. None if the queue is closed.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, C>> {
        self.interactive.reserve().await.ok()
    }

    /// Sends a change unless the queue is full.
    pub(crate) fn try_send(&self, change: C) -> Result<(), TrySendError<C>> {
        self.sender_for(&change).try_send(change)
    }

    /// Sends a change from a thread that may block.
    pub(crate) fn blocking_send(&self, change: C) -> Result<(), Closed<C>> {
        self.sender_for(&change).blocking_send(change).map_err(|error| Closed(error.0))
    }

    /// A weak sender for the bus's own, interactive changes.
    pub(crate) fn downgrade(&self) -> WeakQueue<C> {
        self.interactive.downgrade()
    }
}

/// The receiving end, for the writer.
pub(crate) struct ChangeReceiver<C> {
    interactive: mpsc::Receiver<C>,
    bulk: mpsc::Receiver<C>,
    /// The next change, which was received too early: it needs a commit of its own.
    set_aside: Option<(C, Priority)>,
    /// Whether the last commit did not include the bulk changes' share.
    owes_bulk: bool,
    /// When the last interactive change of the traffic arrived.
    last_interactive: Option<Instant>,
    runtime: Handle,
}

impl<C: Change> ChangeReceiver<C> {
    /// [`Self::group`] for a thread that may block.
    pub(crate) fn blocking_group(&mut self) -> Option<Group<'_, C>> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.group())
    }

    /// Waits for a change, and starts a group with it. None when all senders are gone.
    pub(crate) async fn group(&mut self) -> Option<Group<'_, C>> {
        let (mut change, priority) = self.first().await?;
        let expects_interactive = self.last_interactive.is_some_and(|seen| seen.elapsed() < INTERACTIVE_EXPECTED);
        let is_closed = change.commits_alone();
        self.owes_bulk = is_closed && matches!(priority, Priority::Interactive);
        let mut group = Group { receiver: self, first: None, is_closed, interactive: 0, bulk: 0, expects_interactive };
        group.note(priority, &mut change);
        group.first = Some(change);
        Some(group)
    }

    async fn first(&mut self) -> Option<(C, Priority)> {
        let owed = if std::mem::take(&mut self.owes_bulk) { self.bulk.try_recv().ok() } else { None };
        if let Some(first) = owed.map(|change| (change, Priority::Bulk)).or_else(|| self.set_aside.take()) {
            return Some(first);
        }
        let Self { interactive, bulk, .. } = self;
        tokio::select! {
            biased;
            Some(change) = interactive.recv() => Some((change, Priority::Interactive)),
            Some(change) = bulk.recv() => Some((change, Priority::Bulk)),
            else => None,
        }
    }

    /// Whether no changes wait.
    pub(crate) fn is_empty(&self) -> bool {
        self.set_aside.is_none() && self.interactive.is_empty() && self.bulk.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Priority {
    Interactive,
    Bulk,
}

/// The changes that share a commit, received one by one while the group gathers. Interactive changes may join at any
/// time. If the group has or expects any, it takes fewer bulk changes, and so is complete sooner.
pub(crate) struct Group<'a, C> {
    receiver: &'a mut ChangeReceiver<C>,
    first: Option<C>,
    /// Whether no more changes may join.
    is_closed: bool,
    /// The weight of the changes of each priority.
    interactive: usize,
    bulk: usize,
    /// Whether more interactive changes are expected.
    expects_interactive: bool,
}

impl<C: Change> Group<'_, C> {
    fn note(&mut self, priority: Priority, change: &mut C) {
        match priority {
            Priority::Interactive => {
                if change.has_waiter() {
                    self.receiver.last_interactive = Some(Instant::now());
                    self.expects_interactive = true;
                }
                self.interactive += change.fit_into_commit(self.expects_interactive);
            }
            Priority::Bulk => self.bulk += change.fit_into_commit(self.expects_interactive),
        }
    }

    fn try_take(&mut self, priority: Priority) -> Option<C> {
        let receiver = match priority {
            // A change that was set aside comes before the others of its queue.
            Priority::Interactive if self.receiver.set_aside.is_some() => return None,
            Priority::Interactive => &mut self.receiver.interactive,
            Priority::Bulk => &mut self.receiver.bulk,
        };
        let mut change = receiver.try_recv().ok()?;
        if change.commits_alone() {
            self.is_closed = true;
            self.receiver.owes_bulk |= self.bulk == 0;
            self.receiver.set_aside = Some((change, priority));
            return None;
        }
        self.note(priority, &mut change);
        Some(change)
    }
}

impl<C: Change> Iterator for Group<'_, C> {
    type Item = C;

    fn next(&mut self) -> Option<C> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_closed || self.interactive + self.bulk >= GROUP_LIMIT {
            return None;
        }
        self.try_take(Priority::Interactive).or_else(|| {
            let bulk_had_share = self.bulk >= BULK_SHARE && (self.interactive > 0 || self.expects_interactive);
            if self.is_closed || bulk_had_share { None } else { self.try_take(Priority::Bulk) }
        })
    }
}

#[cfg(test)]
mod tests;
