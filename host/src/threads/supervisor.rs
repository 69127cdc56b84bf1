//! Looks at the threads of a lane: starts more of them while those that run get nowhere, and lets those give way whose
//! jobs turn out to be slow.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::SLOW;
use super::lane::{LaneThreads, Running};
use super::priority::{give_way, is_asleep};

/// How often the threads are looked at while jobs wait or run.
const LOOK: Duration = Duration::from_millis(2);
/// One that takes longer than this is slow beyond doubt.
pub(super) const VERY_SLOW: Duration = Duration::from_millis(100);

/// Looks at the threads while they have something to do.
pub(super) fn supervise(shared: &Arc<LaneThreads>) {
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
            look_at(running, shared.is_for_quick_jobs());
        }
        let is_stuck = progress < state.threads as u64 || state.threads < shared.cores;
        if is_stuck && !state.waiting.is_empty() && state.idle == 0 && state.threads < shared.limit {
            shared.start_thread(state);
            state = shared.state();
        }
    }
}

/// Draws the consequences of how long the job has taken by now. Under the lane's lock: so the thread is still that
/// of this job.
fn look_at(running: &mut Running, is_for_quick_jobs: bool) {
    let took = running.since.elapsed();
    if took > SLOW && !running.is_slow {
        running.is_slow = true;
        if is_for_quick_jobs {
            give_way(running.thread);
        }
    }
    // Before it ends, which may be long after, others of its plugin know better.
    if took > VERY_SLOW
        && let Some(pace) = running.pace.take()
    {
        pace.note(took);
    }
    if took > LOOK && running.core.is_some() && is_asleep(running.thread) {
        running.core = None;
    }
}
