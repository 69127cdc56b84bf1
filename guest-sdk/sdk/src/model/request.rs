//! Requests to other services, and their responses.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json;

/// A request to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The address, with `http://` or `https://`.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The limit for the connection, for the beginning of the response, and for each pause within the response. The
    /// handler's own timeout applies as well.
    pub timeout: Option<Duration>,
}

/// The response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a request failed.
///
/// With `?`, the delivery is retried. If the same request would fail again (it was denied or malformed, or the status
/// is from 400 to 499, except 408, 425 and 429), the delivery is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The operator has not granted the host.
    Denied(String),
    /// The address is a listener of Sandbus itself, given by host and port.
    Own(String),
    /// The request is malformed.
    Invalid(String),
    /// The response did not arrive in time.
    Timeout,
    /// The host could not be reached, or the response was incomplete.
    Unreachable(String),
    /// The response has an error status. The text is the beginning of its body.
    Status(u16, String),
    /// The response does not have the expected contents.
    Unreadable(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(host) => {
                write!(
                    formatter,
                    "requests to `{host}` are not granted; the operator grants them in the sidecar: [grants] http = [\"{host}\"]"
                )
            }
            Self::Own(host) => {
                write!(
                    formatter,
                    "`{host}` is a listener of this Sandbus itself; requests to it are never granted; publish an event instead"
                )
            }
            Self::Invalid(reason) => write!(formatter, "the request is malformed: {reason}"),
            Self::Timeout => formatter.write_str("the request was not answered in time"),
            Self::Unreachable(reason) => write!(formatter, "the request has no answer: {reason}"),
            Self::Unreadable(reason) => write!(formatter, "the response has unexpected contents: {reason}"),
            Self::Status(status, body) if body.is_empty() => write!(formatter, "the response has status {status}"),
            Self::Status(status, body) => write!(formatter, "the response has status {status}: {body}"),
        }
    }
}

impl std::error::Error for SendError {}

impl SendError {
    /// Whether the same request would fail again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Denied(_) | Self::Own(_) | Self::Invalid(_) => true,
            // The next response may differ, for example after a gateway's maintenance.
            Self::Timeout | Self::Unreachable(_) | Self::Unreadable(_) => false,
            Self::Status(status, _) => (400..500).contains(status) && ![408, 425, 429].contains(status),
        }
    }
}

impl Request {
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
    /// If the value cannot be written as JSON, for example because it contains NaN.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, SendError> {
        let body = json::to_vec(value).map_err(|error| SendError::Invalid(format!("its body: {error}")))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Limits the time for the connection, for the beginning of the response, and for each pause within the response.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Response {
    /// Returns the first header of a name. Case is ignored.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a header that may occur several times, such as `set-cookie`.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the response if its status is from 200 to 299.
    ///
    /// # Errors
    /// [`SendError::Status`] otherwise.
    pub fn success(self) -> Result<Self, SendError> {
        /// How many characters of the body the error contains.
        const EXCERPT: usize = 200;
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body).chars().take(EXCERPT).collect();
        Err(SendError::Status(self.status, body))
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`SendError::Unreadable`] if `T` does not fit the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, SendError> {
        serde_json::from_slice(&self.body).map_err(|error| SendError::Unreadable(error.to_string()))
    }
}
