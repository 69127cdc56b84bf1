//! Hides payloads from callers that may not see them: the data of events, the values in differences of a canary, the
//! responses of routes and of other services, samples, and the log lines of handlers. Operations that return nothing else
//! are forbidden. The stream hides log lines itself.

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::problem::Problem;

/// The largest response that is searched.
const MAX_BYTES: usize = 256 << 20;

/// The members with payloads in the responses of an operation. Empty if it returns none.
fn members(operation: &str) -> &'static [&'static str] {
    match operation {
        "list_events" | "get_events" | "publish_events" | "list_dead_letters" | "get_dead_letter"
        | "list_deliveries" | "list_scheduled" => &["data", "data_base64"],
        "send_request" => &["headers", "body", "body_base64"],
        "list_samples" => &["data", "data_base64", "headers", "body"],
        "list_attempts" | "list_requests" | "get_cause_tree" => &["exchange", "log"],
        // The values of differences.
        "run_canary" => &["running", "new"],
        _ => &[],
    }
}

/// Removes payloads from the response of an operation. A response that cannot be searched is withheld.
pub(super) async fn hide(operation: &str, response: Response) -> Response {
    let members = members(operation);
    if members.is_empty() || !response.status().is_success() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let searched = to_bytes(body, MAX_BYTES).await.ok().and_then(|bytes| {
        let mut value: Value = serde_json::from_slice(&bytes).ok()?;
        match operation {
            "run_canary" => remove_below(&mut value, "differs", members),
            _ => remove(&mut value, members),
        }
        serde_json::to_vec(&value).ok()
    });
    match searched {
        Some(bytes) => {
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(bytes))
        }
        None => {
            let detail = "the payloads in the response cannot be hidden, so it is withheld";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail).into_response()
        }
    }
}

/// Removes members at every depth.
fn remove(value: &mut Value, members: &[&str]) {
    match value {
        Value::Object(object) => {
            object.retain(|name, _| !members.contains(&name.as_str()));
            object.values_mut().for_each(|value| remove(value, members));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, members)),
        _ => {}
    }
}

/// Removes members below another one.
fn remove_below(value: &mut Value, parent: &str, members: &[&str]) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if name == parent {
                    remove(value, members);
                } else {
                    remove_below(value, parent, members);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove_below(item, parent, members)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn payloads_are_removed_and_the_rest_stays() {
        for (operation, response, expected) in [
            (
                "list_dead_letters",
                json!({ "dead_letters": [{
                    "number": 7, "edited": { "id": "1", "data": "secret" },
                    "logged": { "event": { "id": "1", "value": "an extension", "data": { "secret": 1 } } },
                }, { "logged": { "event": { "data_base64": "c2VjcmV0" } } }] }),
                json!({ "dead_letters": [{
                    "number": 7, "edited": { "id": "1" }, "logged": { "event": { "id": "1", "value": "an extension" } },
                }, { "logged": { "event": {} } }] }),
            ),
            (
                "run_canary",
                json!({
                    "running": "digest", "time_us": { "running": 1, "new": 2 },
                    "differences": [{ "event": "1", "differs": [{ "path": "a", "running": "secret", "new": ["secret"] }] }],
                }),
                json!({
                    "running": "digest", "time_us": { "running": 1, "new": 2 },
                    "differences": [{ "event": "1", "differs": [{ "path": "a" }] }],
                }),
            ),
            (
                "list_attempts",
                json!({ "attempts": [{
                    "calls": [{ "method": "GET", "exchange": { "body": "secret" } }],
                    "log": [{ "level": "info", "message": "secret" }], "log_lines_omitted": 1,
                }] }),
                json!({ "attempts": [{ "calls": [{ "method": "GET" }], "log_lines_omitted": 1 }] }),
            ),
            (
                "get_configuration",
                json!({ "settings": [{ "key": "listen", "value": "x" }] }),
                json!({ "settings": [{ "key": "listen", "value": "x" }] }),
            ),
        ] {
            let hidden = hide(operation, Response::new(Body::from(response.to_string()))).await;
            let body = to_bytes(hidden.into_body(), usize::MAX).await.unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected, "{operation}");
        }
        let withheld = hide("list_events", Response::new(Body::from("secret"))).await;
        assert_eq!(withheld.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
