//! Dead letters.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{EventDocument, EventView, GroupStatus, Page, schemas};

/// A delivery that is no longer retried.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterView {
    /// Its number.
    #[serde(default)]
    pub number: i64,
    /// Its subscription, as `OWNER/NAME`.
    #[serde(default)]
    pub subscription: String,
    /// The cause of the last failure.
    #[serde(default)]
    pub cause: String,
    /// The reason of the last failure.
    #[serde(default)]
    pub reason: String,
    /// The number of attempts.
    #[serde(default)]
    pub attempts: u32,
    /// Whether the delivery belongs to a replay.
    #[serde(default)]
    pub replay: bool,
    /// The ordering key that is parked behind it; null if there is none.
    #[serde(default)]
    pub parks: Option<String>,
    /// When it became a dead letter, in RFC 3339.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub dead_lettered_at: String,
    /// The failed attempts, oldest first.
    #[serde(default)]
    pub history: Vec<AttemptView>,
    /// The event with its position in the log.
    pub logged: EventView,
    /// The event as it was delivered, if an operator has edited its data; else null.
    #[serde(default)]
    pub edited: Option<EventDocument>,
}

/// A failed attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AttemptView {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it ended, in RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// The cause of the failure.
    pub cause: String,
    /// The reason of the failure.
    pub reason: String,
    /// The digest of the component that ran; null if there was none.
    pub digest: Option<String>,
}

/// The dead letters to list: those that meet all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterQuery {
    /// Only the dead letter with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Only dead letters of this subscription, as `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only dead letters with this cause.
    #[param(value_type = Option<schemas::Cause>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only dead letters that failed like the one with this number: the group that it belongs to. Cannot be combined with
    /// `subscription` and `cause`, which the group has in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<i64>,
    /// The `next` of the previous page, which had the same conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The dead letters to redrive or drop: one, those that meet all conditions, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterSelection {
    /// All of them. Required if there is no other condition.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Only the dead letter with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Only dead letters of this subscription, as `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only dead letters with this cause.
    #[param(value_type = Option<schemas::Cause>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only dead letters that failed like the one with this number: the group that it belongs to. Cannot be combined with
    /// `subscription` and `cause`, which the group has in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<i64>,
    /// At most this many.
    #[param(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of dead letters, sorted by number.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeadLetterPage {
    /// The dead letters.
    pub dead_letters: Vec<DeadLetterView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for DeadLetterPage {
    const PATH: &'static str = "dead-letters";
    const ITEMS: &'static str = "dead_letters";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// The dead letters to group: those that meet all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterGroupQuery {
    /// Only dead letters of this subscription, as `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only dead letters with this cause.
    #[param(value_type = Option<schemas::Cause>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only groups with this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<GroupStatus>,
    /// The `next` of the previous page. Groups change places while dead letters are added or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the groups of dead letters, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeadLetterGroupPage {
    /// The groups.
    pub groups: Vec<DeadLetterGroupView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for DeadLetterGroupPage {
    const PATH: &'static str = "dead-letters/groups";
    const ITEMS: &'static str = "groups";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// Dead letters of one subscription whose last attempts failed alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeadLetterGroupView {
    /// The subscription, as `OWNER/NAME`.
    pub subscription: String,
    /// The cause of the last failure.
    pub cause: String,
    /// The first line of the reason of the last failure, with `#` in place of numbers and ids.
    pub signature: String,
    /// The digest of the component that made the last attempt; null if there was none.
    pub digest: Option<String>,
    /// The number of dead letters.
    pub count: u64,
    /// When the first of them became a dead letter, in RFC 3339.
    #[schema(format = DateTime)]
    pub first_at: String,
    /// When the last of them became a dead letter, in RFC 3339.
    #[schema(format = DateTime)]
    pub last_at: String,
    /// The number of the newest of them.
    pub sample: i64,
    /// What operators have decided about the group.
    pub status: GroupStatus,
    /// Since when the group has this status, in RFC 3339; null if nobody has set one.
    #[schema(format = DateTime)]
    pub status_since: Option<String>,
    /// Who has set this status; null if nobody has, or if a dead letter has opened the group again.
    pub status_by: Option<String>,
}

/// Which group of dead letters to change.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct GroupStatusQuery {
    /// Only if the dead letter is one of this subscription, `OWNER/NAME`. A token of one plugin needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
}

/// The status of a group of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupStatusRequest {
    /// The status.
    pub status: GroupStatus,
}

/// Data to redrive a dead letter with: one of the two members.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EditedRedriveRequest {
    /// JSON data, which is delivered as written.
    #[schema(value_type = schemas::Json)]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_present")]
    pub data: Option<Box<RawValue>>,
    /// Data of any kind, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// Distinguishes data that is `null` from no data.
fn deserialize_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// The result of a redrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RedriveResult {
    /// The number of dead letters that are delivered again.
    pub redriven: usize,
}

/// The result of a drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DropResult {
    /// The number of deleted dead letters.
    pub dropped: usize,
}
