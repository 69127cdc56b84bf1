//! Extractors for bodies and paths. A malformed request is rejected with a problem.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Admin;
use crate::plugin::FILE_LIMIT_BYTES;
use crate::problem::Problem;
use crate::retry::RENAMED_RULES;
use crate::server::MediaType;
pub(super) use crate::server::Query;

/// A body in JSON. A declared media type must be JSON in UTF-8.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Admin> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        require_media_type(&parts.headers, &["application/json"])?;
        MediaType::of(&parts.headers)?.map_or(Ok(()), |media_type| media_type.require_utf8())?;
        let bytes = admin.body_reader.read(&parts.headers, body).await?;
        parse(&bytes).map(Self)
    }
}

/// Parses JSON. The problem names the member that is wrong.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde also deserializes a struct from an array, but every body must be an object.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(invalid("the body is an array; send an object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let detail = match parsed {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(error) => format!("the body is not JSON: {error}"),
        },
        Err(error) if error.inner().is_data() => {
            let path = error.path().to_string();
            describe(&path, &error.into_inner().to_string())
        }
        // If a number or an empty object stands where a variant is expected, serde_json reports a syntax error.
        Err(error) if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => {
            let path = error.path().to_string();
            describe(&path, "the value does not have the form that this member requires")
        }
        Err(_) if bytes.is_empty() => "the body is empty; send JSON".to_owned(),
        Err(error) => format!("the body is not JSON: {}", error.into_inner()),
    };
    Err(invalid(detail))
}

/// A body that is JSON and cannot be used.
pub(super) fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail)
}

/// The bytes of a member that a body has either as text, named `name`, or in Base64, named `name_base64`.
pub(super) fn either(name: &str, plain: Option<Vec<u8>>, base64: Option<String>) -> Result<Vec<u8>, Problem> {
    match (plain, base64) {
        (Some(plain), None) => Ok(plain),
        (None, Some(base64)) => {
            BASE64_STANDARD.decode(base64).map_err(|error| invalid(format!("`{name}_base64` is not base64: {error}")))
        }
        _ => Err(invalid(format!("give either `{name}` or `{name}_base64`"))),
    }
}

/// The message of a deserializer with the path of the member, without the position in the text.
fn describe(path: &str, message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let message = message
        .replace("unknown field", "unknown member")
        .replace("missing field", "missing member")
        .replace("a nonzero u32", "a whole number from 1")
        .replace("a nonzero u64", "a whole number from 1")
        .replace("u32", "a whole number")
        .replace("u64", "a whole number")
        .replace("f64", "a number");
    let unknown = message.strip_prefix("unknown member `").and_then(|rest| rest.split_once('`'));
    let renamed = unknown.and_then(|(name, _)| RENAMED_RULES.iter().find(|(former, _)| *former == name));
    let message = match renamed {
        Some((former, present)) => format!("`{former}` is now called {present}"),
        None => message,
    };
    if path == "." { message } else { format!("`{path}`: {message}") }
}

/// Requires that a body has one of these media types, or does not declare any. `+json` is a kind of JSON (RFC 6839,
/// section 3.1). The media type of a form counts as undeclared, because some clients declare it by default.
///
/// # Errors
/// A problem with 415.
pub(super) fn require_media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let Some(media_type) = MediaType::of(headers)? else { return Ok(()) };
    let essence = media_type.essence();
    let is_json = accepted.contains(&"application/json") && essence.ends_with("+json");
    if is_json || accepted.contains(&essence) || essence == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    let detail = format!("the body is `{essence}`; send {}", accepted.join(" or "));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

/// Reads a component from the body.
///
/// # Errors
/// A problem if the body has another media type, or is too large or malformed.
pub(super) async fn component(admin: &Admin, request: Request) -> Result<Vec<u8>, Problem> {
    require_media_type(request.headers(), &["application/wasm", "application/octet-stream"])?;
    let max_body_bytes = usize::try_from(FILE_LIMIT_BYTES).unwrap_or(usize::MAX);
    let (parts, body) = request.into_parts();
    Ok(admin.body_reader.up_to(max_body_bytes).read(&parts.headers, body).await?.into())
}

/// Reads a component from the body, if there is one.
///
/// # Errors
/// As [`component`].
pub(super) async fn optional_component(admin: &Admin, request: Request) -> Result<Option<Vec<u8>>, Problem> {
    let bytes = component(admin, request).await?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// The parameters of the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Admin> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, admin).await;
        path.map(|path| Self(path.0)).map_err(|error| Problem::bad_request("invalid-path", error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::Start;

    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[expect(dead_code, reason = "only its form matters")]
        start: Start,
    }

    #[test]
    fn values_of_the_wrong_form_are_not_reported_as_syntax_errors() {
        for body in
            [r#"{"start":1}"#, r#"{"start":{}}"#, r#"{"start":null}"#, r#"{"start":[]}"#, r#"{"start":{"when":1}}"#]
        {
            let problem = format!("{:?}", parse::<Wanted>(body.as_bytes()).unwrap_err());
            assert!(problem.contains("start") && !problem.contains("not JSON"), "{body}: {problem}");
        }
        for body in ["{", r#"{"start":"now"}}"#, "nonsense"] {
            let problem = format!("{:?}", parse::<Wanted>(body.as_bytes()).unwrap_err());
            assert!(problem.contains("not JSON"), "{body}: {problem}");
        }
    }
}
