//! Subscriptions: their status and rules, and requests that create and change them.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::{DeadLetterPolicyView, EventSelection, Page, SubscriptionStatus, deserialize_nullable, schemas};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::filter::Filter;
use crate::pattern::Pattern;
use crate::percent::Percent;
use crate::subscription::{DeadLetterPolicy, FormerSecret, RetryPolicy, Secret, Start};

/// A page of the subscriptions and their replays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SubscriptionList {
    /// The subscriptions.
    pub subscriptions: Vec<SubscriptionView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

/// The subscriptions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SubscriptionQuery {
    /// Only the subscriptions of this plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000, which is the default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Page for SubscriptionList {
    const PATH: &'static str = "subscriptions";
    const ITEMS: &'static str = "subscriptions";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// A subscription or a replay of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SubscriptionView {
    /// Its id, as `OWNER/NAME`; a replay has the id of its subscription.
    pub id: String,
    /// Whether it was created at run time.
    pub dynamic: bool,
    /// Whether it delivers.
    pub status: SubscriptionStatus,
    /// Whether it delivers nothing until it is resumed. A subscription whose plugin does not run has the status `paused`,
    /// too, and continues when the plugin runs.
    pub resumable: bool,
    /// Why deliveries are paused; null if they are not.
    pub waits_for: Option<String>,
    /// The end of the hold of its endpoint, in RFC 3339; null if there is no hold.
    #[schema(format = DateTime)]
    pub held_back_until: Option<String>,
    /// The position up to which every event is handled, is a dead letter, or waits for a retry.
    pub cursor: u64,
    /// The number of deliveries that are neither handled nor dead letters.
    pub backlog: u64,
    /// The number of running deliveries, including those that wait for a thread.
    pub in_flight: usize,
    /// The number of deliveries whose outcome is being committed.
    pub committing: usize,
    /// The number of ordering keys that are parked behind a dead letter.
    pub parked_keys: usize,
    /// The number of events that were deleted unhandled by the retention rules since the host started.
    pub expired: u64,
    /// The age of the oldest delivery that is neither handled nor a dead letter; null if there is none.
    pub lag_seconds: Option<f64>,
    /// The time of the next retry, in RFC 3339; null if there is none.
    #[schema(format = DateTime)]
    pub next_attempt: Option<String>,
    /// The number of its dead letters.
    pub dead_letters: u64,
    /// The replay; null for a subscription.
    pub replay: Option<ReplayView>,
    /// Its rules.
    #[serde(flatten)]
    pub rules: SubscriptionRules,
}

/// The rules of a subscription. Secrets are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SubscriptionRules {
    /// The pattern of its event types.
    pub pattern: String,
    /// The filters, all of which must match (CloudEvents Subscriptions API).
    #[schema(value_type = Vec<schemas::Filter>)]
    pub filters: Vec<Value>,
    /// The receiver of its deliveries.
    pub target: TargetView,
    /// The number of concurrent deliveries.
    pub concurrency: u32,
    /// The ordering key; null if there is none.
    pub ordering_key: Option<String>,
    /// The effect of a dead letter on later deliveries with its ordering key.
    pub dead_letter_policy: DeadLetterPolicyView,
    /// The retry policy.
    pub retry: RetryView,
    /// The backlog above which publishers are rejected; null for the host's default.
    pub max_backlog: Option<u64>,
    /// The timeout of an invocation, such as `5s`.
    pub timeout: String,
}

/// The receiver of a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetView {
    /// A plugin.
    Plugin {
        /// Its name.
        plugin: String,
    },
    /// An HTTP endpoint.
    Webhook {
        /// Its URL, without credentials, query and fragment.
        webhook: String,
        /// Whether its requests are signed.
        #[serde(default)]
        signed: bool,
        /// Whether it must give permission before the first delivery.
        #[serde(default)]
        handshake: bool,
        /// When each former secret stops signing, in RFC 3339; omitted if there is none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        former_secrets_until: Vec<String>,
    },
    /// A receiver that this version does not know.
    Other(Value),
}

impl PartialSchema for TargetView {
    fn schema() -> RefOr<Schema> {
        schemas::parse(json!({
            "description": "The receiver of deliveries: a plugin or a webhook.",
            "oneOf": [
                {
                    "type": "object",
                    "required": ["plugin"],
                    "properties": { "plugin": { "type": "string", "description": "The name of the plugin." } },
                },
                {
                    "type": "object",
                    "required": ["webhook", "signed", "handshake"],
                    "properties": {
                        "webhook": {
                            "type": "string",
                            "description": "The URL, without credentials, query and fragment.",
                        },
                        "signed": { "type": "boolean", "description": "Whether requests are signed." },
                        "handshake": {
                            "type": "boolean",
                            "description": "Whether the endpoint must give permission before the first delivery.",
                        },
                        "former_secrets_until": {
                            "type": "array",
                            "description": "When each former secret stops signing; omitted if there is none.",
                            "items": { "type": "string", "format": "date-time" },
                        },
                    },
                },
            ],
        }))
    }
}

impl ToSchema for TargetView {}

impl Default for TargetView {
    fn default() -> Self {
        Self::Other(Value::Null)
    }
}

/// A retry policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RetryView {
    /// The number of attempts before the delivery becomes a dead letter.
    pub max_attempts: u32,
    /// The delay before the second attempt, such as `500ms`.
    pub initial_delay: String,
    /// The factor between one delay and the next.
    pub backoff_multiplier: f64,
    /// The longest delay, such as `5m`.
    pub max_delay: String,
    /// The random share of each delay, from 0 to 1.
    pub jitter: f64,
    /// Causes of failure that are not retried.
    pub non_retryable: Vec<String>,
}

impl From<&RetryPolicy> for RetryView {
    fn from(policy: &RetryPolicy) -> Self {
        Self {
            max_attempts: policy.max_attempts.get(),
            initial_delay: crate::duration::format(policy.initial_delay),
            backoff_multiplier: policy.backoff_multiplier.number(),
            max_delay: crate::duration::format(policy.max_delay),
            jitter: policy.jitter.number(),
            non_retryable: policy.non_retryable.iter().map(|cause| cause.as_str().to_owned()).collect(),
        }
    }
}

/// A replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ReplayView {
    /// Its number.
    pub number: i64,
    /// The last position to deliver.
    pub until: u64,
    /// The largest number of deliveries per second; null if it is unlimited.
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub per_second: Option<NonZeroU32>,
}

/// Creates or changes a subscription of the operator. Omitted rules keep their value, or have the default of a new
/// subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRequest {
    /// Its name; its id is `operator/NAME`.
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$")]
    pub name: String,
    /// The pattern of its event types. Required for a new subscription.
    #[schema(value_type = Option<schemas::Pattern>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// The receiver of its deliveries. Required for a new subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetRequest>,
    /// The filters, all of which must match.
    #[schema(value_type = Option<Vec<schemas::Filter>>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<Filter>>,
    /// The start of a new subscription.
    #[schema(value_type = Option<schemas::Start>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// The ordering key; null removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    #[schema(value_type = Option<String>)]
    pub ordering_key: Option<Option<String>>,
    /// The other rules.
    #[serde(default, skip_serializing_if = "RuleOverrides::is_empty")]
    pub rules: RuleOverrides,
}

/// The rules of a subscription that have a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleOverrides {
    /// The number of concurrent deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1024)]
    pub concurrency: Option<NonZeroU32>,
    /// The number of attempts before a delivery becomes a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub max_attempts: Option<NonZeroU32>,
    /// The delay before the second attempt.
    #[schema(value_type = Option<schemas::Duration>)]
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// The factor between one delay and the next, from 1 to 100.
    #[serde(with = "crate::percent::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 1, maximum = 100)]
    pub backoff_multiplier: Option<Percent>,
    /// The longest delay.
    #[schema(value_type = Option<schemas::Duration>)]
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// The random share of each delay, from 0 to 1.
    #[serde(with = "crate::percent::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    pub jitter: Option<Percent>,
    /// Causes of failure that are not retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<schemas::RetriableCause>>)]
    pub non_retryable: Option<Vec<String>>,
    /// The effect of a dead letter on later deliveries with its ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeadLetterPolicyView>)]
    pub dead_letter_policy: Option<DeadLetterPolicy>,
    /// The backlog above which publishers are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub max_backlog: Option<NonZeroU64>,
    /// The timeout of an invocation.
    #[schema(value_type = Option<schemas::Duration>)]
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

impl RuleOverrides {
    /// Whether all rules are omitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The requested receiver of a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetRequest {
    /// The named plugin's event handler.
    Plugin(String),
    /// An HTTP endpoint that accepts CloudEvents. Omitted members keep their value.
    Webhook(WebhookRequest),
}

/// Changes to an HTTP endpoint. Null removes a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookRequest {
    /// Its URL. Required for a new endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The secret that signs its requests (Standard Webhooks).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    #[schema(value_type = Option<schemas::Secret>)]
    pub secret: Option<Option<Secret>>,
    /// The former secrets that also sign its requests for a while.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    #[schema(value_type = Option<Vec<schemas::FormerSecret>>)]
    pub former_secrets: Option<Option<Vec<FormerSecret>>>,
    /// Whether it must give permission before the first delivery.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    #[schema(value_type = Option<bool>)]
    pub handshake: Option<Option<bool>>,
}

/// The result of creating or changing a subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SubscriptionChangeResult {
    /// The id of the subscription, as `OWNER/NAME`.
    pub id: String,
    /// Whether it was created.
    pub created: bool,
    /// The changed rules; empty if it was created.
    pub changes: Vec<ChangeView>,
}

/// A changed rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeView {
    /// The name of the rule, or `secret`.
    pub rule: String,
    /// The former value.
    pub before: Value,
    /// The current value.
    pub after: Value,
}

/// Starts a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// The first event to deliver; `now` is rejected.
    #[schema(value_type = schemas::ReplayStart)]
    pub start: Start,
    /// Where it ends. By default and at the latest, at the subscription's cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::ReplayUntil>)]
    pub until: Option<ReplayUntil>,
    /// Deliver only these events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<EventSelection>,
    /// The largest number of deliveries per second.
    #[schema(value_type = Option<u32>, minimum = 1)]
    #[serde(default)]
    pub per_second: Option<NonZeroU32>,
}

/// Where a replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayUntil {
    /// Before the first event stored at or after a time.
    Time(#[serde(with = "crate::clock::rfc3339")] Timestamp),
    /// With the event at a position, or the one before it.
    Position(Position),
}

/// The result of starting a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ReplayResult {
    /// The number of the replay; null if there are no events to replay.
    pub replay: Option<i64>,
    /// The number of events to replay.
    pub events: u64,
}

/// The result of stopping replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StopReplaysResult {
    /// The number of stopped replays.
    pub stopped: usize,
}

/// Replaces the secret of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretRequest {
    /// The new secret; generated by the host by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::Secret>)]
    pub secret: Option<Secret>,
    /// How long the former secret also signs; 24 hours by default.
    #[schema(value_type = Option<schemas::Duration>)]
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
}

/// The result of replacing the secret of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SecretRotationResult {
    /// The id of the subscription, as `OWNER/NAME`.
    pub id: String,
    /// When each former secret stops signing, in RFC 3339.
    pub former_secrets_until: Vec<String>,
    /// The generated secret. It is not shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::Secret>)]
    pub secret: Option<Secret>,
}
