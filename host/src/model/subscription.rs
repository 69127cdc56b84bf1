//! Subscriptions: identity, target and definition. The bus tracks their progress.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Event, Position};
use crate::failure::Cause;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::percent::Percent;
use crate::schedule::Schedule;
use crate::secrecy;

/// The owner of subscriptions that operators make. No plugin may have this name.
pub const OPERATOR: &str = "operator";

/// The identity of a subscription: its owner and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionId {
    /// The plugin that declared it or made it at run time, or the operator.
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
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (owner, name) = text.split_once('/').ok_or_else(|| ParseIdError(text.to_owned()))?;
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// The error for a text that is not the identity of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a subscription; write OWNER/NAME")]
pub struct ParseIdError(String);

/// The target of a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The named plugin's event handler.
    Plugin(String),
    /// An HTTP endpoint that accepts CloudEvents.
    Webhook(Webhook),
}

/// An HTTP endpoint that accepts CloudEvents.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL of the endpoint.
    pub url: String,
    /// The secret that signs requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Previous secrets, which also sign requests for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_secrets: Vec<FormerSecret>,
    /// Whether the endpoint must consent to deliveries first.
    #[serde(default)]
    pub handshake: bool,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Webhook").field(&secrecy::address(&self.url)).finish()
    }
}

impl Webhook {
    /// An endpoint without signatures.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), secret: None, former_secrets: Vec::new(), handshake: false }
    }

    /// The keys that sign requests at this time, newest first.
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = Vec<u8>> {
        let former = self.former_secrets.iter().rev().filter(move |former| former.until > now);
        self.secret.iter().chain(former.map(|former| &former.secret)).flat_map(Secret::keys)
    }

    /// Replaces the secret. The current one also signs until a given time.
    pub fn rotate(&mut self, secret: Secret, until: Timestamp, now: Timestamp) {
        self.former_secrets.retain(|former| former.until > now && former.secret != secret);
        if let Some(former) = self.secret.replace(secret).filter(|former| Some(former) != self.secret.as_ref())
            && until > now
        {
            self.former_secrets.push(FormerSecret { secret: former, until });
        }
        let surplus = self.former_secrets.len().saturating_sub(FORMER_SECRETS);
        self.former_secrets.drain(..surplus);
    }
}

/// How many previous secrets a webhook may have.
const FORMER_SECRETS: usize = 4;

/// A previous secret, which also signs for a while so that the receiver has time to switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerSecret {
    /// The secret.
    pub secret: Secret,
    /// The end of its use.
    #[serde(with = "crate::clock::rfc3339")]
    pub until: Timestamp,
}

/// The secret of a webhook, in the format of Standard Webhooks: `whsec_` and bytes in base64. Several, separated by
/// spaces, each sign. A secret is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(String);

/// The error for a text that is not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the webhook's secret is invalid; Standard Webhooks requires `whsec_` and 24 to 64 bytes in base64, and up to {SECRETS} secrets may be given, separated by spaces"
)]
pub struct ParseSecretError;

/// How many secrets may sign at the same time.
const SECRETS: usize = 4;

impl Secret {
    const PREFIX: &str = "whsec_";

    /// Parses one or more secrets.
    ///
    /// # Errors
    /// If one is malformed.
    pub fn parse(text: &str) -> Result<Self, ParseSecretError> {
        let keys: Option<Vec<_>> = text.split(' ').map(Self::key).collect();
        let fit =
            keys.is_some_and(|keys| keys.len() <= SECRETS && keys.iter().all(|key| (24..=64).contains(&key.len())));
        if fit { Ok(Self(text.to_owned())) } else { Err(ParseSecretError) }
    }

    /// Generates a secret.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        use base64::Engine as _;
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(format!("{}{}", Self::PREFIX, base64::prelude::BASE64_STANDARD.encode(key))))
    }

    /// The text of the secret, for the operator who created it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The keys of all secrets.
    pub fn keys(&self) -> impl Iterator<Item = Vec<u8>> {
        self.0.split(' ').filter_map(Self::key)
    }

    fn key(text: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.decode(text.strip_prefix(Self::PREFIX)?).ok()
    }
}

impl TryFrom<String> for Secret {
    type Error = ParseSecretError;

    fn try_from(text: String) -> Result<Self, ParseSecretError> {
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

/// When a failed delivery is retried: exponential backoff with jitter. The names of the stored form are those of the
/// contract's first version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The number of attempts before the delivery becomes a dead letter.
    #[serde(rename = "attempts")]
    pub max_attempts: NonZeroU32,
    /// The delay before the second attempt.
    #[serde(rename = "first_delay", with = "crate::duration")]
    pub initial_delay: Duration,
    /// The factor between one delay and the next, at least 1.
    #[serde(rename = "factor_percent")]
    pub backoff_multiplier: Percent,
    /// The longest delay.
    #[serde(with = "crate::duration")]
    pub max_delay: Duration,
    /// The random share of each delay, at most 1.
    #[serde(rename = "jitter_percent", default = "half")]
    pub jitter: Percent,
    /// Causes of failure that are not retried.
    #[serde(rename = "permanent", default)]
    pub non_retryable: Vec<Cause>,
}

fn half() -> Percent {
    Percent(50)
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::new(8).expect("8 is not zero"),
            initial_delay: Duration::from_millis(500),
            backoff_multiplier: Percent(200),
            max_delay: Duration::from_mins(5),
            jitter: half(),
            non_retryable: Vec::new(),
        }
    }
}

/// The effect of a dead letter on later deliveries with the same ordering key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterPolicy {
    /// Later deliveries continue.
    #[default]
    Release,
    /// Later deliveries wait until the dead letter is redriven and handled, or dropped.
    Park,
}

/// Where a subscription or a replay starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With events published from now on.
    #[default]
    Now,
    /// With the oldest event of the log.
    Beginning,
    /// With the first event stored at or after a time.
    Time(#[serde(with = "crate::clock::rfc3339")] Timestamp),
    /// With the event at a position, or the next one after it.
    Position(Position),
}

/// The definition of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The pattern of event types.
    pub pattern: Pattern,
    /// Filters on the attributes of these events.
    #[serde(default)]
    pub filters: Filters,
    /// The target of the deliveries.
    pub target: Target,
    /// How many deliveries may be in flight at the same time.
    pub concurrency: NonZeroU32,
    /// The ordering key.
    pub ordering_key: Option<OrderingKey>,
    /// The effect of a dead letter on later deliveries with the same ordering key.
    #[serde(default)]
    pub dead_letter_policy: DeadLetterPolicy,
    /// The retry policy.
    pub retry: RetryPolicy,
    /// How many deliveries may be waiting before publishers are refused.
    #[serde(default)]
    pub max_backlog: Option<u64>,
    /// The timeout of one invocation.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

impl Definition {
    /// Whether an event matches.
    #[must_use]
    pub fn selects(&self, event: &Event) -> bool {
        self.pattern.matches(&event.event_type) && self.filters.matches(event)
    }

    /// Whether it delivers to this endpoint.
    #[must_use]
    pub fn sends_to(&self, endpoint: &str) -> bool {
        matches!(&self.target, Target::Webhook(webhook) if webhook.url == endpoint)
    }

    /// Whether a delivery may start only after the previous one is settled.
    #[must_use]
    pub fn is_serial(&self) -> bool {
        self.concurrency.get() == 1
    }

    /// How many deliveries may run at the same time.
    #[must_use]
    pub fn parallelism(&self) -> usize {
        self.concurrency.get() as usize
    }

    /// Whether both select the same events, and order them in the same way.
    #[must_use]
    pub fn selects_and_orders_like(&self, other: &Self) -> bool {
        self.selects_same_events(other) && self.ordering_key == other.ordering_key
    }

    /// Whether both select the same events.
    #[must_use]
    pub fn selects_same_events(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.filters == other.filters
    }
}

/// The subscriptions and schedules that a generation declares.
#[derive(Clone, Debug, Default)]
pub struct Declaration {
    /// The subscriptions: name, definition and start.
    pub subscriptions: Vec<(String, Definition, Start)>,
    /// The schedules, by name.
    pub schedules: Vec<(String, Schedule)>,
    /// The limits of its published events.
    pub limits: PublishLimits,
}

/// Limits of the events that a plugin has published. `None` means the host's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishLimits {
    /// The maximum number of deliveries of its events that are not handled. Dead letters and delayed events count.
    pub waiting_events: Option<u64>,
    /// The maximum size of its events, in bytes.
    pub log_bytes: Option<u64>,
}

/// Whether a text may name a subscription: 1 to 128 ASCII letters, digits, `-` and `_`. A leading `-` would make an
/// option on a command line.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(letter: char) -> String {
        use base64::Engine as _;
        format!("whsec_{}", base64::prelude::BASE64_STANDARD.encode(letter.to_string().repeat(24)))
    }

    /// Standard Webhooks: `whsec_`, and 24 to 64 bytes in base64.
    #[test]
    fn secrets_have_the_format_of_standard_webhooks() {
        use base64::Engine as _;
        let of_length = |length| format!("whsec_{}", base64::prelude::BASE64_STANDARD.encode(vec![7; length]));
        for (text, keys) in [
            (of_length(24), Some(1)),
            (of_length(64), Some(1)),
            (of_length(23), None),
            (of_length(65), None),
            (of_length(24).replace("whsec_", ""), None),
            (of_length(24).replace("whsec_", "whpk_"), None),
            ("whsec_".to_owned(), None),
            ("whsec_!".repeat(8), None),
            (String::new(), None),
            (format!("{} {}", secret('a'), secret('b')), Some(2)),
            (format!("{}  {}", secret('a'), secret('b')), None),
            (format!("{} nonsense", secret('a')), None),
            ([secret('a'), secret('b'), secret('c'), secret('d'), secret('e')].join(" "), None),
        ] {
            let parsed = Secret::parse(&text).ok().map(|secret| secret.keys().count());
            assert_eq!(parsed, keys, "{text}");
        }
        let generated = Secret::generate().unwrap();
        assert_eq!(Secret::parse(generated.expose()), Ok(generated.clone()));
        assert_ne!(Secret::generate().unwrap(), generated);
        assert_eq!(format!("{generated:?}"), "Secret", "it is never shown");
    }

    #[test]
    fn a_previous_secret_signs_until_its_end() {
        let parse = |letter| Secret::parse(&secret(letter)).unwrap();
        let mut webhook = Webhook::new("http://a/");
        let keys = |webhook: &Webhook, now| {
            let first = |key: Vec<u8>| char::from(key[0]);
            webhook.keys(Timestamp(now)).map(first).collect::<String>()
        };
        assert_eq!(keys(&webhook, 0), "");
        webhook.rotate(parse('a'), Timestamp(10), Timestamp(0));
        assert_eq!(keys(&webhook, 0), "a", "there was none before");
        webhook.rotate(parse('b'), Timestamp(10), Timestamp(1));
        assert_eq!((keys(&webhook, 9), keys(&webhook, 10)), ("ba".to_owned(), "b".to_owned()));
        webhook.rotate(parse('b'), Timestamp(10), Timestamp(2));
        assert_eq!(keys(&webhook, 9), "ba", "it is the same one");
        webhook.rotate(parse('c'), Timestamp(20), Timestamp(3));
        assert_eq!((keys(&webhook, 9), keys(&webhook, 10)), ("cba".to_owned(), "cb".to_owned()));
        webhook.rotate(parse('a'), Timestamp(4), Timestamp(4));
        assert_eq!(keys(&webhook, 4), "ab", "one secret is used again, and another one ends at once");
        for letter in "defghi".chars() {
            webhook.rotate(parse(letter), Timestamp(99), Timestamp(5));
        }
        assert_eq!(keys(&webhook, 5), "ihgfe");
        let stored = serde_json::to_string(&webhook).unwrap();
        assert_eq!(serde_json::from_str::<Webhook>(&stored).unwrap(), webhook);
        let old = r#"{"url":"http://a/","handshake":true}"#;
        assert!(serde_json::from_str::<Webhook>(old).unwrap().handshake, "the stored form of an earlier version");
    }
}
