//! Changes that share a commit. They wait in two lanes, so that whoever asks for little does not wait for those that ask
//! for much. While a commit is on its way the next group gathers: the slower the store, the larger the group.
//!
//! An engine says what its changes are ([`Change`]), puts them into a [`Queue`], and takes them in groups from the other
//! end ([`Waiting`]), on a thread or in a task.

use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};

/// What can wait here, and share a commit.
pub(crate) trait Change {
    /// Whether it is one of many that wait, or many in one: those that are few go first.
    fn is_one_of_many(&self) -> bool;

    /// Whether it has a commit of its own.
    fn stands_alone(&self) -> bool;

    /// Whether somebody waits for it.
    fn is_waited_for(&self) -> bool;

    /// Leaves so much of it for this commit as may be, and returns how much of the commit it takes up: changes and
    /// events. What is many takes less where others have come lately that ask for little.
    fn fit(&mut self, others_come: bool) -> usize;
}

/// Whoever asks for more than this at a time, or has more than this left to do, asks for much.
pub(crate) const FEW: usize = 16;
/// How many events of one publisher share a commit: whoever comes next waits no longer than for that.
const PART: usize = 128;
/// The same where others have come lately that ask for little.
const SMALL_PART: usize = 32;

/// How many of a publisher's events one commit takes.
pub(crate) fn part(events: usize, others_come: bool) -> usize {
    events.min(if others_come { SMALL_PART } else { PART })
}

/// How many changes wait in each lane before publishers are told to come back later.
const LIMIT: usize = 1_024;
/// How much shares one commit, by weight: what comes next waits for all of it.
const GROUP_LIMIT: usize = 512;
/// How much of those that are many goes with each commit, whoever else waits.
const SHARE: usize = 64;
/// For so long after somebody has asked for little, the next one is expected: what is many takes no more than its share
/// meanwhile, since whoever comes waits for the commit that is on its way.
const ATTENTION: Duration = Duration::from_millis(100);

/// Where changes are put. Clones share it.
pub(crate) struct Queue<C> {
    few: mpsc::Sender<C>,
    many: mpsc::Sender<C>,
}

/// Nobody takes changes any more. Holds the one that was to be put.
pub(crate) struct Closed<C>(pub(crate) C);

/// Puts changes as long as the bus is there, without keeping it there.
pub(crate) type WeakQueue<C> = mpsc::WeakSender<C>;

/// A queue, and where its changes are taken. Must be called in a tokio runtime.
pub(crate) fn new<C: Change>() -> (Queue<C>, Waiting<C>) {
    let (few, few_waiting) = mpsc::channel(LIMIT);
    let (many, many_waiting) = mpsc::channel(LIMIT);
    let (set_aside, owes_many, few_seen, runtime) = (None, false, None, Handle::current());
    let waiting = Waiting { few: few_waiting, many: many_waiting, set_aside, owes_many, few_seen, runtime };
    (Queue { few, many }, waiting)
}

impl<C> Debug for Queue<C> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<C> Clone for Queue<C> {
    fn clone(&self) -> Self {
        Self { few: self.few.clone(), many: self.many.clone() }
    }
}

impl<C: Change> Queue<C> {
    fn lane(&self, change: &C) -> &mpsc::Sender<C> {
        if change.is_one_of_many() { &self.many } else { &self.few }
    }

    /// Puts a change, and waits for room if there is none.
    pub(crate) async fn send(&self, change: C) -> Result<(), Closed<C>> {
        self.lane(&change).send(change).await.map_err(|error| Closed(error.0))
    }

    /// A place for a change that is one of few. None if the queue is closed.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, C>> {
        self.few.reserve().await.ok()
    }

    /// Puts a change if there is room.
    pub(crate) fn try_send(&self, change: C) -> Result<(), TrySendError<C>> {
        self.lane(&change).try_send(change)
    }

    /// Puts a change from a thread that may block.
    pub(crate) fn blocking_send(&self, change: C) -> Result<(), Closed<C>> {
        self.lane(&change).blocking_send(change).map_err(|error| Closed(error.0))
    }

    /// For what the bus does by itself, which is little.
    pub(crate) fn downgrade(&self) -> WeakQueue<C> {
        self.few.downgrade()
    }
}

/// The writer's end of the queue.
pub(crate) struct Waiting<C> {
    few: mpsc::Receiver<C>,
    many: mpsc::Receiver<C>,
    /// The next one, which was taken too early: it shares no commit.
    set_aside: Option<(C, Lane)>,
    /// Whether those that are many had no share of the last commit.
    owes_many: bool,
    /// When somebody asked for little last.
    few_seen: Option<Instant>,
    runtime: Handle,
}

impl<C: Change> Waiting<C> {
    /// The same for a thread that may block.
    pub(crate) fn blocking_group(&mut self) -> Option<Group<'_, C>> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.group())
    }

    /// Waits for a change, and begins a group with it. None when nobody is left who could put one.
    pub(crate) async fn group(&mut self) -> Option<Group<'_, C>> {
        let (mut change, lane) = self.first().await?;
        let others_come = self.few_seen.is_some_and(|seen| seen.elapsed() < ATTENTION);
        let is_closed = change.stands_alone();
        self.owes_many = is_closed && matches!(lane, Lane::Few);
        let mut group = Group { waiting: self, first: None, is_closed, few: 0, many: 0, others_come };
        group.note(lane, &mut change);
        group.first = Some(change);
        Some(group)
    }

    async fn first(&mut self) -> Option<(C, Lane)> {
        let owed = if std::mem::take(&mut self.owes_many) { self.many.try_recv().ok() } else { None };
        if let Some(first) = owed.map(|change| (change, Lane::Many)).or_else(|| self.set_aside.take()) {
            return Some(first);
        }
        let Self { few, many, .. } = self;
        tokio::select! {
            biased;
            Some(change) = few.recv() => Some((change, Lane::Few)),
            Some(change) = many.recv() => Some((change, Lane::Many)),
            else => None,
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.set_aside.is_none() && self.few.is_empty() && self.many.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Lane {
    Few,
    Many,
}

/// Changes that share a commit, taken one by one while it gathers: those that are few join it as long as it does,
/// and hasten its end.
pub(crate) struct Group<'a, C> {
    waiting: &'a mut Waiting<C>,
    first: Option<C>,
    /// Whether no other one may join.
    is_closed: bool,
    /// The weight of what was taken from each lane.
    few: usize,
    many: usize,
    /// Whether more of those that are few are to be expected.
    others_come: bool,
}

impl<C: Change> Group<'_, C> {
    fn note(&mut self, lane: Lane, change: &mut C) {
        match lane {
            Lane::Few => {
                if change.is_waited_for() {
                    self.waiting.few_seen = Some(Instant::now());
                    self.others_come = true;
                }
                self.few += change.fit(self.others_come);
            }
            Lane::Many => self.many += change.fit(self.others_come),
        }
    }

    fn try_take(&mut self, lane: Lane) -> Option<C> {
        let waiting = match lane {
            // What was set aside comes before all others of its lane.
            Lane::Few if self.waiting.set_aside.is_some() => return None,
            Lane::Few => &mut self.waiting.few,
            Lane::Many => &mut self.waiting.many,
        };
        let mut change = waiting.try_recv().ok()?;
        if change.stands_alone() {
            self.is_closed = true;
            self.waiting.owes_many |= self.many == 0;
            self.waiting.set_aside = Some((change, lane));
            return None;
        }
        self.note(lane, &mut change);
        Some(change)
    }
}

impl<C: Change> Iterator for Group<'_, C> {
    type Item = C;

    fn next(&mut self) -> Option<C> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_closed || self.few + self.many >= GROUP_LIMIT {
            return None;
        }
        self.try_take(Lane::Few).or_else(|| {
            let has_its_share = self.many >= SHARE && (self.few > 0 || self.others_come);
            if self.is_closed || has_its_share { None } else { self.try_take(Lane::Many) }
        })
    }
}

#[cfg(test)]
mod tests;
