//! The threads of one lane: what waits for them, and what each of them does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::cores;
use super::latency::{LatencyTracker, Priority, Ticket};
use super::os_priority::{ThreadId, apply_priority, this_thread};

/// How long a thread beyond those for the cores waits for something to do. To begin and to end one is a change of the
/// process's address space, for which all others wait.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// A thread that has run so many jobs without a sleep gives others its core so often, when it finds none, before it
/// sleeps: while there is much to do the next one comes meanwhile, and nobody pays for a wake-up. Where there is little,
/// who is woken goes before whoever computes, and who has yielded does not.
const BUSY: u32 = 4;
const YIELDS: u32 = 4;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The threads of one lane, and the jobs that wait for them.
#[derive(Debug)]
pub(super) struct PriorityPool {
    priority: Priority,
    /// What guests wait by, when they wait in the host.
    runtime: Option<Handle>,
    pub(super) cores: usize,
    pub(super) limit: usize,
    state: Mutex<State>,
    /// There is a job, or the end has come.
    work: Condvar,
    /// The supervisor is called.
    pub(super) supervisor_wakeup: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) waiting: VecDeque<(Ticket, Job)>,
    pub(super) threads: usize,
    pub(super) idle: usize,
    /// Whether one that is idle was called and has not come yet.
    woken: bool,
    /// Jobs that run, by number.
    pub(super) running: Vec<(u64, Running)>,
    /// How many jobs have been begun; the number of the next one.
    pub(super) started: u64,
    /// Whether the supervisor waits until it is called.
    pub(super) supervisor_sleeps: bool,
    pub(super) closed: bool,
}

impl State {
    /// Calls a thread that is idle, if there is one. One at a time: it calls the next one if it finds more than one job,
    /// and those that are busy may have taken them all before.
    fn wake_idle(&mut self, work: &Condvar) {
        if self.idle > 0 && !self.woken {
            self.woken = true;
            work.notify_one();
        }
    }

    /// A job has come to its end.
    fn finish(&mut self, number: u64) -> Option<Running> {
        let index = self.running.iter().position(|(running, _)| *running == number)?;
        Some(self.running.swap_remove(index).1)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { waiting, threads, idle, .. } = self;
        write!(formatter, "State {{ waiting: {}, threads: {threads}, idle: {idle} }}", waiting.len())
    }
}

/// A job that runs.
pub(super) struct Running {
    pub(super) since: Instant,
    pub(super) thread: ThreadId,
    pub(super) latency: Option<Arc<LatencyTracker>>,
    /// A core that its plugin has for what is slow, until the job is seen to wait.
    pub(super) core: Option<OwnedSemaphorePermit>,
    pub(super) is_slow: bool,
}

impl PriorityPool {
    /// A lane without threads, but for the one that supervises it.
    pub(super) fn start(priority: Priority, limit: usize, supervise: fn(&Arc<Self>)) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Self {
            priority,
            runtime: Handle::try_current().ok(),
            cores: cores().min(limit),
            limit,
            state: Mutex::default(),
            work: Condvar::new(),
            supervisor_wakeup: Condvar::new(),
        });
        let supervised = Arc::clone(&shared);
        thread::Builder::new().name("guests".to_owned()).spawn(move || supervise(&supervised))?;
        Ok(shared)
    }

    /// Lets a job run when it is its turn.
    pub(super) fn submit(self: &Arc<Self>, ticket: Ticket, job: Job) {
        let mut state = self.state();
        state.waiting.push_back((ticket, job));
        if state.supervisor_sleeps {
            self.supervisor_wakeup.notify_one();
        }
        if state.idle > 0 {
            state.wake_idle(&self.work);
        } else if state.threads < self.cores {
            self.start_thread(state);
        }
    }

    /// Starts a thread. If the system refuses, those that are there must do; the supervisor tries again.
    pub(super) fn start_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.threads += 1;
        drop(state);
        let runs = Arc::clone(self);
        if let Err(error) = thread::Builder::new().name("guest".to_owned()).spawn(move || work(&runs)) {
            self.state().threads -= 1;
            tracing::warn!(%error, "no thread for a guest could be started");
        }
    }

    /// Whether no job waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Ends the threads once nothing waits for them.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
        self.supervisor_wakeup.notify_all();
    }

    /// Whether those whose jobs turn out to be slow give way by that: in the other lanes they have done so before.
    pub(super) fn lowers_slow_threads(&self) -> bool {
        matches!(self.priority, Priority::Interactive | Priority::Bulk)
    }

    /// Nobody panics while holding the lock, and so a poisoned one is as good.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread does, until there is nothing for it to do and there are enough others.
fn work(shared: &PriorityPool) {
    let thread = this_thread();
    let _runtime = shared.runtime.as_ref().map(Handle::enter);
    apply_priority(shared.priority);
    let (mut state, mut timed_out) = (shared.state(), false);
    let (mut in_row, mut yields) = (0, 0);
    loop {
        let Some((ticket, job)) = state.waiting.pop_front() else {
            if in_row >= BUSY && yields < YIELDS && !state.closed {
                yields += 1;
                drop(state);
                thread::yield_now();
                state = shared.state();
                continue;
            }
            (in_row, yields) = (0, 0);
            let is_extra = state.threads > shared.cores;
            if state.closed || is_extra && timed_out {
                break;
            }
            state.idle += 1;
            let (guard, wait) = shared.work.wait_timeout(state, IDLE_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
            (state, timed_out) = (guard, wait.timed_out());
            state.idle -= 1;
            // Whoever comes, comes for all that waits.
            state.woken = false;
            continue;
        };
        timed_out = false;
        (in_row, yields) = (BUSY.min(in_row + 1), 0);
        if !state.waiting.is_empty() {
            state.wake_idle(&shared.work);
        }
        let number = state.started;
        state.started += 1;
        let Ticket { latency, core, .. } = ticket;
        state.running.push((number, Running { since: Instant::now(), thread, latency, core, is_slow: false }));
        drop(state);
        // A panic was reported when it happened; whoever waits for the result is told by its absence.
        drop(catch_unwind(AssertUnwindSafe(job)));
        state = shared.state();
        // A thread that has given way cannot take that back.
        let was_lowered = state.finish(number).is_some_and(|running| running.is_slow);
        if was_lowered && shared.lowers_slow_threads() {
            break;
        }
    }
    state.threads -= 1;
}
