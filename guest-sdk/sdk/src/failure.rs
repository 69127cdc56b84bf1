//! How a handler fails: tried again, or given up.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use crate::bindings::sandbus::plugin::types;
use crate::clock::milliseconds;
use crate::message::PublishError;

/// What a handler returns.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failed delivery.
///
/// `?` makes one of any error. Its type decides: what cannot get better by waiting (JSON that does not
/// parse, a number that is none, text that is not UTF-8, a publish that was refused) is rejected;
/// anything else is tried again. Where you know better, say so with [`Classify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later.
    Retry {
        /// When; the subscription's retry policy decides if there is none.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// A request to another service has no answer, or not one that was wanted; another one may succeed later.
    Request {
        /// Why.
        reason: String,
    },
    /// It will never succeed: the delivery becomes a dead letter at once.
    Reject {
        /// Why.
        reason: String,
    },
}

impl Failure {
    /// Tries again, when the subscription's retry policy says.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry { after: None, reason: reason.to_string() }
    }

    /// Tries again after a delay of the handler's own choice.
    pub fn retry_after(delay: Duration, reason: impl Display) -> Self {
        Self::Retry { after: Some(delay), reason: reason.to_string() }
    }

    /// Gives up: the delivery becomes a dead letter.
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

// `Failure` is not an `Error` itself, which is what leaves room for this conversion, as in anyhow.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let reason = with_causes(&error);
        if is_permanent(&error) {
            Self::Reject { reason }
        } else if is_of_a_request(&error) {
            Self::Request { reason }
        } else {
            Self::Retry { after: None, reason }
        }
    }
}

fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    error.is::<serde_json::Error>()
        || error.is::<PublishError>()
        || is_permanent_answer(error)
        || error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>()
        || error.is::<std::num::TryFromIntError>()
        || error.is::<std::str::Utf8Error>()
        || error.is::<std::string::FromUtf8Error>()
}

#[cfg(feature = "client")]
fn is_permanent_answer(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(crate::client::SendError::is_permanent)
}

#[cfg(not(feature = "client"))]
fn is_permanent_answer(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(feature = "client")]
fn is_of_a_request(error: &(dyn Error + 'static)) -> bool {
    error.is::<crate::client::SendError>()
}

#[cfg(not(feature = "client"))]
fn is_of_a_request(_: &(dyn Error + 'static)) -> bool {
    false
}

/// The error and what caused it, in one line.
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
            Failure::Reject { reason } => Self::Reject(reason),
            Failure::Request { reason } => {
                crate::host::failed("request");
                Self::Retry(types::Retry { delay_ms: None, reason })
            }
            Failure::Retry { after, reason } => {
                let delay_ms = after.map(milliseconds);
                Self::Retry(types::Retry { delay_ms, reason })
            }
        }
    }
}

/// Says of an error whether the delivery is tried again.
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
    /// Gives up on an error.
    ///
    /// # Errors
    /// A rejection with the error's text.
    fn or_reject(self) -> Result<T>;

    /// Tries again on an error.
    ///
    /// # Errors
    /// A retry with the error's text.
    fn or_retry(self) -> Result<T>;

    /// Tries again on an error, after a delay.
    ///
    /// # Errors
    /// A retry with the error's text.
    fn or_retry_after(self, delay: Duration) -> Result<T>;
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
    fn an_error_that_waiting_cannot_mend_is_rejected() {
        let error = "x".parse::<u8>().unwrap_err();
        assert!(matches!(Failure::from(error), Failure::Reject { .. }));
        let error = serde_json::from_str::<u8>("{").unwrap_err();
        assert!(matches!(Failure::from(error), Failure::Reject { .. }));
    }

    #[test]
    fn any_other_error_is_tried_again_with_its_causes() {
        let error = std::io::Error::other("the mail server is away");
        let failure = Failure::from(error);
        assert_eq!(failure, Failure::Retry { after: None, reason: "the mail server is away".to_owned() });
    }
}
