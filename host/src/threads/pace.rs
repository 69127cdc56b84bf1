//! How quick a plugin's invocations have been lately, and what follows for its next ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{SLOW, cores};

/// Which threads run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for it, and it is likely to be quick.
    Quick,
    /// It is one of many that wait: all of them together are what matters.
    Many,
    /// It belongs to a plugin that has been slow: it gives way, and has a tenth of a core for certain.
    Slow,
}

/// A job's turn on a thread.
#[derive(Debug)]
pub struct Turn {
    /// Which threads run it.
    pub lane: Lane,
    pub(super) pace: Option<Arc<Pace>>,
    pub(super) core: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// In a lane, at nobody's pace.
    #[must_use]
    pub fn of(lane: Lane) -> Self {
        Self { lane, pace: None, core: None }
    }
}

/// How quick a plugin's invocations have been lately, which decides the lane of its next ones.
///
/// One that takes long may have waited for a core. The next one that does, while the first is not made up for,
/// makes the plugin a slow one, until enough of them have been quick. A slow plugin's invocations take all cores but
/// one at a time, besides those that wait for something: more of them would not be done any sooner than there are
/// cores, and others would wait for each of those until the kernel takes it away.
#[derive(Debug)]
pub struct Pace {
    /// How many quick invocations are owed.
    owed: AtomicU32,
    /// The cores, for while it is slow.
    cores: Arc<Semaphore>,
}

impl Default for Pace {
    fn default() -> Self {
        // One is left for others, where there are more: so nobody waits until the kernel takes one away.
        Self { owed: AtomicU32::new(0), cores: Arc::new(Semaphore::new(cores().saturating_sub(1).max(1))) }
    }
}

impl Pace {
    /// So many quick invocations make up for a slow one.
    const PENANCE: u32 = 32;
    /// More than this is never owed.
    const MOST: u32 = 3 * Self::PENANCE;

    /// Notes how long an invocation took.
    pub fn note(&self, took: Duration) {
        let owed = self.owed.load(Ordering::Relaxed);
        let now = if took > SLOW { (owed + Self::PENANCE).min(Self::MOST) } else { owed.saturating_sub(1) };
        if now != owed {
            // Of two that end at once one may not count: it is a rule of thumb.
            self.owed.store(now, Ordering::Relaxed);
        }
    }

    /// Waits for the turn of the next invocation.
    pub async fn turn(self: &Arc<Self>) -> Turn {
        let pace = Some(Arc::clone(self));
        match self.lane() {
            Lane::Slow => {
                let core = Arc::clone(&self.cores).acquire_owned().await.expect("the semaphore is never closed");
                // It may have been made up for in the meantime; then nobody minds one that gives way.
                Turn { lane: Lane::Slow, pace, core: Some(core) }
            }
            lane => Turn { lane, pace, core: None },
        }
    }

    fn lane(&self) -> Lane {
        if self.owed.load(Ordering::Relaxed) > Self::PENANCE { Lane::Slow } else { Lane::Quick }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_invocations_are_made_up_for_by_quick_ones() {
        let pace = Pace::default();
        pace.note(SLOW * 2);
        assert_eq!(pace.lane(), Lane::Quick, "one is none");
        pace.note(SLOW * 2);
        for _ in 0..Pace::PENANCE {
            assert_eq!(pace.lane(), Lane::Slow);
            pace.note(SLOW / 2);
        }
        assert_eq!(pace.lane(), Lane::Quick);
    }
}
