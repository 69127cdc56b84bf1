//! When failed deliveries are tried again.

use std::time::Duration;

use crate::bindings::sandbus::plugin::rules;
use crate::clock::milliseconds;

/// When a failed delivery is tried again. What is left out is as the host has it by default.
///
/// ```
/// use std::time::Duration;
/// use sandbus_sdk::subscriptions::{Cause, RetryPolicy};
///
/// let policy = RetryPolicy::new()
///     .attempts(5)
///     .first_delay(Duration::from_millis(200))
///     .factor(2.0)
///     .max_delay(Duration::from_secs(60))
///     .jitter(0.5)
///     .permanent([Cause::Trap, Cause::OutOfMemory]);
/// # assert_ne!(policy, RetryPolicy::new());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: Option<u32>,
    first_delay: Option<Duration>,
    factor_percent: Option<u32>,
    max_delay: Option<Duration>,
    jitter_percent: Option<u32>,
    permanent: Vec<Cause>,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The handler panicked, or did what a component may not.
    Trap,
    /// It ran out of time.
    Timeout,
    /// It ran out of memory.
    OutOfMemory,
    /// The webhook did not take the event.
    Webhook,
    /// The handler asked to be tried again.
    Retry,
    /// A script threw what it did not expect.
    Exception,
    /// A request to another service has no answer, or not one that was wanted.
    Request,
}

impl RetryPolicy {
    /// The host's default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many attempts are made before the delivery becomes a dead letter; at least 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The delay before the second attempt.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = Some(delay);
        self
    }

    /// What each further delay is multiplied with, from 1 to 100.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor_percent = Some(percent(factor.clamp(1.0, 100.0)));
        self
    }

    /// The longest delay.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = Some(delay);
        self
    }

    /// The part of each delay that is left to chance, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter_percent = Some(percent(part.clamp(0.0, 1.0)));
        self
    }

    /// Causes of failure after which there is no other attempt.
    #[must_use]
    pub fn permanent(mut self, causes: impl IntoIterator<Item = Cause>) -> Self {
        self.permanent = causes.into_iter().collect();
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
            attempts: policy.attempts,
            first_delay_ms: policy.first_delay.map(milliseconds),
            factor_percent: policy.factor_percent,
            max_delay_ms: policy.max_delay.map(milliseconds),
            jitter_percent: policy.jitter_percent,
            permanent: policy.permanent.into_iter().map(|cause| cause.name().to_owned()).collect(),
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
    fn parts_become_percent() {
        let policy = RetryPolicy::new().factor(1.5).jitter(2.0).permanent([Cause::OutOfMemory]);
        let wire = rules::RetryPolicy::from(policy);
        assert_eq!((wire.factor_percent, wire.jitter_percent), (Some(150), Some(100)));
        assert_eq!((wire.attempts, wire.permanent), (None, vec!["out-of-memory".to_owned()]));
    }
}
