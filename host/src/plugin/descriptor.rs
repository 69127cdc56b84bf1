//! What a plugin says about itself, checked: afterwards everything in it follows the rules.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bindings::exports::sandbus::plugin::descriptor as wire;
use crate::pattern::Pattern;
use crate::subscription::{self, RetryPolicy};

/// A plugin's checked descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub description: Option<String>,
    /// The routes that it answers.
    pub routes: Vec<Route>,
    /// The subscriptions that it serves.
    pub subscriptions: Vec<Subscription>,
    /// The event types that it asks to publish.
    pub publishes: Vec<Pattern>,
    /// The event types that it asks to make subscriptions for.
    pub subscribes: Vec<Pattern>,
    /// The keys of its configuration.
    pub config: Vec<ConfigKey>,
}

/// A method and a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The method in upper case.
    pub method: String,
    /// The path, with parameters in braces.
    pub path: String,
}

impl std::fmt::Display for Route {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// A declared subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// Which event types it takes.
    pub pattern: Pattern,
    /// How many deliveries may be in flight.
    pub concurrency: Option<NonZeroU32>,
    /// The attribute whose value keeps events in order.
    pub ordering_key: Option<String>,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// How long one invocation may run.
    pub timeout: Option<Duration>,
}

/// A key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Its name.
    pub name: String,
    /// Its value while the operator sets none.
    pub default: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// Why a descriptor is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The name breaks the rules.
    #[error("the name `{0}` is not of 1 to 64 lower-case letters, digits and `-`")]
    Name(String),
    /// A text is too long.
    #[error("its {0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// There are too many of something.
    #[error("it has {0} {1}; {2} are allowed")]
    TooMany(usize, &'static str, usize),
    /// A route's method is unknown.
    #[error("the method of route `{0}` is unknown")]
    Method(Route),
    /// A route's path cannot be routed.
    #[error("the path of route `{0}` is malformed: {1}")]
    Path(Route, String),
    /// A route belongs to the host.
    #[error("the route `{0}` belongs to the host; choose another path")]
    Reserved(Route),
    /// A route or a subscription is declared twice.
    #[error("it declares `{0}` twice")]
    Twice(String),
    /// A subscription's name breaks the rules.
    #[error("the subscription name `{0}` is not of 1 to 128 letters, digits, `-` and `_`")]
    SubscriptionName(String),
    /// A pattern is none.
    #[error("{0}")]
    Pattern(#[from] crate::pattern::Invalid),
    /// A number of a subscription is out of range.
    #[error("subscription `{0}`: {1}")]
    Number(String, &'static str),
}

/// Paths of the host's own on the ingress.
const RESERVED: [&str; 1] = ["/events"];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/// How many of each thing a plugin may declare.
const COUNT_LIMIT: usize = 256;
const TEXT_LIMIT: usize = 1_024;

impl Descriptor {
    /// Checks what a plugin answered.
    ///
    /// # Errors
    /// If anything in it breaks the rules.
    pub(super) fn check(raw: wire::Descriptor) -> Result<Self, Invalid> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&raw.name.len()) || !raw.name.bytes().all(plain) {
            return Err(Invalid::Name(raw.name.chars().take(64).collect()));
        }
        short("version", &raw.version)?;
        short("description", raw.description.as_deref().unwrap_or_default())?;
        few("routes", raw.routes.len())?;
        few("subscriptions", raw.subscriptions.len())?;
        few("configuration keys", raw.config.len())?;
        few("patterns to publish", raw.publishes.len())?;
        few("patterns to subscribe to", raw.subscribes.len())?;
        for key in &raw.config {
            short("configuration", &key.name)?;
            short("configuration", key.default.as_deref().unwrap_or_default())?;
            short("configuration", key.description.as_deref().unwrap_or_default())?;
        }

        let descriptor = Self {
            name: raw.name,
            version: raw.version,
            description: raw.description,
            routes: raw.routes.into_iter().map(route).collect::<Result<_, _>>()?,
            subscriptions: raw.subscriptions.into_iter().map(subscription).collect::<Result<_, _>>()?,
            publishes: patterns(&raw.publishes)?,
            subscribes: patterns(&raw.subscribes)?,
            config: raw
                .config
                .into_iter()
                .map(|key| ConfigKey { name: key.name, default: key.default, description: key.description })
                .collect(),
        };
        once(descriptor.routes.iter().map(ToString::to_string))?;
        once(descriptor.subscriptions.iter().map(|subscription| subscription.name.clone()))?;
        Ok(descriptor)
    }
}

fn short(what: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() <= TEXT_LIMIT { Ok(()) } else { Err(Invalid::TooLong(what, TEXT_LIMIT)) }
}

fn few(what: &'static str, count: usize) -> Result<(), Invalid> {
    if count <= COUNT_LIMIT { Ok(()) } else { Err(Invalid::TooMany(count, what, COUNT_LIMIT)) }
}

fn once(names: impl Iterator<Item = String>) -> Result<(), Invalid> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(Invalid::Twice(name));
        }
    }
    Ok(())
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Invalid> {
    texts.iter().map(|text| Ok(Pattern::parse(text)?)).collect()
}

fn route(raw: wire::Route) -> Result<Route, Invalid> {
    let route = Route { method: raw.method, path: raw.path };
    short("route", &route.path)?;
    if !METHODS.contains(&route.method.as_str()) {
        return Err(Invalid::Method(route));
    }
    if !route.path.starts_with('/') {
        return Err(Invalid::Path(route, "it does not begin with a slash".to_owned()));
    }
    if RESERVED.contains(&route.path.as_str()) {
        return Err(Invalid::Reserved(route));
    }
    if let Err(error) = matchit::Router::new().insert(route.path.as_str(), ()) {
        return Err(Invalid::Path(route, error.to_string()));
    }
    Ok(route)
}

fn subscription(raw: wire::Subscription) -> Result<Subscription, Invalid> {
    if !subscription::is_valid_name(&raw.name) {
        return Err(Invalid::SubscriptionName(raw.name.chars().take(128).collect()));
    }
    let number = |what| Invalid::Number(raw.name.clone(), what);
    let positive = |value: Option<u32>, what| match value.map(NonZeroU32::new) {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(number(what)),
    };
    let concurrency = positive(raw.concurrency, "its concurrency is zero")?;
    if concurrency.is_some_and(|concurrency| concurrency.get() > 1_024) {
        return Err(number("its concurrency is above 1024"));
    }
    let mut retry = RetryPolicy::default();
    if let Some(policy) = &raw.retry {
        if let Some(attempts) = positive(policy.attempts, "its retry policy has no attempt")? {
            retry.attempts = attempts;
        }
        if let Some(delay) = policy.first_delay_ms {
            retry.first_delay = Duration::from_millis(delay);
        }
        if let Some(factor) = policy.factor_percent {
            if !(100..=10_000).contains(&factor) {
                return Err(number("its retry factor is not from 100 to 10000 per cent"));
            }
            retry.factor_percent = factor;
        }
        if let Some(delay) = policy.max_delay_ms {
            retry.max_delay = Duration::from_millis(delay);
        }
    }
    if raw.timeout_ms == Some(0) {
        return Err(number("its timeout is zero"));
    }
    if raw.ordering_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 64) {
        return Err(number("its ordering key is no attribute's name"));
    }
    Ok(Subscription {
        pattern: Pattern::parse(&raw.pattern)?,
        concurrency,
        ordering_key: raw.ordering_key,
        retry,
        timeout: raw.timeout_ms.map(Duration::from_millis),
        name: raw.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> wire::Descriptor {
        wire::Descriptor {
            name: "shop".into(),
            version: "1".into(),
            description: None,
            routes: Vec::new(),
            subscriptions: Vec::new(),
            publishes: Vec::new(),
            subscribes: Vec::new(),
            config: Vec::new(),
        }
    }

    fn with_route(method: &str, path: &str) -> Result<Descriptor, Invalid> {
        Descriptor::check(wire::Descriptor {
            routes: vec![wire::Route { method: method.into(), path: path.into() }],
            ..raw()
        })
    }

    #[test]
    fn names_and_routes_follow_the_rules() {
        assert!(Descriptor::check(raw()).is_ok());
        assert!(matches!(Descriptor::check(wire::Descriptor { name: "../x".into(), ..raw() }), Err(Invalid::Name(_))));
        assert!(with_route("GET", "/users/{id}").is_ok());
        assert!(matches!(with_route("FETCH", "/"), Err(Invalid::Method(_))));
        assert!(matches!(with_route("GET", "users"), Err(Invalid::Path(..))));
        assert!(matches!(with_route("GET", "/{a}{b}"), Err(Invalid::Path(..))));
        assert!(matches!(with_route("POST", "/events"), Err(Invalid::Reserved(_))));
    }

    #[test]
    fn a_subscription_without_attempts_is_refused() {
        let retry =
            wire::RetryPolicy { attempts: Some(0), first_delay_ms: None, factor_percent: None, max_delay_ms: None };
        let subscription = wire::Subscription {
            name: "a".into(),
            pattern: "a".into(),
            concurrency: None,
            ordering_key: None,
            retry: Some(retry),
            timeout_ms: None,
        };
        let descriptor = wire::Descriptor { subscriptions: vec![subscription], ..raw() };
        assert!(matches!(Descriptor::check(descriptor), Err(Invalid::Number(..))));
    }
}
