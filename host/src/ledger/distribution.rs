//! Distributions of durations, with an error of at most 6 %.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::duration::micros;

/// The longest duration, in microseconds. Longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;

/// A distribution of durations. An empty one takes no memory: most subjects are idle most of the time.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution(Option<Histogram<u32>>);

/// Percentiles of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// The median.
    pub p50: Duration,
    /// 95 % are at most this long.
    pub p95: Duration,
    /// 99 % are at most this long.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Distribution {
    pub(super) fn record(&mut self, time: Duration) {
        self.histogram().saturating_record(micros(time).clamp(1, LONGEST_US));
    }

    fn histogram(&mut self) -> &mut Histogram<u32> {
        // One significant digit: 16 buckets for each power of two.
        self.0.get_or_insert_with(|| Histogram::new_with_bounds(1, LONGEST_US, 1).expect("the bounds are valid"))
    }

    pub(super) fn add(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            self.histogram().add(other).expect("the bounds are the same");
        }
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let Some(histogram) = &self.0 else { return Percentiles::default() };
        let of = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        Percentiles { p50: of(0.5), p95: of(0.95), p99: of(0.99), max: Duration::from_micros(histogram.max()) }
    }

    /// The distribution as text: pairs of microseconds and counts.
    pub(super) fn encode(&self) -> String {
        let steps = self.0.iter().flat_map(Histogram::iter_recorded);
        let pairs: Vec<_> = steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect();
        serde_json::to_string(&pairs).unwrap_or_default()
    }

    /// Reads the text. A malformed text is an empty distribution.
    pub(super) fn decode(text: &str) -> Self {
        let mut distribution = Self::default();
        let pairs: Vec<(u64, u64)> = serde_json::from_str(text).unwrap_or_default();
        for (value, count) in pairs {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            distribution.histogram().saturating_record_n(value.clamp(1, LONGEST_US), count);
        }
        distribution
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_their_error_and_survive_encoding() {
        let mut distribution = Distribution::default();
        assert_eq!(distribution.percentiles(), Percentiles::default());
        (1..=1_000).for_each(|milliseconds| distribution.record(Duration::from_millis(milliseconds)));
        distribution.record(Duration::ZERO);
        distribution.record(Duration::MAX);
        let decoded = Distribution::decode(&distribution.encode());
        for distribution in [&distribution, &decoded] {
            let Percentiles { p50, p95, p99, max } = distribution.percentiles();
            for (found, expected) in [(p50, 500.0), (p95, 950.0), (p99, 990.0), (max, 3_600_000.0)] {
                let found = found.as_secs_f64() * 1_000.0;
                assert!((found / expected - 1.0).abs() < 0.07, "{found} for {expected}");
            }
        }
        let mut sum = distribution.clone();
        sum.add(&decoded);
        assert_eq!(sum.0.map(|histogram| histogram.len()), Some(2 * 1_002));
        assert!(Distribution::decode("not a list").0.is_none());
    }
}
