//! Subscriptions: how they stand, and how they are made and changed.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DeadLetterPolicyView, SubscriptionStatus, deserialize_nullable};
use crate::filter::Filter;
use crate::pattern::Pattern;
use crate::percent::Percent;
use crate::subscription::{DeadLetterPolicy, FormerSecret, RetryPolicy, Secret, Start};

/// All subscriptions and their replays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionList {
    /// The subscriptions.
    pub subscriptions: Vec<SubscriptionView>,
}

/// A subscription or a replay of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionView {
    /// Its name, as `PLUGIN/NAME`; a replay has that of its subscription.
    pub id: String,
    /// Whether it was made at run time.
    pub dynamic: bool,
    /// Whether it delivers.
    pub status: SubscriptionStatus,
    /// Why nothing is delivered; null if deliveries are made.
    pub waits_for: Option<String>,
    /// Until when nothing is sent to its endpoint, in RFC 3339; null if requests are sent.
    pub held_back_until: Option<String>,
    /// The position up to which everything is handled, or waits for another attempt.
    pub cursor: u64,
    /// How many deliveries are neither handled nor dead.
    pub backlog: u64,
    /// How many run, or wait for a thread to run on.
    pub in_flight: usize,
    /// How many have run and wait for their outcome to be committed.
    pub committing: usize,
    /// How many ordering keys wait behind a dead letter.
    pub parked_keys: usize,
    /// How many events the retention's rules deleted before they were handled, since the host's start.
    pub expired: u64,
    /// The age of the oldest event that is neither handled nor dead; null if there is none.
    pub lag_seconds: Option<f64>,
    /// When the next delivery that waits for another attempt is made, in RFC 3339; null if none waits.
    pub next_attempt: Option<String>,
    /// How many dead letters it has.
    pub dead_letters: u64,
    /// What is replayed; null for a subscription.
    pub replay: Option<ReplayView>,
    /// Its rules.
    #[serde(flatten)]
    pub rules: SubscriptionRules,
}

/// The rules of a subscription. Secrets are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionRules {
    /// Which event types it takes.
    pub pattern: String,
    /// Which of these events it takes: filters of the CloudEvents Subscriptions API, of which all match.
    pub filters: Vec<Value>,
    /// Who handles them.
    pub target: TargetView,
    /// How many deliveries may be in flight at a time.
    pub concurrency: u32,
    /// What keeps deliveries in order; null if nothing does.
    pub ordering_key: Option<String>,
    /// What a dead letter means for those that share its ordering key.
    pub dead_letter_policy: DeadLetterPolicyView,
    /// When a failed delivery is tried again.
    pub retry: RetryView,
    /// How many deliveries may wait before publishers are told to come back later; null for the host's default.
    pub max_backlog: Option<u64>,
    /// How long one invocation may run, such as `5s`.
    pub timeout: String,
}

/// Who handles a subscription's deliveries.
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
        /// Its address, without credentials, query and fragment.
        webhook: String,
        /// Whether its requests are signed.
        #[serde(default)]
        signed: bool,
        /// Whether it must agree to deliveries first.
        #[serde(default)]
        handshake: bool,
        /// Until when former secrets sign besides the present one, in RFC 3339; left out if none do.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        former_secrets_until: Vec<String>,
    },
    /// A kind of target that this version does not know.
    Other(Value),
}

impl Default for TargetView {
    fn default() -> Self {
        Self::Other(Value::Null)
    }
}

/// When a failed delivery is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
            initial_delay: humantime::format_duration(policy.initial_delay).to_string(),
            backoff_multiplier: policy.backoff_multiplier.number(),
            max_delay: humantime::format_duration(policy.max_delay).to_string(),
            jitter: policy.jitter.number(),
            non_retryable: policy.non_retryable.iter().map(|cause| cause.as_str().to_owned()).collect(),
        }
    }
}

/// What a replay replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayView {
    /// Its number.
    pub number: i64,
    /// The last position that it delivers.
    pub until: u64,
    /// How many deliveries it makes in a second at most; null if there is no such limit.
    pub per_second: Option<NonZeroU32>,
}

/// A subscription of the operator's own that is to be made, or rules that are to be changed. Rules that are left out keep
/// their value, or have the default of a new subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRequest {
    /// Its name; it is then called `operator/NAME`.
    pub name: String,
    /// Which event types it takes. A new subscription needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Who handles them. A new subscription needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetRequest>,
    /// Which of these events it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<Filter>>,
    /// Where a new subscription begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// What keeps deliveries in order; null takes the ordering key away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    pub ordering_key: Option<Option<String>>,
    /// Its other rules.
    #[serde(default, skip_serializing_if = "RuleOverrides::is_empty")]
    pub rules: RuleOverrides,
}

/// Rules of a subscription that have a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleOverrides {
    /// How many deliveries may be in flight at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// The number of attempts before a delivery becomes a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<NonZeroU32>,
    /// The delay before the second attempt.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// The factor between one delay and the next, from 1 to 100.
    #[serde(with = "crate::percent::option", skip_serializing_if = "Option::is_none")]
    pub backoff_multiplier: Option<Percent>,
    /// The longest delay.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// The random share of each delay, from 0 to 1.
    #[serde(with = "crate::percent::option", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Percent>,
    /// Causes of failure that are not retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_retryable: Option<Vec<String>>,
    /// What a dead letter means for those that share its ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_policy: Option<DeadLetterPolicy>,
    /// How many deliveries may wait before publishers are told to come back later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_backlog: Option<NonZeroU64>,
    /// How long one invocation may run.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

impl RuleOverrides {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who is to handle a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetRequest {
    /// The named plugin's event handler.
    Plugin(String),
    /// An HTTP endpoint that takes CloudEvents. Members that are left out keep their value.
    Webhook(WebhookRequest),
}

/// Changes of an HTTP endpoint. Null takes a member away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookRequest {
    /// Its URL. A new endpoint needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What its requests are signed with, by Standard Webhooks.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    pub secret: Option<Option<Secret>>,
    /// What its requests were signed with before, and are for a while besides.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    pub former_secrets: Option<Option<Vec<FormerSecret>>>,
    /// Whether it must agree to deliveries first.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_nullable")]
    pub handshake: Option<Option<bool>>,
}

/// What became of a [`SubscriptionRequest`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionChangeResult {
    /// The subscription, as `PLUGIN/NAME`.
    pub id: String,
    /// Whether it is new.
    pub created: bool,
    /// What differs from before; empty if it is new.
    pub changes: Vec<ChangeView>,
}

/// A rule that was changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeView {
    /// The member of [`SubscriptionRules`], or `secret`.
    pub rule: String,
    /// Its value before.
    pub before: Value,
    /// Its value now.
    pub after: Value,
}

/// History that is to be delivered once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Where it begins; `now` is refused.
    pub start: Start,
    /// How many deliveries it makes in a second at most.
    #[serde(default)]
    pub per_second: Option<NonZeroU32>,
}

/// A replay that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayResult {
    /// Its number; null if there is nothing to replay.
    pub replay: Option<i64>,
    /// How many events it has.
    pub events: u64,
}

/// Replays that were ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopReplaysResult {
    /// How many.
    pub stopped: usize,
}

/// A secret that is to replace a webhook's present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretRequest {
    /// The new secret; the host makes one if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// How long the former one signs besides it; 24 hours if it is left out.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
}

/// A webhook's secret that was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretRotationResult {
    /// The subscription, as `PLUGIN/NAME`.
    pub id: String,
    /// Until when each of the former secrets signs, in RFC 3339.
    pub former_secrets_until: Vec<String>,
    /// The secret, if the host has made it. It is not shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}
