//! How many invocations of a plugin run at a time, and in which order they get their turn.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::threads::{Pace, Turn};

/// How often an invocation runs again because others changed what it had read, before that counts as a
/// failure.
pub const RERUN_LIMIT: u32 = 32;

/// How many requests a plugin may have open at a time; further ones wait.
const CONNECTIONS: usize = 64;

/// What bounds a plugin's invocations.
#[derive(Debug)]
pub struct Room {
    /// Places for invocations that run at a time.
    places: Arc<Semaphore>,
    /// Held by an invocation that runs again after a conflict, so that such ones don't defeat each other.
    pub again: Arc<tokio::sync::Mutex<()>>,
    /// Places for requests that its invocations have open at a time.
    pub(crate) connections: Arc<Semaphore>,
    /// How quick its invocations have been lately.
    pub(crate) pace: Arc<Pace>,
    size: usize,
}

/// An invocation may run.
#[derive(Debug)]
pub struct Admission {
    /// Its turn on a thread.
    pub turn: Turn,
    /// What it holds until that thread is free, also if nobody waits for it any more.
    pub places: [OwnedSemaphorePermit; 2],
}

impl Room {
    /// For so many invocations of a plugin at a time.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(size)),
            again: Arc::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            pace: Arc::default(),
            size,
        }
    }

    /// How many places there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many places are taken.
    #[must_use]
    pub fn running(&self) -> usize {
        self.size - self.places.available_permits()
    }

    /// Waits for a place among those that all plugins share, once the plugin itself has room for another
    /// invocation: one that fills its own places keeps no other plugin waiting.
    pub async fn admit(&self, shared: &Arc<Semaphore>) -> Admission {
        let place = async |places: &Arc<Semaphore>| {
            Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed")
        };
        let own = place(&self.places).await;
        let turn = self.pace.turn().await;
        Admission { turn, places: [own, place(shared).await] }
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        // All places free at once.
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }
}
