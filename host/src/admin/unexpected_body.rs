//! Rejects bodies that no handler reads, so that a filter in a body is not mistaken for a request without one.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Admin;
use crate::problem::Problem;

/// The routes that read a body. All others reject one.
const WITH_BODY: &[(Method, &str)] = &[
    (Method::POST, "/v1/events"),
    (Method::POST, "/v1/dead-letters/{number}/redrive"),
    (Method::POST, "/v1/plugins/{name}/canary"),
    (Method::PUT, "/v1/plugins/{name}/state/{key}"),
    (Method::POST, "/v1/subscriptions"),
    (Method::POST, "/v1/subscriptions/{owner}/{name}/replay"),
    (Method::POST, "/v1/subscriptions/{owner}/{name}/secret"),
];

/// Passes requests on that have no body, or whose route reads it.
pub(super) async fn reject_unexpected_body(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if WITH_BODY.iter().any(|(method, route)| method == request.method() && path == Some(route)) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match admin.body_reader.up_to(0).collect(body).await {
        Ok(_) => next.run(Request::from_parts(parts, Body::empty())).await,
        Err(problem) if problem.code() == "body-too-large" => {
            let detail = format!("{} {} takes no body; use query parameters", parts.method, parts.uri.path());
            let close = HeaderValue::from_static("close");
            Problem::bad_request("unexpected-body", detail).header(CONNECTION, close).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}
