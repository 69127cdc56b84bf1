//! Rejects requests from web pages. A page can make a browser on this machine send requests to loopback, but it can
//! neither choose the `Host` header nor hide its origin.

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::problem::Problem;

/// The relation between a page and the target of its request (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The purpose for which a browser requests the response, such as a page or an image (W3C Fetch Metadata).
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The paths of a login, to which pages of other sites lead. They change nothing without a secret of the browser.
const LOGIN: [&str; 2] = ["/v1/login", "/v1/login/callback"];

/// Passes a request on if no page of another origin sends it. The ingress counts as another origin, because plugins
/// serve its pages. Where no token is required, its `Host` must also be an IP address or `localhost`: other names may
/// resolve to this machine (DNS rebinding). A request with a token does not come from a page.
pub(super) async fn check(State(any_host): State<bool>, request: Request, next: Next) -> Response {
    if is_allowed(request.headers(), any_host, accepts_other_sites(&request)) {
        return next.run(request).await;
    }
    let detail = match any_host {
        true => "the admin interface accepts no requests from web pages of other origins",
        false => {
            "the admin interface accepts requests to its IP address or localhost only, and none from web pages of other origins"
        }
    };
    Problem::new(StatusCode::FORBIDDEN, "foreign-caller", detail).into_response()
}

/// The paths that are neither pages nor below the root of the API.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Whether pages of other sites may lead a browser here: to a login, because the provider does, and to the dashboard,
/// because people share links to it. The dashboard reveals nothing by itself.
fn accepts_other_sites(request: &Request) -> bool {
    let path = request.uri().path();
    let opens_page = request.headers().get(SEC_FETCH_DEST).is_some_and(|destination| destination == "document");
    let is_page = !path.starts_with("/v1/") && !PROBES.contains(&path);
    request.method() == Method::GET && (LOGIN.contains(&path) || opens_page && is_page)
}

fn is_allowed(headers: &HeaderMap, any_host: bool, any_site: bool) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(&HOST);
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    host.is_none_or(|host| any_host || is_local(host))
        && text(&ORIGIN).is_none_or(is_own)
        && text(&SEC_FETCH_SITE).is_none_or(|site| any_site || matches!(site, "same-origin" | "none"))
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
        is_allowed(&headers.iter().map(pair).collect(), false, false)
    }

    #[test]
    fn links_of_other_sites_may_open_the_dashboard_and_a_login_only() {
        let accepts = |method: Method, path: &str, destination: &str| {
            let request = Request::builder().method(method).uri(path).header(SEC_FETCH_DEST, destination);
            accepts_other_sites(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert!(accepts(Method::GET, "/dead-letters/7", "document") && accepts(Method::GET, "/v1/login", "document"));
        for (method, path, destination) in [
            (Method::GET, "/v1/events", "document"),
            (Method::GET, "/metrics", "document"),
            (Method::GET, "/", "iframe"),
            (Method::GET, "/", "empty"),
            (Method::POST, "/", "document"),
        ] {
            assert!(!accepts(method, path, destination), "{path} {destination}");
        }
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
    fn every_name_is_allowed_where_tokens_are_required() {
        let headers = |pairs: &[(HeaderName, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        assert!(is_allowed(&headers(&[(HOST, "sandbus.example")]), true, false));
        let own = [(HOST, "sandbus.example"), (ORIGIN, "https://sandbus.example")];
        assert!(is_allowed(&headers(&own), true, false));
        let foreign = [(HOST, "sandbus.example"), (ORIGIN, "https://example.com")];
        assert!(!is_allowed(&headers(&foreign), true, false));
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
