//! Limits how many invocations of a plugin run at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::threads::{LatencyTracker, Ticket};

/// How often an invocation is rerun after a conflict on state before it fails.
pub const RERUN_LIMIT: u32 = 32;

/// How many outgoing requests a plugin may have open at the same time. Further ones wait.
const CONNECTIONS: usize = 64;

/// Limits the invocations of one plugin. All its generations share the limiter.
#[derive(Debug)]
pub struct ConcurrencyLimiter {
    /// Permits for running invocations.
    permits: Arc<Semaphore>,
    /// Held by an invocation that is rerun after a conflict, so that reruns do not conflict with each other.
    pub rerun_lock: Arc<tokio::sync::Mutex<()>>,
    /// Permits for outgoing requests.
    pub(crate) connections: Arc<Semaphore>,
    /// The latency of recent invocations.
    pub(crate) latency: Arc<LatencyTracker>,
    limit: usize,
}

/// What an admitted invocation holds: its permits and its ticket for a thread.
#[derive(Debug)]
pub struct Admission {
    /// The ticket for a thread.
    pub ticket: Ticket,
    /// The permits of the plugin and of the host. They are held until the thread is free, even if the caller has gone.
    pub permits: [OwnedSemaphorePermit; 2],
}

impl ConcurrencyLimiter {
    /// A limiter for this many concurrent invocations.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            rerun_lock: Arc::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            latency: Arc::default(),
            limit,
        }
    }

    /// How many invocations may run at the same time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many invocations are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.limit - self.permits.available_permits()
    }

    /// Waits for a permit of the plugin, and then for one that all plugins share. In this order, a plugin at its limit
    /// keeps no other plugin waiting.
    pub async fn admit(&self, shared: &Arc<Semaphore>) -> Admission {
        let acquire = async |semaphore: &Arc<Semaphore>| {
            Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed")
        };
        let own = acquire(&self.permits).await;
        let ticket = self.latency.ticket().await;
        Admission { ticket, permits: [own, acquire(shared).await] }
    }

    /// Waits until no invocation is running.
    pub async fn wait_until_idle(&self) {
        // All permits are available only when nothing runs.
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        drop(self.permits.acquire_many(all).await);
    }
}
