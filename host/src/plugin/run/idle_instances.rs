//! Instances that wait for another invocation. An operator asks for them by `calls_per_instance` in a sidecar.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::linked::Instance;

/// The idle instances of one generation. The most recently used one goes first, because its memory is warm.
#[derive(Debug)]
pub(crate) struct IdleInstances {
    instances: Mutex<Vec<(Instance, OwnedSemaphorePermit)>>,
    /// Permits that all plugins share. The engine's pool has this many slots in addition to those for running calls.
    permits: Arc<Semaphore>,
}

impl IdleInstances {
    pub(crate) fn new(permits: Arc<Semaphore>) -> Self {
        Self { instances: Mutex::default(), permits }
    }

    pub(crate) fn take(&self) -> Option<Instance> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(instance, _)| instance)
    }

    pub(crate) fn put(&self, instance: Instance) {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            self.instances.lock().unwrap_or_else(PoisonError::into_inner).push((instance, permit));
        }
    }
}
