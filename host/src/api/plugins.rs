//! Plugins, and the files that they come from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PluginStatus;

/// All plugins, and the files in the folder that are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginList {
    /// The plugins.
    pub plugins: Vec<PluginView>,
}

/// A plugin, or a file in the plugin folder that is not loaded. What only a plugin that runs has is null or empty for
/// others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginView {
    /// Its name; null if the file says none.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it does, as it says itself.
    pub description: Option<String>,
    /// The digest of its component.
    pub digest: Option<String>,
    /// The file in the folder; null if it was removed.
    pub file: Option<String>,
    /// How it stands.
    pub status: PluginStatus,
    /// Why the file is not what runs; null if it does.
    pub error: Option<String>,
    /// The routes that it answers, as `METHOD /path`.
    pub routes: Vec<String>,
    /// The subscriptions that it declares.
    pub subscriptions: Vec<DeclaredSubscriptionView>,
    /// The schedules that it declares.
    pub schedules: Vec<DeclaredScheduleView>,
    /// What it asks for.
    pub asks_for: Option<RequestedGrantsView>,
    /// What its operator grants.
    pub granted: Option<GrantsView>,
    /// What it asks for and is not granted, each as `publish PATTERN` or `subscribe PATTERN`.
    pub withheld: Vec<String>,
    /// Limits of its invocations.
    pub limits: Option<LimitsView>,
    /// The keys of its configuration.
    pub config_keys: Vec<ConfigKeyView>,
    /// Its routes that overlap those of other plugins.
    pub overlaps: Vec<OverlapView>,
    /// Which generation runs in place of the file, if an operator or a rule went back to it.
    pub rolled_back: Option<PinView>,
    /// The generations that are kept, in the order in which they took over last.
    pub generations: Vec<GenerationView>,
}

/// A subscription that a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeclaredSubscriptionView {
    /// Its name.
    pub name: String,
    /// Which event types it takes.
    pub pattern: String,
}

/// A schedule that a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeclaredScheduleView {
    /// Its name.
    pub name: String,
    /// When it is due: a cron expression.
    pub cron: String,
    /// The time zone of the expression; null for UTC.
    pub timezone: Option<String>,
    /// The type of its events.
    #[serde(rename = "type")]
    pub event_type: String,
}

/// What a plugin asks for, as patterns of event types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestedGrantsView {
    /// The types that it publishes.
    pub publish: Vec<String>,
    /// The types that it makes subscriptions for.
    pub subscribe: Vec<String>,
}

/// What an operator grants a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantsView {
    /// The types that it may publish, as patterns.
    pub publish: Vec<String>,
    /// The types that it may make subscriptions for, as patterns.
    pub subscribe: Vec<String>,
    /// The hosts that its webhooks may go to.
    pub webhooks: Vec<String>,
    /// The hosts that it may send requests to.
    pub http: Vec<String>,
}

/// Limits of a plugin's invocations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsView {
    /// Linear memory of one invocation.
    pub memory_bytes: u64,
    /// How long one invocation may run, such as `5s`.
    pub timeout: String,
    /// How many run at a time.
    pub concurrency: u32,
}

/// A key of a plugin's configuration. Its value is shown to nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigKeyView {
    /// The key.
    pub name: String,
    /// Its value where none is set.
    pub default: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// Two routes of different plugins that one request can fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverlapView {
    /// The plugin's route.
    pub route: String,
    /// The other plugin.
    pub plugin: String,
    /// Its route.
    pub theirs: String,
    /// Whether such requests go to the first route.
    pub goes_first: bool,
}

/// An earlier generation that runs in place of the file in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PinView {
    /// The digest of the file in the folder.
    pub passed_over: String,
    /// The digest of what runs.
    pub runs: String,
    /// Why.
    pub reason: String,
    /// Since when, in RFC 3339.
    pub since: String,
}

/// A generation that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationView {
    /// The digest of its component.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// When it took over last, in RFC 3339.
    pub since: String,
    /// Whether it was rolled back from. Nothing goes back to it unless an operator names it.
    pub rolled_back_from: bool,
}

/// How long a drain waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainQuery {
    /// For what runs, such as `10s`; that long if it is left out.
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
}

/// What a drain came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainResult {
    /// Whether everything that ran has ended.
    pub drained: bool,
    /// How many invocations still run.
    pub running: usize,
}

/// Which generation to go back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackQuery {
    /// The beginning of its digest; the generation before the one that runs if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What a rollback came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RollbackResult {
    /// The digest of what ran before.
    pub from: String,
    /// The digest of what runs now.
    pub to: String,
    /// Its version.
    pub version: String,
    /// Whether that is the file in the folder.
    pub is_file: bool,
}
