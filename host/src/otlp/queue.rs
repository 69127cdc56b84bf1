//! The bounded queue of a signal. A thread that adds a record never waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The records that wait to be exported.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<VecDeque<T>>,
    capacity: usize,
    /// The number of records in one request.
    batch: usize,
    /// Signals that there are enough records for a request.
    filled: Notify,
    losses: Losses,
}

/// Counts the records of a signal that were lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    count: AtomicU64,
    /// Why the last request failed.
    reason: Mutex<Option<String>>,
}

impl Losses {
    pub(super) fn add(&self, count: usize) {
        self.count.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Notes why a request failed, or that one was accepted.
    pub(super) fn note(&self, failure: Option<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Why records are lost: the last failure of the collector, or a queue that it does not empty in time.
    pub(super) fn reason(&self) -> String {
        let failure = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match failure {
            Some(reason) => format!("the collector failed: {reason}"),
            None => "the collector takes too long, and the queue is full".to_owned(),
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize, batch: usize) -> Self {
        let (waiting, filled, losses) = Default::default();
        Self { waiting, capacity, batch, filled, losses }
    }

    /// Adds a record, or counts it as lost if there is no room.
    pub(super) fn push(&self, record: T) {
        let mut waiting = self.lock();
        if waiting.len() >= self.capacity {
            drop(waiting);
            return self.losses.add(1);
        }
        waiting.push_back(record);
        let is_filled = waiting.len() >= self.batch;
        drop(waiting);
        if is_filled {
            self.filled.notify_one();
        }
    }

    /// Takes the records of one request.
    pub(super) fn take(&self) -> Vec<T> {
        let mut waiting = self.lock();
        let count = waiting.len().min(self.batch);
        waiting.drain(..count).collect()
    }

    /// Waits until there are enough records for a request.
    pub(super) async fn filled(&self) {
        while self.lock().len() < self.batch {
            self.filled.notified().await;
        }
    }

    /// Counts everything that waits as lost.
    pub(super) fn give_up(&self) {
        let count = std::mem::take(&mut *self.lock()).len();
        self.losses.add(count);
    }

    pub(super) fn losses(&self) -> &Losses {
        &self.losses
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let queue = Queue::new(3, 2);
        (0..5).for_each(|number| queue.push(number));
        assert_eq!((queue.take(), queue.take(), queue.take()), (vec![0, 1], vec![2], vec![]));
        assert_eq!(queue.losses().total(), 2);
        queue.push(5);
        queue.give_up();
        assert_eq!((queue.take(), queue.losses().total()), (vec![], 3));
    }
}
