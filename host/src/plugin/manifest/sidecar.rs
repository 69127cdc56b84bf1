//! The sidecar: the operator's `NAME.toml` next to `NAME.wasm`. It takes precedence over the descriptor.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::config_value::{ConfigValue, ConfigValues};
use super::cors::CorsRule;
use super::descriptor::METHODS;
use super::labelled_imports::{self, ImportRules, LabelledImport};
use super::limits::MIN_MEMORY_BYTES;
use super::sidecar_error::SidecarError;
use super::subscription_rules;
use super::swap_rules::{CanaryRule, RollbackRule};
use crate::networks::NetworkGrant;
use crate::pattern::Pattern;
use crate::percent::Percent;
use crate::plugin::bindings::exports::sandbus::plugin::descriptor as wire;
use crate::secrecy::placeholder;
use crate::secrets::SecretSource;
use crate::subscription::{DeadLetterPolicy, RetryPolicy};
use crate::toml_file;

/// A sidecar. Unknown keys are refused, because a misspelt limit would have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(description = "The sidecar of a Sandbus plugin: its configuration, limits and grants.")]
pub struct Sidecar {
    /// Whether the plugin is enabled, which is the default.
    pub enabled: Option<bool>,
    /// The name of a plugin that does not describe itself. Defaults to the name of the file.
    pub name: Option<String>,
    /// The routes of a component that serves `wasi:http` and does not describe itself, such as `GET /hello`. For every
    /// method write `* /api/{*path}`.
    pub routes: Vec<String>,
    /// Values for its configuration keys: texts, or where secrets are read from.
    #[schemars(with = "BTreeMap<String, super::config_value::ConfigValueForm>")]
    pub config: ConfigValues,
    /// The settings of imports that the component has given a label of its own, by label.
    pub imports: BTreeMap<String, ImportRules>,
    /// Limits of the plugin.
    pub limits: LimitOverrides,
    /// Grants of the plugin.
    pub grants: Grants,
    /// Rules for pages of other origins in browsers.
    pub cors: Vec<CorsRule>,
    /// The canary that must pass before a new file takes over.
    pub canary: Option<CanaryRule>,
    /// When a new generation is rolled back automatically.
    pub rollback: Option<RollbackRule>,
    /// Overrides for its subscriptions, by name.
    pub subscriptions: BTreeMap<String, SubscriptionOverrides>,
    /// The name of the component's file, without its extension.
    #[serde(skip)]
    pub stem: String,
}

/// The source of a component's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DescriptionSource {
    /// The component describes itself.
    Component,
    /// The sidecar describes it, because the component was not built for Sandbus.
    Sidecar {
        /// Whether it serves `wasi:http`.
        serves: bool,
        /// Whether it handles messages.
        receives: bool,
    },
}

/// Limits of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOverrides {
    /// Linear memory of one invocation, in bytes.
    #[schemars(range(min = MIN_MEMORY_BYTES))]
    pub memory_bytes: Option<usize>,
    /// Time for one invocation.
    #[serde(with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::PositiveDurationText>")]
    pub timeout: Option<Duration>,
    /// How many invocations of the plugin run at the same time.
    pub concurrency: Option<NonZeroU32>,
    /// The maximum number of events published by the plugin that wait, are delayed or are dead letters. Beyond it, its
    /// handlers may not publish.
    #[serde(rename = "max_backlog")]
    pub max_waiting_events: Option<NonZeroU64>,
    /// How many bytes the plugin's events may have. Beyond this, its handlers may not publish.
    pub max_log_bytes: Option<NonZeroU64>,
    /// How many invocations one instance may serve, of any handler; 1 by default.
    pub calls_per_instance: Option<NonZeroU32>,
}

/// The grants of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Event types that it may publish. Defaults to those that it requests.
    pub publish: Option<Vec<Pattern>>,
    /// Event types that it may subscribe to at run time. Defaults to those that it requests.
    pub subscribe: Option<Vec<Pattern>>,
    /// Routes that may take requests from other plugins' routes, such as `GET /hello`. Defaults to none.
    pub routes: Vec<String>,
    /// Servers that its webhooks may address, as `host`, `host:port` or `*.domain`. Defaults to none.
    #[serde(deserialize_with = "crate::endpoint::deserialize_grants")]
    #[schemars(inner(regex(pattern = crate::endpoint::GRANT_PATTERN)))]
    pub webhooks: Vec<String>,
    /// Servers that it may send requests to, as `host`, `host:port` or `*.domain`. Defaults to none.
    #[serde(deserialize_with = "crate::endpoint::deserialize_grants")]
    #[schemars(inner(regex(pattern = crate::endpoint::GRANT_PATTERN)))]
    pub http: Vec<String>,
    /// Private networks to which the names of these servers may resolve: ranges such as `10.0.0.0/8`, or names in
    /// `[outbound.networks]` of sandbus.toml. Defaults to none.
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<NetworkGrant>,
}

/// Overrides for one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriptionOverrides {
    /// The pattern of event types, for a component that does not describe itself.
    pub pattern: Option<Pattern>,
    /// The ordering key of a component that does not describe itself: an attribute, or a JSON pointer into the data.
    pub ordering_key: Option<String>,
    /// How many deliveries may be in flight at the same time.
    #[schemars(range(min = 1, max = subscription_rules::MAX_CONCURRENCY))]
    pub concurrency: Option<NonZeroU32>,
    /// How many consecutive deliveries of this subscription may share one instance; 1 by default.
    pub deliveries_per_instance: Option<NonZeroU32>,
    /// The number of attempts before a delivery becomes a dead letter.
    pub max_attempts: Option<NonZeroU32>,
    /// The delay before the second attempt.
    #[serde(with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::DurationText>")]
    pub initial_delay: Option<Duration>,
    /// The factor between one delay and the next, from 1.0 to 100.0.
    #[serde(with = "crate::percent::option")]
    #[schemars(with = "Option<f64>", range(min = 1, max = 100))]
    pub backoff_multiplier: Option<Percent>,
    /// The longest delay between two attempts.
    #[serde(with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::DurationText>")]
    pub max_delay: Option<Duration>,
    /// The random share of each delay, from 0.0 to 1.0.
    #[serde(with = "crate::percent::option")]
    #[schemars(with = "Option<f64>", range(min = 0, max = 1))]
    pub jitter: Option<Percent>,
    /// Causes of failure that are not retried.
    #[schemars(with = "Option<Vec<crate::failure::RetriableCause>>")]
    pub non_retryable: Option<Vec<String>>,
    /// The effect of a dead letter on later events with the same ordering key.
    pub dead_letter_policy: Option<DeadLetterPolicy>,
    /// The backlog of the subscription beyond which publishers are refused.
    pub max_backlog: Option<NonZeroU64>,
    /// Time for one invocation.
    #[serde(with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::PositiveDurationText>")]
    pub timeout: Option<Duration>,
}

impl SubscriptionOverrides {
    /// A key that may be set only for a component that does not describe itself, if one is set.
    fn describes(&self) -> Option<&'static str> {
        let keys = [("pattern", self.pattern.is_some()), ("ordering_key", self.ordering_key.is_some())];
        keys.into_iter().find_map(|(key, is_given)| is_given.then_some(key))
    }

    /// Validates the overrides, and applies them to a retry policy.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn retry(&self, mut policy: RetryPolicy) -> Result<RetryPolicy, subscription_rules::ValidationError> {
        subscription_rules::concurrency(self.concurrency.map(NonZeroU32::get))?;
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(subscription_rules::ValidationError::Timeout);
        }
        policy.max_attempts = self.max_attempts.unwrap_or(policy.max_attempts);
        policy.initial_delay = self.initial_delay.unwrap_or(policy.initial_delay);
        policy.max_delay = self.max_delay.unwrap_or(policy.max_delay);
        policy.backoff_multiplier = self.backoff_multiplier.unwrap_or(policy.backoff_multiplier);
        policy.jitter = self.jitter.unwrap_or(policy.jitter);
        if let Some(causes) = &self.non_retryable {
            policy.non_retryable = subscription_rules::non_retryable(causes.iter().cloned())?;
        }
        subscription_rules::check_retry(&policy)?;
        Ok(policy)
    }
}

impl Sidecar {
    /// Checks that the settings of imports fit the labelled imports of the component.
    pub(crate) fn check_imports(&self, imports: &[LabelledImport]) -> Result<(), SidecarError> {
        labelled_imports::check(&self.imports, imports)
    }

    /// The JSON Schema of a sidecar.
    pub(crate) fn schema() -> serde_json::Value {
        toml_file::schema::<Self>("Sandbus sidecar")
    }

    /// Parses a sidecar.
    ///
    /// # Errors
    /// The fault and its line. Values are not repeated, because they may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml_file::parse(text).map_err(|malformed| malformed.to_string())
    }

    /// The text of a sidecar that enables or disables the plugin, and is otherwise unchanged.
    ///
    /// # Errors
    /// If the text is not a sidecar.
    pub fn with_enabled(text: &str, is_enabled: bool) -> Result<String, String> {
        let present = Self::parse(text)?.enabled.unwrap_or(true);
        let value = if is_enabled { "true" } else { "false" };
        Ok(if present == is_enabled { text.to_owned() } else { toml_file::with_top_level(text, "enabled", value) })
    }

    /// The sidecar for a run without the host's secrets and networks, such as a scenario: placeholders take the place
    /// of secrets.
    #[must_use]
    pub fn without_host(mut self) -> Self {
        let of_imports = self.imports.values_mut().filter_map(|rules| rules.config.as_mut());
        for (name, value) in std::iter::once(&mut self.config).chain(of_imports).flat_map(|config| config.iter_mut()) {
            if matches!(value, ConfigValue::Secret(_)) {
                *value = ConfigValue::Text(placeholder(name));
            }
        }
        self.grants.networks.clear();
        self
    }

    /// Where the secrets in its values come from.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let of_imports = self.imports.values().filter_map(|rules| rules.config.as_ref());
        std::iter::once(&self.config).chain(of_imports).flat_map(ConfigValues::secrets)
    }

    /// Merges another sidecar into this one, which takes precedence. Configuration, imports and subscriptions are
    /// merged key by key.
    #[must_use]
    pub fn over(mut self, under: &Self) -> Self {
        fn part<T: Clone + Default + PartialEq>(own: T, under: &T) -> T {
            if own == T::default() { under.clone() } else { own }
        }
        let config = under.config.iter().map(|(key, value)| (key.clone(), value.clone()));
        let rules = under.subscriptions.iter().map(|(name, rules)| (name.clone(), rules.clone()));
        let imports = under.imports.iter().map(|(label, rules)| (label.clone(), rules.clone()));
        self.config = config.chain(self.config).collect();
        self.imports = imports.chain(self.imports).collect();
        self.subscriptions = rules.chain(self.subscriptions).collect();
        Self {
            enabled: part(self.enabled, &under.enabled),
            name: part(self.name, &under.name),
            routes: part(self.routes, &under.routes),
            limits: part(self.limits, &under.limits),
            grants: part(self.grants, &under.grants),
            cors: part(self.cors, &under.cors),
            canary: part(self.canary, &under.canary),
            rollback: part(self.rollback, &under.rollback),
            ..self
        }
    }

    /// Checks that the sidecar describes the plugin if and only if the component does not describe itself.
    pub(crate) fn check_description(&self, source: DescriptionSource) -> Result<(), SidecarError> {
        let mut subscriptions = self.subscriptions.iter();
        match source {
            DescriptionSource::Component if self.name.is_some() => Err(SidecarError::Described("name")),
            DescriptionSource::Component if !self.routes.is_empty() => Err(SidecarError::Described("routes")),
            DescriptionSource::Component => match subscriptions.find_map(|(_, rules)| rules.describes()) {
                Some(key) => Err(SidecarError::Described(key)),
                None => Ok(()),
            },
            DescriptionSource::Sidecar { serves: true, receives: false } if self.routes.is_empty() => {
                Err(SidecarError::NoRoutes)
            }
            DescriptionSource::Sidecar { .. } if self.routes.is_empty() && self.subscriptions.is_empty() => {
                Err(SidecarError::NoSubscriptions)
            }
            DescriptionSource::Sidecar { .. } => match subscriptions.find(|(_, rules)| rules.pattern.is_none()) {
                Some((name, _)) => Err(SidecarError::NoPattern(name.clone())),
                None => Ok(()),
            },
        }
    }

    /// The sidecar without the part that does not match its plugin; `None` if nothing can be removed.
    pub(crate) fn without(&self, error: &SidecarError) -> Option<Self> {
        let mut rest = self.clone();
        match error {
            SidecarError::UnknownSubscription(name) | SidecarError::Rule(name, _) | SidecarError::NoPattern(name) => {
                rest.subscriptions.remove(name);
            }
            SidecarError::UnknownKey(key) | SidecarError::Secret(key, _) => drop(rest.config.remove(key)),
            SidecarError::UnknownNetwork(name) => {
                rest.grants.networks.retain(|grant| *grant != NetworkGrant::Named(name.clone()));
            }
            SidecarError::TooMuchMemory(..) | SidecarError::TooLittleMemory(_) => rest.limits.memory_bytes = None,
            SidecarError::NoTime | SidecarError::TooMuchTime(_) => rest.limits.timeout = None,
            SidecarError::UnknownRoute(route) => rest.grants.routes.retain(|grant| grant != route),
            SidecarError::Cors(index, _) if *index < rest.cors.len() => drop(rest.cors.remove(*index)),
            SidecarError::Cors(..) => {}
            SidecarError::Percent(_) | SidecarError::NoWindow => rest.rollback = None,
            SidecarError::NoEvents | SidecarError::Inconclusive(..) | SidecarError::TooManyEvents(_) => {
                rest.canary = None
            }
            SidecarError::Described("name") => rest.name = None,
            SidecarError::Described("routes") => rest.routes.clear(),
            SidecarError::Described(_) => rest.subscriptions.values_mut().for_each(|rules| {
                rules.pattern = None;
                rules.ordering_key = None;
            }),
            SidecarError::UnknownImport(label, _)
            | SidecarError::ImportKey(label, ..)
            | SidecarError::ImportPrefix(label, _)
            | SidecarError::ImportSecret(label, ..) => drop(rest.imports.remove(label)),
            SidecarError::NoRoutes | SidecarError::NoSubscriptions | SidecarError::NoImportValues(..) => {}
        }
        (rest != *self).then_some(rest)
    }

    /// The descriptor of a component that does not describe itself.
    pub(crate) fn descriptor(&self) -> wire::Descriptor {
        let texts = |patterns: &Option<Vec<Pattern>>| patterns.iter().flatten().map(Pattern::to_string).collect();
        let key = |name: &String| wire::ConfigKey { name: name.clone(), default: None, description: None };
        wire::Descriptor {
            name: self.name.clone().unwrap_or_else(|| self.stem.clone()),
            version: "0".to_owned(),
            description: None,
            routes: self.routes.iter().flat_map(|route| routes(route)).collect(),
            subscriptions: self.subscriptions.iter().filter_map(|(name, rules)| subscription(name, rules)).collect(),
            schedules: Vec::new(),
            publishes: texts(&self.grants.publish),
            subscribes: texts(&self.grants.subscribe),
            config: self.config.keys().map(key).collect(),
        }
    }
}

/// The subscription that an entry declares, if it has a pattern. Its other values apply as overrides.
fn subscription(name: &str, rules: &SubscriptionOverrides) -> Option<wire::Subscription> {
    Some(wire::Subscription {
        name: name.to_owned(),
        pattern: rules.pattern.as_ref()?.to_string(),
        concurrency: None,
        filters: None,
        start: None,
        ordering_key: rules.ordering_key.clone(),
        dead_letter_policy: None,
        max_backlog: None,
        retry: None,
        timeout_ms: None,
    })
}

/// The routes of one entry: a single one, or one for each method.
fn routes(line: &str) -> Vec<wire::Route> {
    let (method, path) = line.split_once(' ').unwrap_or((line, ""));
    let methods = if method == "*" { &METHODS[..] } else { std::slice::from_ref(&method) };
    methods.iter().map(|method| wire::Route { method: (*method).to_owned(), path: path.trim().to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_read() {
        let sidecar = Sidecar::parse(
            "[config]\ngreeting = \"Hi\"\n[limits]\ntimeout = \"2s\"\n[grants]\nwebhooks = [\"localhost:9000\"]\n[subscriptions.welcome]\nmax_attempts = 3\n",
        )
        .unwrap();
        assert_eq!(sidecar.config["greeting"], ConfigValue::Text("Hi".to_owned()));
        assert_eq!(sidecar.limits.timeout, Some(Duration::from_secs(2)));
        assert_eq!(sidecar.subscriptions["welcome"].max_attempts, NonZeroU32::new(3));
    }

    #[test]
    fn a_route_with_a_star_stands_for_every_method() {
        let sidecar = Sidecar::parse("routes = [\"GET /hello\", \"* /api/{*path}\"]\n").unwrap();
        let descriptor = Sidecar { stem: "greeter".to_owned(), ..sidecar }.descriptor();
        assert_eq!(descriptor.name, "greeter");
        let routes: Vec<_> = descriptor.routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(routes.len(), 1 + METHODS.len());
        assert!(routes.contains(&"GET /hello".to_owned()) && routes.contains(&"PATCH /api/{*path}".to_owned()));
    }

    #[test]
    fn sidecars_merge_part_by_part() {
        let parse = |text: &str| Sidecar::parse(text).unwrap();
        let under = parse(
            "routes = [\"GET /a\"]\n[config]\na = \"1\"\nb = \"1\"\n[grants]\nhttp = [\"a.example\"]\n[subscriptions.x]\nmax_attempts = 1\n",
        );
        assert_eq!(Sidecar::default().over(&under), under);
        assert_eq!(under.clone().over(&Sidecar::default()), under);
        let over =
            parse("[config]\nb = \"2\"\n[grants]\nwebhooks = [\"b.example\"]\n[subscriptions.y]\nmax_attempts = 2\n");
        let both = parse(
            "routes = [\"GET /a\"]\n[config]\na = \"1\"\nb = \"2\"\n[grants]\nwebhooks = [\"b.example\"]\n[subscriptions.x]\nmax_attempts = 1\n[subscriptions.y]\nmax_attempts = 2\n",
        );
        assert_eq!(over.over(&under), both);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Sidecar::parse("[limits]\nmemory_byte = 5\n").unwrap_err();
        assert!(error.contains("memory_byte"), "{error}");
    }
}
