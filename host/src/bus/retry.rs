//! When a failed delivery is tried again: a pure function.

use std::time::Duration;

use crate::clock::FARTHEST;
use crate::outcome::Cause;
use crate::subscription::RetryPolicy;

/// What becomes of a delivery whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt after a delay.
    Attempt(Duration),
    /// No other attempt.
    DeadLetter,
}

/// Decides after a failed attempt. `attempt` counts from 1; `asked` is the delay that the handler asked
/// for; `jitter`, from 0 to 1, spreads the policy's own delays, so that what failed together is not tried
/// again together.
#[must_use]
pub fn next(policy: &RetryPolicy, attempt: u32, cause: Cause, asked: Option<Duration>, jitter: f64) -> Next {
    if attempt >= policy.attempts.get() || policy.permanent.contains(&cause) {
        return Next::DeadLetter;
    }
    let chance = f64::from(policy.jitter_percent.min(100)) / 100.0;
    let spread = 1.0 - chance * (1.0 - jitter.clamp(0.0, 1.0));
    let delay = asked.unwrap_or_else(|| backoff(policy, attempt).mul_f64(spread));
    // Beyond this lies no time that the store can hold.
    Next::Attempt(delay.min(FARTHEST))
}

/// The policy's own delay after a failed attempt, without chance.
#[must_use]
pub fn backoff(policy: &RetryPolicy, attempt: u32) -> Duration {
    let factor = f64::from(policy.factor_percent.max(100)) / 100.0;
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = policy.first_delay.as_secs_f64() * factor.powi(exponent);
    // Beyond what a Duration holds, and for NaN, the cap applies.
    let delay = Duration::try_from_secs_f64(seconds).map_or(policy.max_delay, |delay| delay.min(policy.max_delay));
    delay.min(FARTHEST)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn policy(attempts: u32, first_ms: u64, factor_percent: u32, max_ms: u64) -> RetryPolicy {
        RetryPolicy {
            attempts: NonZeroU32::new(attempts).unwrap(),
            first_delay: Duration::from_millis(first_ms),
            factor_percent,
            max_delay: Duration::from_millis(max_ms),
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let policy = policy(10, 100, 200, 1000);
        let delays: Vec<_> = (1..=5).map(|attempt| next(&policy, attempt, Cause::Retry, None, 1.0)).collect();
        let expected = [100, 200, 400, 800, 1000].map(|delay| Next::Attempt(Duration::from_millis(delay)));
        assert_eq!(delays, expected);
    }

    #[test]
    fn the_last_attempt_ends_in_a_dead_letter() {
        let policy = policy(3, 100, 200, 1000);
        assert_ne!(next(&policy, 2, Cause::Retry, None, 0.0), Next::DeadLetter);
        assert_eq!(next(&policy, 3, Cause::Retry, Some(Duration::ZERO), 0.0), Next::DeadLetter);
    }

    #[test]
    fn the_handlers_own_delay_is_kept() {
        let delay = Duration::from_secs(7);
        assert_eq!(next(&policy(3, 100, 200, 1000), 1, Cause::Retry, Some(delay), 0.3), Next::Attempt(delay));
    }

    #[test]
    fn no_delay_is_beyond_all_time() {
        let endless = RetryPolicy { jitter_percent: 0, ..policy(9, u64::MAX, 100, u64::MAX) };
        for asked in [None, Some(Duration::MAX), Some(Duration::from_millis(u64::MAX))] {
            assert_eq!(next(&endless, 1, Cause::Retry, asked, 1.0), Next::Attempt(FARTHEST));
        }
    }

    #[test]
    fn a_permanent_cause_is_not_tried_again() {
        let policy = RetryPolicy { permanent: vec![Cause::OutOfMemory], ..policy(9, 100, 200, 1000) };
        assert_eq!(next(&policy, 1, Cause::OutOfMemory, None, 0.0), Next::DeadLetter);
        assert_ne!(next(&policy, 1, Cause::Trap, None, 0.0), Next::DeadLetter);
    }

    #[test]
    fn jitter_is_as_wide_as_it_is_told() {
        let policy = |jitter_percent| RetryPolicy { jitter_percent, ..policy(9, 1000, 200, 1000) };
        let delay = |percent, jitter| next(&policy(percent), 1, Cause::Retry, None, jitter);
        assert_eq!(delay(0, 0.0), Next::Attempt(Duration::from_secs(1)));
        assert_eq!(delay(100, 0.0), Next::Attempt(Duration::ZERO));
        assert_eq!(delay(40, 0.5), Next::Attempt(Duration::from_millis(800)));
    }

    proptest! {
        /// Whatever the policy, a delay is never above the cap nor below half of the first delay.
        #[test]
        fn delays_stay_within_bounds(
            attempts in 1..u32::MAX, attempt in 1..u32::MAX, first in 0..10_000u64,
            factor in 100..10_000u32, max in 10_000..10_000_000u64, jitter in 0.0..=1.0f64,
        ) {
            let policy = policy(attempts, first, factor, max);
            match next(&policy, attempt, Cause::Trap, None, jitter) {
                Next::DeadLetter => prop_assert!(attempt >= attempts),
                Next::Attempt(delay) => {
                    prop_assert!(attempt < attempts);
                    prop_assert!(delay <= policy.max_delay);
                    prop_assert!(delay >= policy.first_delay.mul_f64(0.499));
                }
            }
        }
    }
}
