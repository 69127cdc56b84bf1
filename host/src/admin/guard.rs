//! Keeps web pages out: a browser on this machine can be made to send requests to loopback, but not with
//! a Host of its own choice, and not from another page without saying so.

use axum::extract::Request;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::problem::Problem;

/// How the page that sends a request stands to what it sends it to (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request pass whose `Host` is an address or `localhost`, unless a page of another origin sends it: the ingress
/// is another origin, too, and its pages are the plugins'. A name of another site may lead to this machine.
pub(super) async fn local_callers_only(request: Request, next: Next) -> Response {
    if is_allowed(request.headers()) {
        return next.run(request).await;
    }
    let detail = "the admin interface answers to its address or to localhost, and to no web page of another origin";
    Problem::new(StatusCode::FORBIDDEN, "foreign-caller", detail).into_response()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(&HOST);
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    host.is_none_or(is_local)
        && text(&ORIGIN).is_none_or(is_own)
        && text(&SEC_FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"))
}

fn is_local(host: &str) -> bool {
    if host.parse::<std::net::SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || (name.starts_with('[') && name.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(headers: &[(HeaderName, &'static str)]) -> bool {
        let pair = |(name, value): &(HeaderName, &'static str)| (name.clone(), value.parse().unwrap());
        is_allowed(&headers.iter().map(pair).collect())
    }

    #[test]
    fn names_of_other_sites_are_foreign() {
        for local in ["127.0.0.1:7070", "localhost", "localhost:7070", "[::1]:7070", "10.0.0.1"] {
            assert!(allows(&[(HOST, local)]), "{local}");
        }
        for foreign in ["example.com", "example.com:7070", "localhost.example.com", "null"] {
            assert!(!allows(&[(HOST, foreign)]), "{foreign}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_foreign_also_if_they_come_from_an_address() {
        let from = |origin| allows(&[(HOST, "127.0.0.1:7070"), (ORIGIN, origin)]);
        assert!(from("http://127.0.0.1:7070"));
        for foreign in [
            "http://203.0.113.5",
            "http://127.0.0.1",
            "http://127.0.0.1:8080",
            "http://localhost:7070",
            "http://example.com",
            "null",
            "",
        ] {
            assert!(!from(foreign), "{foreign}");
        }
        let fetched = |site| allows(&[(HOST, "localhost:7070"), (SEC_FETCH_SITE, site)]);
        assert!(fetched("none") && fetched("same-origin"));
        assert!(!fetched("same-site") && !fetched("cross-site"));
    }
}
