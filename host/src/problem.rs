//! Problem details (RFC 9457): how every refusal looks to a client, with a stable code.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use crate::api::ProblemView;
use crate::bus::{CommitError, StoreError, StoreErrorKind};

/// A refusal. The request has had no effect.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with a status, a stable code for programs, and a sentence for a person.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a detail about one part of the request.
    #[must_use]
    pub fn about(self, part: &str) -> Self {
        Self { detail: format!("{part}: {}", self.detail), ..self }
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The request is malformed.
    #[must_use]
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The resource does not exist.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The path does not support the method.
    #[must_use]
    pub fn method_not_allowed(methods: &[String]) -> Self {
        let allowed = methods.join(", ");
        let detail = format!("this path supports {allowed}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
        match HeaderValue::from_str(&allowed) {
            Ok(value) => problem.header(axum::http::header::ALLOW, value),
            Err(_) => problem,
        }
    }

    /// The body of the response: a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let body = ProblemView {
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: Some(self.code.to_owned()),
            detail: Some(self.detail.clone()),
        };
        serde_json::to_vec(&body).expect("strings and numbers can be written as JSON")
    }

    /// The response headers.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The explanation for a person.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let detail = error.to_string();
        match error {
            CommitError::DiskFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", detail).retry_after(30),
            CommitError::Unavailable { retry_after, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", detail)
                    .retry_after(seconds(retry_after))
            }
            // Unlike other problems, this one may follow a stored change.
            CommitError::InDoubt => Self::new(StatusCode::GATEWAY_TIMEOUT, "in-doubt", detail).retry_after(5),
            CommitError::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "bus-busy", detail).retry_after(1),
            CommitError::BacklogFull(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "backlog-full", detail).retry_after(5)
            }
            CommitError::ProducerFull(..) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "producer-full", detail).retry_after(30)
            }
            CommitError::PluginBacklogFull(..) | CommitError::PluginLogFull(..) | CommitError::PluginTypesFull(..) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "plugin-full", detail).retry_after(5)
            }
            CommitError::TooManyTypes(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-types", detail).retry_after(30)
            }
            CommitError::Collision { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "collision", detail),
            CommitError::LogFull(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "log-full", detail).retry_after(30),
            CommitError::Closed(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "bus-closed", detail).retry_after(5),
            CommitError::Conflict(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "conflict", detail).retry_after(1),
            CommitError::NotANumber(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not-a-number", detail),
            CommitError::TooManySubscriptions(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "too-many-subscriptions", detail)
            }
            CommitError::TooManySequences(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "too-many-sequences", detail)
            }
            CommitError::SequenceExhausted(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "sequence-exhausted", detail)
            }
            CommitError::StartInFuture { .. } => Self::bad_request("start-in-future", detail),
            CommitError::NotClaimed => Self::new(StatusCode::CONFLICT, "not-open", detail),
            CommitError::DeliveryOpen(_) => Self::new(StatusCode::CONFLICT, "delivery-open", detail),
            CommitError::NotFound(_) => Self::not_found(detail),
        }
    }
}

/// `Retry-After` takes whole seconds. Rounding up avoids zero, which would mean "at once".
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error.kind() {
            StoreErrorKind::Full | StoreErrorKind::Unavailable => "store-unavailable",
            StoreErrorKind::Damaged | StoreErrorKind::Incompatible | StoreErrorKind::Failed => "store-unreadable",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string()).retry_after(5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json()).into_response();
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::ProducerLimit;

    #[test]
    fn a_refused_change_says_whether_and_when_to_come_back() {
        let answer = |error: CommitError| {
            let response = Problem::from(error).into_response();
            (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER))
        };
        assert_eq!(answer(CommitError::Busy), (429, true));
        assert_eq!(answer(CommitError::DiskFull), (507, true));
        assert_eq!(answer(CommitError::BacklogFull("p/s".to_owned())), (429, true));
        assert_eq!(answer(CommitError::LogFull(1)), (503, true));
        assert_eq!(answer(CommitError::InDoubt), (504, true));
        assert_eq!(answer(CommitError::ProducerFull(ProducerLimit::Delayed, 1)), (429, true));
        assert_eq!(answer(CommitError::Closed("it is shutting down".to_owned())), (503, true));
        assert_eq!(answer(CommitError::Conflict("k".to_owned())), (503, true));
        assert_eq!(answer(CommitError::NotFound("x".to_owned())), (404, false));
    }

    /// RFC 9110, section 10.2.3: whole seconds.
    #[test]
    fn an_unavailable_store_names_the_seconds_to_wait() {
        for (millis, seconds) in
            [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (7_500, "8"), (u64::MAX, "4294967295")]
        {
            let retry_after = Duration::from_millis(millis);
            let error = CommitError::Unavailable { reason: "no connection".to_owned(), retry_after };
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], seconds, "{millis} ms");
        }
    }
}
