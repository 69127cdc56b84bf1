//! Sends requests to routes of plugins, as a client of the ingress.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt as _;
use tokio::time::timeout_at;

use super::body::{Body, Query, either, invalid};
use super::{Admin, query};
use crate::api::{BodyEndView, HeaderView, RouteRequest, RouteRequestHeader, RouteRequestQuery, RouteResponseView};
use crate::problem::Problem;
use crate::server::InProcess;

/// How long the response may take, and how long it may take at most.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
/// How much of the response's body is returned, in bytes.
const MAX_BODY_BYTES: usize = 256 << 10;
/// The response header with the id of the request.
const REQUEST_ID: &str = "x-request-id";

/// Send a request to a route
///
/// The host treats the request like one that a client sends to the public address: the same limits apply, the plugin
/// authenticates and authorises the client as usual, and the response comes after the commit. The response of the route,
/// whatever its status, is in the body of this operation's response.
#[utoipa::path(
    post,
    path = "/requests",
    operation_id = "send_request",
    tag = "plugins",
    params(RouteRequestQuery),
    request_body = RouteRequest,
    responses((status = 200, body = RouteResponseView, description = "The response of the route."))
)]
pub(super) async fn send(
    State(admin): State<Admin>,
    Query(line): Query<RouteRequestQuery>,
    Body(rest): Body<RouteRequest>,
) -> Result<Json<RouteResponseView>, Problem> {
    let time_limit = line.timeout.unwrap_or(DEFAULT_TIMEOUT);
    if time_limit > MAX_TIMEOUT {
        return Err(query::invalid(format!("`timeout` is limited to {} s", MAX_TIMEOUT.as_secs())));
    }
    let request = build(&line, rest)?;
    let started = Instant::now();
    let deadline = tokio::time::Instant::now() + time_limit;
    // Boxed, because the future is large.
    let answered = timeout_at(deadline, Box::pin(admin.ingress.send(request))).await;
    let response = answered.map_err(|_| no_response(time_limit))??;
    Ok(Json(read(response, deadline, started).await))
}

/// The request that a client would have sent.
fn build(line: &RouteRequestQuery, rest: RouteRequest) -> Result<Request<HttpBody>, Problem> {
    let RouteRequestQuery { method, path, .. } = line;
    let named = Method::from_bytes(method.as_bytes());
    let named = named.map_err(|_| query::invalid(format!("`method` is `{method}`, which is not an HTTP method")))?;
    let target = path.parse::<PathAndQuery>().ok().filter(|_| path.starts_with('/'));
    let target =
        target.ok_or_else(|| query::invalid(format!("`path` is `{path}`; write a path that begins with `/`")))?;
    let headers = headers(&rest.headers)?;
    let body = match (rest.body, rest.body_base64) {
        (None, None) => Vec::new(),
        (plain, base64) => either("body", plain.map(String::into_bytes), base64)?,
    };
    let mut request = Request::new(HttpBody::from(body));
    *request.method_mut() = named;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(request)
}

fn headers(given: &[RouteRequestHeader]) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for RouteRequestHeader { name, value } in given {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| invalid(format!("`headers`: `{name}` is not the name of a header")))?;
        let text = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes());
        let text = text.map_err(|_| invalid(format!("`headers`: the value of `{name}` has control characters")))?;
        headers.append(parsed, text);
    }
    match InProcess::reserved_header(&headers) {
        Some(name) => Err(invalid(format!("`headers`: the host sets `{name}`; omit it"))),
        None => Ok(headers),
    }
}

/// The response with what has arrived of its body at the deadline.
async fn read(response: Response, deadline: tokio::time::Instant, started: Instant) -> RouteResponseView {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let body_end = loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break BodyEndView::Complete,
            Ok(Some(Err(_))) | Err(_) => break BodyEndView::Failed,
        };
        let Ok(data) = frame.into_data() else { continue };
        let space = MAX_BODY_BYTES - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(space)]);
        if data.len() > space {
            break BodyEndView::Truncated;
        }
    };
    let took_us = crate::duration::micros(started.elapsed());
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header = |(name, value): (&HeaderName, &HeaderValue)| HeaderView { name: name.to_string(), value: text(value) };
    let (body, body_base64) = match into_text(bytes, body_end) {
        Ok(text) => (Some(text), None),
        Err(bytes) => (None, Some(BASE64_STANDARD.encode(bytes))),
    };
    RouteResponseView {
        request: head.headers.get(REQUEST_ID).map(text),
        status: head.status.as_u16(),
        headers: head.headers.iter().map(header).collect(),
        body,
        body_base64,
        body_end,
        took_us,
    }
}

/// A body as text. The limit may have cut its last character.
fn into_text(bytes: Vec<u8>, end: BodyEndView) -> Result<String, Vec<u8>> {
    String::from_utf8(bytes).or_else(|error| {
        let (valid, is_cut) = (error.utf8_error().valid_up_to(), error.utf8_error().error_len().is_none());
        let mut bytes = error.into_bytes();
        if !is_cut || end == BodyEndView::Complete {
            return Err(bytes);
        }
        bytes.truncate(valid);
        String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)
    })
}

fn no_response(time_limit: Duration) -> Problem {
    let waited = humantime::format_duration(time_limit);
    let detail = format!(
        "no response came within {waited}; the handler may still run, and its effects may be committed. Ask again with a longer `timeout`, of up to {} s",
        MAX_TIMEOUT.as_secs()
    );
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-response", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: &str, path: &str) -> RouteRequestQuery {
        RouteRequestQuery { method: method.to_owned(), path: path.to_owned(), timeout: None }
    }

    fn header(name: &str, value: &str) -> RouteRequest {
        let header = RouteRequestHeader { name: name.to_owned(), value: value.to_owned() };
        RouteRequest { headers: vec![header], ..RouteRequest::default() }
    }

    #[test]
    fn what_no_client_can_send_is_refused() {
        for (method, path) in [
            ("", "/"),
            ("GE T", "/"),
            ("GET", ""),
            ("GET", "orders"),
            ("GET", "*"),
            ("GET", "http://a/"),
            ("GET", "/a b"),
        ] {
            let refused = build(&line(method, path), RouteRequest::default()).unwrap_err();
            assert_eq!(refused.code(), "invalid-query", "{method} {path}");
        }
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("x", "a\r\nhost: b"),
            ("x", "a\0"),
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("connection", "close"),
            ("Expect", "100-continue"),
        ] {
            let refused = build(&line("GET", "/"), header(name, value)).unwrap_err();
            assert_eq!(refused.code(), "invalid-body", "{name}: {value:?}");
        }
        let twice =
            RouteRequest { body: Some("a".to_owned()), body_base64: Some("YQ==".to_owned()), ..header("x", "y") };
        assert_eq!(build(&line("GET", "/"), twice).unwrap_err().code(), "invalid-body");
    }

    #[test]
    fn a_request_is_built() {
        let rest = RouteRequest { body_base64: Some("YQ==".to_owned()), ..header("X-Name", " é ") };
        let request = build(&line("PATCH", "/a%20b?c=d"), rest).unwrap();
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("PATCH", "/a%20b?c=d"));
        assert_eq!(request.headers()["x-name"].as_bytes(), "é".as_bytes());
    }

    async fn read_body(body: HttpBody) -> RouteResponseView {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        read(Response::new(body), deadline, Instant::now()).await
    }

    #[tokio::test]
    async fn bodies_are_bounded_and_binary_ones_are_encoded() {
        let whole = read_body(HttpBody::from("a".repeat(MAX_BODY_BYTES))).await;
        assert_eq!((whole.body.unwrap().len(), whole.body_end), (MAX_BODY_BYTES, BodyEndView::Complete));
        let cut = read_body(HttpBody::from(format!("{}é", "a".repeat(MAX_BODY_BYTES - 1)))).await;
        assert_eq!((cut.body.unwrap().len(), cut.body_end), (MAX_BODY_BYTES - 1, BodyEndView::Truncated));
        let binary = read_body(HttpBody::from(vec![0xff, 0x00])).await;
        assert_eq!((binary.body, binary.body_base64.as_deref()), (None, Some("/wA=")));
        let incomplete = read_body(HttpBody::from(vec![b'a', 0xc3])).await;
        assert_eq!(incomplete.body_base64.as_deref(), Some("YcM="), "a complete body is not shortened");
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_left_at_the_deadline() {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>("first")]);
        let endless = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        // What is there is read even if the deadline has passed.
        let view =
            read(Response::new(HttpBody::from_stream(endless)), tokio::time::Instant::now(), Instant::now()).await;
        assert_eq!((view.body.as_deref(), view.body_end), (Some("first"), BodyEndView::Failed));
    }
}
