//! Serves the dashboard: a page and its scripts, which are embedded in the binary and call the API.

use std::io::Read as _;

use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use flate2::read::GzDecoder;
use rust_embed::RustEmbed;

use crate::files::sealed::hex;

/// The files that `cargo xtask dashboard` builds, each compressed with gzip.
#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
#[include = "site/*"]
struct Files;

/// The page. Its script shows the view that the path names.
const PAGE: &str = "index.html";
/// The folder of files whose names contain their hashes.
const HASHED: &str = "assets/";

/// What a page may do: run the embedded scripts and styles, and call this host. Nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page of a binary that was built without the dashboard.
const NOT_BUILT: &str = "This binary was built without the dashboard. To build one with it, run `cargo xtask dashboard`, \
                         which needs Node.js and npm, and then build the host again.\n";

/// The response to a request for the page or one of its files. None if the request is for the API.
///
/// A browser asks for `text/html` when it opens a page. Its path may be that of any view.
pub(super) fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let name = path.trim_start_matches('/');
    let opens_page =
        headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    if let Some(response) = (!name.is_empty()).then(|| file(name, headers)).flatten() {
        return Some(response);
    }
    // Paths below `/v1` are the API, and those below `/assets` are files. Every other path may be that of a view.
    let is_view = name.is_empty() || opens_page && !name.starts_with("v1/") && !name.starts_with(HASHED);
    is_view.then(|| file(PAGE, headers).unwrap_or_else(not_built))
}

/// The members of a header that is a list.
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).map(str::trim)
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3). A weight of 0 refuses it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    members(headers, &ACCEPT_ENCODING).any(|member| {
        let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        coding.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// Whether the client has the file with this tag (RFC 9110, section 13.1.2).
fn is_cached(headers: &HeaderMap, tag: &str) -> bool {
    members(headers, &IF_NONE_MATCH).any(|held| held == "*" || held.trim_start_matches("W/") == tag)
}

/// A file of the dashboard.
fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let embedded = Files::get(&format!("site/{name}.gz"))?;
    let tag = format!("\"{}\"", hex(&embedded.metadata.sha256_hash()[..16]));
    let mut response = if is_cached(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if accepts_gzip(headers) {
        ([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))], embedded.data).into_response()
    } else {
        decompress(&embedded.data).into_response()
    };
    // The tag is weak, because it is the same with and without compression.
    let tag = HeaderValue::from_str(&format!("W/{tag}")).expect("hexadecimal digits are visible characters");
    let caching = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    protect(response.headers_mut());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    response.headers_mut().insert(ETAG, tag);
    Some(response)
}

fn decompress(compressed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(compressed).read_to_end(&mut plain).expect("the build has compressed the file");
    plain
}

fn not_built() -> Response {
    let mut response = (StatusCode::NOT_FOUND, NOT_BUILT).into_response();
    protect(response.headers_mut());
    response
}

/// Adds headers that keep other sites and hostile content from using the page.
fn protect(headers: &mut HeaderMap) {
    let protections = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    headers.extend(protections.map(|(name, value)| (name, HeaderValue::from_static(value))));
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, path: &str, accept: &'static str) -> Option<u16> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        serve(method, path, &headers).map(|response| response.status().as_u16())
    }

    #[test]
    fn browsers_get_the_page_for_every_path_of_a_view() {
        let page = status(&Method::GET, "/", "*/*");
        // 404 says how to build the dashboard.
        assert!(matches!(page, Some(200 | 404)));
        for path in ["/plugins/registration", "/events/a.b", "/dead-letters/7"] {
            assert_eq!(status(&Method::GET, path, "text/html,*/*"), page, "{path}");
            assert_eq!(status(&Method::GET, path, "application/json"), None, "{path}");
        }
        for path in ["/v1/nothing", "/assets/nothing.js"] {
            assert_eq!(status(&Method::GET, path, "text/html"), None, "{path}");
        }
        assert_eq!(status(&Method::POST, "/", "text/html"), None);
    }

    #[test]
    fn encodings_and_tags_are_those_of_the_request() {
        let headers = |name: HeaderName, values: &[&'static str]| {
            values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for (values, accepted) in [
            (&["gzip"][..], true),
            (&["br, GZIP;q=0.5"], true),
            (&["br", "gzip"], true),
            (&["gzip;q=0"], false),
            (&["identity;q=1, gzip; q=0.0, *;q=0"], false),
            (&["xgzip"], false),
            (&[], false),
        ] {
            assert_eq!(accepts_gzip(&headers(ACCEPT_ENCODING, values)), accepted, "{values:?}");
        }
        for (values, known) in [
            (&["\"a\""][..], true),
            (&["W/\"a\""], true),
            (&["\"x\", \"a\""], true),
            (&["*"], true),
            (&["\"x\""], false),
        ] {
            assert_eq!(is_cached(&headers(IF_NONE_MATCH, values), "\"a\""), known, "{values:?}");
        }
    }

    #[test]
    fn nobody_may_frame_the_page_or_run_scripts_in_it() {
        let response = serve(&Method::GET, "/", &HeaderMap::new()).unwrap();
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe") && !policy.contains('*'));
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
