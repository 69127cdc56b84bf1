//! Failures of handlers: those that are retried, and those that are rejected.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use crate::bindings::sandbus::plugin::types;
use crate::duration::milliseconds;
use crate::host;
use crate::model::errors::{BusError, StateError};
#[cfg(feature = "client")]
use crate::model::request::SendError;
use crate::text::shorten;

/// The result of a handler.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failed delivery.
///
/// `?` converts any error, and the error's type decides the outcome. An error that would occur again rejects the
/// delivery: malformed JSON, a text that is not a number or not UTF-8, a publish or a write to the state that the host
/// refused. Any other error retries it. If the type alone is not enough, use [`Classify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The handler may succeed later.
    Retry {
        /// When to retry; the subscription's retry policy decides if it is `None`.
        delay: Option<Duration>,
        /// Why the handler failed.
        reason: String,
    },
    /// A request to another service failed, and may succeed later.
    Request {
        /// Why the request failed.
        reason: String,
    },
    /// The handler can never succeed: the delivery becomes a dead letter at once.
    Reject {
        /// Why the handler failed.
        reason: String,
    },
}

impl Failure {
    /// Retries the delivery after the delay of the subscription's retry policy.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry { delay: None, reason: reason.to_string() }
    }

    /// Retries the delivery after a given delay.
    pub fn retry_after(delay: Duration, reason: impl Display) -> Self {
        Self::Retry { delay: Some(delay), reason: reason.to_string() }
    }

    /// Rejects the delivery: it becomes a dead letter.
    pub fn reject(reason: impl Display) -> Self {
        Self::Reject { reason: reason.to_string() }
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry { reason, .. } | Self::Request { reason } | Self::Reject { reason } => reason,
        }
    }
}

// `Failure` does not implement `Error`, so that this conversion is possible, as in anyhow.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let reason = with_causes(&error);
        if is_permanent(&error) {
            Self::Reject { reason }
        } else if is_of_a_request(&error) {
            Self::Request { reason }
        } else {
            Self::Retry { delay: None, reason }
        }
    }
}

fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    error.is::<serde_json::Error>()
        || error.is::<BusError>()
        || error.downcast_ref().is_some_and(StateError::is_permanent)
        || is_permanent_response(error)
        || error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>()
        || error.is::<std::num::TryFromIntError>()
        || error.is::<std::str::Utf8Error>()
        || error.is::<std::string::FromUtf8Error>()
}

#[cfg(feature = "client")]
fn is_permanent_response(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(SendError::is_permanent)
}

#[cfg(not(feature = "client"))]
fn is_permanent_response(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(feature = "client")]
fn is_of_a_request(error: &(dyn Error + 'static)) -> bool {
    error.is::<SendError>()
}

#[cfg(not(feature = "client"))]
fn is_of_a_request(_: &(dyn Error + 'static)) -> bool {
    false
}

/// The error and its causes, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reject { reason } => Self::Reject(shorten(reason)),
            Failure::Request { reason } => {
                host::failed("request");
                Self::Retry(types::Retry { delay_ms: None, reason: shorten(reason) })
            }
            Failure::Retry { delay, reason } => {
                Self::Retry(types::Retry { delay_ms: delay.map(milliseconds), reason: shorten(reason) })
            }
        }
    }
}

/// Decides for an error, or for a missing value, whether the delivery is retried.
///
/// ```
/// # use std::time::Duration;
/// # use sandbus_sdk::prelude::*;
/// fn age(text: &str) -> Result<u8> {
///     text.parse().or_retry_after(Duration::from_secs(60))
/// }
/// assert!(matches!(age("old"), Err(Failure::Retry { .. })));
/// ```
pub trait Classify<T> {
    /// Rejects the delivery on an error.
    ///
    /// # Errors
    /// [`Failure::Reject`] with the error's text.
    fn or_reject(self) -> Result<T>;

    /// Retries the delivery on an error.
    ///
    /// # Errors
    /// [`Failure::Retry`] with the error's text.
    fn or_retry(self) -> Result<T>;

    /// Retries the delivery on an error, after a delay.
    ///
    /// # Errors
    /// [`Failure::Retry`] with the error's text.
    fn or_retry_after(self, delay: Duration) -> Result<T>;
}

/// For a value that is missing.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// fn total(key: &str) -> Result<i64> {
///     state::get::<i64>(key)?.or_reject()
/// }
/// ```
impl<T> Classify<T> for Option<T> {
    fn or_reject(self) -> Result<T> {
        self.ok_or_else(|| Failure::reject(missing::<T>()))
    }

    fn or_retry(self) -> Result<T> {
        self.ok_or_else(|| Failure::retry(missing::<T>()))
    }

    fn or_retry_after(self, delay: Duration) -> Result<T> {
        self.ok_or_else(|| Failure::retry_after(delay, missing::<T>()))
    }
}

/// The reason for a failure that a missing value causes.
fn missing<T>() -> String {
    let name = std::any::type_name::<T>();
    format!("there is no `{}`", name.rsplit("::").next().unwrap_or(name))
}

impl<T, E: Display> Classify<T> for Result<T, E> {
    fn or_reject(self) -> Result<T> {
        self.map_err(Failure::reject)
    }

    fn or_retry(self) -> Result<T> {
        self.map_err(Failure::retry)
    }

    fn or_retry_after(self, delay: Duration) -> Result<T> {
        self.map_err(|error| Failure::retry_after(delay, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_would_occur_again_are_rejected() {
        let error = "x".parse::<u8>().unwrap_err();
        assert!(matches!(Failure::from(error), Failure::Reject { .. }));
        let error = serde_json::from_str::<u8>("{").unwrap_err();
        assert!(matches!(Failure::from(error), Failure::Reject { .. }));
    }

    #[test]
    fn any_other_error_is_retried_with_its_causes() {
        let error = std::io::Error::other("the mail server is away");
        let failure = Failure::from(error);
        assert_eq!(failure, Failure::Retry { delay: None, reason: "the mail server is away".to_owned() });
    }

    #[test]
    fn a_missing_value_is_classified_as_an_error_is() {
        let nothing = || None::<u8>;
        let reason = "there is no `u8`".to_owned();
        assert_eq!(Some(1).or_reject(), Ok(1));
        assert_eq!(nothing().or_reject(), Err(Failure::Reject { reason: reason.clone() }));
        assert_eq!(nothing().or_retry(), Err(Failure::Retry { delay: None, reason: reason.clone() }));
        let delay = Duration::from_secs(1);
        assert_eq!(nothing().or_retry_after(delay), Err(Failure::Retry { delay: Some(delay), reason }));
    }

    /// The same call fails in the same way at each attempt, unless the store itself is the reason.
    #[test]
    fn errors_of_the_state_are_rejected_unless_the_store_is_unavailable() {
        for (error, is_rejected) in [
            (StateError::Invalid("not a number".to_owned()), true),
            (StateError::Limit("the key is too long".to_owned()), true),
            (StateError::Unavailable("the disk".to_owned()), false),
        ] {
            let failure = Failure::from(error.clone());
            assert_eq!(matches!(failure, Failure::Reject { .. }), is_rejected, "{error:?}: {failure:?}");
        }
    }

    #[test]
    fn long_reasons_are_cut_on_their_way_to_the_host() {
        let reason = || "x".repeat(20 << 20);
        for failure in [
            Failure::reject(reason()),
            Failure::retry(reason()),
            Failure::retry_after(Duration::ZERO, reason()),
            Failure::Request { reason: reason() },
        ] {
            let (types::Failure::Reject(reason) | types::Failure::Retry(types::Retry { reason, .. })) = failure.into();
            assert!(reason.len() < 20_000, "{}", reason.len());
        }
    }
}
