//! The cookies of pages: the token of a session, and the secret of a login that has begun.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The cookie with the token of a session.
pub(super) const SESSION_COOKIE: &str = "sandbus_session";
/// The cookie with the secret of a login that has begun.
pub(super) const LOGIN_COOKIE: &str = "sandbus_login";

/// A cookie that scripts cannot read, and that requests of other sites do not carry except when a person follows a link
/// (RFC 6265bis, section 5.6.7).
pub(super) fn cookie(name: &str, value: &str, path: &str, seconds: u64, is_secure: bool) -> HeaderValue {
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).expect("a token, a path and a number are visible ASCII characters")
}

/// Removes the cookie of a session.
pub(super) fn no_session(is_secure: bool) -> HeaderValue {
    cookie(SESSION_COOKIE, "", "/", 0, is_secure)
}

/// The value of a cookie in a request. None if it occurs several times: then another page of the same host has set one.
pub(super) fn cookie_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    let value = values.next()?;
    values.all(|other| other == value).then_some(value)
}

/// Whether a request that carries a cookie shows that a page of this host has sent it. Browsers add one of these
/// headers to every request that can change something.
pub(super) fn is_from_own_page(headers: &HeaderMap) -> bool {
    let names = [HeaderName::from_static("origin"), HeaderName::from_static("sec-fetch-site")];
    // `origin_check` has checked their values before.
    names.iter().any(|name| headers.contains_key(name))
}
