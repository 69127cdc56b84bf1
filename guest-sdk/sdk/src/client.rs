//! Requests to other services, sent by the host to hosts that the operator grants in the plugin's sidecar:
//! `[grants] http = ["api.example.com"]`. With the feature `client`.
//!
//! ```
//! use sandbus_sdk::client;
//! use sandbus_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Rates {
//!     chf: f64,
//! }
//!
//! fn price(euros: f64) -> Result<f64> {
//!     let rates: Rates = client::get("https://api.example.com/rates").send()?.success()?.json()?;
//!     Ok(euros * rates.chf)
//! }
//!
//! # use sandbus_sdk::testing::FakeHost;
//! let host = FakeHost::new().answers("GET https://api.example.com/rates", 200, r#"{"chf": 0.5}"#);
//! assert_eq!(host.run(|| price(10.0)).unwrap(), 5.0);
//! ```
//!
//! A request is no part of the transaction that a delivery is: one that fails after it, and is tried again, sends
//! it again. Give what you send the event's id, so that its receiver can tell.

#[cfg(target_family = "wasm")]
pub(crate) mod component;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host;

/// A request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The address, with `http://` or `https://`.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait for a connection, for the beginning of the answer, and from one part of it to the next. The
    /// handler's own time ends it sooner.
    pub timeout: Option<Duration>,
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer, or not one that was wanted.
///
/// With `?` a handler fails by it, and its delivery is tried again where waiting can help: not after a denial, nor
/// after a status from 400 to 499 but for 408, 425 and 429.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The operator does not grant the host.
    Denied(String),
    /// It leads to one of the listeners of Sandbus itself, by its host and port.
    Own(String),
    /// The request is malformed.
    Invalid(String),
    /// There was no answer in time.
    Timeout,
    /// The host cannot be reached, or the answer broke off.
    Unreachable(String),
    /// The answer has another status than wanted, and begins so.
    Status(u16, String),
    /// The answer is not what was expected.
    Unreadable(String),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(host) => {
                write!(
                    formatter,
                    "requests to `{host}` are not granted; the sidecar does: [grants] http = [\"{host}\"]"
                )
            }
            Self::Own(host) => {
                write!(
                    formatter,
                    "`{host}` is a listener of this Sandbus itself, which sends no requests to its own listeners, whatever is granted; publish an event instead"
                )
            }
            Self::Invalid(reason) => write!(formatter, "the request is malformed: {reason}"),
            Self::Timeout => formatter.write_str("the request was not answered in time"),
            Self::Unreachable(reason) => write!(formatter, "the request has no answer: {reason}"),
            Self::Unreadable(reason) => write!(formatter, "the answer is not as expected: {reason}"),
            Self::Status(status, body) if body.is_empty() => write!(formatter, "the request was answered {status}"),
            Self::Status(status, body) => write!(formatter, "the request was answered {status}: {body}"),
        }
    }
}

impl std::error::Error for SendError {}

impl SendError {
    /// Whether waiting cannot help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Denied(_) | Self::Own(_) | Self::Invalid(_) => true,
            // Another answer may come, as where a gateway has told of its maintenance.
            Self::Timeout | Self::Unreachable(_) | Self::Unreadable(_) => false,
            Self::Status(status, _) => (400..500).contains(status) && ![408, 425, 429].contains(status),
        }
    }
}

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Call {
    Call::new("GET", url)
}

/// A `POST` request.
///
/// ```
/// # use sandbus_sdk::testing::FakeHost;
/// use sandbus_sdk::client::{self, SendError};
///
/// let host = FakeHost::new().answers("POST https://api.example.com/*", 409, "it is there already");
/// let order = || client::post("https://api.example.com/orders").json(&["bread"])?.send()?.success();
/// let error = host.run(order).unwrap_err();
/// assert_eq!(error, SendError::Status(409, "it is there already".to_owned()));
/// assert!(error.is_permanent());
/// assert_eq!(host.sent()[0].body, br#"["bread"]"#);
/// ```
pub fn post(url: impl Into<String>) -> Call {
    Call::new("POST", url)
}

/// A `PUT` request.
pub fn put(url: impl Into<String>) -> Call {
    Call::new("PUT", url)
}

/// A `PATCH` request.
pub fn patch(url: impl Into<String>) -> Call {
    Call::new("PATCH", url)
}

/// A `DELETE` request.
pub fn delete(url: impl Into<String>) -> Call {
    Call::new("DELETE", url)
}

impl Call {
    /// A request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new(), timeout: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to JSON.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, SendError> {
        let body = serde_json::to_vec(value).map_err(|error| SendError::Invalid(error.to_string()))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Waits so long for a connection, for the beginning of the answer, and from one part of it to the next.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    /// If there is none.
    pub fn send(self) -> Result<Answer, SendError> {
        host::send(self)
    }
}

impl Answer {
    /// The first header of a name, which is compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The values of a header, one for each time that it comes, such as of `set-cookie`.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The answer, if its status is from 200 to 299.
    ///
    /// # Errors
    /// [`SendError::Status`] otherwise.
    pub fn success(self) -> Result<Self, SendError> {
        /// How much of a body is told.
        const EXCERPT: usize = 200;
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body).chars().take(EXCERPT).collect();
        Err(SendError::Status(self.status, body))
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// [`SendError::Unreadable`] if it is not what `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, SendError> {
        serde_json::from_slice(&self.body).map_err(|error| SendError::Unreadable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::testing::FakeHost;

    #[test]
    fn waiting_is_tried_where_it_can_help() {
        let failure = |error: SendError| Failure::from(error);
        assert!(matches!(failure(SendError::Timeout), Failure::Request { .. }));
        assert!(matches!(failure(SendError::Status(503, String::new())), Failure::Request { .. }));
        assert!(matches!(failure(SendError::Status(429, String::new())), Failure::Request { .. }));
        assert!(matches!(failure(SendError::Status(404, String::new())), Failure::Reject { .. }));
        assert!(matches!(failure(SendError::Denied("a".to_owned())), Failure::Reject { .. }));
        assert!(
            matches!(failure(SendError::Own("a:80".to_owned())), Failure::Reject { reason } if reason.contains("`a:80` is a listener of this Sandbus itself"))
        );
    }

    #[test]
    fn a_fake_host_answers_what_it_was_told_and_nothing_else() {
        let host = FakeHost::new().answers("GET http://a/*", 200, "all").answers("GET http://b/1", 404, "");
        let ask = |url: &str| host.run(|| get(url).header("x", "y").send());
        assert_eq!(ask("http://a/1").unwrap().body, b"all");
        assert_eq!(ask("http://b/1").unwrap().status, 404);
        assert!(matches!(ask("http://b/2"), Err(SendError::Unreachable(_))));
        assert_eq!(host.sent().len(), 3);
        assert_eq!(host.sent()[0].headers, [("x".to_owned(), "y".to_owned())]);
    }
}
