//! Changes that share a commit. They wait in two lanes, so that whoever asks for little does not wait for those that ask
//! for much. While a commit is on its way the next group gathers: the slower the store, the larger the group.
//!
//! An engine says what its changes are ([`Change`]), puts them into a [`Queue`], and takes them in groups from the other
//! end ([`ChangeReceiver`]), on a thread or in a task.

use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};

/// What can wait here, and share a commit.
pub(crate) trait Change {
    /// Whether it is one of many that wait, or many in one: those that are few go first.
    fn is_bulk(&self) -> bool;

    /// Whether it has a commit of its own.
    fn commits_alone(&self) -> bool;

    /// Whether somebody waits for it.
    fn has_waiter(&self) -> bool;

    /// Leaves so much of it for this commit as may be, and returns how much of the commit it takes up: changes and
    /// events. What is many takes less where others have come lately that ask for little.
    fn fit_into_commit(&mut self, expects_interactive: bool) -> usize;
}

/// Whoever asks for more than this at a time, or has more than this left to do, asks for much.
pub(crate) const INTERACTIVE_LIMIT: usize = 16;
/// How many events of one publisher share a commit: whoever comes next waits no longer than for that.
const PART: usize = 128;
/// The same where others have come lately that ask for little.
const SHORT_PART: usize = 32;

/// How many of a publisher's events one commit takes.
pub(crate) fn part_length(events: usize, expects_interactive: bool) -> usize {
    events.min(if expects_interactive { SHORT_PART } else { PART })
}

/// How many changes wait in each lane before publishers are told to come back later.
const QUEUE_LIMIT: usize = 1_024;
/// How much shares one commit, by weight: what comes next waits for all of it.
const GROUP_LIMIT: usize = 512;
/// How much of those that are many goes with each commit, whoever else waits.
const BULK_SHARE: usize = 64;
/// For so long after somebody has asked for little, the next one is expected: what is many takes no more than its share
/// meanwhile, since whoever comes waits for the commit that is on its way.
const INTERACTIVE_EXPECTED: Duration = Duration::from_millis(100);

/// Where changes are put. Clones share it.
pub(crate) struct Queue<C> {
    interactive: mpsc::Sender<C>,
    bulk: mpsc::Sender<C>,
}

/// Nobody takes changes any more. Holds the one that was to be put.
pub(crate) struct Closed<C>(pub(crate) C);

/// Puts changes as long as the bus is there, without keeping it there.
pub(crate) type WeakQueue<C> = mpsc::WeakSender<C>;

/// A queue, and where its changes are taken. Must be called in a tokio runtime.
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

    /// Puts a change, and waits for room if there is none.
    pub(crate) async fn send(&self, change: C) -> Result<(), Closed<C>> {
        self.sender_for(&change).send(change).await.map_err(|error| Closed(error.0))
    }

    /// A place for a change that is one of few. None if the queue is closed.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, C>> {
        self.interactive.reserve().await.ok()
    }

    /// Puts a change if there is room.
    pub(crate) fn try_send(&self, change: C) -> Result<(), TrySendError<C>> {
        self.sender_for(&change).try_send(change)
    }

    /// Puts a change from a thread that may block.
    pub(crate) fn blocking_send(&self, change: C) -> Result<(), Closed<C>> {
        self.sender_for(&change).blocking_send(change).map_err(|error| Closed(error.0))
    }

    /// For what the bus does by itself, which is little.
    pub(crate) fn downgrade(&self) -> WeakQueue<C> {
        self.interactive.downgrade()
    }
}

/// The writer's end of the queue.
pub(crate) struct ChangeReceiver<C> {
    interactive: mpsc::Receiver<C>,
    bulk: mpsc::Receiver<C>,
    /// The next one, which was taken too early: it shares no commit.
    set_aside: Option<(C, Priority)>,
    /// Whether those that are many had no share of the last commit.
    owes_bulk: bool,
    /// When somebody asked for little last.
    last_interactive: Option<Instant>,
    runtime: Handle,
}

impl<C: Change> ChangeReceiver<C> {
    /// The same for a thread that may block.
    pub(crate) fn blocking_group(&mut self) -> Option<Group<'_, C>> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.group())
    }

    /// Waits for a change, and begins a group with it. None when nobody is left who could put one.
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

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.set_aside.is_none() && self.interactive.is_empty() && self.bulk.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Priority {
    Interactive,
    Bulk,
}

/// Changes that share a commit, taken one by one while it gathers: those that are few join it as long as it does,
/// and hasten its end.
pub(crate) struct Group<'a, C> {
    receiver: &'a mut ChangeReceiver<C>,
    first: Option<C>,
    /// Whether no other one may join.
    is_closed: bool,
    /// The weight of what was taken from each lane.
    interactive: usize,
    bulk: usize,
    /// Whether more of those that are few are to be expected.
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
            // What was set aside comes before all others of its lane.
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
