//! The report of a canary.

use super::compare::{Difference, differences};
use crate::duration::micros;
use crate::event::LoggedEvent;
use crate::plugin::{CanaryResult, Generation};

/// The largest number of differing deliveries in a report.
const MAX_REPORTED: usize = 50;

/// The results of a new build compared with the running generation.
#[derive(Clone, Debug)]
pub struct CanaryReport {
    /// The name of the plugin.
    pub plugin: String,
    /// The digest of the running generation.
    pub running: String,
    /// The digest of the new build.
    pub new: String,
    /// The number of deliveries that both handled.
    pub handled: usize,
    /// The number of deliveries with different results.
    pub different: usize,
    /// The number of deliveries with equal results that are inconclusive: a handler read state that has changed since
    /// the event was stored.
    pub inconclusive: usize,
    /// The first deliveries with different results.
    pub differences: Vec<DifferingDelivery>,
    /// The subscriptions that only the running generation declares.
    pub subscriptions_removed: Vec<String>,
    /// The subscriptions that only the new build declares. They have no past deliveries.
    pub subscriptions_added: Vec<String>,
    /// The median time of a delivery in microseconds.
    pub time_us: Measurement,
    /// The largest linear memory of a delivery in bytes.
    pub memory_bytes: Measurement,
    took_us: [Vec<u64>; 2],
}

/// A measurement of both generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Of the running generation.
    pub running: u64,
    /// Of the new build.
    pub new: u64,
}

/// A delivery with different results.
#[derive(Clone, Debug)]
pub struct DifferingDelivery {
    /// The event's id.
    pub event: String,
    /// Its type.
    pub event_type: String,
    /// The subscription.
    pub subscription: String,
    /// The differences.
    pub differs: Vec<Difference>,
}

/// The comparison of one delivery.
#[derive(Debug)]
pub(super) struct Comparison {
    differing: DifferingDelivery,
    met_later: bool,
    took_us: [u64; 2],
    memory_bytes: [u64; 2],
}

impl Comparison {
    /// Compares the results of a delivery. `met_later` says whether a handler may have read later state.
    pub(super) fn new(logged: &LoggedEvent, subscription: String, both: [&CanaryResult; 2], met_later: bool) -> Self {
        let [running, new] = both;
        Self {
            met_later,
            differing: DifferingDelivery {
                event: logged.event.id.clone(),
                event_type: logged.event.event_type.clone(),
                subscription,
                differs: differences(&running.handled, &new.handled),
            },
            took_us: both.map(|one| micros(one.took)),
            memory_bytes: both.map(|one| one.memory_bytes.unwrap_or(0) as u64),
        }
    }
}

impl CanaryReport {
    pub(super) fn new(running: &Generation, new: &Generation) -> Self {
        let only = |one: &Generation, other: &Generation| {
            let names = one.descriptor.subscriptions.iter().map(|subscription| subscription.name.clone());
            names.filter(|name| !other.declares(name)).collect::<Vec<_>>()
        };
        Self {
            plugin: running.name.to_string(),
            running: running.digest.as_str().to_owned(),
            new: new.digest.as_str().to_owned(),
            handled: 0,
            different: 0,
            inconclusive: 0,
            differences: Vec::new(),
            subscriptions_removed: only(running, new),
            subscriptions_added: only(new, running),
            time_us: Measurement::default(),
            memory_bytes: Measurement::default(),
            took_us: [Vec::new(), Vec::new()],
        }
    }

    pub(super) fn add(&mut self, compared: Comparison) {
        let Comparison { differing, met_later, took_us, memory_bytes } = compared;
        self.handled += 1;
        for (all, took) in self.took_us.iter_mut().zip(took_us) {
            all.push(took);
        }
        let [running, new] = memory_bytes;
        let Measurement { running: most_running, new: most_new } = self.memory_bytes;
        self.memory_bytes = Measurement { running: most_running.max(running), new: most_new.max(new) };
        if differing.differs.is_empty() {
            self.inconclusive += usize::from(met_later);
        } else {
            self.different += 1;
            if self.differences.len() < MAX_REPORTED {
                self.differences.push(differing);
            }
        }
    }

    /// The number of conclusive deliveries.
    #[must_use]
    pub fn conclusive(&self) -> usize {
        self.handled - self.inconclusive
    }

    pub(super) fn finish(mut self) -> Self {
        let [running, new] = std::mem::take(&mut self.took_us).map(median);
        self.time_us = Measurement { running, new };
        self
    }
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}
