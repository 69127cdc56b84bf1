//! Retry policies.

use std::time::Duration;

use crate::bindings::sandbus::plugin::rules;
use crate::duration::milliseconds;

/// When failed deliveries are retried. Unset options have the host's defaults.
///
/// ```
/// use std::time::Duration;
/// use sandbus_sdk::subscriptions::{Cause, RetryPolicy};
///
/// let policy = RetryPolicy::new()
///     .max_attempts(5)
///     .initial_delay(Duration::from_millis(200))
///     .backoff_multiplier(2.0)
///     .max_delay(Duration::from_secs(60))
///     .jitter(0.5)
///     .non_retryable([Cause::Trap, Cause::OutOfMemory]);
/// # assert_ne!(policy, RetryPolicy::new());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: Option<u32>,
    initial_delay: Option<Duration>,
    backoff_percent: Option<u32>,
    max_delay: Option<Duration>,
    jitter_percent: Option<u32>,
    non_retryable: Vec<Cause>,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The handler panicked, or the component trapped otherwise.
    Trap,
    /// The invocation exceeded its timeout.
    Timeout,
    /// The invocation exceeded its memory limit.
    OutOfMemory,
    /// The webhook did not accept the event.
    Webhook,
    /// The handler asked for a retry.
    Retry,
    /// A handler in JavaScript or Python failed with an exception that it did not catch.
    Exception,
    /// A request to another service failed.
    Request,
}

impl RetryPolicy {
    /// The host's default policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many attempts are made before the delivery becomes a dead letter; at least 1.
    #[must_use]
    #[doc(alias = "attempts")]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets the delay before the second attempt.
    #[must_use]
    #[doc(alias = "first_delay")]
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = Some(delay);
        self
    }

    /// Sets the factor between successive delays, from 1 to 100.
    #[must_use]
    #[doc(alias = "factor")]
    pub fn backoff_multiplier(mut self, multiplier: f64) -> Self {
        self.backoff_percent = Some(percent(multiplier.clamp(1.0, 100.0)));
        self
    }

    /// Sets the longest delay.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = Some(delay);
        self
    }

    /// Sets the random part of each delay, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter_percent = Some(percent(part.clamp(0.0, 1.0)));
        self
    }

    /// Sets the causes of failure that are not retried.
    #[must_use]
    #[doc(alias = "permanent")]
    pub fn non_retryable(mut self, causes: impl IntoIterator<Item = Cause>) -> Self {
        self.non_retryable = causes.into_iter().collect();
        self
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller has set it within 0 to 100")]
fn percent(part: f64) -> u32 {
    (part * 100.0).round() as u32
}

impl From<RetryPolicy> for rules::RetryPolicy {
    fn from(policy: RetryPolicy) -> Self {
        Self {
            attempts: policy.max_attempts,
            first_delay_ms: policy.initial_delay.map(milliseconds),
            factor_percent: policy.backoff_percent,
            max_delay_ms: policy.max_delay.map(milliseconds),
            jitter_percent: policy.jitter_percent,
            permanent: policy.non_retryable.into_iter().map(|cause| cause.name().to_owned()).collect(),
        }
    }
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out-of-memory",
            Self::Webhook => "webhook",
            Self::Retry => "retry",
            Self::Exception => "exception",
            Self::Request => "request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_become_percent() {
        let policy = RetryPolicy::new().backoff_multiplier(1.5).jitter(2.0).non_retryable([Cause::OutOfMemory]);
        let wire = rules::RetryPolicy::from(policy);
        assert_eq!((wire.factor_percent, wire.jitter_percent), (Some(150), Some(100)));
        assert_eq!((wire.attempts, wire.permanent), (None, vec!["out-of-memory".to_owned()]));
    }
}
