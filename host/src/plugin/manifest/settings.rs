//! The settings of a generation: its descriptor combined with its sidecar.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use super::descriptor::{self, Descriptor, Route};
use super::limits::Limits;
use super::mismatch::Mismatch;
use super::sidecar::{Sidecar, SubscriptionOverrides};
use super::swap_rules::{CanaryRule, RollbackRule};
use crate::pattern::Pattern;
use crate::secrecy::Values;
use crate::subscription::{Declaration, Definition, PublishLimits, Start, Target};

/// Defaults for every plugin.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Limits of one invocation.
    pub limits: Limits,
    /// Concurrency of a subscription.
    pub subscription_concurrency: NonZeroU32,
    /// Concurrent invocations of one plugin.
    pub plugin_concurrency: NonZeroU32,
    /// The most linear memory that a sidecar may grant, in bytes.
    pub max_memory_bytes: usize,
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("the defaults below are not zero")
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            subscription_concurrency: count(16),
            plugin_concurrency: count(32),
            max_memory_bytes: 512 << 20,
        }
    }
}

/// The settings of one generation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of one invocation.
    pub limits: Limits,
    /// How many invocations run at the same time.
    pub concurrency: NonZeroU32,
    /// How many invocations one instance may serve.
    pub calls_per_instance: NonZeroU32,
    /// How many deliveries one instance may handle in a row, by subscription, where more than one.
    pub deliveries_per_instance: BTreeMap<String, NonZeroU32>,
    /// Event types that it may publish.
    pub publish: Vec<Pattern>,
    /// Event types that it may subscribe to at run time.
    pub subscribe: Vec<Pattern>,
    /// Hosts that its webhooks may go to.
    pub webhooks: Vec<String>,
    /// Hosts that it may send requests to.
    pub http: Vec<String>,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// The canary that must pass before it takes over.
    pub canary: Option<CanaryRule>,
    /// When it is rolled back automatically.
    pub rollback: Option<RollbackRule>,
    /// The values of its configuration.
    pub config: Values,
    /// Its declared subscriptions, and those schedules whose events it may publish.
    pub declared: Declaration,
    /// Concurrency of subscriptions that it makes at run time.
    pub subscription_concurrency: NonZeroU32,
}

impl Settings {
    /// Combines a descriptor with a sidecar.
    ///
    /// # Errors
    /// If the sidecar does not match the plugin.
    pub fn new(descriptor: &Descriptor, sidecar: &Sidecar, defaults: &Defaults) -> Result<Self, Mismatch> {
        let mut limits = defaults.limits;
        if let Some(memory_bytes) = sidecar.limits.memory_bytes {
            if memory_bytes > defaults.max_memory_bytes {
                return Err(Mismatch::TooMuchMemory(memory_bytes, defaults.max_memory_bytes));
            }
            limits.memory_bytes = memory_bytes;
        }
        limits.timeout = sidecar.limits.timeout.unwrap_or(limits.timeout);
        if limits.timeout.is_zero() {
            return Err(Mismatch::NoTime);
        }
        if let Some(rule) = sidecar.rollback.filter(|rule| !(1..=100).contains(&rule.failures_percent)) {
            return Err(Mismatch::Percent(rule.failures_percent));
        }
        if let Some(rule) = sidecar.canary.filter(|rule| rule.events > CanaryRule::MAX_EVENTS) {
            return Err(Mismatch::TooManyEvents(rule.events));
        }
        let declared = |grant: &String| descriptor.routes.iter().any(|route| route.to_string() == *grant);
        if let Some(unknown) = sidecar.grants.routes.iter().find(|grant| !declared(grant)) {
            return Err(Mismatch::UnknownRoute(unknown.clone()));
        }
        let publish = sidecar.grants.publish.clone().unwrap_or_else(|| descriptor.publishes.clone());
        let granted = |event_type: &str| publish.iter().any(|pattern| pattern.matches(event_type));
        let schedules = descriptor.schedules.iter().filter(|(_, schedule)| granted(&schedule.event_type));
        let declared = Declaration {
            subscriptions: subscriptions(descriptor, sidecar, &limits, defaults)?,
            schedules: schedules.cloned().collect(),
            limits: PublishLimits {
                backlog: sidecar.limits.max_backlog.map(NonZeroU64::get),
                log_bytes: sidecar.limits.max_log_bytes.map(NonZeroU64::get),
            },
        };
        Ok(Self {
            limits,
            concurrency: sidecar.limits.concurrency.unwrap_or(defaults.plugin_concurrency),
            calls_per_instance: sidecar.limits.calls_per_instance.unwrap_or(NonZeroU32::MIN),
            deliveries_per_instance: deliveries_per_instance(sidecar),
            subscription_concurrency: defaults.subscription_concurrency,
            publish,
            subscribe: sidecar.grants.subscribe.clone().unwrap_or_else(|| descriptor.subscribes.clone()),
            webhooks: sidecar.grants.webhooks.clone(),
            http: sidecar.grants.http.clone(),
            sidecar: sidecar.clone(),
            canary: sidecar.canary,
            rollback: sidecar.rollback,
            config: config(descriptor, sidecar)?.into(),
            declared,
        })
    }

    /// Whether the sidecar lets a route take requests from another plugin's route.
    #[must_use]
    pub fn grants_route(&self, route: &Route) -> bool {
        self.sidecar.grants.routes.contains(&route.to_string())
    }

    /// The requests of the plugin that are not granted.
    #[must_use]
    pub fn withheld(&self, descriptor: &Descriptor) -> Vec<String> {
        let missing = |asked: &[Pattern], granted: &[Pattern], verb: &str| -> Vec<String> {
            let uncovered = asked.iter().filter(|pattern| !granted.iter().any(|grant| grant.covers(pattern)));
            uncovered.map(|pattern| format!("{verb} {pattern}")).collect()
        };
        let mut withheld = missing(&descriptor.publishes, &self.publish, "publish");
        withheld.extend(missing(&descriptor.subscribes, &self.subscribe, "subscribe"));
        let missing = descriptor
            .schedules
            .iter()
            .filter(|(name, _)| !self.declared.schedules.iter().any(|(granted, _)| granted == name));
        withheld.extend(
            missing.map(|(name, schedule)| format!("schedule {name}, which publishes {}", schedule.event_type)),
        );
        withheld
    }
}

fn deliveries_per_instance(sidecar: &Sidecar) -> BTreeMap<String, NonZeroU32> {
    let rules = sidecar.subscriptions.iter();
    rules.filter_map(|(name, rules)| Some((name.clone(), rules.deliveries_per_instance?))).collect()
}

fn config(descriptor: &Descriptor, sidecar: &Sidecar) -> Result<BTreeMap<String, String>, Mismatch> {
    let defaults = descriptor.config.iter();
    let mut config: BTreeMap<_, _> =
        defaults.filter_map(|key| Some((key.name.clone(), key.default.clone()?))).collect();
    for (name, value) in sidecar.config.iter() {
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
) -> Result<Vec<(String, Definition, Start)>, Mismatch> {
    let declared = |name: &String| descriptor.subscriptions.iter().any(|subscription| subscription.name == *name);
    if let Some(unknown) = sidecar.subscriptions.keys().find(|name| !declared(name)) {
        return Err(Mismatch::UnknownSubscription(unknown.clone()));
    }
    let none = SubscriptionOverrides::default();
    let definition = |subscription: &descriptor::Subscription| {
        let overrides = sidecar.subscriptions.get(&subscription.name).unwrap_or(&none);
        let definition = definition(&descriptor.name, subscription, overrides, limits, defaults)?;
        Ok((subscription.name.clone(), definition, subscription.start))
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
    let retry = overrides.retry(subscription.retry.clone());
    let retry = retry.map_err(|invalid| Mismatch::Rule(subscription.name.clone(), invalid))?;
    let concurrency = overrides.concurrency.or(subscription.concurrency);
    let timeout = overrides.timeout.or(subscription.timeout).unwrap_or(limits.timeout);
    Ok(Definition {
        pattern: subscription.pattern.clone(),
        filters: subscription.filters.clone(),
        target: Target::Plugin(plugin.to_owned()),
        concurrency: concurrency.unwrap_or(defaults.subscription_concurrency),
        ordering_key: subscription.ordering_key.clone(),
        dead_letter_policy: overrides.dead_letter_policy.unwrap_or(subscription.dead_letter_policy),
        retry,
        max_backlog: overrides.max_backlog.map(NonZeroU64::get).or(subscription.max_backlog),
        // A subscription's timeout never exceeds the plugin's limit.
        timeout: timeout.min(limits.timeout),
    })
}
