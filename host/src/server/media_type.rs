//! The media type of a body, from `Content-Type` (RFC 9110, section 8.3).

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use crate::problem::Problem;

/// A media type and its `charset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// The type and the subtype, in lower case.
    essence: String,
    /// The `charset`, in lower case.
    charset: Option<String>,
}

impl MediaType {
    /// The media type of a request body, if the request has one.
    ///
    /// # Errors
    /// A problem with 400 if it is malformed or given more than once.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            // RFC 9110, section 5.3: only list-valued fields may be repeated.
            let detail = "the request has several Content-Type headers; send one";
            return Err(Problem::bad_request("repeated-header", detail));
        }
        let media_type = value.to_str().ok().and_then(Self::parse);
        media_type.map(Some).ok_or_else(|| {
            let detail = "the Content-Type is malformed; write TYPE/SUBTYPE; NAME=VALUE";
            Problem::bad_request("invalid-content-type", detail)
        })
    }

    /// Parses a media type (RFC 9110, section 8.3.1). A repeated parameter is an error (RFC 6838, section 4.3).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.find(';').map_or((text, ""), |at| text.split_at(at));
        let essence = essence.trim_matches(is_blank);
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        while let Some(after) = rest.trim_start_matches(is_blank).strip_prefix(';') {
            let after = after.trim_start_matches(is_blank);
            if after.is_empty() || after.starts_with(';') {
                rest = after;
                continue;
            }
            let (name, value) = after.split_once('=')?;
            let (value, after) = value_of(value)?;
            let name = name.to_ascii_lowercase();
            if !is_token(&name) || parameters.iter().any(|(other, _)| *other == name) {
                return None;
            }
            parameters.push((name, value));
            rest = after;
        }
        let charset = parameters.into_iter().find(|(name, _)| name == "charset");
        let charset = charset.map(|(_, value)| value.to_ascii_lowercase());
        rest.trim_matches(is_blank).is_empty().then(|| Self { essence: essence.to_ascii_lowercase(), charset })
    }

    /// The type and the subtype, in lower case.
    pub(crate) fn essence(&self) -> &str {
        &self.essence
    }

    /// Whether text of this type is UTF-8. ASCII is a subset of UTF-8.
    pub(crate) fn is_utf8(&self) -> bool {
        self.charset.as_deref().is_none_or(|charset| matches!(charset, "utf-8" | "utf8" | "us-ascii" | "ascii"))
    }

    /// Requires a UTF-8 body, as JSON does (RFC 8259, section 8.1).
    ///
    /// # Errors
    /// A problem with 415.
    pub(crate) fn require_utf8(&self) -> Result<(), Problem> {
        let Some(charset) = self.charset.as_deref().filter(|_| !self.is_utf8()) else { return Ok(()) };
        let detail =
            format!("JSON must be UTF-8, but the Content-Type has the charset `{charset}`; encode the body in UTF-8");
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-charset", detail))
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// The value at the start of a text, a token or a quoted string (RFC 9110, section 5.6.4), and the rest of the text.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|character| character == ';' || is_blank(character)).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return is_token(token).then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110, sections 5.6.6 and 8.3.1.
    #[test]
    fn media_types_are_read_with_their_charset() {
        for (text, essence, charset) in [
            ("application/json", "application/json", None),
            ("Application/JSON", "application/json", None),
            ("text/html;charset=utf-8", "text/html", Some("utf-8")),
            ("text/html; CharSet=\"UTF-8\"", "text/html", Some("utf-8")),
            ("text/html ; charset=\"u\\tf-8\"", "text/html", Some("utf-8")),
            ("text/html;;\t; charset=x ;", "text/html", Some("x")),
            ("a/b; x=\"; charset=y\"; charset=z", "a/b", Some("z")),
            ("application/vnd.a.b+json;v=1", "application/vnd.a.b+json", None),
        ] {
            let expected = MediaType { essence: essence.to_owned(), charset: charset.map(str::to_owned) };
            assert_eq!(MediaType::parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            ";",
            "json",
            "/",
            "a/",
            "/b",
            "a b/c",
            "a/b/c",
            "a/b c",
            "a/b, c/d",
            "a/b; charset",
            "a/b; charset=",
            "a/b; charset= utf-8",
            "a/b; charset =utf-8",
            "a/b; charset=\"utf-8",
            "a/b; charset=utf-8 x",
            "a/b; charset=utf-8; CHARSET=utf-8",
            "a/b; =x",
        ] {
            assert_eq!(MediaType::parse(text), None, "{text:?}");
        }
    }

    /// RFC 8259, section 8.1.
    #[test]
    fn json_is_in_utf_8() {
        let demand = |charset: &str| {
            let media_type = MediaType::parse(&format!("application/json; charset={charset}")).unwrap();
            media_type.require_utf8().map_err(|problem| (problem.status().as_u16(), problem.code()))
        };
        for charset in ["utf-8", "UTF-8", "\"utf-8\"", "us-ascii", "US-ASCII"] {
            assert_eq!(demand(charset), Ok(()), "{charset}");
        }
        for charset in ["iso-8859-1", "utf-16", "utf-16le", "utf-32", "utf-7", "windows-1252", "utf-8x", "\"\""] {
            assert_eq!(demand(charset), Err((415, "unsupported-charset")), "{charset}");
        }
    }
}
