//! How quick a plugin's invocations have been lately, and what follows for its next ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{SLOW, cores};

/// Which threads run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Somebody waits for it, and it is likely to be quick.
    Interactive,
    /// It is one of many that wait: all of them together are what matters.
    Bulk,
    /// It belongs to a plugin that has been slow: it gives way, and has a tenth of a core for certain.
    Background,
}

/// A job's turn on a thread.
#[derive(Debug)]
pub struct Ticket {
    /// Which threads run it.
    pub priority: Priority,
    pub(super) latency: Option<Arc<LatencyTracker>>,
    pub(super) core: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// In a lane, at nobody's pace.
    #[must_use]
    pub fn new(priority: Priority) -> Self {
        Self { priority, latency: None, core: None }
    }
}

/// How quick a plugin's invocations have been lately, which decides the lane of its next ones.
///
/// One that takes long may have waited for a core. The next one that does, while the first is not made up for,
/// makes the plugin a slow one, until enough of them have been quick. A slow plugin's invocations take all cores but
/// one at a time, besides those that wait for something: more of them would not be done any sooner than there are
/// cores, and others would wait for each of those until the kernel takes it away.
#[derive(Debug)]
pub struct LatencyTracker {
    /// How many quick invocations are owed.
    debt: AtomicU32,
    /// The cores, for while it is slow.
    cores: Arc<Semaphore>,
}

impl Default for LatencyTracker {
    fn default() -> Self {
        // One is left for others, where there are more: so nobody waits until the kernel takes one away.
        Self { debt: AtomicU32::new(0), cores: Arc::new(Semaphore::new(cores().saturating_sub(1).max(1))) }
    }
}

impl LatencyTracker {
    /// So many quick invocations make up for a slow one.
    const SLOW_COST: u32 = 32;
    /// More than this is never owed.
    const MAX_DEBT: u32 = 3 * Self::SLOW_COST;

    /// Notes how long an invocation took.
    pub fn note(&self, took: Duration) {
        let debt = self.debt.load(Ordering::Relaxed);
        let now = if took > SLOW { (debt + Self::SLOW_COST).min(Self::MAX_DEBT) } else { debt.saturating_sub(1) };
        if now != debt {
            // Of two that end at once one may not count: it is a rule of thumb.
            self.debt.store(now, Ordering::Relaxed);
        }
    }

    /// Waits for the turn of the next invocation.
    pub async fn ticket(self: &Arc<Self>) -> Ticket {
        let latency = Some(Arc::clone(self));
        match self.priority() {
            Priority::Background => {
                let core = Arc::clone(&self.cores).acquire_owned().await.expect("the semaphore is never closed");
                // It may have been made up for in the meantime; then nobody minds one that gives way.
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
    fn slow_invocations_are_made_up_for_by_quick_ones() {
        let latency = LatencyTracker::default();
        latency.note(SLOW * 2);
        assert_eq!(latency.priority(), Priority::Interactive, "one is none");
        latency.note(SLOW * 2);
        for _ in 0..LatencyTracker::SLOW_COST {
            assert_eq!(latency.priority(), Priority::Background);
            latency.note(SLOW / 2);
        }
        assert_eq!(latency.priority(), Priority::Interactive);
    }
}
