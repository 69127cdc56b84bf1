//! The parts of the ledger that recorders, readers and the writer share.

use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::watch;

use super::config::LedgerConfig;
use super::policy::Policy;
use super::queue::Queue;
use super::record::Entry;
use super::statistics::Statistics;
use super::stream::Stream;
use crate::clock::{Clock, Timestamp};

/// How long a reader waits for the writer.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

/// A time in which the ledger cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be written since {since}: {reason}; attempts and requests since then may be missing")]
pub struct Outage {
    /// When it began.
    pub since: Timestamp,
    /// Why it began.
    pub reason: String,
}

/// What recorders, readers and the writer share.
pub(super) struct Shared {
    pub(super) policy: ArcSwap<Policy>,
    pub(super) config: ArcSwap<LedgerConfig>,
    pub(super) queue: Queue,
    pub(super) stream: Stream,
    pub(super) statistics: Statistics,
    pub(super) clock: Clock,
    written: AtomicU64,
    lost: AtomicU64,
    outage: Mutex<Option<Outage>>,
    /// How many queued records have been written, or have been given up.
    settled: watch::Sender<u64>,
    /// The writer's thread, to wake it.
    writer: OnceLock<Thread>,
    metrics: LedgerMetrics,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("outage", &self.outage).finish_non_exhaustive()
    }
}

/// The metrics of the ledger. They exist from the start, so that an alert can compare them with zero.
struct LedgerMetrics {
    written: Counter,
    lost: Counter,
    available: Gauge,
}

impl LedgerMetrics {
    fn new() -> Self {
        let written = counter!("sandbus_ledger_records_total");
        let lost = counter!("sandbus_ledger_lost_total");
        let available = gauge!("sandbus_ledger_available");
        available.set(1.0);
        Self { written, lost, available }
    }
}

impl Shared {
    pub(super) fn of(config: &LedgerConfig, clock: Clock) -> Self {
        Self {
            policy: ArcSwap::from_pointee(Policy::new(config)),
            config: ArcSwap::from_pointee(config.clone()),
            queue: Queue::new(),
            stream: Stream::new(uuid::Uuid::new_v4().as_u64_pair().0),
            statistics: Statistics::default(),
            clock,
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            outage: Mutex::default(),
            settled: watch::Sender::new(0),
            writer: OnceLock::new(),
            metrics: LedgerMetrics::new(),
        }
    }

    /// Applies other settings.
    pub(super) fn reconfigure(&self, config: &LedgerConfig) {
        self.policy.store(Arc::new(Policy::new(config)));
        self.config.store(Arc::new(config.clone()));
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts records that are lost.
    pub(super) fn count_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.metrics.lost.increment(count);
    }

    /// Counts records that are written.
    pub(super) fn count_written(&self, count: u64) {
        self.written.fetch_add(count, Ordering::Relaxed);
        self.metrics.written.increment(count);
    }

    /// The outage, if the ledger cannot be written now.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins or ends an outage.
    pub(super) fn set_outage(&self, outage: Option<Outage>) {
        self.metrics.available.set(if outage.is_none() { 1.0 } else { 0.0 });
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = outage;
    }

    pub(super) fn push(&self, mut entry: Entry) {
        if !entry.log().is_empty() && !self.queue.has_room_for_log() {
            entry.log_mut().omit();
        }
        let streamed = entry.without_recorded_responses().map(Arc::new);
        let entry = Arc::new(entry);
        // The stream keeps records for long after they are written.
        self.stream.push(streamed.unwrap_or_else(|| Arc::clone(&entry)));
        if !self.queue.push(entry) {
            self.count_lost(1);
        }
    }

    /// Names the thread that writes.
    pub(super) fn set_writer(&self, writer: Thread) {
        // There is one writer.
        drop(self.writer.set(writer));
    }

    /// Notes how many queued records have been written, or have been given up.
    pub(super) fn note_settled(&self, count: u64) {
        self.settled.send_replace(count);
    }

    /// Waits until the records that are queued now are written, but not for long, and not during an outage.
    pub(super) async fn settle(&self) {
        let Some(writer) = self.writer.get() else { return };
        let queued = self.queue.added();
        let mut settled = self.settled.subscribe();
        if *settled.borrow() >= queued || self.outage().is_some() {
            return;
        }
        writer.unpark();
        // The reader then reads the records that are written.
        drop(tokio::time::timeout(SETTLE_LIMIT, settled.wait_for(|settled| *settled >= queued)).await);
    }
}
