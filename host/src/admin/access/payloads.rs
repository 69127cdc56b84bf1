//! Hides payloads from callers that may not see them: the data of events, the values of plugins' state, what handlers
//! returned, and the bodies of recorded requests.

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::problem::Problem;

/// The members that contain payloads, wherever they are in a response.
const MEMBERS: [&str; 8] = ["data", "data_base64", "value", "value_base64", "exchange", "running", "live", "new"];
/// The members above that are payloads in differences of canaries only. Elsewhere they are digests and measurements.
const OF_DIFFERENCES: [&str; 3] = ["running", "live", "new"];
/// The largest response that is searched.
const MAX_BYTES: usize = 256 << 20;

/// Removes payloads from a response. One that cannot be searched is withheld.
pub(super) async fn hide(response: Response) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.contains("json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let searched = to_bytes(body, MAX_BYTES).await.ok().and_then(|bytes| {
        let mut value: Value = serde_json::from_slice(&bytes).ok()?;
        remove(&mut value, false);
        serde_json::to_vec(&value).ok()
    });
    match searched {
        Some(bytes) => {
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(bytes))
        }
        None => {
            let detail = "the payloads in the response cannot be hidden";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail).into_response()
        }
    }
}

/// Removes the members with payloads at every depth.
fn remove(value: &mut Value, is_difference: bool) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| {
                let is_payload = MEMBERS.contains(&name.as_str());
                !is_payload || OF_DIFFERENCES.contains(&name.as_str()) && !is_difference
            });
            for (name, member) in members {
                remove(member, name == "differs");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, is_difference)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_are_removed_and_the_rest_stays() {
        let mut value = json!({
            "events": [{ "position": 7, "event": { "id": "1", "data": { "secret": 1 }, "data_base64": "AA==" } }],
            "edited": { "id": "1", "data": "secret" },
            "value": "secret",
            "value_base64": "c2VjcmV0",
            "live": "digest",
            "time_us": { "live": 1, "new": 2 },
            "differences": [{ "event": "1", "differs": [{ "path": "published[0].data", "live": "secret", "new": "secret" }] }],
            "calls": [{ "method": "GET", "exchange": { "body": "secret" } }],
        });
        remove(&mut value, false);
        assert!(!value.to_string().contains("secret"), "{value}");
        let expected = json!({
            "events": [{ "position": 7, "event": { "id": "1" } }],
            "edited": { "id": "1" },
            "live": "digest",
            "time_us": { "live": 1, "new": 2 },
            "differences": [{ "event": "1", "differs": [{ "path": "published[0].data" }] }],
            "calls": [{ "method": "GET" }],
        });
        assert_eq!(value, expected);
    }
}
