//! Validates the rules of subscriptions, from descriptors and at run time.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::{DelayTooLong, Timestamp, check_delay};
use crate::event::Position;
use crate::failure::Cause;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::percent::Percent;
use crate::plugin::bindings::sandbus::plugin::rules as wire;
use crate::subscription::{DeadLetterPolicy, RetryPolicy, Start};

/// The largest filters, in bytes. They stay in memory and in the store as long as the subscription exists.
const FILTERS_BYTES: usize = 16 << 10;

/// The highest concurrency of a subscription.
pub(super) const MAX_CONCURRENCY: u32 = 1_024;

/// Why a rule is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The pattern is malformed.
    #[error(transparent)]
    Pattern(#[from] crate::pattern::ParseError),
    /// The filters are malformed.
    #[error(transparent)]
    Filters(#[from] crate::filter::ParseError),
    /// The filters are too long.
    #[error("its filters have more than {FILTERS_BYTES} bytes")]
    FiltersTooLong,
    /// The ordering key is malformed.
    #[error(transparent)]
    OrderingKey(#[from] crate::ordering::ParseError),
    /// The concurrency is out of range.
    #[error("its concurrency is not from 1 to {MAX_CONCURRENCY}")]
    Concurrency,
    /// The retry policy has no attempts.
    #[error("its max_attempts is zero; write 1 for no retries")]
    Attempts,
    /// The retry factor is out of range.
    #[error("its backoff_multiplier is not from 1.0 to 100.0")]
    Factor,
    /// The jitter is out of range.
    #[error("its jitter is not from 0.0 to 1.0")]
    Jitter,
    /// The delays contradict each other.
    #[error(
        "its max_delay, {}, is shorter than its initial_delay, {}; change one of them",
        humantime::format_duration(*max),
        humantime::format_duration(*initial)
    )]
    Delays {
        /// The initial delay.
        initial: Duration,
        /// The largest delay.
        max: Duration,
    },
    /// A delay is too long.
    #[error("its {0} is too long: {1}")]
    LongDelay(&'static str, DelayTooLong),
    /// A non-retryable cause is unknown.
    #[error(
        "non_retryable has the unknown cause `{0}`; known causes are trap, timeout, out-of-memory, webhook, retry, exception and request"
    )]
    Cause(String),
    /// The start is not a time.
    #[error("its start `{0}` is not a time in RFC 3339")]
    Start(String),
    /// The timeout is zero.
    #[error("its timeout is zero")]
    Timeout,
    /// The largest backlog is zero.
    #[error("its max_backlog is zero")]
    MaxBacklog,
}

pub(crate) fn concurrency(raw: Option<u32>) -> Result<Option<NonZeroU32>, ValidationError> {
    match raw.map(NonZeroU32::new) {
        None => Ok(None),
        Some(Some(value)) if value.get() <= MAX_CONCURRENCY => Ok(Some(value)),
        Some(_) => Err(ValidationError::Concurrency),
    }
}

pub(crate) fn filters(json: Option<&str>) -> Result<Filters, ValidationError> {
    if json.is_some_and(|json| json.len() > FILTERS_BYTES) {
        return Err(ValidationError::FiltersTooLong);
    }
    Ok(json.map(Filters::parse).transpose()?.unwrap_or_default())
}

pub(crate) fn ordering_key(text: Option<&str>) -> Result<Option<OrderingKey>, ValidationError> {
    Ok(text.map(OrderingKey::parse).transpose()?)
}

pub(crate) fn start(raw: Option<wire::Start>) -> Result<Start, ValidationError> {
    Ok(match raw {
        None | Some(wire::Start::Now) => Start::Now,
        Some(wire::Start::Beginning) => Start::Beginning,
        Some(wire::Start::Position(position)) => Start::Position(Position(position)),
        Some(wire::Start::Time(text)) => {
            Start::Time(Timestamp::parse(&text).ok_or_else(|| ValidationError::Start(cut(&text)))?)
        }
    })
}

pub(crate) fn dead_letter_policy(raw: Option<wire::DeadLetterPolicy>) -> DeadLetterPolicy {
    match raw {
        None | Some(wire::DeadLetterPolicy::Release) => DeadLetterPolicy::Release,
        Some(wire::DeadLetterPolicy::Park) => DeadLetterPolicy::Park,
    }
}

pub(crate) fn retry(raw: Option<wire::RetryPolicy>) -> Result<RetryPolicy, ValidationError> {
    let mut retry = RetryPolicy::default();
    let Some(raw) = raw else { return Ok(retry) };
    if let Some(attempts) = raw.attempts {
        retry.max_attempts = NonZeroU32::new(attempts).ok_or(ValidationError::Attempts)?;
    }
    retry.initial_delay = raw.first_delay_ms.map_or(retry.initial_delay, Duration::from_millis);
    retry.max_delay = raw.max_delay_ms.map_or(retry.max_delay, Duration::from_millis);
    retry.backoff_multiplier = raw.factor_percent.map_or(retry.backoff_multiplier, Percent);
    retry.jitter = raw.jitter_percent.map_or(retry.jitter, Percent);
    retry.non_retryable = non_retryable(raw.permanent.into_iter())?;
    check_retry(&retry)?;
    Ok(retry)
}

/// Causes that are not retried.
pub(crate) fn non_retryable(names: impl Iterator<Item = String>) -> Result<Vec<Cause>, ValidationError> {
    names.map(|name| Cause::parse_retriable(&name).ok_or_else(|| ValidationError::Cause(cut(&name)))).collect()
}

/// The beginning of a wrong text, for an error.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Checks the numbers of a policy.
pub(crate) fn check_retry(retry: &RetryPolicy) -> Result<(), ValidationError> {
    if !(Percent(100)..=Percent(10_000)).contains(&retry.backoff_multiplier) {
        return Err(ValidationError::Factor);
    }
    if retry.jitter > Percent(100) {
        return Err(ValidationError::Jitter);
    }
    for (name, delay) in [("initial_delay", retry.initial_delay), ("max_delay", retry.max_delay)] {
        check_delay(delay).map_err(|error| ValidationError::LongDelay(name, error))?;
    }
    if retry.max_delay < retry.initial_delay {
        return Err(ValidationError::Delays { initial: retry.initial_delay, max: retry.max_delay });
    }
    Ok(())
}
