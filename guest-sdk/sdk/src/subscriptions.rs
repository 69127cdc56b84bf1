//! Subscriptions that are made at run time.
//!
//! ```
//! # use std::time::Duration;
//! # use sandbus_sdk::prelude::*;
//! use sandbus_sdk::subscriptions::{Filter, RetryPolicy, Start, Subscription, Webhook};
//!
//! #[route(POST, "/subscribers")]
//! fn subscribe(Json(url): Json<String>) -> Result<(), Problem> {
//!     Subscription::new("shop-orders", "order.>")
//!         .to_webhook(Webhook::new(url).secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").handshake())
//!         .filter(Filter::prefix("source", "/shop"))
//!         .filter(Filter::not(Filter::suffix("subject", ".test")))
//!         .start(Start::Beginning)
//!         .ordering_key("/customer/id")
//!         .park_on_dead_letter()
//!         .retry(RetryPolicy::new().attempts(10).max_delay(Duration::from_secs(60)))
//!         .subscribe()?;
//!     Ok(())
//! }
//! ```

mod filter;
mod retry;

use std::fmt;
use std::time::SystemTime;

use crate::bindings::sandbus::plugin::{bus, rules};
use crate::message::PublishError;
use crate::{Result, host, rfc3339};

pub use filter::Filter;
pub use retry::{Cause, RetryPolicy};

/// A durable subscription. What is left out is as the host has it by default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// Its name, unique among those that this plugin made.
    pub name: String,
    /// Which event types it takes.
    pub pattern: String,
    /// Which of these events it takes: all must match.
    pub filters: Vec<Filter>,
    /// Who receives them.
    pub target: Option<Target>,
    /// Where it begins when it is made.
    pub start: Option<Start>,
    /// How many deliveries may be in flight at a time.
    pub concurrency: Option<u32>,
    /// What keeps events in order.
    pub ordering_key: Option<String>,
    /// Whether a dead letter holds back the deliveries that share its ordering key.
    pub park_on_dead_letter: bool,
    /// When a failed delivery is tried again.
    pub retry: Option<RetryPolicy>,
}

impl Subscription {
    /// A subscription to the event types that a pattern takes. The name is unique among those that this
    /// plugin made.
    pub fn new(name: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            pattern: pattern.into(),
            filters: Vec::new(),
            target: None,
            start: None,
            concurrency: None,
            ordering_key: None,
            park_on_dead_letter: false,
            retry: None,
        }
    }

    /// Delivers to a plugin's event handlers.
    #[must_use]
    pub fn to_plugin(self, name: impl Into<String>) -> Self {
        self.to(Target::Plugin(name.into()))
    }

    /// Delivers to an HTTP endpoint. The operator must have granted its host.
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

    /// Takes only events that match. Of several filters all must match.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Begins elsewhere than with the events that are published after it.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// How many deliveries may be in flight at a time.
    #[must_use]
    pub fn concurrency(mut self, deliveries: u32) -> Self {
        self.concurrency = Some(deliveries);
        self
    }

    /// Delivers events that share a value in order, one at a time: that of an attribute (`subject`), or of
    /// a part of the data that a JSON pointer names (`/customer/id`).
    #[must_use]
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Lets the deliveries that share the ordering key of a dead letter wait until it is redriven and
    /// handled, or dropped.
    #[must_use]
    pub fn park_on_dead_letter(mut self) -> Self {
        self.park_on_dead_letter = true;
        self
    }

    /// When a failed delivery is tried again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Makes it with this invocation's commit. One of this name that the plugin made before is replaced,
    /// and keeps its position.
    ///
    /// # Errors
    /// If it goes to nobody, if the plugin does not declare the pattern among what it `subscribes`, if the
    /// webhook's host was not granted, or if any part is malformed.
    pub fn subscribe(self) -> Result<(), PublishError> {
        host::subscribe(self).map_err(PublishError::from)
    }

    /// The subscription as the contract has it.
    pub(crate) fn into_wire(self) -> Result<bus::Subscription, bus::Error> {
        let target = self.target.ok_or_else(|| {
            bus::Error::Invalid(format!("`{}` goes to nobody: add `.to_plugin(…)` or `.to_webhook(…)`", self.name))
        })?;
        Ok(bus::Subscription {
            name: self.name,
            pattern: self.pattern,
            filters: (!self.filters.is_empty()).then(|| Filter::array(&self.filters)),
            target: target.into(),
            start: self.start.map(rules::Start::from),
            concurrency: self.concurrency,
            ordering_key: self.ordering_key,
            dead_letter_policy: self.park_on_dead_letter.then_some(rules::DeadLetterPolicy::Park),
            retry: self.retry.map(rules::RetryPolicy::from),
        })
    }
}

/// Who receives a subscription's deliveries.
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

/// An HTTP endpoint that takes CloudEvents, in binary mode unless they are signed.
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
    /// Where it is.
    pub url: String,
    /// What events are signed with.
    pub secret: Option<String>,
    /// Whether it must first agree.
    pub handshake: bool,
}

impl Webhook {
    /// The endpoint at an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), secret: None, handshake: false }
    }

    /// Sends events in structured mode and signs them, as the Standard Webhooks specification says. A
    /// secret is `whsec_` and its bytes in base64.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Sends nothing before the endpoint has agreed, by the handshake of the CloudEvents specification of
    /// webhooks.
    #[must_use]
    pub fn handshake(mut self) -> Self {
        self.handshake = true;
        self
    }
}

/// Without the secret, which would otherwise find its way into logs.
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

/// Where a subscription begins when it is made. One that exists already keeps its position.
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
    /// With the events that are published after it.
    Now,
    /// With the oldest event that the log has.
    Beginning,
    /// With the first event that was stored at or after a time.
    Time(SystemTime),
    /// With the event at a position of the log, or the first one after it.
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

/// Makes a subscription that has nothing but a name, a pattern and a target.
///
/// ```
/// # use sandbus_sdk::subscriptions::{Target, subscribe, unsubscribe};
/// # sandbus_sdk::testing::FakeHost::new().run(|| -> sandbus_sdk::Result<()> {
/// subscribe("orders", "order.>", Target::Plugin("billing".into()))?;
/// unsubscribe("orders")?;
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`Subscription::subscribe`].
pub fn subscribe(name: &str, pattern: &str, target: Target) -> Result<(), PublishError> {
    Subscription::new(name, pattern).to(target).subscribe()
}

/// Removes a subscription that this plugin made, with this invocation's commit. One that doesn't exist is
/// no error.
///
/// # Errors
/// If the name is malformed.
pub fn unsubscribe(name: &str) -> Result<(), PublishError> {
    host::unsubscribe(name).map_err(PublishError::from)
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
            .park_on_dead_letter()
            .retry(RetryPolicy::new().attempts(3))
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
    fn what_is_left_out_is_left_to_the_host() {
        let wire = Subscription::new("orders", "order.>").to_plugin("billing").into_wire().unwrap();
        assert!(wire.filters.is_none() && wire.start.is_none() && wire.retry.is_none());
        assert!(wire.concurrency.is_none() && wire.ordering_key.is_none() && wire.dead_letter_policy.is_none());
    }

    #[test]
    fn a_subscription_goes_to_somebody() {
        let refused = Subscription::new("orders", "order.>").into_wire();
        assert!(matches!(refused, Err(bus::Error::Invalid(reason)) if reason.contains("`orders`")));
    }
}
