//! Instances that wait for another call. An operator asks for them by `calls_per_instance` in a sidecar.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::linked::Live;

/// The instances of one generation that wait; the last one that ran goes first, since its memory is warm.
#[derive(Debug)]
pub(crate) struct Idle {
    waiting: Mutex<Vec<(Live, OwnedSemaphorePermit)>>,
    /// What all plugins together may keep: the engine's pool has as many places beyond those for calls.
    places: Arc<Semaphore>,
}

impl Idle {
    pub(crate) fn new(places: Arc<Semaphore>) -> Self {
        Self { waiting: Mutex::default(), places }
    }

    pub(crate) fn take(&self) -> Option<Live> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(live, _)| live)
    }

    pub(crate) fn put(&self, live: Live) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((live, place));
        }
    }
}
