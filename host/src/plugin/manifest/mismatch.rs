//! Why a sidecar does not go with a plugin.

use super::subscription_rules;
use super::swap_rules::CanaryRule;

/// Why a sidecar does not go with a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It has rules for a subscription that the plugin does not declare.
    #[error("it has rules for the subscription `{0}`, which the plugin does not declare")]
    UnknownSubscription(String),
    /// It sets a key that the plugin does not have.
    #[error("it sets the configuration key `{0}`, which the plugin does not have")]
    UnknownKey(String),
    /// It grants more memory than there is for one plugin.
    #[error("it grants {0} bytes of memory, and the host's limit is {1}; raise `max_memory_bytes` in sandbus.toml")]
    TooMuchMemory(usize, usize),
    /// It gives invocations no time.
    #[error("its timeout is zero; leave it out, or give invocations some time")]
    NoTime,
    /// It names or routes a plugin that does so itself.
    #[error("it has `{0}`, and the plugin says that itself; take it out of the sidecar")]
    Described(&'static str),
    /// It leaves a component that does not know Sandbus without routes.
    #[error(
        "the plugin serves `wasi:http` and needs routes in a sidecar; for all of them: routes = [\"* /\", \"* /{{*path}}\"]"
    )]
    NoRoutes,
    /// It leaves a component that takes messages without any.
    #[error(
        "the plugin takes messages and needs a subscription in a sidecar: [subscriptions.NAME] with pattern = \"user.>\""
    )]
    NoSubscriptions,
    /// It has a subscription for a component that does not know Sandbus, and does not say to what.
    #[error("it does not say what the subscription `{0}` is for, and nor does the plugin; add its pattern")]
    NoPattern(String),
    /// It grants a route that the plugin does not declare.
    #[error(
        "it grants the route `{0}`, which the plugin does not declare; write one of its routes, such as `GET /hello`"
    )]
    UnknownRoute(String),
    /// A rule for rolling back would always hold, or never.
    #[error("rollback.failures_percent is {0}; it is from 1 to 100")]
    Percent(u32),
    /// A canary would take too long.
    #[error("canary.events is {0}; the limit is {max}", max = CanaryRule::MAX_EVENTS)]
    TooManyEvents(usize),
    /// A rule for a subscription is malformed.
    #[error("subscription `{0}`: {1}")]
    Rule(String, subscription_rules::ValidationError),
}

impl Mismatch {
    /// Whether a sidecar is all that is missing.
    #[must_use]
    pub fn wants_sidecar(&self) -> bool {
        matches!(self, Self::NoRoutes | Self::NoSubscriptions)
    }
}
