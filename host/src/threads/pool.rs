//! A pool of threads for one priority, with its queue of jobs.

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

/// How long a thread beyond one per core stays idle before it exits. Starting and ending threads changes the process's
/// address space, which stalls all others.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// A thread that has run `BUSY` jobs in a row yields up to `YIELDS` times before it sleeps. Under load the next job
/// arrives in the meantime, which saves a wake-up. Under light load the thread sleeps at once: the scheduler favours a
/// woken thread over a running one, and a thread that yields instead of sleeping forgoes this advantage.
const BUSY: u32 = 4;
const YIELDS: u32 = 4;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The threads of one priority, and the jobs that wait for them.
#[derive(Debug)]
pub(super) struct PriorityPool {
    priority: Priority,
    /// The runtime that guests use when they wait in the host.
    runtime: Option<Handle>,
    pub(super) cores: usize,
    pub(super) limit: usize,
    state: Mutex<State>,
    /// Signals a job, or the end.
    work: Condvar,
    /// Wakes the supervisor.
    pub(super) supervisor_wakeup: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) waiting: VecDeque<(Ticket, Job)>,
    pub(super) threads: usize,
    pub(super) idle: usize,
    /// Whether an idle thread was woken and has not started to work yet.
    woken: bool,
    /// Running jobs, by number.
    pub(super) running: Vec<(u64, Running)>,
    /// How many jobs have started, which is the number of the next one.
    pub(super) started: u64,
    /// Whether the supervisor sleeps until it is woken.
    pub(super) supervisor_sleeps: bool,
    pub(super) closed: bool,
}

impl State {
    /// Wakes an idle thread, if there is one. Only one is woken at a time: it wakes the next one if more jobs wait when
    /// it takes its own. By then, busy threads may have taken all jobs.
    fn wake_idle(&mut self, work: &Condvar) {
        if self.idle > 0 && !self.woken {
            self.woken = true;
            work.notify_one();
        }
    }

    /// Removes a job that has ended.
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

/// A running job.
pub(super) struct Running {
    pub(super) since: Instant,
    pub(super) thread: ThreadId,
    pub(super) latency: Option<Arc<LatencyTracker>>,
    /// The permit for a core, held until the job ends or blocks.
    pub(super) core: Option<OwnedSemaphorePermit>,
    pub(super) is_slow: bool,
}

impl PriorityPool {
    /// Creates a pool whose only thread is its supervisor.
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

    /// Queues a job.
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

    /// Starts a thread. If the system refuses, the existing threads continue, and the supervisor tries again.
    pub(super) fn start_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.threads += 1;
        drop(state);
        let runs = Arc::clone(self);
        if let Err(error) = thread::Builder::new().name("guest".to_owned()).spawn(move || work(&runs)) {
            self.state().threads -= 1;
            tracing::warn!(%error, "a thread for guests could not be started");
        }
    }

    /// Whether no job is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Ends the threads once the queue is empty.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
        self.supervisor_wakeup.notify_all();
    }

    /// Whether threads get a lower priority when their job turns out to be slow. Background threads have that priority
    /// already.
    pub(super) fn lowers_slow_threads(&self) -> bool {
        matches!(self.priority, Priority::Interactive | Priority::Bulk)
    }

    /// Nothing panics while it holds the lock, so poisoning can be ignored.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop of a thread. It exits when the pool closes, or when it is idle and not needed.
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
            // This thread takes the next job now, so another one may be woken.
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
        // The panic hook has reported a panic. The caller learns of it because there is no result.
        drop(catch_unwind(AssertUnwindSafe(job)));
        state = shared.state();
        // A thread cannot raise its priority again.
        let was_lowered = state.finish(number).is_some_and(|running| running.is_slow);
        if was_lowered && shared.lowers_slow_threads() {
            break;
        }
    }
    state.threads -= 1;
}
