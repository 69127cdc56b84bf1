//! What a subscription is: its identity, its target and its rules. How far it has come is the bus's.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Event, Position};
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::outcome::Cause;
use crate::pattern::Pattern;
use crate::schedule::Schedule;
use crate::secrecy;

/// The owner of what operators make; no plugin may bear this name.
pub const OPERATOR: &str = "operator";

/// A subscription's identity: the plugin that it belongs to, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionId {
    /// The plugin that declared it or made it at run time.
    pub owner: String,
    /// Its name, unique within the owner.
    pub name: String,
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.name)
    }
}

impl std::str::FromStr for SubscriptionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (owner, name) = text.split_once('/').ok_or_else(|| InvalidId(text.to_owned()))?;
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// A text names no subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no subscription; write PLUGIN/NAME")]
pub struct InvalidId(String);

/// Who handles a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The named plugin's event handler.
    Plugin(String),
    /// An HTTP endpoint that takes CloudEvents.
    Webhook(Webhook),
}

/// An HTTP endpoint that takes CloudEvents.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where it is.
    pub url: String,
    /// What its requests are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Whether it must agree to deliveries first.
    #[serde(default)]
    pub handshake: bool,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Webhook").field(&secrecy::address(&self.url)).finish()
    }
}

/// A secret of a webhook, by the Standard Webhooks specification: `whsec_` and bytes in base64. It is shown
/// to nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(String);

/// A text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's secret is not `whsec_` and 24 to 64 bytes in base64, as Standard Webhooks demands")]
pub struct InvalidSecret;

impl Secret {
    const PREFIX: &str = "whsec_";

    /// Reads a secret.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let secret = Self(text.to_owned());
        let length = secret.bytes().map_or(0, |bytes| bytes.len());
        if (24..=64).contains(&length) { Ok(secret) } else { Err(InvalidSecret) }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.decode(self.0.strip_prefix(Self::PREFIX)?).ok()
    }
}

impl TryFrom<String> for Secret {
    type Error = InvalidSecret;

    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        Self::parse(&text)
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(name) => write!(formatter, "plugin {name}"),
            Self::Webhook(webhook) => write!(formatter, "webhook {}", secrecy::address(&webhook.url)),
        }
    }
}

/// When a failed delivery is tried again: exponential backoff with jitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How many attempts are made before the delivery becomes a dead letter.
    pub attempts: NonZeroU32,
    /// The delay before the second attempt.
    #[serde(with = "crate::duration")]
    pub first_delay: Duration,
    /// What each further delay is multiplied with, in percent.
    pub factor_percent: u32,
    /// The longest delay.
    #[serde(with = "crate::duration")]
    pub max_delay: Duration,
    /// How much of each delay is left to chance, in percent.
    #[serde(default = "half")]
    pub jitter_percent: u32,
    /// Causes of failure after which there is no other attempt.
    #[serde(default)]
    pub permanent: Vec<Cause>,
}

fn half() -> u32 {
    50
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(8).expect("8 is not zero"),
            first_delay: Duration::from_millis(500),
            factor_percent: 200,
            max_delay: Duration::from_mins(5),
            jitter_percent: half(),
            permanent: Vec::new(),
        }
    }
}

/// What a dead letter means for later deliveries with its ordering key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterPolicy {
    /// They go on without it.
    #[default]
    Release,
    /// They wait until it is redriven and handled, or dropped.
    Park,
}

/// Where a subscription, or a replay, begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the events that are published after it.
    #[default]
    Now,
    /// With the oldest event of the log.
    Beginning,
    /// With the first event that was stored at or after a time.
    Time(#[serde(with = "crate::clock::rfc3339")] Timestamp),
    /// With the event at a position, or the first one after it.
    Position(Position),
}

/// The rules of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Which event types it takes.
    pub pattern: Pattern,
    /// Which of these events it takes.
    #[serde(default)]
    pub filters: Filters,
    /// Who handles them.
    pub target: Target,
    /// How many deliveries may be in flight at a time.
    pub concurrency: NonZeroU32,
    /// What keeps deliveries in order.
    pub ordering_key: Option<OrderingKey>,
    /// What a dead letter means for those that share its ordering key.
    #[serde(default)]
    pub dead_letter_policy: DeadLetterPolicy,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// How many deliveries may wait before publishers are told to come back later.
    #[serde(default)]
    pub max_backlog: Option<u64>,
    /// How long one invocation may run.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

impl Definition {
    /// Whether it takes an event.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        self.pattern.matches(&event.event_type) && self.filters.matches(event)
    }

    /// Whether a delivery may begin only after the one before it is settled.
    #[must_use]
    pub fn is_serial(&self) -> bool {
        self.concurrency.get() == 1
    }

    /// How many deliveries may run at a time.
    #[must_use]
    pub fn parallelism(&self) -> usize {
        self.concurrency.get() as usize
    }

    /// Whether both take the same events in the same order.
    #[must_use]
    pub fn selects_like(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.filters == other.filters && self.ordering_key == other.ordering_key
    }
}

/// What a plugin's generation declares.
#[derive(Clone, Debug, Default)]
pub struct Declaration {
    /// Its subscriptions: name, rules, and where they begin when they are made.
    pub subscriptions: Vec<(String, Definition, Start)>,
    /// Its schedules, by name.
    pub schedules: Vec<(String, Schedule)>,
    /// How much of what it publishes may be there.
    pub limits: PublishLimits,
}

/// How much of what a plugin publishes may be there at a time, where its operator says something else than what applies
/// to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishLimits {
    /// How many of its events may wait.
    pub backlog: Option<u64>,
    /// How many bytes its events may have.
    pub log_bytes: Option<u64>,
}

/// Whether a text may name a subscription: 1 to 128 of ASCII letters, digits, `-`, `_`. No `-` comes first, since that
/// would make an option of it on a command line.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}
