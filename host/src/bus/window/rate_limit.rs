//! Limits the rate of a feed's deliveries.

use std::num::NonZeroU32;

use crate::clock::Timestamp;

/// A maximum number of deliveries per second.
#[derive(Debug)]
pub(super) struct RateLimit {
    interval_us: u64,
    next_us: u64,
}

impl RateLimit {
    /// The longest idle time that a burst may make up for.
    const BURST_US: u64 = 100_000;

    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { interval_us: 1_000_000_u64.div_ceil(u64::from(per_second.get())), next_us: 0 }
    }

    /// Until when the next delivery must wait, if it must.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Timestamp> {
        (self.next_us > now.0 * 1_000).then(|| Timestamp(self.next_us.div_ceil(1_000)))
    }

    /// Notes a delivery.
    pub(super) fn step(&mut self, now: Timestamp) {
        self.next_us = self.next_us.max((now.0 * 1_000).saturating_sub(Self::BURST_US)) + self.interval_us;
    }
}
