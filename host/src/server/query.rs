//! Strict query parameters: an ambiguous query is refused, and the error names the parameter.

use std::collections::HashSet;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Query parameters. Unknown names, repeated names and escapes that are not UTF-8 are refused.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> Query<T> {
    /// Reads the query of a URI.
    ///
    /// # Errors
    /// A problem with 400 that names the parameter.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        check(uri.query().unwrap_or_default())?;
        let query = axum::extract::Query::try_from_uri(uri);
        query.map(|query| Self(query.0)).map_err(|error| invalid(reason(&error.body_text())))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::bad_request("invalid-query", detail)
}

/// Turns the deserializer's message, which starts with the parameter's name, into one about the query.
fn reason(text: &str) -> String {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let Some((name, what)) = text.split_once(": ") else {
        return text.replace("missing field", "missing parameter");
    };
    match what.strip_prefix("unknown field ") {
        Some(unknown) => format!("unknown parameter {unknown}")
            .replace(", expected one of ", "; this path accepts ")
            .replace(", expected ", "; this path accepts ")
            .replace(", there are no fields", "; this path accepts none"),
        None => match fault(what) {
            Some(fault) => format!("`{name}` {fault}"),
            None => format!("`{name}`: {what}"),
        },
    }
}

/// Says what is wrong with a value, in place of a message of a parser that is for programmers.
fn fault(what: &str) -> Option<&'static str> {
    Some(match what {
        "invalid digit found in string" | "cannot parse integer from empty string" => "is not a whole number",
        "number too large to fit in target type" => "is too large",
        "provided string was not `true` or `false`" => "is neither `true` nor `false`",
        "value was empty" => "is empty",
        _ if what.starts_with("expected number at") || what.starts_with("invalid character at") => {
            "is not a duration, such as `250ms` or `1h 30m`"
        }
        _ => return None,
    })
}

/// Checks each parameter before deserializing: the deserializer would replace invalid UTF-8 by U+FFFD.
fn check(query: &str) -> Result<(), Problem> {
    let mut names = HashSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).ok_or_else(|| invalid(format!("the name `{name}` {ESCAPES}")))?;
        decode(value).ok_or_else(|| invalid(format!("the value of `{name}` {ESCAPES}")))?;
        if let Some(name) = names.replace(name) {
            return Err(invalid(format!("`{name}` is given more than once")));
        }
    }
    Ok(())
}

const ESCAPES: &str = "has escapes that are not percent-encoded UTF-8";

/// Decodes a name or a value.
fn decode(text: &str) -> Option<String> {
    percent_decode(&text.replace('+', " "))
}

/// Percent-decodes a text once. None if a percent sign does not begin an escape (RFC 3986, section 2.1), or the result
/// is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// The parameters of a path that accepts none.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Choice {
        name: Option<String>,
        limit: Option<u64>,
        all: Option<bool>,
        #[serde(default, with = "crate::duration::option")]
        wait: Option<Duration>,
    }

    fn read(query: &str) -> Result<Choice, String> {
        let uri = Uri::try_from(format!("/x{query}")).unwrap();
        Query::of(&uri).map(|query| query.0).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn a_query_is_read_once_and_decoded_once() {
        let choice = |name: Option<&str>, limit| Choice { name: name.map(str::to_owned), limit, all: None, wait: None };
        for (query, expected) in [
            ("", choice(None, None)),
            ("?", choice(None, None)),
            ("?&&", choice(None, None)),
            ("?name=", choice(Some(""), None)),
            ("?name=a%20b+c%2Bd", choice(Some("a b c+d"), None)),
            ("?name=Z%C3%BCrich&limit=5", choice(Some("Zürich"), Some(5))),
            ("?n%61me=%2525", choice(Some("%25"), None)),
            ("?name=a=b", choice(Some("a=b"), None)),
        ] {
            assert_eq!(read(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn an_ambiguous_parameter_is_refused_by_name() {
        for (query, said) in [
            ("?name=%ff", "`name`"),
            ("?name=%c0%80", "`name`"),
            ("?name=%ed%a0%80", "`name`"),
            ("?name=%", "`name`"),
            ("?name=%2", "`name`"),
            ("?name=%zz", "`name`"),
            ("?name=%+1", "`name`"),
            ("?%ff=1", "`%ff`"),
            ("?name=1&name=2", "`name`"),
            ("?name=1&n%61me=1", "`name`"),
            ("?limit=1&limit=1", "`limit`"),
            ("?limits=1", "unknown parameter `limits`; this path accepts `name`, `limit`, `all`, `wait`"),
            ("?Limit=1", "`Limit`"),
            ("?=1", "``"),
            ("?limit=many", "`limit` is not a whole number"),
            ("?limit=-1", "`limit` is not a whole number"),
            ("?limit", "`limit` is not a whole number"),
            ("?limit=99999999999999999999", "`limit` is too large"),
            ("?all=perhaps", "`all` is neither `true` nor `false`"),
            ("?wait=soon", "`wait` is not a duration, such as `250ms` or `1h 30m`"),
            ("?wait=1_s", "`wait` is not a duration, such as `250ms` or `1h 30m`"),
            ("?wait=", "`wait` is empty"),
            ("?wait=1x", "`wait`: unknown time unit"),
        ] {
            let detail = read(query).unwrap_err();
            assert!(detail.contains(said), "{query}: {detail}");
        }
    }
}
