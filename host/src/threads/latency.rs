//! Tracks how long a plugin's invocations take, and chooses the priority of its next ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{SLOW, cores};

/// The priority of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A client or an event is waiting, and the job is likely to be fast.
    Interactive,
    /// One of many waiting jobs, whose total throughput matters.
    Bulk,
    /// A job of a slow plugin. It yields to all others, and still gets at least a tenth of a core.
    Background,
}

/// The right to run a job on a thread.
#[derive(Debug)]
pub struct Ticket {
    /// The priority of the job.
    pub priority: Priority,
    pub(super) latency: Option<Arc<LatencyTracker>>,
    pub(super) core: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// A ticket that is not tracked for a plugin.
    #[must_use]
    pub fn new(priority: Priority) -> Self {
        Self { priority, latency: None, core: None }
    }
}

/// Tracks how long a plugin's invocations take.
///
/// A single slow invocation may have waited for a core. Two in a short time make the plugin slow, until enough fast
/// ones have followed. At most `cores - 1` invocations of a slow plugin are runnable at the same time; invocations
/// blocked on I/O do not count. More of them would not finish sooner, and would make other plugins wait for the
/// kernel's time slice.
#[derive(Debug)]
pub struct LatencyTracker {
    /// How many fast invocations must follow before the plugin counts as fast again.
    debt: AtomicU32,
    /// Permits for the cores that the plugin may use while it is slow.
    cores: Arc<Semaphore>,
}

impl Default for LatencyTracker {
    fn default() -> Self {
        // One core is left to others, so that they need not wait for the kernel to preempt a slow guest.
        Self { debt: AtomicU32::new(0), cores: Arc::new(Semaphore::new(cores().saturating_sub(1).max(1))) }
    }
}

impl LatencyTracker {
    /// How many fast invocations make up for a slow one.
    const SLOW_COST: u32 = 32;
    /// The limit of the debt.
    const MAX_DEBT: u32 = 3 * Self::SLOW_COST;

    /// Records how long an invocation took.
    pub fn note(&self, took: Duration) {
        let debt = self.debt.load(Ordering::Relaxed);
        let now = if took > SLOW { (debt + Self::SLOW_COST).min(Self::MAX_DEBT) } else { debt.saturating_sub(1) };
        if now != debt {
            // Of two concurrent updates one may be lost, which a heuristic tolerates.
            self.debt.store(now, Ordering::Relaxed);
        }
    }

    /// Waits for the ticket of the next invocation.
    pub async fn ticket(self: &Arc<Self>) -> Ticket {
        let latency = Some(Arc::clone(self));
        match self.priority() {
            Priority::Background => {
                let core = Arc::clone(&self.cores).acquire_owned().await.expect("the semaphore is never closed");
                // The debt may be paid by now. Running one more invocation at low priority does no harm.
                Ticket { priority: Priority::Background, latency, core: Some(core) }
            }
            priority => Ticket { priority, latency, core: None },
        }
    }

    fn priority(&self) -> Priority {
        if self.debt.load(Ordering::Relaxed) > Self::SLOW_COST { Priority::Background } else { Priority::Interactive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_invocations_make_up_for_slow_ones() {
        let latency = LatencyTracker::default();
        latency.note(SLOW * 2);
        assert_eq!(latency.priority(), Priority::Interactive, "one slow invocation does not count");
        latency.note(SLOW * 2);
        for _ in 0..LatencyTracker::SLOW_COST {
            assert_eq!(latency.priority(), Priority::Background);
            latency.note(SLOW / 2);
        }
        assert_eq!(latency.priority(), Priority::Interactive);
    }
}
