//! Turns a reply event into the HTTP response of the client that waits for it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::event::Event;
use crate::outcome::Effects;
use crate::plugin::CONNECTION_HEADERS;
use crate::problem::Problem;
use crate::reply::ReplyTo;

/// The extension attribute with the status of the response.
const STATUS: &str = "httpstatus";
/// The extension attribute with headers of the response, a JSON object.
const HEADERS: &str = "httpheaders";

/// The headers that describe a body (RFC 9110, section 8; RFC 9530) and are replaced with it.
const BODY_HEADERS: [HeaderName; 8] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    ETAG,
    LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Lets the event whose reply the handler's client waits for start a new cause tree, and returns the event. The id of
/// the tree cannot be guessed, so the client can only get its own reply.
pub(crate) fn start_reply_tree<'a>(effects: &'a mut Effects, reply_to: &ReplyTo) -> Result<&'a Event, Problem> {
    let mut events = effects.publishes.iter_mut().map(|publish| &mut publish.event);
    let event = events.find(|event| event.id == reply_to.id).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_GATEWAY,
            "handler-response",
            "the handler cancelled the event whose reply its client waits for",
        )
    })?;
    event.start_cause_tree(event.id.clone());
    Ok(event)
}

/// Replaces the body of a handler's response by the reply's data, with the reply's status and headers. The handler's
/// other headers stay.
pub(crate) fn put_reply(mut response: Response, event: &Event) -> Result<Response, Problem> {
    let status = event.attribute(STATUS).map(status).transpose()?;
    let headers = event.attribute(HEADERS).map(headers).transpose()?.unwrap_or_default();
    remove_body_headers(response.headers_mut());
    if let Some(data) = &event.data {
        // A media type that is not a valid header value is omitted.
        let media_type = event.media_type().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
        if let Some(media_type) = media_type {
            response.headers_mut().insert(CONTENT_TYPE, media_type);
        }
        *response.body_mut() = Body::from(data.to_vec());
    } else {
        *response.body_mut() = Body::empty();
    }
    // The reply's headers replace the handler's headers of the same name.
    response.headers_mut().extend(headers);
    *response.status_mut() = match status {
        Some(status) => status,
        // These statuses have no body (RFC 9110, section 15.3), but the reply has one.
        None if event.data.is_some() && is_bodiless(response.status()) => StatusCode::OK,
        None => response.status(),
    };
    if is_bodiless(response.status()) {
        remove_body_headers(response.headers_mut());
        *response.body_mut() = Body::empty();
    }
    Ok(response)
}

/// The response if no reply came: the problem, with the handler's headers, because the handler's effects are committed.
pub(crate) fn without_reply(response: Response, problem: Problem) -> Response {
    let (mut parts, _) = response.into_parts();
    remove_body_headers(&mut parts.headers);
    let mut response = problem.into_response();
    parts.headers.extend(std::mem::take(response.headers_mut()));
    *response.headers_mut() = parts.headers;
    response.extensions_mut().extend(parts.extensions);
    response
}

/// Whether responses with a status have no content (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

fn remove_body_headers(headers: &mut HeaderMap) {
    for name in &BODY_HEADERS {
        headers.remove(name);
    }
}

fn malformed(detail: String) -> Problem {
    tracing::error!("a reply is malformed: {detail}");
    Problem::new(StatusCode::BAD_GATEWAY, "malformed-reply", detail)
}

fn status(text: &str) -> Result<StatusCode, Problem> {
    let status = text.parse::<u16>().ok().filter(|status| (200..=599).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    status.ok_or_else(|| malformed(format!("the reply's `{STATUS}` is `{text}`; it must be from 200 to 599")))
}

/// One or several values of a header.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

fn headers(text: &str) -> Result<HeaderMap, Problem> {
    let wrong = |error: String| malformed(format!("the reply's `{HEADERS}` is not a JSON object of headers: {error}"));
    let given: BTreeMap<String, Values> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut headers = HeaderMap::new();
    for (name, values) in given {
        let name: HeaderName = name.parse().map_err(|error| wrong(format!("`{name}`: {error}")))?;
        let values = match values {
            Values::One(value) => vec![value],
            Values::Several(values) => values,
        };
        for value in values {
            let value = HeaderValue::try_from(value).map_err(|error| wrong(format!("`{name}`: {error}")))?;
            // The host sets the connection's headers.
            if !CONNECTION_HEADERS.contains(&name) {
                headers.append(&name, value);
            }
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;

    /// A handler's response that waits for its reply.
    fn waiting(status: u16) -> Response {
        let response = Response::builder().status(status);
        let headers = [
            ("location", "/orders/1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("etag", "\"1\""),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
        ];
        let response = headers.into_iter().fold(response, |response, (name, value)| response.header(name, value));
        response.body(Body::from("waiting")).unwrap()
    }

    fn reply(data: Option<&str>, extensions: &[(&str, &str)]) -> Event {
        Event {
            data: data.map(|data| Data::json(data.as_bytes())),
            extensions: extensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Event::default()
        }
    }

    /// The values of a header, separated by `|`.
    fn all(response: &Response, name: &str) -> String {
        let values = response.headers().get_all(name).iter().map(|value| value.to_str().unwrap());
        values.collect::<Vec<_>>().join(" | ")
    }

    async fn body(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_reply_gives_status_headers_and_body() {
        for (handler, data, extensions, status, json) in [
            (201, Some("{}"), &[][..], 201, true),
            (201, Some("{}"), &[("httpstatus", "402")][..], 402, true),
            (200, Some("{}"), &[("httpstatus", "599")][..], 599, true),
            (200, None, &[][..], 200, false),
            // RFC 9110, 15.3.5, 15.3.6 and 15.4.5: no body, unless the reply has one and sets no other status.
            (204, Some("{}"), &[][..], 200, true),
            (205, None, &[][..], 205, false),
            (200, Some("{}"), &[("httpstatus", "204")][..], 204, false),
            (200, Some("{}"), &[("httpstatus", "304")][..], 304, false),
        ] {
            let response = put_reply(waiting(handler), &reply(data, extensions)).unwrap();
            assert_eq!(response.status(), status, "{handler} {data:?} {extensions:?}");
            assert_eq!(all(&response, "content-type"), if json { "application/json" } else { "" });
            assert_eq!(all(&response, "location"), "/orders/1");
            assert_eq!(all(&response, "set-cookie"), "a=1 | b=2");
            let of_body = ["content-encoding", "etag"].map(|name| all(&response, name));
            assert_eq!(of_body, ["", ""], "they belong to the handler's own body");
            assert_eq!(body(response).await, if json { "{}" } else { "" });
        }
    }

    /// The data decides the media type of a reply without a declared one.
    #[test]
    fn a_reply_says_what_its_data_is() {
        let media_type = |declared: Option<&str>, data| {
            let datacontenttype = declared.map(str::to_owned);
            let reply = Event { datacontenttype, data, ..Event::default() };
            let response = put_reply(waiting(200), &reply).unwrap();
            response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(media_type(None, Some(Data::json(*b"null"))).as_deref(), Some("application/json"));
        assert_eq!(media_type(None, Some(Data::binary(*b"{}"))).as_deref(), Some("application/octet-stream"));
        assert_eq!(media_type(Some("text/csv"), Some(Data::binary(*b"a"))).as_deref(), Some("text/csv"));
        assert_eq!(media_type(None, None), None, "an empty body has no media type");
    }

    #[test]
    fn a_reply_puts_headers_in_place_of_the_handlers() {
        let given = r#"{"Retry-After":"30","set-cookie":["c=3","d=4"],"Content-Type":"text/csv","connection":"close"}"#;
        let response = put_reply(waiting(200), &reply(Some("1,2"), &[("httpheaders", given)])).unwrap();
        assert_eq!(all(&response, "retry-after"), "30");
        assert_eq!(all(&response, "set-cookie"), "c=3 | d=4");
        assert_eq!(all(&response, "content-type"), "text/csv");
        assert_eq!(all(&response, "connection"), "", "that is the host's");
    }

    #[test]
    fn a_malformed_reply_is_named() {
        for extension in [
            ("httpstatus", "199"),
            ("httpstatus", "600"),
            ("httpstatus", "declined"),
            ("httpstatus", ""),
            ("httpheaders", "[]"),
            ("httpheaders", r#"{"a b":"c"}"#),
            ("httpheaders", r#"{"a":"b\nc"}"#),
            ("httpheaders", r#"{"a":1}"#),
        ] {
            let problem = put_reply(waiting(200), &reply(None, &[extension])).unwrap_err();
            assert_eq!(
                (problem.status(), problem.code()),
                (StatusCode::BAD_GATEWAY, "malformed-reply"),
                "{extension:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_client_without_a_reply_gets_the_handlers_headers() {
        let late = Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-reply", "none came").retry_after(3);
        let response = without_reply(waiting(202), late);
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        let names = ["location", "set-cookie", "retry-after", "content-type", "content-encoding"];
        let expected = ["/orders/1", "a=1 | b=2", "3", "application/problem+json", ""];
        assert_eq!(names.map(|name| all(&response, name)), expected);
        assert!(body(response).await.contains("no-reply"));
    }
}
