//! Entity tags and `If-Match`: a change takes effect only if nobody else has changed the resource since the client read
//! it (RFC 9110, sections 8.8.3 and 13.1.1).

use std::fmt;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;

use super::Admin;
use crate::files::sealed::hex;
use crate::problem::Problem;

/// The tag of the properties of a resource that clients can change. Counters and other measurements do not change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityTag(String);

impl EntityTag {
    /// The tag of some content.
    pub(super) fn of(content: &[u8]) -> Self {
        Self(hex(&Sha256::digest(content)[..16]))
    }

    /// The tag that is a version.
    pub(super) fn version(version: u64) -> Self {
        Self(version.to_string())
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0)
    }
}

/// JSON with the tag of the resource in `ETag`.
#[derive(Debug)]
pub(super) struct Tagged<T>(pub(super) EntityTag, pub(super) T);

impl<T: serde::Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(tag, body) = self;
        let tag = HeaderValue::try_from(tag.to_string()).expect("a tag has only digits and letters in quotes");
        ([(ETAG, tag)], Json(body)).into_response()
    }
}

/// The header in the OpenAPI document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it only documents the header")]
pub(super) struct IfMatchHeader {
    /// Change the resource only if it still has this `ETag`.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The condition of `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Without the header, the change is unconditional.
    Absent,
    /// `*`: the resource must exist.
    Exists,
    /// The resource must have one of these tags.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Checks the condition against the tag of the resource, or `None` if the resource does not exist.
    ///
    /// # Errors
    /// A problem with 412 that names the resource.
    pub(super) fn check(&self, resource: &str, current: Option<&EntityTag>) -> Result<(), Problem> {
        match (self, current) {
            (Self::Absent, _) | (Self::Exists, Some(_)) => Ok(()),
            (Self::Tags(tags), Some(EntityTag(current))) if tags.contains(current) => Ok(()),
            (Self::Tags(_), Some(_)) => Err(changed(resource)),
            (_, None) => Err(failed(format!("{resource} does not exist; omit `If-Match` to create it"))),
        }
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().ok();
            if text.is_some_and(|text| text.trim() == "*") {
                return Ok(Self::Exists);
            }
            let parsed = text.and_then(parse_tags).ok_or_else(|| {
                let detail = "`If-Match` is malformed; send the `ETag` of the resource with its quotes, or `*`";
                Problem::bad_request("invalid-precondition", detail)
            })?;
            tags.extend(parsed);
        }
        Ok(if headers.contains_key(IF_MATCH) { Self::Tags(tags) } else { Self::Absent })
    }
}

/// The problem of a resource that another client has changed.
pub(super) fn changed(resource: &str) -> Problem {
    failed(format!("{resource} has changed; read it again, and then repeat the change"))
}

fn failed(detail: String) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
}

/// Parses a list of entity tags. A weak tag never matches (RFC 9110, section 13.1.1), so it is omitted.
fn parse_tags(text: &str) -> Option<Vec<String>> {
    let (mut tags, mut rest) = (Vec::new(), text.trim());
    loop {
        let is_weak = rest.starts_with("W/");
        let (tag, after) = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        // RFC 9110, section 8.8.3: `etagc` is a visible character other than the quote.
        if !tag.chars().all(|character| character.is_ascii_graphic()) {
            return None;
        }
        if !is_weak {
            tags.push(tag.to_owned());
        }
        let after = after.trim_start();
        if after.is_empty() {
            return Some(tags);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

impl FromRequestParts<Admin> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

/// The condition of a request that its operation does not support, if it has one. `If-None-Match` of a GET only saves a
/// transfer, so it may be ignored (RFC 9110, section 13.1.2).
pub(super) fn unsupported(method: &Method, headers: &HeaderMap, reads_if_match: bool) -> Option<&'static str> {
    let is_reading = matches!(*method, Method::GET | Method::HEAD);
    let has_match = !reads_if_match && headers.contains_key(IF_MATCH);
    let has_none_match = !is_reading && headers.contains_key(IF_NONE_MATCH);
    has_match.then_some("If-Match").or(has_none_match.then_some("If-None-Match"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_follow_rfc_9110() {
        let tag = EntityTag("a1".to_owned());
        for (header, expected) in [
            (None, Ok(())),
            (Some("*"), Ok(())),
            (Some("\"a1\""), Ok(())),
            (Some("  \"b\" ,\"a1\""), Ok(())),
            (Some("\"b\""), Err("precondition-failed")),
            (Some("W/\"a1\""), Err("precondition-failed")),
            (Some("W/\"a1\", \"a1\""), Ok(())),
            (Some("a1"), Err("invalid-precondition")),
            (Some("\"a1"), Err("invalid-precondition")),
            (Some("\"a1\" \"b\""), Err("invalid-precondition")),
            (Some("\"a1\","), Err("invalid-precondition")),
            (Some("\"a 1\""), Err("invalid-precondition")),
            (Some(""), Err("invalid-precondition")),
            (Some("w/\"a1\""), Err("invalid-precondition")),
        ] {
            let headers: HeaderMap =
                header.map(|text| (IF_MATCH, HeaderValue::from_static(text))).into_iter().collect();
            let result = IfMatch::of(&headers).and_then(|condition| condition.check("it", Some(&tag)));
            assert_eq!(result.map_err(|problem| problem.code()), expected, "{header:?}");
        }
    }

    #[test]
    fn a_missing_resource_meets_no_condition() {
        for (condition, expected) in
            [(IfMatch::Absent, true), (IfMatch::Exists, false), (IfMatch::Tags(vec!["a".to_owned()]), false)]
        {
            assert_eq!(condition.check("it", None).is_ok(), expected, "{condition:?}");
        }
    }
}
