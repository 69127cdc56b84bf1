//! HTTP routes: the arguments and the responses of their handlers.

mod reply;

use std::error::Error;
use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::sandbus::plugin::http_handler as wire;
use crate::text::shorten;
use crate::{Failure, json};

pub use reply::reply;

/// A request on one of the plugin's routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The path of the matching route, such as `/users/{id}`.
    pub route: String,
    /// The path, percent-encoded as it was sent.
    pub path: String,
    /// The route's parameters, percent-decoded.
    pub params: Vec<(String, String)>,
    /// The text after the question mark, as it was sent.
    pub query: Option<String>,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns a parameter of the route, such as `id` of `/users/{id}`.
    ///
    /// # Errors
    /// A problem with status 500 if the route has no such parameter, which is a mistake in the handler.
    pub fn param(&self, name: &str) -> Result<&str, Problem> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| Problem::new(500, format!("the route has no parameter `{name}`")))
    }

    /// Returns the first header of a name. Case is ignored.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a header that may occur several times.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// A problem with status 415 if the media type is not that of JSON, and with 422 if `T` does not fit the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let media_type = self.header("content-type").unwrap_or("application/json");
        if !json::is_media_type(media_type) {
            return Err(Problem::new(415, format!("the body must be JSON, and is {media_type}")));
        }
        serde_json::from_slice(&self.body).map_err(|error| Problem::new(422, format!("the body is invalid: {error}")))
    }
}

/// A response with any body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, 200 to 599.
    pub status: u16,
    /// The headers. Each cookie is a header of its own, named `set-cookie`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    fn json<T: Serialize>(status: u16, media_type: &str, value: &T) -> Self {
        match json::to_vec(value) {
            Ok(body) => Self { status, headers: vec![("content-type".to_owned(), media_type.to_owned())], body },
            Err(error) => {
                Problem::unexpected(&format!("the response cannot be written as JSON: {error}")).into_response()
            }
        }
    }
}

/// JSON as the body of a request or a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// An argument of a route's handler.
#[diagnostic::on_unimplemented(
    message = "a route's handler cannot take `{Self}`",
    note = "take `Request`, or `Json<T>` where `T` derives `Deserialize`"
)]
pub trait FromRequest: Sized {
    /// Converts a request into the argument.
    ///
    /// # Errors
    /// The response that the client gets instead.
    fn from_request(request: &Request) -> Result<Self, Problem>;
}

impl FromRequest for Request {
    fn from_request(request: &Request) -> Result<Self, Problem> {
        Ok(request.clone())
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(request: &Request) -> Result<Self, Problem> {
        request.json().map(Json)
    }
}

/// The return type of a route's handler: [`Response`], [`Json`], either of them with a status (`(201, Json(…))`), `()`
/// (status 204), or a `Result` of these with [`Problem`].
#[diagnostic::on_unimplemented(
    message = "a route's handler cannot return `{Self}`",
    note = "return `Json<T>`, `(u16, Json<T>)`, `Response`, `()`, or a `Result` of these with `Problem`"
)]
pub trait IntoResponse {
    /// Converts the value into the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response { status: 204, headers: Vec::new(), body: Vec::new() }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(200, "application/json", &self.0)
    }
}

impl<T: IntoResponse> IntoResponse for (u16, T) {
    fn into_response(self) -> Response {
        Response { status: self.0, ..self.1.into_response() }
    }
}

/// The outcome of a route's handler: effects are committed with `Ok`, and discarded with `Err`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a route's handler cannot return `{Self}`",
    note = "return `Json<T>`, `(u16, Json<T>)`, `Response`, `()`, or a `Result` of these with `Problem`"
)]
pub trait IntoOutcome {
    /// Converts the value into the response, and decides whether the effects are committed.
    fn into_outcome(self) -> Result<Response, Response>;
}

impl<T: IntoResponse> IntoOutcome for T {
    fn into_outcome(self) -> Result<Response, Response> {
        Ok(self.into_response())
    }
}

impl<T: IntoResponse> IntoOutcome for Result<T, Problem> {
    fn into_outcome(self) -> Result<Response, Response> {
        self.map(IntoResponse::into_response).map_err(Problem::into_response)
    }
}

/// A problem (RFC 9457), sent as `application/problem+json`.
///
/// `?` converts any error into a problem with status 500. The error's text may contain internal details, such as a
/// query or an address; it is logged, and the client only learns that the handler failed. A problem that is returned as
/// `Err` discards the effects of the request. A status outside 400 to 599 counts as a failure of the handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable code, such as `invalid-email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A sentence that describes the problem.
    pub detail: String,
    /// The status, 400 to 599.
    pub status: u16,
    /// The name of the status.
    pub title: &'static str,
}

impl Problem {
    /// A problem with a status and a description.
    pub fn new(status: u16, detail: impl Display) -> Self {
        Self { code: None, detail: detail.to_string(), status, title: title(status) }
    }

    /// The request is malformed (400).
    pub fn bad_request(detail: impl Display) -> Self {
        Self::new(400, detail)
    }

    /// The resource does not exist (404).
    pub fn not_found(detail: impl Display) -> Self {
        Self::new(404, detail)
    }

    /// The request conflicts with the current state (409).
    pub fn conflict(detail: impl Display) -> Self {
        Self::new(409, detail)
    }

    /// The request is well-formed but violates a rule (422).
    pub fn invalid(detail: impl Display) -> Self {
        Self::new(422, detail)
    }

    /// Adds a stable code for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The response to a failure that is not meant for the client. The reason is logged.
    fn unexpected(reason: &str) -> Self {
        log::error!("the handler failed: {reason}");
        Self::new(500, "the handler failed; the reason is in the host's log").code("handler-failed")
    }

    fn into_response(self) -> Response {
        if !(400..=599).contains(&self.status) {
            let reason =
                format!("the status of a problem must be from 400 to 599, not {}: {}", self.status, self.detail);
            return Self::unexpected(&reason).into_response();
        }
        let problem = Self { detail: shorten(self.detail), ..self };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
        Response { status: self.status, headers, body }
    }
}

// As `Failure`, a problem does not implement `Error`, so that this conversion is possible.
impl<E: Error + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::unexpected(&crate::failure::with_causes(&error))
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Retry { .. } | Failure::Request { .. } => 503,
            Failure::Reject { .. } => 422,
        };
        Self::new(status, failure.reason())
    }
}

/// Names of statuses (RFC 9110, section 15).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        other if other < 500 => "Client Error",
        _ => "Server Error",
    }
}

impl From<wire::Request> for Request {
    fn from(request: wire::Request) -> Self {
        let wire::Request { method, route, path, params, query, headers, body } = request;
        Self { method, route, path, params, query, headers, body }
    }
}

impl From<Response> for wire::Response {
    fn from(Response { status, headers, body }: Response) -> Self {
        Self { status, headers, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_a_status_from_400_to_599() {
        for status in [400, 404, 499, 500, 599] {
            assert_eq!(Problem::new(status, "x").into_response().status, status);
        }
        for status in [0, 100, 200, 204, 302, 399, 600, u16::MAX] {
            let response = Problem::new(status, "x").into_response();
            assert_eq!(response.status, 500, "{status}");
            assert!(String::from_utf8(response.body).unwrap().contains("handler-failed"), "{status}");
        }
    }

    #[test]
    fn unexpected_errors_are_hidden_from_the_client() {
        let problem = Problem::from(std::io::Error::other("the password is 1234"));
        assert_eq!((problem.status, problem.code.as_deref()), (500, Some("handler-failed")));
        assert!(!problem.detail.contains("1234"));
        assert_eq!(Problem::from(Failure::reject("no such order")).detail, "no such order");
    }

    #[test]
    fn numbers_that_json_does_not_have_are_a_failure_of_the_handler() {
        let response = Json(vec![0.5, f64::INFINITY]).into_response();
        assert_eq!(response.status, 500);
        assert!(String::from_utf8(response.body).unwrap().contains("handler-failed"));
        assert_eq!(Json(vec![Some(0.5), None]).into_response().body, b"[0.5,null]");
    }

    #[test]
    fn the_detail_of_a_problem_is_cut() {
        let response = Problem::from(Failure::reject("x".repeat(20 << 20))).into_response();
        assert_eq!((response.status, response.body.len() < 20_000), (422, true));
    }
}
