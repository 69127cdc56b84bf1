//! What waits for the writer, in two lanes: whoever asks for little does not wait for those that ask for much.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::command::Command;

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
#[derive(Clone, Debug)]
pub(super) struct Queue {
    few: mpsc::Sender<Command>,
    many: mpsc::Sender<Command>,
}

/// Nobody takes changes any more. Holds the one that was to be put.
pub(super) struct Closed(pub(super) Command);

/// Puts changes as long as the bus is there, without keeping it there.
pub(super) type WeakQueue = mpsc::WeakSender<Command>;

/// A queue, and where its changes are taken. Must be called in a tokio runtime.
pub(super) fn new() -> (Queue, Waiting) {
    let (few, few_waiting) = mpsc::channel(LIMIT);
    let (many, many_waiting) = mpsc::channel(LIMIT);
    let (set_aside, owes_many, few_seen, runtime) = (None, false, None, Handle::current());
    let waiting = Waiting { few: few_waiting, many: many_waiting, set_aside, owes_many, few_seen, runtime };
    (Queue { few, many }, waiting)
}

impl Queue {
    fn lane(&self, command: &Command) -> &mpsc::Sender<Command> {
        if command.is_one_of_many() { &self.many } else { &self.few }
    }

    /// Puts a change, and waits for room if there is none.
    pub(super) async fn send(&self, command: Command) -> Result<(), Closed> {
        self.lane(&command).send(command).await.map_err(|error| Closed(error.0))
    }

    /// A place for a change that is one of few. None if the queue is closed.
    pub(super) async fn reserve(&self) -> Option<mpsc::Permit<'_, Command>> {
        self.few.reserve().await.ok()
    }

    /// Puts a change if there is room.
    pub(super) fn try_send(&self, command: Command) -> Result<(), TrySendError<Command>> {
        self.lane(&command).try_send(command)
    }

    /// Puts a change from a thread that may block.
    pub(super) fn blocking_send(&self, command: Command) -> Result<(), Closed> {
        self.lane(&command).blocking_send(command).map_err(|error| Closed(error.0))
    }

    /// For what the bus does by itself, which is little.
    pub(super) fn downgrade(&self) -> WeakQueue {
        self.few.downgrade()
    }
}

/// The writer's end of the queue.
pub(super) struct Waiting {
    few: mpsc::Receiver<Command>,
    many: mpsc::Receiver<Command>,
    /// The next one, which was taken too early: it shares no commit.
    set_aside: Option<(Command, Lane)>,
    /// Whether those that are many had no share of the last commit.
    owes_many: bool,
    /// When somebody asked for little last.
    few_seen: Option<Instant>,
    runtime: Handle,
}

impl Waiting {
    /// Waits for a change, and begins a group with it. None when nobody is left who could put one. Must not be
    /// called on an async thread.
    pub(super) fn group(&mut self) -> Option<Group<'_>> {
        let Self { few, many, set_aside, owes_many, runtime, .. } = self;
        let owed = if std::mem::take(owes_many) { many.try_recv().ok() } else { None };
        let first = owed.map(|command| (command, Lane::Many)).or_else(|| set_aside.take()).or_else(|| {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    Some(command) = few.recv() => Some((command, Lane::Few)),
                    Some(command) = many.recv() => Some((command, Lane::Many)),
                    else => None,
                }
            })
        });
        first.map(|(mut command, lane)| {
            let others_come = self.few_seen.is_some_and(|seen| seen.elapsed() < ATTENTION);
            let is_closed = command.stands_alone();
            self.owes_many = is_closed && matches!(lane, Lane::Few);
            let mut group = Group { waiting: self, first: None, is_closed, few: 0, many: 0, others_come };
            group.note(lane, &mut command);
            group.first = Some(command);
            group
        })
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
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
pub(super) struct Group<'a> {
    waiting: &'a mut Waiting,
    first: Option<Command>,
    /// Whether no other one may join.
    is_closed: bool,
    /// The weight of what was taken from each lane.
    few: usize,
    many: usize,
    /// Whether more of those that are few are to be expected.
    others_come: bool,
}

impl Group<'_> {
    fn note(&mut self, lane: Lane, command: &mut Command) {
        match lane {
            Lane::Few => {
                if command.is_waited_for() {
                    self.waiting.few_seen = Some(Instant::now());
                    self.others_come = true;
                }
                self.few += command.fit(self.others_come);
            }
            Lane::Many => self.many += command.fit(self.others_come),
        }
    }

    fn try_take(&mut self, lane: Lane) -> Option<Command> {
        let waiting = match lane {
            // What was set aside comes before all others of its lane.
            Lane::Few if self.waiting.set_aside.is_some() => return None,
            Lane::Few => &mut self.waiting.few,
            Lane::Many => &mut self.waiting.many,
        };
        let mut command = waiting.try_recv().ok()?;
        if command.stands_alone() {
            self.is_closed = true;
            self.waiting.owes_many |= self.many == 0;
            self.waiting.set_aside = Some((command, lane));
            return None;
        }
        self.note(lane, &mut command);
        Some(command)
    }
}

impl Iterator for Group<'_> {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
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
mod tests {
    use tokio::sync::oneshot;

    use super::super::progress::Stop;
    use super::*;
    use crate::outcome::Publish;

    fn few() -> Command {
        Command::Look
    }

    fn many() -> Command {
        let event = crate::event::Event::default();
        let events: Vec<_> = (0..100).map(|_| Publish { event: event.clone(), due: None }).collect();
        Command::Publish { events: events.into_iter(), goes_on: false, part: 0, reply: oneshot::channel().0 }
    }

    fn one_of_many() -> Command {
        Command::Publish { events: vec![].into_iter(), goes_on: true, part: 0, reply: oneshot::channel().0 }
    }

    fn is_few(command: &Command) -> bool {
        matches!(command, Command::Look)
    }

    /// Runs on a thread of its own, as the writer does.
    async fn on_a_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_few_joins_a_group_and_ends_it() {
        let (queue, mut waiting) = new();
        for _ in 0..200 {
            assert!(queue.try_send(many()).is_ok());
        }
        let taken = on_a_thread(move || {
            let mut group = waiting.group().unwrap();
            let mut taken: Vec<_> = group.by_ref().take(2).collect();
            assert!(!taken.iter().any(is_few), "there was none");
            assert!(queue.try_send(few()).is_ok());
            taken.extend(group);
            taken
        });
        let taken = taken.await;
        assert_eq!(taken.len(), 3);
        assert!(is_few(&taken[2]));
    }

    #[tokio::test]
    async fn what_is_many_has_a_share_of_each_group() {
        let (queue, mut waiting) = new();
        for _ in 0..100 {
            assert!(queue.try_send(many()).is_ok());
            assert!(queue.try_send(few()).is_ok());
        }
        let taken = on_a_thread(move || waiting.group().unwrap().collect::<Vec<_>>()).await;
        assert_eq!(taken.iter().filter(|command| is_few(command)).count(), 100);
        assert_eq!(taken.len(), 100 + 1, "a hundred events are a share");
    }

    #[tokio::test]
    async fn what_is_many_takes_no_more_than_its_share_while_others_come() {
        let single = || {
            let events = vec![Publish { event: crate::event::Event::default(), due: None }];
            Command::Publish { events: events.into_iter(), goes_on: false, part: 0, reply: oneshot::channel().0 }
        };
        let (queue, mut waiting) = new();
        for _ in 0..100 {
            assert!(queue.try_send(many()).is_ok());
        }
        let sizes = on_a_thread(move || {
            let before = waiting.group().unwrap().count();
            assert!(queue.try_send(single()).is_ok());
            let with = waiting.group().unwrap().count();
            let after = waiting.group().unwrap().map(|mut command| command.fit(true)).collect::<Vec<_>>();
            (before, with, after)
        });
        assert_eq!(sizes.await, (6, 1 + 2, vec![32, 32]));
    }

    #[tokio::test]
    async fn what_goes_on_stays_behind_what_came_before() {
        let (queue, mut waiting) = new();
        assert!(queue.try_send(many()).is_ok());
        assert!(queue.try_send(one_of_many()).is_ok());
        let mut taken = on_a_thread(move || waiting.group().unwrap().collect::<Vec<_>>()).await;
        assert_eq!(taken.iter_mut().map(|command| command.fit(false)).collect::<Vec<_>>(), [100, 0]);
    }

    #[tokio::test]
    async fn what_changes_what_is_open_as_a_whole_has_a_commit_of_its_own() {
        let pause = || {
            let id = crate::subscription::SubscriptionId { owner: "p".to_owned(), name: "s".to_owned() };
            Command::Pause { id, stop: Some(Stop::Operator), reply: oneshot::channel().0 }
        };
        let name = |command: Command| match command {
            Command::Pause { .. } => 'p',
            Command::Publish { .. } => 'm',
            _ => 'f',
        };
        let (queue, mut waiting) = new();
        for command in [few(), few(), pause(), pause(), few(), pause(), many(), one_of_many(), many()] {
            assert!(queue.try_send(command).is_ok());
        }
        drop(queue);
        let groups = on_a_thread(move || {
            let mut groups = Vec::new();
            while let Some(group) = waiting.group() {
                groups.push(group.map(name).collect::<String>());
            }
            assert!(waiting.is_empty());
            groups
        });
        assert_eq!(groups.await, ["ff", "mmm", "p", "p", "f", "p"], "those that are many have their share meanwhile");
    }

    #[tokio::test]
    async fn a_group_is_bounded_and_the_end_is_told() {
        let (queue, mut waiting) = new();
        for _ in 0..GROUP_LIMIT + 1 {
            assert!(queue.try_send(few()).is_ok());
        }
        drop(queue);
        let sizes = on_a_thread(move || {
            let sizes = [waiting.group().unwrap().count(), waiting.group().unwrap().count()];
            assert!(waiting.is_empty());
            assert!(waiting.group().is_none());
            sizes
        });
        assert_eq!(sizes.await, [GROUP_LIMIT, 1]);
    }
}
