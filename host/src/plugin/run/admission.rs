//! How many invocations of a plugin run at a time, and in which order they get their turn.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::threads::{LatencyTracker, Ticket};

/// How often an invocation runs again because others changed what it had read, before that counts as a
/// failure.
pub const RERUN_LIMIT: u32 = 32;

/// How many requests a plugin may have open at a time; further ones wait.
const CONNECTIONS: usize = 64;

/// What bounds a plugin's invocations.
#[derive(Debug)]
pub struct ConcurrencyLimiter {
    /// Places for invocations that run at a time.
    permits: Arc<Semaphore>,
    /// Held by an invocation that runs again after a conflict, so that such ones don't defeat each other.
    pub rerun_lock: Arc<tokio::sync::Mutex<()>>,
    /// Places for requests that its invocations have open at a time.
    pub(crate) connections: Arc<Semaphore>,
    /// How quick its invocations have been lately.
    pub(crate) latency: Arc<LatencyTracker>,
    limit: usize,
}

/// An invocation may run.
#[derive(Debug)]
pub struct Admission {
    /// Its turn on a thread.
    pub ticket: Ticket,
    /// What it holds until that thread is free, also if nobody waits for it any more.
    pub permits: [OwnedSemaphorePermit; 2],
}

impl ConcurrencyLimiter {
    /// For so many invocations of a plugin at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            rerun_lock: Arc::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            latency: Arc::default(),
            limit,
        }
    }

    /// How many places there are.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many places are taken.
    #[must_use]
    pub fn running(&self) -> usize {
        self.limit - self.permits.available_permits()
    }

    /// Waits for a place among those that all plugins share, once the plugin itself has room for another
    /// invocation: one that fills its own places keeps no other plugin waiting.
    pub async fn admit(&self, shared: &Arc<Semaphore>) -> Admission {
        let acquire = async |semaphore: &Arc<Semaphore>| {
            Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed")
        };
        let own = acquire(&self.permits).await;
        let ticket = self.latency.ticket().await;
        Admission { ticket, permits: [own, acquire(shared).await] }
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        // All places free at once.
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        drop(self.permits.acquire_many(all).await);
    }
}
