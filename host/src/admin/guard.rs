//! Keeps web pages out: a browser on this machine can be made to send requests to loopback, but not with
//! a Host of our own, and not from elsewhere without saying so.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::problem::Problem;

/// Lets a request pass whose `Host` is an address or `localhost`, and whose `Origin`, if it has one, too.
/// A page of another site has its own name there, also when that name leads to this machine.
pub(super) async fn local_callers_only(request: Request, next: Next) -> Response {
    if is_allowed(request.headers()) {
        return next.run(request).await;
    }
    let detail = "the admin interface answers to its address or to localhost, and to no web page of another site";
    Problem::new(StatusCode::FORBIDDEN, "foreign-caller", detail).into_response()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    let mut names = [HOST, ORIGIN].into_iter();
    names.all(|name| headers.get(name).is_none_or(|value| value.to_str().is_ok_and(is_local)))
}

fn is_local(origin_or_host: &str) -> bool {
    let host = origin_or_host.split_once("://").map_or(origin_or_host, |(_, host)| host);
    if host.parse::<std::net::SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || (name.starts_with('[') && name.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn names_of_other_sites_are_foreign() {
        for local in
            ["127.0.0.1:7070", "localhost", "localhost:7070", "[::1]:7070", "http://127.0.0.1:7070", "10.0.0.1"]
        {
            assert!(is_local(local), "{local}");
        }
        for foreign in ["example.com", "example.com:7070", "http://example.com", "localhost.example.com", "null"] {
            assert!(!is_local(foreign), "{foreign}");
        }
    }
}
