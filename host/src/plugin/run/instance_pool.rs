//! Instances that wait for another call. An operator asks for them by `calls_per_instance` in a sidecar.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::linked::Instance;

/// The instances of one generation that wait; the last one that ran goes first, since its memory is warm.
#[derive(Debug)]
pub(crate) struct InstancePool {
    waiting: Mutex<Vec<(Instance, OwnedSemaphorePermit)>>,
    /// What all plugins together may keep: the engine's pool has as many places beyond those for calls.
    permits: Arc<Semaphore>,
}

impl InstancePool {
    pub(crate) fn new(permits: Arc<Semaphore>) -> Self {
        Self { waiting: Mutex::default(), permits }
    }

    pub(crate) fn take(&self) -> Option<Instance> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(instance, _)| instance)
    }

    pub(crate) fn put(&self, instance: Instance) {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((instance, permit));
        }
    }
}
