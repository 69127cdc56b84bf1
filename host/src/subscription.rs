//! What a subscription is: its identity, its target and its rules. How far it has come is the bus's.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;

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
    /// An HTTP endpoint that takes CloudEvents in binary mode.
    Webhook(String),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(name) => write!(formatter, "plugin {name}"),
            Self::Webhook(url) => write!(formatter, "webhook {url}"),
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
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(8).expect("8 is not zero"),
            first_delay: Duration::from_millis(500),
            factor_percent: 200,
            max_delay: Duration::from_mins(5),
        }
    }
}

/// The rules of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Which event types it takes.
    pub pattern: Pattern,
    /// Who handles them.
    pub target: Target,
    /// How many deliveries may be in flight at a time.
    pub concurrency: NonZeroU32,
    /// Whether deliveries go one at a time in the order of the log, because an ordering key is declared.
    pub ordering_key: Option<String>,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// How long one invocation may run.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

impl Definition {
    /// Whether a delivery may begin only after the one before it is settled.
    #[must_use]
    pub fn is_serial(&self) -> bool {
        self.ordering_key.is_some() || self.concurrency.get() == 1
    }

    /// How many deliveries may run at a time.
    #[must_use]
    pub fn parallelism(&self) -> usize {
        if self.is_serial() { 1 } else { self.concurrency.get() as usize }
    }
}

/// Whether a text may name a subscription: 1 to 128 of ASCII letters, digits, `-`, `_`.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(plain)
}
