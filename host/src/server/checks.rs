//! Checks on requests and responses that the HTTP parser leaves to its caller.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::unread_body::UnreadBody;
use super::{HttpLimits, MAX_HEADERS, refusal};
use crate::problem::Problem;

/// Accepts requests that every HTTP implementation understands alike, and makes responses conform to HTTP.
pub(super) async fn checks(limits: HttpLimits, mut request: Request, next: Next) -> Response {
    if request.version() == Version::HTTP_2 {
        return match check_http2(&mut request).and_then(|()| check(&mut request, limits)) {
            // A stream ends with its response, even if part of the request body is unread.
            Ok(()) => without_connection(answer(request, next).await),
            Err(problem) => problem.into_response(),
        };
    }
    if let Err(problem) = check(&mut request, limits) {
        // The following bytes may belong to this request, so the connection must close.
        return refusal::last(problem).into_response();
    }
    let (request, unread_body) = UnreadBody::watch(request);
    let response = answer(request, next).await;
    match unread_body {
        Some(unread_body) => unread_body.settle(response).await,
        None => response,
    }
}

/// The response of the router.
async fn answer(request: Request, next: Next) -> Response {
    // A panic ends this request only; the connection may have others.
    let answered = Caught(Box::pin(next.run(request))).await;
    framed(answered.unwrap_or_else(|()| {
        tracing::error!("a request handler panicked");
        let detail = "the host failed on this request; see its log for the panic";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
    }))
}

/// Gives a request of HTTP/2 the form that it has in HTTP/1.1 (RFC 9113, sections 8.2.3 and 8.3.1): a path as its
/// target, `Host` instead of `:authority`, and one `Cookie`.
fn check_http2(request: &mut Request) -> Result<(), Problem> {
    if *request.method() == Method::CONNECT {
        return Ok(());
    }
    if let Some(authority) = request.uri().authority() {
        let malformed = |detail| Problem::bad_request("host-malformed", detail);
        let named = HeaderValue::from_str(authority.as_str());
        let named = named.map_err(|_| malformed("`:authority` is not a host with an optional port"))?;
        let differs = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(named.as_bytes());
        if request.headers().get_all(HOST).iter().any(differs) {
            return Err(malformed("the Host header differs from `:authority`; send one of them"));
        }
        request.headers_mut().insert(HOST, named);
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
    }
    join_cookies(request.headers_mut())
}

/// Joins the parts into which a client may split `Cookie` to compress it.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Problem> {
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let malformed = |_| Problem::bad_request("malformed-request", "the Cookie headers are malformed");
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..])).map_err(malformed)?;
        headers.insert(COOKIE, joined);
    }
    Ok(())
}

/// Removes the headers that are only for HTTP/1.1 (RFC 9113, section 8.2.2).
fn without_connection(mut response: Response) -> Response {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE].iter().for_each(|name| drop(response.headers_mut().remove(name)));
    response
}

fn check(request: &mut Request, limits: HttpLimits) -> Result<(), Problem> {
    check_size(request, limits)?;
    check_host(request.headers(), request.version())?;
    check_target(request)?;
    check_coding(request.headers())?;
    check_expectation(request.headers(), request.version())
}

/// Checks the size of the request head in its HTTP/1.1 form.
fn check_size(request: &Request, limits: HttpLimits) -> Result<(), Problem> {
    let line = request.method().as_str().len() + request.uri().to_string().len() + " HTTP/1.1\r\n ".len();
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    match line + fields.sum::<usize>() + "\r\n".len() {
        bytes if bytes <= limits.max_header_bytes && request.headers().len() <= MAX_HEADERS => Ok(()),
        _ if line > limits.max_header_bytes => Err(refusal::target_too_long(limits)),
        _ => Err(refusal::head_too_large(limits)),
    }
}

/// RFC 9112, section 3.2: a target is a path, or an absolute URI from a client that treats the host as a proxy. The
/// authority of an absolute URI replaces `Host`.
fn check_target(request: &mut Request) -> Result<(), Problem> {
    let malformed = |detail| Err(Problem::bad_request("target-malformed", detail));
    let uri = request.uri();
    if *request.method() == Method::CONNECT {
        let detail = "this host is not a proxy and does not support CONNECT";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "method-not-implemented", detail));
    }
    if uri.path() == "*" && *request.method() != Method::OPTIONS {
        return malformed("the target `*` is only allowed with OPTIONS");
    }
    let Some(authority) = uri.authority() else { return Ok(()) };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return malformed("the target is neither a path that begins with `/` nor an http URI");
    }
    match HeaderValue::from_str(authority.as_str()) {
        Ok(host) if is_host(&host) => drop(request.headers_mut().insert(HOST, host)),
        _ => return malformed("the authority in the target is not a host with an optional port"),
    }
    Ok(())
}

/// RFC 9110, section 10.1.1: `100-continue` is the only expectation. HTTP/1.0 has none.
fn check_expectation(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if version < Version::HTTP_11 || headers.get_all(EXPECT).iter().all(is_known) {
        return Ok(());
    }
    let detail = "the request has an unknown expectation; the only known one is `100-continue`";
    Err(Problem::new(StatusCode::EXPECTATION_FAILED, "expectation", detail))
}

/// RFC 9112, section 3.2: HTTP/1.1 requires exactly one valid `Host`.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let problem = |code, detail| Err(Problem::bad_request(code, detail));
    match (hosts.next(), hosts.next()) {
        (None, _) if version >= Version::HTTP_11 => problem(
            "host-missing",
            "the request has no Host header, which HTTP/1.1 requires, and no `:authority` of HTTP/2",
        ),
        (Some(_), Some(_)) => problem("host-repeated", "the request has more than one Host header; send one"),
        (Some(host), None) if !is_host(host) => {
            problem("host-malformed", "the Host header is not a host with an optional port")
        }
        _ => Ok(()),
    }
}

/// `uri-host [":" port]` (RFC 9110, section 7.2). The host may be empty.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    if text.is_empty() {
        return true;
    }
    // The port may be empty.
    let text = text.strip_suffix(':').unwrap_or(text);
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = text.strip_prefix(authority.host()).unwrap_or("?");
    let is_port = port.strip_prefix(':').map_or(port.is_empty(), |digits| {
        digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
    });
    let is_literal = authority
        .host()
        .strip_prefix('[')
        .is_none_or(|rest| rest.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()));
    !text.contains('@') && !authority.host().is_empty() && is_port && is_literal
}

/// RFC 9112, sections 6.1 and 7: `chunked` is the only supported coding, and is applied once. Two readings of the same
/// bytes would allow request smuggling.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let codings: Option<Vec<_>> = values.map(|value| value.to_str().ok()).collect();
    let codings = codings.ok_or_else(|| Problem::bad_request("transfer-encoding", "Transfer-Encoding is malformed"))?;
    let codings: Vec<_> = codings.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    let is_chunked = |coding: &&str| coding.eq_ignore_ascii_case("chunked");
    if let Some(other) = codings.iter().find(|coding| !is_chunked(coding)) {
        let detail = format!("the transfer coding `{other}` is not supported; use `chunked`");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "transfer-encoding", detail));
    }
    match codings.len() {
        1 => Ok(()),
        _ => Err(Problem::bad_request("transfer-encoding", "`chunked` is applied more than once")),
    }
}

/// A 204 has neither a body nor a length (RFC 9110, section 8.6), and a 205 has no body (section 15.3.6). A client
/// would read such a body as the start of the next response.
fn framed(mut response: Response) -> Response {
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::empty();
    }
    response
}

/// A future that turns a panic into an error.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is dropped after a panic, so its inconsistent state is never used.
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9112, section 3.2, and RFC 3986, section 3.2.2.
    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in ["", "a", "a.example", "A.example:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:8080", "x_y"] {
            assert!(is_host(&HeaderValue::from_static(host)), "{host:?}");
        }
        for host in ["a b", "a/b", "http://a", "u@a", "a:b", "a:99999", "[::1", "[x]", ":80", "a:80:80", "a?b"] {
            assert!(!is_host(&HeaderValue::from_static(host)), "{host:?}");
        }
        assert!(!is_host(&HeaderValue::from_bytes(b"a\xff").unwrap()));
    }

    #[test]
    fn one_host_is_sent() {
        let checked = |hosts: &[&'static str], version| {
            let headers = hosts.iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
            check_host(&headers, version).map_err(|problem| problem.code())
        };
        assert_eq!(checked(&["a"], Version::HTTP_11), Ok(()));
        assert_eq!(checked(&[], Version::HTTP_10), Ok(()));
        assert_eq!(checked(&[], Version::HTTP_11), Err("host-missing"));
        assert_eq!(checked(&["a b"], Version::HTTP_10), Err("host-malformed"));
    }

    #[test]
    fn a_body_is_chunked_once_and_not_coded_otherwise() {
        let status = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(value));
            }
            check_coding(&headers).map_err(|problem| problem.into_response().status().as_u16())
        };
        for (values, expected) in [
            (&[][..], Ok(())),
            (&["chunked"], Ok(())),
            (&["Chunked"], Ok(())),
            (&["chunked, chunked"], Err(400)),
            (&["chunked", "chunked"], Err(400)),
            (&["gzip, chunked"], Err(501)),
            (&["gzip", "chunked"], Err(501)),
            (&["identity, chunked"], Err(501)),
            (&["chunked;a=b"], Err(501)),
            (&["\"chunked\""], Err(501)),
        ] {
            assert_eq!(status(values), expected, "{values:?}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_caught() {
        let caught = Caught(Box::pin(async { panic!("as a test") }));
        assert_eq!(caught.await, Err::<(), ()>(()));
        assert_eq!(Caught(Box::pin(std::future::ready(1))).await, Ok(1));
    }

    /// RFC 9110, sections 8.6, 15.3.5 and 15.3.6. The HTTP library sends no body with 304.
    #[test]
    fn a_response_has_a_body_only_where_its_status_allows_one() {
        use axum::body::HttpBody as _;

        for (status, length) in [(200, Some(4)), (204, None), (205, None), (404, Some(4))] {
            let response = Response::builder().status(status).header(CONTENT_LENGTH, 4).body(Body::from("body"));
            let sent = framed(response.unwrap());
            let declared = sent.headers().get(CONTENT_LENGTH).map(|value| value.to_str().unwrap().parse().unwrap());
            assert_eq!(declared, length, "{status}");
            assert_eq!(sent.body().size_hint().exact(), Some(length.unwrap_or(0)), "{status}");
        }
    }
}
