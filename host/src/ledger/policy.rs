//! Decides which attempts and requests are recorded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::config::{LedgerConfig, Recording};
use crate::clock::Timestamp;

/// The bits of the counter of one second. The second is in the bits above.
const COUNTER_BITS: u32 = 32;

/// Decides which attempts and requests are recorded. Deciding costs one atomic operation at most.
#[derive(Debug)]
pub(super) struct Policy {
    record: Recording,
    slow: Duration,
    full_rate: u64,
    one_in: u64,
    /// The second, and how many successes were counted in it.
    successes: AtomicU64,
}

impl Policy {
    pub(super) fn new(config: &LedgerConfig) -> Self {
        Self {
            record: config.record,
            slow: config.slow,
            full_rate: config.full_rate.into(),
            one_in: config.one_in.get().into(),
            successes: AtomicU64::new(0),
        }
    }

    /// Whether a record is wanted.
    pub(super) fn wants(&self, is_failure: bool, took: Duration, now: Timestamp) -> bool {
        match self.record {
            Recording::Off => false,
            Recording::All => true,
            Recording::Sampled => is_failure || took >= self.slow || self.samples(now),
        }
    }

    /// Counts a success, and returns whether to record it: the first successes of each second, then one in n.
    fn samples(&self, now: Timestamp) -> bool {
        let second = (now.0 / 1_000) << COUNTER_BITS;
        let mask = (1 << COUNTER_BITS) - 1;
        let next = |counted: u64| Some(if counted & !mask == second { counted + 1 } else { second | 1 });
        let counted = self.successes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        let before = if counted & !mask == second { counted & mask } else { 0 };
        before < self.full_rate || (before - self.full_rate) % self.one_in == self.one_in - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(record: Recording) -> Policy {
        Policy::new(&LedgerConfig { record, full_rate: 10, one_in: 5.try_into().unwrap(), ..LedgerConfig::default() })
    }

    #[test]
    fn failures_and_slow_ones_are_recorded_and_successes_are_sampled_beyond_a_rate() {
        let policy = policy(Recording::Sampled);
        let quick = |second: u64| policy.wants(false, Duration::ZERO, Timestamp(second * 1_000 + 7));
        let recorded = |second| (0..30).filter(|_| quick(second)).count();
        // Ten of the first ten, and one in five of the other twenty.
        assert_eq!([recorded(5), recorded(6)], [14, 14]);
        for (is_failure, took) in [(true, Duration::ZERO), (false, Duration::from_secs(1))] {
            assert!((0..30).all(|_| policy.wants(is_failure, took, Timestamp(6_500))));
        }
    }

    #[test]
    fn all_or_nothing_is_recorded_if_so_configured() {
        for (record, expected) in [(Recording::All, 30), (Recording::Off, 0)] {
            let policy = policy(record);
            let count = (0..30).filter(|_| policy.wants(false, Duration::ZERO, Timestamp(0))).count();
            assert_eq!(count, expected);
            assert_eq!(policy.wants(true, Duration::ZERO, Timestamp(0)), record == Recording::All);
        }
    }
}
