//! The settings of a generation: its descriptor combined with its sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use super::config_value::ConfigValue;
use super::cors::CorsPolicy;
use super::descriptor::{self, Descriptor, Route};
use super::labelled_imports::ImportSettings;
use super::limits::{Limits, MAX_TIMEOUT, MIN_MEMORY_BYTES};
use super::sidecar::{Sidecar, SubscriptionOverrides};
use super::sidecar_error::SidecarError;
use super::swap_rules::{CanaryRule, RollbackRule};
use crate::endpoint::HostGrants;
use crate::networks::{GrantedNetworks, NamedNetworks};
use crate::pattern::Pattern;
use crate::secrecy::{SecretMask, Values};
use crate::secrets::SecretStore;
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
    /// The largest linear memory that a sidecar may grant, in bytes.
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
    /// How many deliveries one instance may handle in a row, by subscription. A subscription without an entry has 1.
    pub deliveries_per_instance: BTreeMap<String, NonZeroU32>,
    /// Event types that it may publish.
    pub publish: Vec<Pattern>,
    /// Event types that it may subscribe to at run time.
    pub subscribe: Vec<Pattern>,
    /// Hosts that its webhooks may go to.
    pub webhooks: HostGrants,
    /// Hosts that it may send requests to.
    pub http: HostGrants,
    /// The CORS rules for its routes. At most one applies to a route.
    pub cors: Vec<Arc<CorsPolicy>>,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// The canary that must pass before it takes over.
    pub canary: Option<CanaryRule>,
    /// When it is rolled back automatically.
    pub rollback: Option<RollbackRule>,
    /// The values of its configuration.
    pub config: Values,
    /// The settings of its labelled imports.
    pub(crate) imports: ImportSettings,
    /// Hides the secrets of its configuration in log lines and reasons of failures.
    pub mask: SecretMask,
    /// Its declared subscriptions, and those schedules whose events it may publish.
    pub declared: Declaration,
    /// Concurrency of subscriptions that it makes at run time.
    pub subscription_concurrency: NonZeroU32,
}

/// What the host's configuration gives to plugins.
#[derive(Clone, Debug, Default)]
pub struct HostSettings {
    /// Defaults for every plugin.
    pub defaults: Defaults,
    /// The networks that sidecars may grant by name.
    pub networks: NamedNetworks,
    /// The secrets that sidecars may refer to.
    pub secrets: SecretStore,
}

impl From<Defaults> for HostSettings {
    fn from(defaults: Defaults) -> Self {
        Self { defaults, ..Self::default() }
    }
}

impl Settings {
    /// Combines a descriptor with a sidecar. Reads the secrets that the sidecar refers to, so it may block.
    ///
    /// # Errors
    /// If the sidecar does not match the plugin, or a secret cannot be read.
    pub fn new(descriptor: &Descriptor, sidecar: &Sidecar, host: &HostSettings) -> Result<Self, SidecarError> {
        let defaults = &host.defaults;
        let limits = limits(sidecar, defaults)?;
        check_swap_rules(sidecar)?;
        let declared = |grant: &String| descriptor.routes.iter().any(|route| route.to_string() == *grant);
        if let Some(unknown) = sidecar.grants.routes.iter().find(|grant| !declared(grant)) {
            return Err(SidecarError::UnknownRoute(unknown.clone()));
        }
        let cors = CorsPolicy::check(&sidecar.cors, &descriptor.routes);
        let cors = cors.map_err(|(index, error)| SidecarError::Cors(index, error))?;
        let publish = sidecar.grants.publish.clone().unwrap_or_else(|| descriptor.publishes.clone());
        let granted = |event_type: &str| publish.iter().any(|pattern| pattern.matches(event_type));
        let schedules = descriptor.schedules.iter().filter(|(_, schedule)| granted(&schedule.event_type));
        let declared = Declaration {
            subscriptions: subscriptions(descriptor, sidecar, &limits, defaults)?,
            schedules: schedules.cloned().collect(),
            limits: PublishLimits {
                waiting_events: sidecar.limits.max_waiting_events.map(NonZeroU64::get),
                log_bytes: sidecar.limits.max_log_bytes.map(NonZeroU64::get),
            },
        };
        let networks = networks(sidecar, &host.networks)?;
        let config = config(descriptor, sidecar, &host.secrets)?;
        let imports = ImportSettings::new(&sidecar.imports, &host.secrets)?;
        Ok(Self {
            limits,
            concurrency: sidecar.limits.concurrency.unwrap_or(defaults.plugin_concurrency),
            calls_per_instance: sidecar.limits.calls_per_instance.unwrap_or(NonZeroU32::MIN),
            deliveries_per_instance: deliveries_per_instance(sidecar),
            subscription_concurrency: defaults.subscription_concurrency,
            publish,
            subscribe: sidecar.grants.subscribe.clone().unwrap_or_else(|| descriptor.subscribes.clone()),
            webhooks: HostGrants { hosts: sidecar.grants.webhooks.clone(), networks: networks.clone() },
            http: HostGrants { hosts: sidecar.grants.http.clone(), networks },
            cors: cors.into_iter().map(Arc::new).collect(),
            sidecar: sidecar.clone(),
            canary: sidecar.canary,
            rollback: sidecar.rollback,
            mask: SecretMask::of(std::iter::once(&config).chain(imports.all_values())),
            config,
            imports,
            declared,
        })
    }

    /// The CORS rule for a route, if there is one.
    #[must_use]
    pub fn cors_policy(&self, route: &Route) -> Option<&Arc<CorsPolicy>> {
        self.cors.iter().find(|policy| policy.routes.contains(route))
    }

    /// Whether an `OPTIONS` route exists only because the sidecar routes every method of its path to the plugin.
    #[must_use]
    pub fn has_implicit_options(&self, route: &Route) -> bool {
        let every_method = |line: &String| line.strip_prefix("* ").is_some_and(|path| path.trim() == route.path);
        self.sidecar.routes.iter().any(every_method)
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

fn limits(sidecar: &Sidecar, defaults: &Defaults) -> Result<Limits, SidecarError> {
    let mut limits = defaults.limits;
    match sidecar.limits.memory_bytes {
        None => {}
        Some(bytes) if bytes < MIN_MEMORY_BYTES => return Err(SidecarError::TooLittleMemory(bytes)),
        Some(bytes) if bytes > defaults.max_memory_bytes => {
            return Err(SidecarError::TooMuchMemory(bytes, defaults.max_memory_bytes));
        }
        Some(bytes) => limits.memory_bytes = bytes,
    }
    limits.timeout = sidecar.limits.timeout.unwrap_or(limits.timeout);
    match limits.timeout {
        Duration::ZERO => Err(SidecarError::NoTime),
        timeout if timeout > MAX_TIMEOUT => Err(SidecarError::TooMuchTime(timeout)),
        _ => Ok(limits),
    }
}

fn check_swap_rules(sidecar: &Sidecar) -> Result<(), SidecarError> {
    if let Some(rule) = &sidecar.rollback {
        if !(1..=100).contains(&rule.failures_percent) {
            return Err(SidecarError::Percent(rule.failures_percent));
        }
        if rule.window.is_zero() {
            return Err(SidecarError::NoWindow);
        }
    }
    if let Some(rule) = &sidecar.canary {
        if rule.events == 0 {
            return Err(SidecarError::NoEvents);
        }
        if rule.events > CanaryRule::MAX_EVENTS {
            return Err(SidecarError::TooManyEvents(rule.events));
        }
        if rule.min_conclusive > rule.events {
            return Err(SidecarError::Inconclusive(rule.min_conclusive, rule.events));
        }
    }
    Ok(())
}

fn deliveries_per_instance(sidecar: &Sidecar) -> BTreeMap<String, NonZeroU32> {
    let rules = sidecar.subscriptions.iter();
    rules.filter_map(|(name, rules)| Some((name.clone(), rules.deliveries_per_instance?))).collect()
}

fn networks(sidecar: &Sidecar, named: &NamedNetworks) -> Result<GrantedNetworks, SidecarError> {
    let grants = &sidecar.grants.networks;
    named.check(grants).map_err(SidecarError::UnknownNetwork)?;
    Ok(GrantedNetworks::Granted(grants.as_slice().into()))
}

fn config(descriptor: &Descriptor, sidecar: &Sidecar, store: &SecretStore) -> Result<Values, SidecarError> {
    let defaults = descriptor.config.iter();
    let mut config: BTreeMap<_, _> =
        defaults.filter_map(|key| Some((key.name.clone(), key.default.clone()?))).collect();
    let mut secrets = BTreeSet::new();
    for (name, value) in sidecar.config.iter() {
        if !descriptor.config.iter().any(|key| key.name == *name) {
            return Err(SidecarError::UnknownKey(name.clone()));
        }
        let value = match value {
            ConfigValue::Text(text) => text.clone(),
            ConfigValue::Secret(source) => {
                secrets.insert(name.clone());
                store.read(source).map_err(|error| SidecarError::Secret(name.clone(), error))?
            }
        };
        config.insert(name.clone(), value);
    }
    Ok(Values::new(config, secrets))
}

fn subscriptions(
    descriptor: &Descriptor,
    sidecar: &Sidecar,
    limits: &Limits,
    defaults: &Defaults,
) -> Result<Vec<(String, Definition, Start)>, SidecarError> {
    let declared = |name: &String| descriptor.subscriptions.iter().any(|subscription| subscription.name == *name);
    if let Some(unknown) = sidecar.subscriptions.keys().find(|name| !declared(name)) {
        return Err(SidecarError::UnknownSubscription(unknown.clone()));
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
) -> Result<Definition, SidecarError> {
    let retry = overrides.retry(subscription.retry.clone());
    let retry = retry.map_err(|invalid| SidecarError::Rule(subscription.name.clone(), invalid))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::bindings::exports::sandbus::plugin::descriptor as wire;
    use crate::plugin::bindings::sandbus::plugin::rules;

    fn descriptor(retry: Option<rules::RetryPolicy>) -> Result<Descriptor, descriptor::ValidationError> {
        let subscription = wire::Subscription {
            name: "a".into(),
            pattern: "a".into(),
            filters: None,
            start: None,
            concurrency: None,
            ordering_key: None,
            dead_letter_policy: None,
            max_backlog: None,
            retry,
            timeout_ms: None,
        };
        let raw = wire::Descriptor {
            name: "p".into(),
            version: "1".into(),
            description: None,
            routes: Vec::new(),
            subscriptions: vec![subscription],
            schedules: Vec::new(),
            publishes: Vec::new(),
            subscribes: Vec::new(),
            config: Vec::new(),
        };
        Descriptor::check(raw, crate::clock::Timestamp(0))
    }

    fn settings(sidecar: &str) -> Result<Settings, String> {
        let sidecar = Sidecar::parse(sidecar)?;
        let settings = Settings::new(&descriptor(None).unwrap(), &sidecar, &HostSettings::default());
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn values_that_would_stop_a_plugin_or_have_no_effect_are_refused() {
        for sidecar in [
            "",
            "[limits]\nmemory_bytes = 65536\ntimeout = \"24h\"",
            "[rollback]",
            "[canary]\nevents = 1",
            "[canary]\nmin_conclusive = 0",
            "[subscriptions.a]\nmax_attempts = 1\nconcurrency = 1024\nbackoff_multiplier = 1.0\njitter = 0.0",
            "[subscriptions.a]\ninitial_delay = \"1s\"\nmax_delay = \"1s\"",
            "[subscriptions.a]\ninitial_delay = \"0s\"",
        ] {
            assert!(settings(sidecar).is_ok(), "{sidecar}");
        }
        for (sidecar, words) in [
            ("[limits]\nmemory_bytes = 0", "at least 65536"),
            ("[limits]\nmemory_bytes = 65535", "at least 65536"),
            ("[limits]\nmemory_bytes = 1099511627776", "max_memory_bytes"),
            ("[limits]\ntimeout = \"0s\"", "timeout is zero"),
            ("[limits]\ntimeout = \"25h\"", "the limit is 1day"),
            ("[limits]\ntimeout = \"500000000000y\"", "the limit is 1day"),
            ("[limits]\nconcurrency = 0", "concurrency"),
            ("[limits]\ncalls_per_instance = 0", "calls_per_instance"),
            ("[limits]\nmax_backlog = 0", "max_backlog"),
            ("[limits]\nmax_log_bytes = 0", "max_log_bytes"),
            ("[grants]\nnetworks = [\"compose\"]", "sandbus.toml does not name"),
            ("[grants]\nnetworks = [\"10.0.0.1/8\"]", "the network is 10.0.0.0/8"),
            ("[rollback]\nfailures_percent = 0", "from 1 to 100"),
            ("[rollback]\nfailures_percent = 101", "from 1 to 100"),
            ("[rollback]\nwindow = \"0s\"", "rollback.window is zero"),
            ("[canary]\nevents = 0", "canary.events is zero"),
            ("[canary]\nevents = 10001", "canary.events is 10001"),
            ("[canary]\nevents = 5\nmin_conclusive = 6", "min_conclusive is 6"),
            ("[subscriptions.a]\nmax_attempts = 0", "max_attempts"),
            ("[subscriptions.a]\nconcurrency = 0", "concurrency"),
            ("[subscriptions.a]\nconcurrency = 1025", "concurrency is not from 1 to 1024"),
            ("[subscriptions.a]\ndeliveries_per_instance = 0", "deliveries_per_instance"),
            ("[subscriptions.a]\nmax_backlog = 0", "max_backlog"),
            ("[subscriptions.a]\ntimeout = \"0s\"", "timeout is zero"),
            ("[subscriptions.a]\nbackoff_multiplier = 0.9", "backoff_multiplier"),
            ("[subscriptions.a]\nbackoff_multiplier = 101.0", "backoff_multiplier"),
            ("[subscriptions.a]\njitter = 1.1", "jitter"),
            ("[subscriptions.a]\njitter = -0.1", "jitter"),
            ("[subscriptions.a]\nnon_retryable = [\"rejected\"]", "unknown cause `rejected`"),
            ("[subscriptions.a]\ninitial_delay = \"1h\"", "max_delay, 5m"),
            ("[subscriptions.a]\nmax_delay = \"100ms\"", "max_delay, 100ms"),
            ("[subscriptions.a]\nmax_delay = \"101y\"", "max_delay is too long"),
            (
                "[subscriptions.a]\ninitial_delay = \"2s\"\nmax_delay = \"1s\"",
                "max_delay, 1s, is shorter than its initial_delay, 2s",
            ),
        ] {
            let refused = settings(sidecar).map(drop);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{sidecar}: {refused:?}");
        }
    }

    #[test]
    fn the_delays_of_a_descriptor_must_fit() {
        let policy = |first_delay_ms, max_delay_ms| {
            let raw = rules::RetryPolicy {
                attempts: None,
                first_delay_ms,
                max_delay_ms,
                factor_percent: None,
                jitter_percent: None,
                permanent: Vec::new(),
            };
            descriptor(Some(raw)).map(|descriptor| {
                let retry = &descriptor.subscriptions[0].retry;
                (retry.initial_delay.as_millis(), retry.max_delay.as_millis())
            })
        };
        for (first, max, expected) in
            [(None, None, (500, 300_000)), (Some(100), None, (100, 300_000)), (Some(100), Some(100), (100, 100))]
        {
            assert_eq!(policy(first, max).unwrap(), expected, "{first:?} {max:?}");
        }
        assert!(policy(Some(300_001), None).is_err() && policy(None, Some(499)).is_err());
        let most = u64::try_from(crate::clock::MAX_DELAY.as_millis()).unwrap();
        assert!(policy(Some(most), Some(most)).is_ok());
        for (first, max, name) in [
            (Some(most + 1), Some(u64::MAX), "initial_delay"),
            (None, Some(most + 1), "max_delay"),
            (None, Some(u64::MAX), "max_delay"),
        ] {
            let refused = policy(first, max).unwrap_err().to_string();
            assert!(refused.contains(&format!("its {name} is too long: the longest delay is")), "{refused}");
        }
        assert!(policy(Some(101), Some(100)).unwrap_err().to_string().contains("shorter than its initial_delay"));
    }
}
