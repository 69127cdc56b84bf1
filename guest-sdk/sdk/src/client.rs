//! Requests to other services. The operator grants their servers in the plugin's sidecar: `[grants] http =
//! ["api.example.com"]`. The module needs the feature `client`.
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
//! Requests are not part of the transaction: a retry of the handler sends them again. Send the event's source
//! and id with a request, so that its receiver can recognise the repetition.

use crate::host;

pub use crate::model::request::{Request, Response, SendError};

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
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
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A `PUT` request.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// A `PATCH` request.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url)
}

/// A `DELETE` request.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}

impl Request {
    /// Sends the request and waits for the whole response. Any status is a response, and not an error.
    ///
    /// # Errors
    /// If there is no complete response.
    pub fn send(self) -> Result<Response, SendError> {
        host::send(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::testing::FakeHost;

    #[test]
    fn failures_that_may_pass_are_retried() {
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
    fn a_fake_host_has_the_given_responses_alone() {
        let host = FakeHost::new().answers("GET http://a/*", 200, "all").answers("GET http://b/1", 404, "");
        let ask = |url: &str| host.run(|| get(url).header("x", "y").send());
        assert_eq!(ask("http://a/1").unwrap().body, b"all");
        assert_eq!(ask("http://b/1").unwrap().status, 404);
        assert!(matches!(ask("http://b/2"), Err(SendError::Unreachable(_))));
        assert_eq!(host.sent().len(), 3);
        assert_eq!(host.sent()[0].headers, [("x".to_owned(), "y".to_owned())]);
    }
}
