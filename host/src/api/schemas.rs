//! Schemas in the OpenAPI document for values that are strings or unions in JSON, and types of the model in Rust.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::failure::Cause as ModelCause;

/// The states of pending deliveries.
pub const PENDING_STATES: [&str; 6] = ["not-reached", "ready", "in-flight", "retrying", "behind-key", "parked"];

/// Defines a type that stands for a schema in the document.
macro_rules! schema {
    ($(#[$about:meta])* $name:ident: $schema:expr) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                parse($schema)
            }
        }

        impl ToSchema for $name {}
    };
}

/// Parses a part of the OpenAPI document that is written in this program.
pub(crate) fn parse<T: DeserializeOwned>(part: Value) -> T {
    serde_json::from_value(part).expect("the program's own documentation is well formed")
}

schema! {
    /// A component.
    Component: json!({ "type": "string", "format": "binary", "description": "A WebAssembly component." })
}

/// The units of durations.
const UNITS: &str = "nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|\
    hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y";

schema! {
    /// A duration.
    Duration: json!({
        "type": "string",
        "description": "A duration: numbers with units, such as `500ms`, `5s` or `1h 30m`.",
        "pattern": format!("^(0|( *[0-9][0-9. ]*({UNITS}) *)+)$"),
        "examples": ["500ms", "5s", "1h 30m"],
    })
}

schema! {
    /// A pattern of event types.
    Pattern: json!({
        "type": "string",
        "description": "A pattern of event types: words with dots between them. `*` matches any word, and a final `>` \
            matches one or more.",
        "pattern": r"^(>|([^\s.*>]+|\*)(\.([^\s.*>]+|\*))*(\.>)?)$",
        "maxLength": 255,
        "examples": ["order.placed", "order.*", "order.>"],
    })
}

schema! {
    /// A filter of the CloudEvents Subscriptions API.
    Filter: json!({
        "description": "A filter (CloudEvents Subscriptions API): `exact`, `prefix` and `suffix` compare attributes; \
            `all`, `any` and `not` combine filters.",
        "oneOf": [
            comparison("exact"),
            comparison("prefix"),
            comparison("suffix"),
            combination("all"),
            combination("any"),
            member("not", &json!({ "$ref": "#/components/schemas/Filter" })),
        ],
    })
}

/// An object with one member.
fn member(name: &str, schema: &Value) -> Value {
    json!({ "type": "object", "required": [name], "properties": { name: schema }, "additionalProperties": false })
}

fn comparison(name: &str) -> Value {
    let attributes = json!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "type": "string", "pattern": "^[a-z0-9]{1,20}$" },
        "additionalProperties": { "type": "string", "minLength": 1 },
    });
    member(name, &attributes)
}

fn combination(name: &str) -> Value {
    let filters = json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/components/schemas/Filter" } });
    member(name, &filters)
}

schema! {
    /// The start of a new subscription.
    Start: json!({
        "description": "Where a subscription starts.",
        "oneOf": [{ "type": "string", "enum": ["now", "beginning"] }, start_time(), start_position()],
    })
}

schema! {
    /// The start of a replay.
    ReplayStart: json!({
        "description": "Where a replay starts.",
        "oneOf": [{ "type": "string", "enum": ["beginning"] }, start_time(), start_position()],
    })
}

fn start_time() -> Value {
    member("time", &json!({ "type": "string", "format": "date-time" }))
}

fn start_position() -> Value {
    member("position", &json!({ "type": "integer", "format": "int64", "minimum": 0 }))
}

schema! {
    /// The end of a replay.
    ReplayUntil: json!({ "description": "Where a replay ends.", "oneOf": [start_time(), start_position()] })
}

schema! {
    /// Any JSON.
    Json: json!({ "type": ["null", "boolean", "number", "string", "array", "object"] })
}

schema! {
    /// The state of a pending delivery.
    PendingState: json!({
        "type": "string",
        "description": "The state of a pending delivery.",
        "enum": PENDING_STATES,
    })
}

schema! {
    /// The secret of a webhook.
    Secret: json!({
        "type": "string",
        "description": "The secret of a webhook (Standard Webhooks): `whsec_` and 24 to 64 bytes in base64. Several, \
            separated by spaces, each sign.",
        "pattern": "^whsec_[A-Za-z0-9+/]{32,86}={0,2}( whsec_[A-Za-z0-9+/]{32,86}={0,2})*$",
    })
}

schema! {
    /// A former secret of a webhook.
    FormerSecret: json!({
        "type": "object",
        "description": "A former secret, which also signs until a time.",
        "required": ["secret", "until"],
        "properties": {
            "secret": { "$ref": "#/components/schemas/Secret" },
            "until": { "type": "string", "format": "date-time" },
        },
        "additionalProperties": false,
    })
}

schema! {
    /// A cause of failure.
    Cause: json!({
        "type": "string",
        "description": "Why an attempt failed.",
        "enum": ModelCause::ALL.map(ModelCause::as_str),
    })
}

schema! {
    /// A cause of failure that a retry policy may exclude.
    RetriableCause: json!({
        "type": "string",
        "description": "A cause of failure that is retried unless a retry policy excludes it.",
        "enum": retriable_causes(),
    })
}

fn retriable_causes() -> Vec<&'static str> {
    let causes = ModelCause::ALL.into_iter().map(ModelCause::as_str);
    causes.filter(|cause| ModelCause::parse_retriable(cause).is_some()).collect()
}

/// The schema of an event. Its data may be any JSON.
pub(super) fn event() -> RefOr<Schema> {
    let text = json!({ "type": "string", "minLength": 1 });
    parse(json!({
        "type": "object",
        "description": "An event in the CloudEvents JSON format 1.0.2. Other members are extension attributes.",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": { "type": "string", "enum": ["1.0"] },
            "id": text,
            "source": { "type": "string", "format": "uri-reference", "minLength": 1 },
            "type": { "type": "string", "minLength": 1, "maxLength": 255 },
            "subject": text,
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": text,
            "dataschema": { "type": "string", "format": "uri", "minLength": 1 },
            "data": { "type": ["null", "boolean", "number", "string", "array", "object"] },
            "data_base64": { "type": "string", "contentEncoding": "base64" },
        },
    }))
}
