//! Descriptor and sidecar put together: what applies to a generation.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::descriptor::{self, Descriptor};
use super::limits::Limits;
use super::sidecar::{Sidecar, SubscriptionOverrides};
use crate::pattern::Pattern;
use crate::subscription::{Definition, Target};

/// What applies to every plugin that says nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Limits of one invocation.
    pub limits: Limits,
    /// Deliveries in flight of one subscription.
    pub subscription_concurrency: NonZeroU32,
    /// Invocations of one plugin at a time.
    pub plugin_concurrency: NonZeroU32,
    /// The most linear memory that a sidecar may grant, in bytes.
    pub memory_ceiling_bytes: usize,
}

/// What applies to one generation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of one invocation.
    pub limits: Limits,
    /// How many invocations run at a time.
    pub concurrency: NonZeroU32,
    /// Event types that it may publish.
    pub publish: Vec<Pattern>,
    /// Event types that it may make subscriptions for.
    pub subscribe: Vec<Pattern>,
    /// Hosts that its webhooks may go to.
    pub webhooks: Vec<String>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// The rules of its declared subscriptions, by name.
    pub subscriptions: Vec<(String, Definition)>,
}

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
    #[error("it grants {0} bytes of memory, and the host's limit is {1}; raise `memory_ceiling_bytes` in sandbus.toml")]
    TooMuchMemory(usize, usize),
    /// A factor is out of range.
    #[error("the retry factor of `{0}` is not from 100 to 10000 per cent")]
    Factor(String),
}

impl Settings {
    /// Puts a descriptor and a sidecar together.
    ///
    /// # Errors
    /// If the sidecar speaks of what the plugin does not have.
    pub fn new(descriptor: &Descriptor, sidecar: &Sidecar, defaults: &Defaults) -> Result<Self, Mismatch> {
        let mut limits = defaults.limits;
        if let Some(memory_bytes) = sidecar.limits.memory_bytes {
            if memory_bytes > defaults.memory_ceiling_bytes {
                return Err(Mismatch::TooMuchMemory(memory_bytes, defaults.memory_ceiling_bytes));
            }
            limits.memory_bytes = memory_bytes;
        }
        limits.timeout = sidecar.limits.timeout.unwrap_or(limits.timeout);
        Ok(Self {
            limits,
            concurrency: sidecar.limits.concurrency.unwrap_or(defaults.plugin_concurrency),
            publish: sidecar.grants.publish.clone().unwrap_or_else(|| descriptor.publishes.clone()),
            subscribe: sidecar.grants.subscribe.clone().unwrap_or_else(|| descriptor.subscribes.clone()),
            webhooks: sidecar.grants.webhooks.clone(),
            config: config(descriptor, sidecar)?,
            subscriptions: subscriptions(descriptor, sidecar, &limits, defaults)?,
        })
    }

    /// What the plugin asks for and is not granted.
    #[must_use]
    pub fn withheld(&self, descriptor: &Descriptor) -> Vec<String> {
        let missing = |asked: &[Pattern], granted: &[Pattern], verb: &str| -> Vec<String> {
            let uncovered = asked.iter().filter(|pattern| !granted.iter().any(|grant| grant.covers(pattern)));
            uncovered.map(|pattern| format!("{verb} {pattern}")).collect()
        };
        let mut withheld = missing(&descriptor.publishes, &self.publish, "publish");
        withheld.extend(missing(&descriptor.subscribes, &self.subscribe, "subscribe"));
        withheld
    }
}

fn config(descriptor: &Descriptor, sidecar: &Sidecar) -> Result<BTreeMap<String, String>, Mismatch> {
    let defaults = descriptor.config.iter();
    let mut config: BTreeMap<_, _> =
        defaults.filter_map(|key| Some((key.name.clone(), key.default.clone()?))).collect();
    for (name, value) in &sidecar.config {
        if !descriptor.config.iter().any(|key| key.name == *name) {
            return Err(Mismatch::UnknownKey(name.clone()));
        }
        config.insert(name.clone(), value.clone());
    }
    Ok(config)
}

fn subscriptions(
    descriptor: &Descriptor,
    sidecar: &Sidecar,
    limits: &Limits,
    defaults: &Defaults,
) -> Result<Vec<(String, Definition)>, Mismatch> {
    let declared = |name: &String| descriptor.subscriptions.iter().any(|subscription| subscription.name == *name);
    if let Some(unknown) = sidecar.subscriptions.keys().find(|name| !declared(name)) {
        return Err(Mismatch::UnknownSubscription(unknown.clone()));
    }
    let none = SubscriptionOverrides::default();
    let definition = |subscription: &descriptor::Subscription| {
        let overrides = sidecar.subscriptions.get(&subscription.name).unwrap_or(&none);
        let definition = definition(&descriptor.name, subscription, overrides, limits, defaults)?;
        Ok((subscription.name.clone(), definition))
    };
    descriptor.subscriptions.iter().map(definition).collect()
}

fn definition(
    plugin: &str,
    subscription: &descriptor::Subscription,
    overrides: &SubscriptionOverrides,
    limits: &Limits,
    defaults: &Defaults,
) -> Result<Definition, Mismatch> {
    let mut retry = subscription.retry.clone();
    retry.attempts = overrides.attempts.unwrap_or(retry.attempts);
    retry.first_delay = overrides.first_delay.unwrap_or(retry.first_delay);
    retry.max_delay = overrides.max_delay.unwrap_or(retry.max_delay);
    if let Some(factor) = overrides.factor_percent {
        if !(100..=10_000).contains(&factor) {
            return Err(Mismatch::Factor(subscription.name.clone()));
        }
        retry.factor_percent = factor;
    }
    let concurrency = overrides.concurrency.or(subscription.concurrency);
    let timeout = overrides.timeout.or(subscription.timeout).unwrap_or(limits.timeout);
    Ok(Definition {
        pattern: subscription.pattern.clone(),
        target: Target::Plugin(plugin.to_owned()),
        concurrency: concurrency.unwrap_or(defaults.subscription_concurrency),
        ordering_key: subscription.ordering_key.clone(),
        retry,
        // The plugin's own wish never passes the limit that it was given.
        timeout: timeout.min(limits.timeout),
    })
}
