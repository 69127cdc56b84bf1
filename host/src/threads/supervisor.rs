//! Supervises the threads of a pool: starts more of them while the running jobs make no progress, and lowers the
//! priority of threads whose jobs are slow.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::SLOW;
use super::os_priority::{is_asleep, lower_priority};
use super::pool::{PriorityPool, Running};

/// How often the jobs are checked while any wait or run.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);
/// A job that takes longer than this is certainly slow.
pub(super) const VERY_SLOW: Duration = Duration::from_millis(100);

/// The supervisor's loop.
pub(super) fn supervise(shared: &Arc<PriorityPool>) {
    /// How many checks without work before the supervisor sleeps until it is woken.
    const IDLE_CHECKS: u32 = 50;
    let (mut started, mut idle_checks) = (0, 0);
    let mut state = shared.state();
    while !state.closed {
        state.supervisor_sleeps = idle_checks > IDLE_CHECKS;
        state = if state.supervisor_sleeps {
            shared.supervisor_wakeup.wait(state).unwrap_or_else(PoisonError::into_inner)
        } else {
            shared.supervisor_wakeup.wait_timeout(state, CHECK_INTERVAL).unwrap_or_else(PoisonError::into_inner).0
        };
        let progress = state.started - started;
        started = state.started;
        let is_idle = progress == 0 && state.waiting.is_empty() && state.running.is_empty();
        idle_checks = if is_idle { idle_checks + 1 } else { 0 };
        for (_, running) in &mut state.running {
            check_job(running, shared.lowers_slow_threads());
        }
        let is_stuck = progress < state.threads as u64 || state.threads < shared.cores;
        if is_stuck && !state.waiting.is_empty() && state.idle == 0 && state.threads < shared.limit {
            shared.start_thread(state);
            state = shared.state();
        }
    }
}

/// Checks how long a job has been running. The caller holds the pool's lock, so the thread still runs this job.
fn check_job(running: &mut Running, lowers_slow_threads: bool) {
    let took = running.since.elapsed();
    if took > SLOW && !running.is_slow {
        running.is_slow = true;
        if lowers_slow_threads {
            lower_priority(running.thread);
        }
    }
    // Recorded before the job ends, which may be much later, so that the plugin's next jobs run at low priority.
    if took > VERY_SLOW
        && let Some(latency) = running.latency.take()
    {
        latency.note(took);
    }
    if took > CHECK_INTERVAL && running.core.is_some() && is_asleep(running.thread) {
        running.core = None;
    }
}
