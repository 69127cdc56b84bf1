//! The threads that run guests.
//!
//! There is a pool of threads for each priority, so that an interactive job never waits behind bulk or background jobs,
//! and the operating system prefers it where they want the same core. Each pool keeps one thread per core; more would
//! only add context switches. A pool grows beyond that, up to its limit, while its running jobs make no progress
//! because they are slow or blocked. A thread whose job turns out to be slow gets a lower priority, and exits after
//! that job unless its pool already runs at that priority.

mod cpu_timer;
mod latency;
mod os_priority;
mod pool;
mod supervisor;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

pub use self::cpu_timer::CpuTimer;
pub use self::latency::{LatencyTracker, Priority, Ticket};
pub(crate) use self::os_priority::lower_compiler_priority;
use self::pool::PriorityPool;

/// A job that takes longer than this counts as slow.
const SLOW: Duration = Duration::from_millis(10);

/// The capacity that all plugins share.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// Permits to run an invocation. The pool of each engine has a slot for every permit.
    pub permits: Arc<Semaphore>,
    /// The threads. Each priority has at most as many threads as there are permits.
    pub threads: Threads,
}

impl Capacity {
    /// Creates the capacity for this many concurrent invocations.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(concurrency: usize) -> std::io::Result<Self> {
        Ok(Self { permits: Arc::new(Semaphore::new(concurrency)), threads: Threads::new(concurrency)? })
    }
}

/// Runs jobs on threads. Clones share the threads, which exit with the last clone.
#[derive(Clone, Debug)]
pub struct Threads(Arc<Pools>);

/// The pool of each priority. Dropping this ends the threads.
#[derive(Debug)]
struct Pools {
    interactive: Arc<PriorityPool>,
    bulk: Arc<PriorityPool>,
    background: Arc<PriorityPool>,
}

impl Pools {
    fn pool(&self, priority: Priority) -> &Arc<PriorityPool> {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Bulk => &self.bulk,
            Priority::Background => &self.background,
        }
    }
}

/// Waits for a job's result. The job continues if this is dropped.
#[derive(Debug)]
pub struct JobHandle<T>(oneshot::Receiver<T>);

impl<T> Future for JobHandle<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|_| Panicked)
    }
}

/// A job panicked and has no result.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the job panicked")]
pub struct Panicked;

impl Threads {
    /// Creates the pools, with at most `limit` threads each. The threads enter the current tokio runtime, if there is
    /// one.
    ///
    /// # Errors
    /// If none can be started.
    pub fn new(limit: usize) -> std::io::Result<Self> {
        let start = |priority| PriorityPool::start(priority, limit, supervisor::supervise);
        Ok(Self(Arc::new(Pools {
            interactive: start(Priority::Interactive)?,
            bulk: start(Priority::Bulk)?,
            background: start(Priority::Background)?,
        })))
    }

    /// How many threads can run at the same time.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.0.interactive.cores
    }

    /// Whether jobs of a priority wait for a thread.
    #[must_use]
    pub fn has_waiting_jobs(&self, priority: Priority) -> bool {
        !self.0.pool(priority).is_empty()
    }

    /// Runs a job on a thread of its ticket's priority.
    pub fn run<T: Send + 'static>(&self, ticket: Ticket, job: impl FnOnce() -> T + Send + 'static) -> JobHandle<T> {
        let (result, ended) = oneshot::channel();
        self.0.pool(ticket.priority).submit(ticket, Box::new(move || drop(result.send(job()))));
        JobHandle(ended)
    }
}

/// The number of cores that this process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Drop for Pools {
    fn drop(&mut self) {
        for pool in [&self.interactive, &self.bulk, &self.background] {
            pool.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};

    use super::supervisor::VERY_SLOW;
    use super::*;

    #[tokio::test]
    async fn a_job_runs_and_a_panic_is_reported() {
        let threads = Threads::new(4).unwrap();
        assert_eq!(threads.run(Ticket::new(Priority::Interactive), || 6 * 7).await.unwrap(), 42);
        assert!(threads.run(Ticket::new(Priority::Interactive), || panic!("as ordered")).await.is_err());
        assert_eq!(threads.run(Ticket::new(Priority::Interactive), || 1).await.unwrap(), 1, "other jobs still run");
    }

    #[tokio::test]
    async fn jobs_that_wait_for_each_other_get_a_thread_each() {
        let threads = Threads::new(16).unwrap();
        let all = Arc::new(Barrier::new(16));
        let jobs: Vec<_> = (0..16)
            .map(|_| {
                let all = Arc::clone(&all);
                threads.run(Ticket::new(Priority::Bulk), move || all.wait().is_leader())
            })
            .collect();
        let mut leaders = 0;
        for job in jobs {
            leaders += usize::from(job.await.unwrap());
        }
        assert_eq!(leaders, 1);
    }

    #[tokio::test]
    async fn interactive_jobs_do_not_wait_for_background_ones() {
        let threads = Threads::new(2).unwrap();
        let (gate_tx, gate_rx) = std::sync::mpsc::channel::<()>();
        let gate_rx = Arc::new(Mutex::new(gate_rx));
        let slow: Vec<_> = (0..8)
            .map(|_| {
                let gate_rx = Arc::clone(&gate_rx);
                threads.run(Ticket::new(Priority::Background), move || gate_rx.lock().unwrap().recv().is_err())
            })
            .collect();
        assert_eq!(
            threads.run(Ticket::new(Priority::Interactive), || 1).await.unwrap(),
            1,
            "although no background job has ended"
        );
        drop(gate_tx);
        for job in slow {
            assert!(job.await.unwrap());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_runnable_invocations_count_against_a_slow_plugin() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let soon = Duration::from_millis(50);
        let (threads, latency) = (Threads::new(cores() + 1).unwrap(), Arc::new(LatencyTracker::default()));
        latency.note(VERY_SLOW);
        latency.note(VERY_SLOW);
        let runs = Arc::new(AtomicBool::new(true));
        let (gate_tx, gate_rx) = std::sync::mpsc::channel::<()>();
        let gate_rx = Arc::new(Mutex::new(gate_rx));
        let mut jobs = Vec::new();
        while let Ok(ticket) = tokio::time::timeout(soon, latency.ticket()).await {
            let (runs, gate_rx) = (Arc::clone(&runs), Arc::clone(&gate_rx));
            jobs.push(threads.run(ticket, move || {
                while runs.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                gate_rx.lock().unwrap().recv().is_err()
            }));
        }
        assert_eq!(jobs.len(), (cores() - 1).max(1));
        runs.store(false, Ordering::Relaxed);
        assert_eq!(latency.ticket().await.priority, Priority::Background, "although none of them has ended");
        drop(gate_tx);
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
                threads.run(Ticket::new(Priority::Interactive), move || {
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
