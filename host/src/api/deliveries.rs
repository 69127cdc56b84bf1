//! Pending deliveries.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{DeliveryStateView, EventView, Page, WaitReasonView, schemas};
use crate::pattern::Pattern;

/// Where a delivery stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeliveryView {
    /// The time at which this was true, in RFC 3339.
    #[schema(format = DateTime)]
    pub as_of: String,
    /// The subscription, as `OWNER/NAME`.
    pub subscription: String,
    /// Whether it is a delivery of a replay.
    pub replay: bool,
    /// Where it stands.
    pub state: DeliveryStateView,
    /// `not-reached`: an upper bound on the number of events before this one that the subscription has not reached.
    pub ahead: Option<u64>,
    /// `in-flight`: the number of the attempt. `retrying`: the number of failed attempts.
    pub attempts: Option<u32>,
    /// `retrying`: when the next attempt is due, in RFC 3339.
    #[schema(format = DateTime)]
    pub due: Option<String>,
    /// `retrying`: the cause of the last failure.
    pub cause: Option<String>,
    /// `retrying`: the reason of the last failure.
    pub reason: Option<String>,
    /// `behind-key`, `parked`: the ordering key.
    pub key: Option<String>,
    /// `behind-key`: the position of the event that holds the key.
    pub behind: Option<u64>,
    /// `parked`, `dead-letter`: the number of the dead letter.
    pub dead_letter: Option<i64>,
    /// What blocks the deliveries of its subscription, such as a pause, a missing plugin or a busy host. Empty if nothing
    /// does.
    pub blocked_by: Vec<WaitReasonView>,
    /// The event with its position in the log.
    pub logged: EventView,
}

/// The pending deliveries to list: those that meet all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// Only deliveries of this subscription and its replays, as `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only deliveries of the event at this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    /// Only deliveries with this ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only deliveries of events of this type, or pattern of types.
    #[param(value_type = Option<schemas::Pattern>)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Only deliveries in this state.
    #[param(value_type = Option<schemas::PendingState>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The `next` of the previous page, which had the same conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of pending deliveries, by subscription and then in the order of the log. It may have fewer deliveries than
/// asked for, although more pages follow.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<DeliveryView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for DeliveryPage {
    const PATH: &'static str = "deliveries";
    const ITEMS: &'static str = "deliveries";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// The waiting deliveries to retry now: those that meet all conditions, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeliverySelection {
    /// All of them. Required if there is no other condition.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Only deliveries of this subscription and its replays, as `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only deliveries of the event at this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    /// Only deliveries with this ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only deliveries of events of this type, or pattern of types.
    #[param(value_type = Option<schemas::Pattern>)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
}

/// The result of a retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RetryResult {
    /// The number of deliveries that are due now.
    pub retried: usize,
}
