//! Why a sidecar does not match its plugin.

use std::time::Duration;

use super::cors::CorsError;
use super::limits::{MAX_TIMEOUT, MIN_MEMORY_BYTES};
use super::subscription_rules;
use super::swap_rules::CanaryRule;
use crate::secrets::SecretError;

/// Why a sidecar does not match its plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SidecarError {
    /// The sidecar has rules for a subscription that the plugin does not declare.
    #[error("it has rules for the subscription `{0}`, which the plugin does not declare")]
    UnknownSubscription(String),
    /// The sidecar sets a configuration key that the plugin does not have.
    #[error("it sets the configuration key `{0}`, which the plugin does not have")]
    UnknownKey(String),
    /// The secret of a configuration key cannot be read.
    #[error("its configuration key `{0}`: {1}")]
    Secret(String, SecretError),
    /// The sidecar grants a network that the configuration does not name.
    #[error(
        "it grants the network `{0}`, which sandbus.toml does not name; add it to [outbound.networks], or grant a range such as \"10.0.0.0/8\""
    )]
    UnknownNetwork(String),
    /// The sidecar grants more memory than the host allows.
    #[error("it grants {0} bytes of memory, and the host's limit is {1}; raise `max_memory_bytes` in sandbus.toml")]
    TooMuchMemory(usize, usize),
    /// The sidecar grants less memory than any component needs.
    #[error("it grants {0} bytes of memory; remove `memory_bytes`, or grant at least {MIN_MEMORY_BYTES}")]
    TooLittleMemory(usize),
    /// The timeout is zero.
    #[error("its timeout is zero; remove it, or give a time such as \"10s\"")]
    NoTime,
    /// The timeout is too long.
    #[error("the timeout of the plugin's invocations is {}; the limit is {}", humantime::format_duration(*.0), humantime::format_duration(MAX_TIMEOUT))]
    TooMuchTime(Duration),
    /// The sidecar describes a plugin that describes itself.
    #[error("it has `{0}`, which the plugin declares itself; remove it from the sidecar")]
    Described(&'static str),
    /// The sidecar gives no routes to a component that serves `wasi:http` and does not describe itself.
    #[error(
        "the plugin serves `wasi:http` and needs routes in a sidecar; to route everything: routes = [\"* /\", \"* /{{*path}}\"]"
    )]
    NoRoutes,
    /// The sidecar gives no subscription to a component that handles messages and does not describe itself.
    #[error(
        "the plugin handles messages and needs a subscription in a sidecar: [subscriptions.NAME] with pattern = \"user.>\""
    )]
    NoSubscriptions,
    /// The sidecar has a subscription without a pattern for a component that does not describe itself.
    #[error("its subscription `{0}` has no pattern, and the plugin declares none; add `pattern`")]
    NoPattern(String),
    /// The sidecar grants a route that the plugin does not declare.
    #[error(
        "it grants the route `{0}`, which the plugin does not declare; name one of its routes, such as `GET /hello`"
    )]
    UnknownRoute(String),
    /// A CORS rule is invalid, by its index.
    #[error("[[cors]], rule {number}: {1}", number = .0 + 1)]
    Cors(usize, CorsError),
    /// The rollback rule would always apply, or never.
    #[error("rollback.failures_percent is {0}; it is from 1 to 100")]
    Percent(u32),
    /// A rollback rule would never apply.
    #[error("rollback.window is zero; remove [rollback], or give a time such as \"10m\"")]
    NoWindow,
    /// A canary would compare nothing.
    #[error("canary.events is zero; remove [canary], or compare at least one event")]
    NoEvents,
    /// A canary could never pass.
    #[error("canary.min_conclusive is {0}, but canary.events is {1}; raise `events` or lower `min_conclusive`")]
    Inconclusive(usize, usize),
    /// The canary would take too long.
    #[error("canary.events is {0}; the limit is {max}", max = CanaryRule::MAX_EVENTS)]
    TooManyEvents(usize),
    /// The sidecar has settings for a labelled import that the component does not have. The labels that it has follow.
    #[error("it has settings for [imports.{0}], and the component has no labelled import `{0}`; {known}", known = labels(.1))]
    UnknownImport(String, Vec<String>),
    /// The sidecar sets a key of a labelled import that its interface does not have.
    #[error("[imports.{0}] has `{1}`, which `{2}` does not have; remove it")]
    ImportKey(String, &'static str, String),
    /// The prefix of a labelled import is too long: its label, and the limit in bytes.
    #[error("the prefix of [imports.{0}] may have at most {1} bytes; shorten it")]
    ImportPrefix(String, usize),
    /// The secret of a labelled import cannot be read: its label, the key and the reason.
    #[error("its key `{1}` of [imports.{0}.config]: {2}")]
    ImportSecret(String, String, SecretError),
    /// A labelled import of a configuration has no values.
    #[error("its import `{0}` of `{1}` has no values; add [imports.{0}.config] to the sidecar")]
    NoImportValues(String, String),
    /// A rule of a subscription is invalid.
    #[error("subscription `{0}`: {1}")]
    Rule(String, subscription_rules::ValidationError),
}

impl SidecarError {
    /// Whether the plugin only needs a sidecar.
    #[must_use]
    pub fn wants_sidecar(&self) -> bool {
        matches!(self, Self::NoRoutes | Self::NoSubscriptions | Self::NoImportValues(..))
    }
}

/// Names the labels that a component has.
fn labels(labels: &[String]) -> String {
    match labels {
        [] => "it has no labelled imports, so remove [imports]".to_owned(),
        _ => format!("its labels are `{}`", labels.join("`, `")),
    }
}
