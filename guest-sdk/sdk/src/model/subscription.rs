//! Subscriptions made at run time, and their rules.

mod filter;
mod retry;

use std::fmt;
use std::time::SystemTime;

use crate::bindings::sandbus::plugin::{bus, rules};
use crate::rfc3339;

pub use filter::Filter;
pub use retry::{Cause, RetryPolicy};

/// A durable subscription. Unset options have the host's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// The name, unique among the subscriptions that this plugin has made.
    pub name: String,
    /// The pattern of event types.
    pub pattern: String,
    /// The filters, all of which must match.
    pub filters: Vec<Filter>,
    /// The receiver of the deliveries.
    pub target: Option<Target>,
    /// Where the new subscription starts.
    pub start: Option<Start>,
    /// The highest number of concurrent deliveries.
    pub concurrency: Option<u32>,
    /// The value whose events are delivered in order.
    pub ordering_key: Option<String>,
    /// The effect of a dead letter on deliveries that share its ordering key.
    pub dead_letter_policy: Option<DeadLetterPolicy>,
    /// When failed deliveries are retried.
    pub retry: Option<RetryPolicy>,
}

impl Subscription {
    /// A subscription to the event types that match a pattern. The name is unique among the subscriptions that this
    /// plugin has made.
    pub fn new(name: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            pattern: pattern.into(),
            filters: Vec::new(),
            target: None,
            start: None,
            concurrency: None,
            ordering_key: None,
            dead_letter_policy: None,
            retry: None,
        }
    }

    /// Delivers to a plugin's event handlers.
    #[must_use]
    pub fn to_plugin(self, name: impl Into<String>) -> Self {
        self.to(Target::Plugin(name.into()))
    }

    /// Delivers to an HTTP endpoint. The operator must grant its host.
    #[must_use]
    pub fn to_webhook(self, webhook: Webhook) -> Self {
        self.to(Target::Webhook(webhook))
    }

    /// Delivers to a target.
    #[must_use]
    pub fn to(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds a filter. An event must match all filters.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Sets where the subscription starts; by default with the events published after its creation.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// Sets the highest number of concurrent deliveries.
    #[must_use]
    pub fn concurrency(mut self, deliveries: u32) -> Self {
        self.concurrency = Some(deliveries);
        self
    }

    /// Delivers events with the same value in order, one at a time. The key names the value: an attribute (`subject`),
    /// or a JSON pointer into the data (`/customer/id`).
    #[must_use]
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Sets the effect of a dead letter on deliveries that share its ordering key.
    #[must_use]
    #[doc(alias = "park_on_dead_letter")]
    pub fn dead_letter_policy(mut self, policy: DeadLetterPolicy) -> Self {
        self.dead_letter_policy = Some(policy);
        self
    }

    /// Sets when failed deliveries are retried.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// The subscription as the contract has it.
    pub(crate) fn into_wire(self) -> Result<bus::Subscription, bus::Error> {
        let target = self.target.ok_or_else(|| {
            bus::Error::Invalid(format!(
                "the subscription `{}` has no target; add `.to_plugin(…)` or `.to_webhook(…)`",
                self.name
            ))
        })?;
        Ok(bus::Subscription {
            name: self.name,
            pattern: self.pattern,
            filters: (!self.filters.is_empty()).then(|| Filter::array(&self.filters)),
            target: target.into(),
            start: self.start.map(rules::Start::from),
            concurrency: self.concurrency,
            ordering_key: self.ordering_key,
            dead_letter_policy: self.dead_letter_policy.map(rules::DeadLetterPolicy::from),
            retry: self.retry.map(rules::RetryPolicy::from),
        })
    }
}

/// The receiver of a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The named plugin's event handlers.
    Plugin(String),
    /// An HTTP endpoint.
    Webhook(Webhook),
}

impl From<Target> for bus::Target {
    fn from(target: Target) -> Self {
        match target {
            Target::Plugin(name) => Self::Plugin(name),
            Target::Webhook(Webhook { url, secret, handshake }) => {
                Self::Webhook(bus::Webhook { url, secret, handshake })
            }
        }
    }
}

/// An HTTP endpoint for CloudEvents. Unsigned events have the binary mode.
///
/// ```
/// use sandbus_sdk::subscriptions::Webhook;
///
/// let plain = Webhook::new("https://example.com/hook");
/// let signed = plain.clone().secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").handshake();
/// assert_ne!(plain, signed);
/// assert!(!format!("{signed:?}").contains("MfKQ9r"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// The secret that signs the events.
    pub secret: Option<String>,
    /// Whether the endpoint must agree first.
    pub handshake: bool,
}

impl Webhook {
    /// The endpoint at an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), secret: None, handshake: false }
    }

    /// Signs the events by the Standard Webhooks specification, in structured mode. The secret is `whsec_` followed by
    /// its bytes in base64.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Requires the validation handshake of the CloudEvents webhook specification before the first delivery.
    #[must_use]
    pub fn handshake(mut self) -> Self {
        self.handshake = true;
        self
    }
}

/// Hides the secret, which could otherwise reach logs.
impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Webhook")
            .field("url", &self.url)
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .field("handshake", &self.handshake)
            .finish()
    }
}

/// Where a new subscription starts. A subscription that is replaced keeps its position.
///
/// ```
/// use std::time::Duration;
/// use sandbus_sdk::subscriptions::{Start, Subscription};
///
/// # sandbus_sdk::testing::FakeHost::new().run(|| {
/// let hour = Duration::from_secs(3600);
/// let recent = Subscription::new("recent", "order.>").start(Start::Time(sandbus_sdk::now() - hour));
/// # Ok::<_, ()>(recent)
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the events that are published after its creation.
    Now,
    /// With the oldest event of the log.
    Beginning,
    /// With the first event that was stored at or after a time.
    Time(SystemTime),
    /// With the event at a position of the log, or the next one.
    Position(u64),
}

impl From<Start> for rules::Start {
    fn from(start: Start) -> Self {
        match start {
            Start::Now => Self::Now,
            Start::Beginning => Self::Beginning,
            Start::Time(time) => Self::Time(rfc3339::format(time)),
            Start::Position(position) => Self::Position(position),
        }
    }
}

/// What a dead letter means for later deliveries with its ordering key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterPolicy {
    /// They are delivered.
    Release,
    /// They wait until the dead letter is redriven and handled, or dropped.
    Park,
}

impl From<DeadLetterPolicy> for rules::DeadLetterPolicy {
    fn from(policy: DeadLetterPolicy) -> Self {
        match policy {
            DeadLetterPolicy::Release => Self::Release,
            DeadLetterPolicy::Park => Self::Park,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_rules_reach_the_contract() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
        let wire = Subscription::new("orders", "order.>")
            .to_webhook(Webhook::new("https://example.com/hook").secret("whsec_c2VjcmV0").handshake())
            .filter(Filter::exact("type", "order.placed"))
            .start(Start::Time(time))
            .concurrency(4)
            .ordering_key("/customer/id")
            .dead_letter_policy(DeadLetterPolicy::Park)
            .retry(RetryPolicy::new().max_attempts(3))
            .into_wire()
            .unwrap();
        let bus::Target::Webhook(webhook) = wire.target else { panic!("{:?}", wire.target) };
        assert_eq!((webhook.secret.as_deref(), webhook.handshake), (Some("whsec_c2VjcmV0"), true));
        assert_eq!(wire.filters.as_deref(), Some(r#"[{"exact":{"type":"order.placed"}}]"#));
        assert!(matches!(wire.start, Some(rules::Start::Time(time)) if time == "2030-01-01T00:00:00Z"));
        assert_eq!((wire.concurrency, wire.ordering_key.as_deref()), (Some(4), Some("/customer/id")));
        assert_eq!(wire.dead_letter_policy, Some(rules::DeadLetterPolicy::Park));
        assert_eq!(wire.retry.and_then(|retry| retry.attempts), Some(3));
    }

    #[test]
    fn unset_options_are_left_to_the_host() {
        let wire = Subscription::new("orders", "order.>").to_plugin("billing").into_wire().unwrap();
        assert!(wire.filters.is_none() && wire.start.is_none() && wire.retry.is_none());
        assert!(wire.concurrency.is_none() && wire.ordering_key.is_none() && wire.dead_letter_policy.is_none());
    }

    #[test]
    fn a_subscription_needs_a_target() {
        let refused = Subscription::new("orders", "order.>").into_wire();
        assert!(matches!(refused, Err(bus::Error::Invalid(reason)) if reason.contains("`orders`")));
    }
}
