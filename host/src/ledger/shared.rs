//! The parts of the ledger that recorders and the writer share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::config::LedgerConfig;
use super::live::Stream;
use super::policy::Policy;
use super::queue::Queue;
use super::record::Entry;
use super::statistics::Statistics;
use crate::clock::Clock;

/// What recorders and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) policy: Policy,
    pub(super) queue: Queue,
    pub(super) stream: Stream,
    pub(super) statistics: Statistics,
    pub(super) clock: Clock,
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Whether the file can be written.
    pub(super) is_available: AtomicBool,
}

impl Shared {
    pub(super) fn of(config: &LedgerConfig, clock: Clock) -> Self {
        Self {
            policy: Policy::new(config),
            queue: Queue::new(),
            stream: Stream::new(uuid::Uuid::new_v4().as_u64_pair().0),
            statistics: Statistics::default(),
            clock,
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            is_available: AtomicBool::new(false),
        }
    }

    /// Counts records that are lost.
    pub(super) fn count_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        metrics::counter!("sandbus_ledger_lost_total").increment(count);
    }

    /// Counts records that are written.
    pub(super) fn count_written(&self, count: u64) {
        self.written.fetch_add(count, Ordering::Relaxed);
        metrics::counter!("sandbus_ledger_records_total").increment(count);
    }

    /// Sets whether the file can be written.
    pub(super) fn set_available(&self, is_available: bool) {
        self.is_available.store(is_available, Ordering::Relaxed);
        metrics::gauge!("sandbus_ledger_available").set(if is_available { 1.0 } else { 0.0 });
    }

    pub(super) fn push(&self, entry: Entry) {
        let entry = Arc::new(entry);
        self.stream.push(Arc::clone(&entry));
        if !self.queue.push(entry) {
            self.count_lost(1);
        }
    }
}
