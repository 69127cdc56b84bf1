//! The threads on which guests run.
//!
//! They stand in three lanes: a quick job never waits behind one of many, nor behind a slow one, and goes first
//! where they want the same core. In each lane there are as many threads as there are cores, and they stay: with
//! more of them, what is quick would pay for being switched to and fro. More are started only while those that
//! run get nowhere, because what they run is slow or waits, up to one for each place that there is for an
//! invocation. A thread whose job takes long gives way to all others, and ends with that job unless it had given way
//! before.

mod pace;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use pace::{Lane, Pace, Turn};

/// How often the threads are looked at while jobs wait or run.
const LOOK: Duration = Duration::from_millis(2);
/// How long a thread beyond those for the cores waits for something to do. To begin and to end one is a change of the
/// process's address space, for which all others wait.
const REST: Duration = Duration::from_secs(5);
/// A thread that has run so many jobs without a sleep gives others its core so often, when it finds none, before it
/// sleeps: while there is much to do the next one comes meanwhile, and nobody pays for a wake-up. Where there is little,
/// who is woken goes before whoever computes, and who has yielded does not.
const BUSY: u32 = 4;
const YIELDS: u32 = 4;
/// A job that takes longer than this is slow.
const SLOW: Duration = Duration::from_millis(10);
/// One that takes longer than this is slow beyond doubt.
const VERY_SLOW: Duration = Duration::from_millis(100);
/// How much one of many jobs gives way, how much one that is slow or turns out to be, and how much a compiler: nice
/// levels, of which the last is 19. A guest that is slow has a tenth of a core for certain, and more where nobody
/// else wants it: with less, what other programs do would have it run out of time.
#[cfg(target_os = "linux")]
const MANY_LEVEL: i32 = 5;
#[cfg(target_os = "linux")]
const SLOW_LEVEL: i32 = 10;
#[cfg(target_os = "linux")]
const COMPILER_LEVEL: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;

/// What there is for invocations of all plugins together.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// Places: as many as the engine's pool has.
    pub places: Arc<Semaphore>,
    /// Threads: no more than there are places.
    pub threads: Threads,
}

impl Capacity {
    /// For so many invocations at a time.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(concurrency: usize) -> std::io::Result<Self> {
        Ok(Self { places: Arc::new(Semaphore::new(concurrency)), threads: Threads::new(concurrency)? })
    }
}

/// Runs jobs on threads. Clones share them; they end with the last one.
#[derive(Clone, Debug)]
pub struct Threads(Arc<Owner>);

/// Ends the threads with itself.
#[derive(Debug)]
struct Owner {
    quick: Arc<Shared>,
    many: Arc<Shared>,
    slow: Arc<Shared>,
}

impl Owner {
    fn lane(&self, lane: Lane) -> &Arc<Shared> {
        match lane {
            Lane::Quick => &self.quick,
            Lane::Many => &self.many,
            Lane::Slow => &self.slow,
        }
    }
}

/// Waits for a job's result. The job goes on if nobody waits for it any more.
#[derive(Debug)]
pub struct JobHandle<T>(oneshot::Receiver<T>);

impl<T> Future for JobHandle<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|_| Panicked)
    }
}

/// A job ended with a panic, and so without a result.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it ended with a panic")]
pub struct Panicked;

/// One lane.
#[derive(Debug)]
struct Shared {
    lane: Lane,
    /// What guests wait by, when they wait in the host.
    runtime: Option<Handle>,
    cores: usize,
    limit: usize,
    state: Mutex<State>,
    /// There is a job, or the end has come.
    work: Condvar,
    /// The supervisor is called.
    look: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Turn, Job)>,
    threads: usize,
    idle: usize,
    /// Whether one that is idle was called and has not come yet.
    called: bool,
    /// Jobs that run, by number.
    running: Vec<(u64, Running)>,
    /// How many jobs have been begun; the number of the next one.
    begun: u64,
    /// Whether the supervisor waits until it is called.
    unsupervised: bool,
    closed: bool,
}

impl State {
    /// Calls a thread that is idle, if there is one. One at a time: it calls the next one if it finds more than one job,
    /// and those that are busy may have taken them all before.
    fn call(&mut self, work: &Condvar) {
        if self.idle > 0 && !self.called {
            self.called = true;
            work.notify_one();
        }
    }

    /// A job has come to its end.
    fn end(&mut self, number: u64) -> Option<Running> {
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

struct Running {
    since: Instant,
    thread: ThreadId,
    pace: Option<Arc<Pace>>,
    /// A core that its plugin has for what is slow, until the job is seen to wait.
    core: Option<OwnedSemaphorePermit>,
    is_slow: bool,
}

impl Running {
    /// Draws the consequences of how long the job has taken by now. Under the lane's lock: so the thread is still that
    /// of this job.
    fn look(&mut self, is_for_quick_jobs: bool) {
        let took = self.since.elapsed();
        if took > SLOW && !self.is_slow {
            self.is_slow = true;
            if is_for_quick_jobs {
                give_way(self.thread);
            }
        }
        // Before it ends, which may be long after, others of its plugin know better.
        if took > VERY_SLOW
            && let Some(pace) = self.pace.take()
        {
            pace.note(took);
        }
        if took > LOOK && self.core.is_some() && is_asleep(self.thread) {
            self.core = None;
        }
    }
}

impl Threads {
    /// At most so many threads in each lane. Where a runtime is there, it is theirs too.
    ///
    /// # Errors
    /// If none can be started.
    pub fn new(limit: usize) -> std::io::Result<Self> {
        let start = |lane| start_lane(lane, limit);
        Ok(Self(Arc::new(Owner { quick: start(Lane::Quick)?, many: start(Lane::Many)?, slow: start(Lane::Slow)? })))
    }

    /// How many threads run at once without hindering each other.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.0.quick.cores
    }

    /// Whether jobs wait for a thread of a lane.
    #[must_use]
    pub fn is_awaited(&self, lane: Lane) -> bool {
        !self.0.lane(lane).state().waiting.is_empty()
    }

    /// Runs a job when it is its turn.
    pub fn run<T: Send + 'static>(&self, turn: Turn, job: impl FnOnce() -> T + Send + 'static) -> JobHandle<T> {
        let (result, ended) = oneshot::channel();
        put(self.0.lane(turn.lane), (turn, Box::new(move || drop(result.send(job())))));
        JobHandle(ended)
    }
}

/// How many cores there are for this process.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn start_lane(lane: Lane, limit: usize) -> std::io::Result<Arc<Shared>> {
    let shared = Arc::new(Shared {
        lane,
        runtime: Handle::try_current().ok(),
        cores: cores().min(limit),
        limit,
        state: Mutex::default(),
        work: Condvar::new(),
        look: Condvar::new(),
    });
    let supervised = Arc::clone(&shared);
    thread::Builder::new().name("guests".to_owned()).spawn(move || supervise(&supervised))?;
    Ok(shared)
}

fn put(shared: &Arc<Shared>, job: (Turn, Job)) {
    let mut state = shared.state();
    state.waiting.push_back(job);
    if state.unsupervised {
        shared.look.notify_one();
    }
    if state.idle > 0 {
        state.call(&shared.work);
    } else if state.threads < shared.cores {
        start(shared, state);
    }
}

impl Shared {
    /// Whether those whose jobs turn out to be slow give way by that: in the other lanes they have done so before.
    fn is_for_quick_jobs(&self) -> bool {
        matches!(self.lane, Lane::Quick | Lane::Many)
    }

    /// Nobody panics while holding the lock, and so a poisoned one is as good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        for shared in [&self.quick, &self.many, &self.slow] {
            shared.state().closed = true;
            shared.work.notify_all();
            shared.look.notify_all();
        }
    }
}

/// Starts a thread. If the system refuses, those that are there must do; the supervisor tries again.
fn start(shared: &Arc<Shared>, mut state: MutexGuard<'_, State>) {
    state.threads += 1;
    drop(state);
    let runs = Arc::clone(shared);
    if let Err(error) = thread::Builder::new().name("guest".to_owned()).spawn(move || work(&runs)) {
        shared.state().threads -= 1;
        tracing::warn!(%error, "no thread for a guest could be started");
    }
}

/// What a thread does, until there is nothing for it to do and there are enough others.
fn work(shared: &Shared) {
    let thread = this_thread();
    let _runtime = shared.runtime.as_ref().map(Handle::enter);
    enter(shared.lane);
    let (mut state, mut has_rested) = (shared.state(), false);
    let (mut in_row, mut yields) = (0, 0);
    loop {
        let Some((turn, job)) = state.waiting.pop_front() else {
            if in_row >= BUSY && yields < YIELDS && !state.closed {
                yields += 1;
                drop(state);
                thread::yield_now();
                state = shared.state();
                continue;
            }
            (in_row, yields) = (0, 0);
            let is_extra = state.threads > shared.cores;
            if state.closed || is_extra && has_rested {
                break;
            }
            state.idle += 1;
            let (again, rest) = shared.work.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner);
            (state, has_rested) = (again, rest.timed_out());
            state.idle -= 1;
            // Whoever comes, comes for all that waits.
            state.called = false;
            continue;
        };
        has_rested = false;
        (in_row, yields) = (BUSY.min(in_row + 1), 0);
        if !state.waiting.is_empty() {
            state.call(&shared.work);
        }
        let number = state.begun;
        state.begun += 1;
        let Turn { pace, core, .. } = turn;
        state.running.push((number, Running { since: Instant::now(), thread, pace, core, is_slow: false }));
        drop(state);
        // A panic was reported when it happened; whoever waits for the result is told by its absence.
        drop(catch_unwind(AssertUnwindSafe(job)));
        state = shared.state();
        // A thread that has given way cannot take that back.
        let gave_way = state.end(number).is_some_and(|running| running.is_slow);
        if gave_way && shared.is_for_quick_jobs() {
            break;
        }
    }
    state.threads -= 1;
}

/// Looks at the threads while they have something to do.
fn supervise(shared: &Arc<Shared>) {
    /// After so many looks in vain it waits until it is called.
    const PATIENCE: u32 = 50;
    let (mut begun, mut in_vain) = (0, 0);
    let mut state = shared.state();
    while !state.closed {
        state.unsupervised = in_vain > PATIENCE;
        state = if state.unsupervised {
            shared.look.wait(state).unwrap_or_else(PoisonError::into_inner)
        } else {
            shared.look.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0
        };
        let progress = state.begun - begun;
        begun = state.begun;
        let is_idle = progress == 0 && state.waiting.is_empty() && state.running.is_empty();
        in_vain = if is_idle { in_vain + 1 } else { 0 };
        for (_, running) in &mut state.running {
            running.look(shared.is_for_quick_jobs());
        }
        let is_stuck = progress < state.threads as u64 || state.threads < shared.cores;
        if is_stuck && !state.waiting.is_empty() && state.idle == 0 && state.threads < shared.limit {
            start(shared, state);
            state = shared.state();
        }
    }
}

#[cfg(target_os = "linux")]
type ThreadId = rustix::thread::Pid;
#[cfg(not(target_os = "linux"))]
type ThreadId = ();

#[cfg(target_os = "linux")]
fn this_thread() -> ThreadId {
    rustix::thread::gettid()
}
#[cfg(not(target_os = "linux"))]
fn this_thread() -> ThreadId {}

/// On Linux a priority is a thread's own (sched(7)); elsewhere threads share the cores as equals.
#[cfg(target_os = "linux")]
fn enter(lane: Lane) {
    match lane {
        Lane::Quick => {}
        Lane::Many => set_level(this_thread(), MANY_LEVEL),
        Lane::Slow => set_level(this_thread(), SLOW_LEVEL),
    }
}

/// Lets the present thread give way to every guest, for good: it compiles.
pub(crate) fn step_back() {
    #[cfg(target_os = "linux")]
    set_level(this_thread(), COMPILER_LEVEL);
}

/// Lets a thread give way whose job turns out to be slow.
#[cfg(target_os = "linux")]
fn give_way(thread: ThreadId) {
    set_level(thread, SLOW_LEVEL);
}

#[cfg(target_os = "linux")]
fn set_level(thread: ThreadId, level: i32) {
    if let Err(error) = rustix::process::setpriority_process(Some(thread), level) {
        tracing::debug!(%error, "a thread does not give way");
    }
}

/// Whether a thread of this process waits for something other than a core or the disk (proc(5)).
#[cfg(target_os = "linux")]
fn is_asleep(thread: ThreadId) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()));
    // The name comes before the state, in parentheses, and may have some of its own.
    stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S')))
}

#[cfg(not(target_os = "linux"))]
fn is_asleep(_: ThreadId) -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
fn enter(_: Lane) {}
#[cfg(not(target_os = "linux"))]
fn give_way(_: ThreadId) {}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn a_job_runs_and_a_panic_is_told() {
        let threads = Threads::new(4).unwrap();
        assert_eq!(threads.run(Turn::of(Lane::Quick), || 6 * 7).await.unwrap(), 42);
        assert!(threads.run(Turn::of(Lane::Quick), || panic!("as ordered")).await.is_err());
        assert_eq!(threads.run(Turn::of(Lane::Quick), || 1).await.unwrap(), 1, "others are not concerned");
    }

    #[tokio::test]
    async fn jobs_that_wait_for_each_other_get_a_thread_each() {
        let threads = Threads::new(16).unwrap();
        let all = Arc::new(Barrier::new(16));
        let jobs: Vec<_> = (0..16)
            .map(|_| {
                let all = Arc::clone(&all);
                threads.run(Turn::of(Lane::Many), move || all.wait().is_leader())
            })
            .collect();
        let mut leaders = 0;
        for job in jobs {
            leaders += usize::from(job.await.unwrap());
        }
        assert_eq!(leaders, 1);
    }

    #[tokio::test]
    async fn quick_jobs_do_not_wait_for_slow_ones() {
        let threads = Threads::new(2).unwrap();
        let (gate, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let slow: Vec<_> = (0..8)
            .map(|_| {
                let held = Arc::clone(&held);
                threads.run(Turn::of(Lane::Slow), move || held.lock().unwrap().recv().is_err())
            })
            .collect();
        assert_eq!(
            threads.run(Turn::of(Lane::Quick), || 1).await.unwrap(),
            1,
            "though no slow one has come to its end"
        );
        drop(gate);
        for job in slow {
            assert!(job.await.unwrap());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_slow_plugin_waits_for_its_own_that_run_and_not_for_those_that_wait() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let soon = Duration::from_millis(50);
        let (threads, pace) = (Threads::new(cores() + 1).unwrap(), Arc::new(Pace::default()));
        pace.note(VERY_SLOW);
        pace.note(VERY_SLOW);
        let runs = Arc::new(AtomicBool::new(true));
        let (gate, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let mut jobs = Vec::new();
        while let Ok(turn) = tokio::time::timeout(soon, pace.turn()).await {
            let (runs, held) = (Arc::clone(&runs), Arc::clone(&held));
            jobs.push(threads.run(turn, move || {
                while runs.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                held.lock().unwrap().recv().is_err()
            }));
        }
        assert_eq!(jobs.len(), (cores() - 1).max(1));
        runs.store(false, Ordering::Relaxed);
        assert_eq!(pace.turn().await.lane, Lane::Slow, "though none of them has come to its end");
        drop(gate);
        for job in jobs {
            assert!(job.await.unwrap());
        }
    }

    #[tokio::test]
    async fn there_are_no_more_threads_than_the_limit() {
        let threads = Threads::new(3).unwrap();
        let (running, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let jobs: Vec<_> = (0..60)
            .map(|_| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                threads.run(Turn::of(Lane::Quick), move || {
                    let now = {
                        let mut running = running.lock().unwrap();
                        *running += 1;
                        *running
                    };
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                    drop(most);
                    *running.lock().unwrap() -= 1;
                })
            })
            .collect();
        for job in jobs {
            job.await.unwrap();
        }
        assert!(*most.lock().unwrap() <= 3);
    }
}
