//! Decides what follows an attempt: a pure function of the outcome and the retry policy.

use std::time::Duration;

use crate::clock::MAX_DELAY;
use crate::outcome::{Cause, Failure, Outcome};
use crate::subscription::RetryPolicy;

/// Former names of the rules of a retry policy, and what to write instead.
pub(crate) const RENAMED_RULES: [(&str, &str); 5] = [
    ("attempts", "`max_attempts`"),
    ("first_delay", "`initial_delay`"),
    ("factor_percent", "`backoff_multiplier`, as a factor: 200 percent is 2.0"),
    ("jitter_percent", "`jitter`, as a share: 50 percent is 0.5"),
    ("permanent", "`non_retryable`"),
];

/// The consequence of an attempt. The dispatcher decides it, and the bus stores it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Verdict {
    /// The delivery is handled, and the effects of its handler are committed.
    Ack,
    /// Another attempt follows.
    RetryAfter {
        /// The delay, counted from the commit.
        delay: Duration,
        /// Why the attempt failed.
        failure: Failure,
    },
    /// No other attempt follows: the delivery becomes a dead letter.
    DeadLetter {
        /// Why the attempt failed.
        failure: Failure,
        /// Whether the outcome was a retry, which the policy does not allow after so many attempts or for this cause.
        /// Otherwise the handler or the host rejected the event.
        exhausted: bool,
    },
}

impl Verdict {
    /// Why the attempt failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Ack => None,
            Self::RetryAfter { failure, .. } | Self::DeadLetter { failure, .. } => Some(failure),
        }
    }
}

/// Decides what follows an attempt that had an outcome.
///
/// `attempt` counts from 1. `jitter`, from 0 to 1, spreads the policy's delays, so that deliveries that failed together
/// are not retried together. A delay requested by the handler is used unchanged.
#[must_use]
pub fn decide(policy: &RetryPolicy, attempt: u32, outcome: Outcome, jitter: f64) -> Verdict {
    let (after, failure) = match outcome {
        Outcome::Ack => return Verdict::Ack,
        Outcome::Reject(failure) => return Verdict::DeadLetter { failure, exhausted: false },
        Outcome::Retry { after, failure } => (after, failure),
    };
    if attempt >= policy.max_attempts.get() || policy.non_retryable.contains(&failure.cause) {
        return Verdict::DeadLetter { failure, exhausted: true };
    }
    let share = policy.jitter.number().min(1.0);
    let spread = 1.0 - share * (1.0 - jitter.clamp(0.0, 1.0));
    let delay = after.unwrap_or_else(|| backoff(policy, attempt).mul_f64(spread));
    // The store cannot hold a later time.
    Verdict::RetryAfter { delay: delay.min(MAX_DELAY), failure }
}

/// The delay of a held delivery, which waits until it is retried by hand.
pub const HELD_DELAY: Duration = MAX_DELAY;

/// Decides that a delivery is held if its attempt failed, instead of following its retry policy: `sandbus dev` retries
/// it with the next version of its plugin. An event that is too deep in its cause tree would never pass.
#[must_use]
pub fn hold(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Ack => Verdict::Ack,
        Outcome::Reject(failure) if failure.cause == Cause::HopLimit => {
            Verdict::DeadLetter { failure, exhausted: false }
        }
        Outcome::Reject(failure) | Outcome::Retry { failure, .. } => Verdict::RetryAfter { delay: HELD_DELAY, failure },
    }
}

/// The policy's delay after a failed attempt, without jitter.
#[must_use]
pub fn backoff(policy: &RetryPolicy, attempt: u32) -> Duration {
    let multiplier = policy.backoff_multiplier.number().max(1.0);
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = policy.initial_delay.as_secs_f64() * multiplier.powi(exponent);
    // If the product does not fit into a Duration, or is NaN, the longest delay applies.
    let delay = Duration::try_from_secs_f64(seconds).map_or(policy.max_delay, |delay| delay.min(policy.max_delay));
    delay.min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::percent::Percent;

    /// The delay before the next attempt; `None` for a dead letter.
    fn next(
        policy: &RetryPolicy,
        attempt: u32,
        cause: Cause,
        after: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        let failure = Failure { cause, reason: String::new() };
        match decide(policy, attempt, Outcome::Retry { after, failure: failure.clone() }, jitter) {
            Verdict::RetryAfter { delay, failure: kept } => {
                assert_eq!(kept, failure);
                Some(delay)
            }
            verdict => {
                assert_eq!(verdict, Verdict::DeadLetter { failure, exhausted: true });
                None
            }
        }
    }

    #[test]
    fn acks_and_rejections_need_no_policy() {
        let policy = policy(9, 100, 200, 1000);
        assert_eq!(decide(&policy, 1, Outcome::Ack, 0.0), Verdict::Ack);
        let failure = Failure { cause: Cause::Rejected, reason: "no".to_owned() };
        let rejected = decide(&policy, 1, Outcome::Reject(failure.clone()), 0.0);
        assert_eq!(rejected, Verdict::DeadLetter { failure, exhausted: false });
    }

    #[test]
    fn every_failure_is_held_that_another_version_may_cure() {
        assert_eq!(hold(Outcome::Ack), Verdict::Ack);
        let failure = |cause| Failure { cause, reason: "no".to_owned() };
        let held = |cause| Verdict::RetryAfter { delay: HELD_DELAY, failure: failure(cause) };
        for cause in [Cause::Trap, Cause::Rejected, Cause::Collision] {
            assert_eq!(hold(Outcome::Reject(failure(cause))), held(cause));
            assert_eq!(hold(Outcome::Retry { after: Some(Duration::ZERO), failure: failure(cause) }), held(cause));
        }
        let too_deep = Verdict::DeadLetter { failure: failure(Cause::HopLimit), exhausted: false };
        assert_eq!(hold(Outcome::Reject(failure(Cause::HopLimit))), too_deep);
    }

    fn policy(attempts: u32, initial_ms: u64, multiplier_percent: u32, max_ms: u64) -> RetryPolicy {
        RetryPolicy {
            max_attempts: NonZeroU32::new(attempts).unwrap(),
            initial_delay: Duration::from_millis(initial_ms),
            backoff_multiplier: Percent(multiplier_percent),
            max_delay: Duration::from_millis(max_ms),
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let policy = policy(10, 100, 200, 1000);
        let delays: Vec<_> = (1..=5).map(|attempt| next(&policy, attempt, Cause::Retry, None, 1.0)).collect();
        let expected = [100, 200, 400, 800, 1000].map(|delay| Some(Duration::from_millis(delay)));
        assert_eq!(delays, expected);
    }

    #[test]
    fn the_last_attempt_ends_in_a_dead_letter() {
        let policy = policy(3, 100, 200, 1000);
        assert_ne!(next(&policy, 2, Cause::Retry, None, 0.0), None);
        assert_eq!(next(&policy, 3, Cause::Retry, Some(Duration::ZERO), 0.0), None);
    }

    #[test]
    fn a_delay_of_the_handler_is_used_unchanged() {
        let delay = Duration::from_secs(7);
        assert_eq!(next(&policy(3, 100, 200, 1000), 1, Cause::Retry, Some(delay), 0.3), Some(delay));
    }

    #[test]
    fn delays_stay_within_the_range_of_the_store() {
        let endless = RetryPolicy { jitter: Percent(0), ..policy(9, u64::MAX, 100, u64::MAX) };
        for asked in [None, Some(Duration::MAX), Some(Duration::from_millis(u64::MAX))] {
            assert_eq!(next(&endless, 1, Cause::Retry, asked, 1.0), Some(MAX_DELAY));
        }
    }

    #[test]
    fn a_non_retryable_cause_is_not_retried() {
        let policy = RetryPolicy { non_retryable: vec![Cause::OutOfMemory], ..policy(9, 100, 200, 1000) };
        assert_eq!(next(&policy, 1, Cause::OutOfMemory, None, 0.0), None);
        assert_ne!(next(&policy, 1, Cause::Trap, None, 0.0), None);
    }

    #[test]
    fn jitter_spreads_the_delay_by_its_share() {
        let policy = |percent| RetryPolicy { jitter: Percent(percent), ..policy(9, 1000, 200, 1000) };
        let delay = |percent, jitter| next(&policy(percent), 1, Cause::Retry, None, jitter);
        assert_eq!(delay(0, 0.0), Some(Duration::from_secs(1)));
        assert_eq!(delay(100, 0.0), Some(Duration::ZERO));
        assert_eq!(delay(40, 0.5), Some(Duration::from_millis(800)));
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
                None => prop_assert!(attempt >= attempts),
                Some(delay) => {
                    prop_assert!(attempt < attempts);
                    prop_assert!(delay <= policy.max_delay);
                    prop_assert!(delay >= policy.initial_delay.mul_f64(0.499));
                }
            }
        }
    }
}
