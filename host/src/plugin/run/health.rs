//! The failure rate of a generation, for automatic rollback.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::plugin::manifest::swap_rules::RollbackRule;

/// Counts a generation's invocations since it was loaded.
#[derive(Debug, Default)]
pub(crate) struct Health {
    ended: AtomicU32,
    failed: AtomicU32,
}

impl Health {
    /// Counts an invocation that has ended.
    pub(crate) fn note(&self, failed: bool) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The reason for a rollback by a rule. `None` if the rule does not apply. `age` is the time since the generation
    /// took over, which is not the time since it was loaded: a restart and a changed sidecar load it again.
    pub(crate) fn rollback_reason(&self, rule: &RollbackRule, age: Duration) -> Option<String> {
        let (ended, failed) = (self.ended.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let is_failing = u64::from(failed) * 100 >= u64::from(ended) * u64::from(rule.failures_percent);
        let bad = ended >= rule.min_invocations.max(1) && is_failing;
        (bad && age <= rule.window).then(|| format!("{failed} of its {ended} invocations failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_needs_enough_failures_among_enough_invocations() {
        let rule = RollbackRule { failures_percent: 50, min_invocations: 4, window: Duration::from_mins(1) };
        let health = Health::default();
        health.note(true);
        health.note(true);
        health.note(false);
        assert_eq!(health.rollback_reason(&rule, Duration::ZERO), None);
        health.note(false);
        assert_eq!(health.rollback_reason(&rule, Duration::ZERO).unwrap(), "2 of its 4 invocations failed");
        health.note(false);
        assert_eq!(health.rollback_reason(&rule, Duration::ZERO), None);
    }

    #[test]
    fn the_window_is_counted_from_the_swap() {
        let rule = RollbackRule { failures_percent: 50, min_invocations: 1, window: Duration::from_mins(1) };
        let health = Health::default();
        health.note(true);
        assert!(health.rollback_reason(&rule, Duration::from_mins(1)).is_some());
        assert_eq!(health.rollback_reason(&rule, Duration::from_secs(61)), None, "even if it was loaded just now");
    }
}
