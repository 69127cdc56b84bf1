//! The requests of the clients and the responses of the host, for the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

/// An event as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) event_type: &'static str,
    pub(crate) subject: Option<String>,
    pub(crate) data: Value,
}

/// An event that the host acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// The event's id.
    pub(crate) id: String,
    /// The address of the registered user, if the event came from a plugin.
    pub(crate) email: Option<String>,
    /// When the request was sent.
    pub(crate) began: Instant,
    /// The length of the recording when the response arrived.
    pub(crate) mark: u64,
}

/// All requests to one data directory, across the hosts that ran on it.
#[derive(Debug, Default)]
pub(crate) struct RecordedTraffic {
    /// Events by id.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// Addresses that were to be registered.
    pub(crate) users: BTreeSet<String>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// How often each problem was the response, by status and code.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Events that were refused by a response which says that nothing was stored, and that were not sent again.
    pub(crate) refused_ids: Vec<String>,
    /// The number of requests without a response.
    pub(crate) unanswered: usize,
}

/// The recorded traffic, shared by the clients.
#[derive(Debug, Default)]
pub(crate) struct ClientRecord {
    traffic: Mutex<RecordedTraffic>,
    acknowledged: AtomicU64,
    next: AtomicU64,
}

impl ClientRecord {
    pub(crate) fn traffic(&self) -> MutexGuard<'_, RecordedTraffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A unique number, greater than all before it.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of acknowledged events.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The record as of a power cut at a mark. The disk must have the events that were acknowledged before it.
    pub(crate) fn as_of(&self, mark: u64) -> Self {
        let traffic = self.traffic();
        let owed = traffic.acknowledged.iter().filter(|one| one.mark <= mark);
        let acknowledged: Vec<_> = owed.map(|one| Acknowledged { mark: 0, ..one.clone() }).collect();
        let (sent, users) = (traffic.sent.clone(), traffic.users.clone());
        Self {
            acknowledged: AtomicU64::new(acknowledged.len() as u64),
            next: AtomicU64::new(self.next.load(Ordering::Relaxed)),
            traffic: Mutex::new(RecordedTraffic { sent, users, acknowledged, ..RecordedTraffic::default() }),
        }
    }

    /// Records successes.
    pub(crate) fn acknowledge(&self, all: impl IntoIterator<Item = Acknowledged>) {
        let mut traffic = self.traffic();
        let before = traffic.acknowledged.len();
        traffic.acknowledged.extend(all);
        let new = traffic.acknowledged.len() - before;
        drop(traffic);
        self.acknowledged.fetch_add(new as u64, Ordering::Relaxed);
    }
}
