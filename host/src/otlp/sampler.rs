//! Decides which traces are sampled.

use crate::span_context::{SpanContext, TraceId};

/// Decides which traces are sampled. The decision depends on the trace alone, so every host and every span of a trace
/// gets the same one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// Whether a parent decides for its children.
    is_parent_based: bool,
    /// The number below which an id is sampled, of 2^63.
    bound: u64,
}

impl Default for Sampler {
    /// Every trace, unless its parent is not sampled.
    fn default() -> Self {
        Self::new(true, 1.0)
    }
}

impl Sampler {
    pub(super) fn new(is_parent_based: bool, ratio: f64) -> Self {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the ratio is from 0 to 1, so the product is at most 2^63"
        )]
        let bound = (ratio * (1_u64 << 63) as f64) as u64;
        Self { is_parent_based, bound }
    }

    /// Whether a trace is sampled: the decision of the parent, or else that of the id's last 63 bits.
    pub(super) fn samples(&self, parent: Option<&SpanContext>, trace: &TraceId) -> bool {
        if let Some(parent) = parent.filter(|_| self.is_parent_based) {
            return parent.is_sampled;
        }
        let mut last = [0; 8];
        last.copy_from_slice(&trace.bytes()[8..]);
        (u64::from_be_bytes(last) >> 1) < self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u32) -> TraceId {
        TraceId::derived("test", &[&number.to_le_bytes()])
    }

    #[test]
    fn a_ratio_of_the_traces_is_sampled() {
        let count = |ratio| {
            let sampler = Sampler::new(false, ratio);
            (0..20_000).filter(|number| sampler.samples(None, &trace(*number))).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 20_000));
        assert!((140..260).contains(&count(0.01)), "{}", count(0.01));
        assert!((9_700..10_300).contains(&count(0.5)), "{}", count(0.5));
    }

    #[test]
    fn a_parent_decides_unless_only_the_ratio_does() {
        let parent = |is_sampled| {
            let trace = trace(1);
            SpanContext { trace, span: trace.placeholder(), is_sampled }
        };
        for (is_parent_based, ratio, parent_decision, expected) in
            [(true, 0.0, true, true), (true, 1.0, false, false), (false, 0.0, true, false), (false, 1.0, false, true)]
        {
            let sampler = Sampler::new(is_parent_based, ratio);
            let sampled = sampler.samples(Some(&parent(parent_decision)), &trace(1));
            assert_eq!(sampled, expected, "{is_parent_based} {ratio} {parent_decision}");
        }
    }
}
