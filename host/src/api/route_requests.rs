//! Requests to routes of plugins through the admin interface.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{BodyEndView, HeaderView, schemas};

/// The request line of a request to a route. The audit log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RouteRequestQuery {
    /// The method.
    #[param(example = "POST")]
    pub method: String,
    /// The path, with its query.
    #[param(example = "/orders?dry-run=true")]
    pub path: String,
    /// How long to wait for the response, up to 60 seconds; 30 seconds by default.
    #[param(value_type = Option<schemas::Duration>)]
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// The headers and the body of a request to a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteRequest {
    /// The headers, in order. The host sets those of the connection and the length. As for any client that is not a trusted
    /// proxy, it removes those in which proxies describe a client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RouteRequestHeader>,
    /// The body, as text. Excludes `body_base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body in Base64. Excludes `body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// A header of a request to a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRequestHeader {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// The response of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteResponseView {
    /// The id of the request, for its cause tree; null if the request reached no route.
    pub request: Option<String>,
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<HeaderView>,
    /// The body, up to 256 KiB; null if it is not text.
    pub body: Option<String>,
    /// The body in Base64; null if it is text.
    pub body_base64: Option<String>,
    /// How far the body was read.
    pub body_end: BodyEndView,
    /// The time until the end of the body, in microseconds.
    pub took_us: u64,
}
