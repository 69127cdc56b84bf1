//! Plugins and their files.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, PluginStatus, schemas};

/// A page of the plugins and the other files in the plugin folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PluginList {
    /// The plugins.
    pub plugins: Vec<PluginView>,
    /// Why the plugin folder cannot be read; null if it can. The loaded plugins keep running.
    pub folder_error: Option<String>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for PluginList {
    const PATH: &'static str = "plugins";
    const ITEMS: &'static str = "plugins";
    const OTHERS: &'static [&'static str] = &["folder_error"];

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// A plugin, or a file in the plugin folder that is not loaded. Members that only running plugins have are null or
/// empty for others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PluginView {
    /// Its name; null if it is unknown.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The digest of its component.
    pub digest: Option<String>,
    /// Its file in the folder; null if the file was removed.
    pub file: Option<String>,
    /// Its status.
    pub status: PluginStatus,
    /// Why the file does not run; null if it runs.
    pub error: Option<String>,
    /// Its routes, as `METHOD /path`.
    pub routes: Vec<String>,
    /// The subscriptions that it declares.
    pub subscriptions: Vec<DeclaredSubscriptionView>,
    /// The schedules that it declares.
    pub schedules: Vec<DeclaredScheduleView>,
    /// The grants that it requests.
    pub asks_for: Option<RequestedGrantsView>,
    /// The grants of its operator.
    pub granted: Option<GrantsView>,
    /// The requested grants that are withheld, as `publish PATTERN` or `subscribe PATTERN`.
    pub withheld: Vec<String>,
    /// The limits of its invocations.
    pub limits: Option<LimitsView>,
    /// Its configuration keys.
    pub config_keys: Vec<ConfigKeyView>,
    /// The CORS rules for its routes.
    pub cors: Vec<CorsRuleView>,
    /// Its routes that overlap routes of other plugins.
    pub overlaps: Vec<OverlapView>,
    /// The generation that runs instead of the file after a rollback.
    pub rolled_back: Option<PinView>,
    /// The archived generations, in the order in which they last started to run.
    pub generations: Vec<GenerationView>,
    /// The size of the running generation's component, in bytes; null if nothing runs.
    pub size_bytes: Option<u64>,
    /// How long the running generation took to load, in microseconds: reading the file, compiling it or reading compiled
    /// code from the cache, linking, and reading what the plugin declares. Its canary and the swap are not included. Null
    /// if nothing runs.
    pub load_us: Option<u64>,
}

/// A subscription that a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeclaredSubscriptionView {
    /// Its name.
    pub name: String,
    /// The pattern of its event types.
    pub pattern: String,
}

/// A schedule that a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeclaredScheduleView {
    /// Its name.
    pub name: String,
    /// Its cron expression.
    pub cron: String,
    /// The time zone of the expression; null for UTC.
    pub timezone: Option<String>,
    /// The type of its events.
    #[serde(rename = "type")]
    pub event_type: String,
}

/// The grants that a plugin requests, as patterns of event types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RequestedGrantsView {
    /// The types to publish.
    pub publish: Vec<String>,
    /// The types to subscribe to at run time.
    pub subscribe: Vec<String>,
}

/// The grants of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GrantsView {
    /// The patterns of types that it may publish.
    pub publish: Vec<String>,
    /// The patterns of types that it may subscribe to at run time.
    pub subscribe: Vec<String>,
    /// The servers that its webhooks may deliver to.
    pub webhooks: Vec<String>,
    /// The servers that it may send requests to.
    pub http: Vec<String>,
    /// The private networks to which the names of these servers may resolve.
    pub networks: Vec<String>,
}

/// The limits of a plugin's invocations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LimitsView {
    /// The linear memory of an invocation.
    pub memory_bytes: u64,
    /// The timeout of an invocation, such as `5s`.
    pub timeout: String,
    /// The number of concurrent invocations.
    pub concurrency: u32,
}

/// A rule for pages of other origins that use routes of a plugin in browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CorsRuleView {
    /// The routes that it applies to, as `METHOD /path`.
    pub routes: Vec<String>,
    /// The origins; `*` alone for all.
    pub origins: Vec<String>,
    /// The headers that pages may set in requests; `*` alone for all.
    pub headers: Vec<String>,
    /// The headers that pages may read in responses; `*` alone for all.
    pub expose_headers: Vec<String>,
    /// Whether browsers send credentials.
    pub credentials: bool,
    /// How long browsers remember the answer to a preflight request, such as `10m`; null for their default.
    pub max_age: Option<String>,
}

/// A configuration key of a plugin. Its value is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ConfigKeyView {
    /// The key.
    pub name: String,
    /// Its default value.
    pub default: Option<String>,
    /// Its description.
    pub description: Option<String>,
}

/// Two routes of different plugins that match the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OverlapView {
    /// The plugin's route.
    pub route: String,
    /// The other plugin.
    pub plugin: String,
    /// Its route.
    pub theirs: String,
    /// Whether these requests go to the first route.
    pub goes_first: bool,
}

/// An earlier generation that runs instead of the file in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PinView {
    /// The digest of the file in the folder.
    pub passed_over: String,
    /// The digest of the running generation.
    pub runs: String,
    /// The reason of the rollback.
    pub reason: String,
    /// The time of the rollback, in RFC 3339.
    #[schema(format = DateTime)]
    pub since: String,
}

/// An archived generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GenerationView {
    /// The digest of its component.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// When it last started to run, in RFC 3339.
    #[schema(format = DateTime)]
    pub since: String,
    /// Whether it was rolled back. Automatic rollbacks skip it; an operator may still name it.
    pub rolled_back_from: bool,
    /// The grants that it requested when it last ran; null if an earlier release did not record them.
    pub asks_for: Option<RequestedGrantsView>,
    /// The grants that it had when it last ran; null if an earlier release did not record them.
    pub granted: Option<GrantsView>,
}

/// The query of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DrainQuery {
    /// How long to wait for running invocations; 10 seconds by default.
    #[param(value_type = Option<schemas::Duration>)]
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
}

/// The result of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DrainResult {
    /// Whether all invocations have ended.
    pub drained: bool,
    /// The number of invocations that still run.
    pub running: usize,
}

/// The query of a rollback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RollbackQuery {
    /// The digest of the generation to go back to, or its beginning; the previous generation by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The result of a rollback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RollbackResult {
    /// The digest of the former generation.
    pub from: String,
    /// The digest of the current generation.
    pub to: String,
    /// Its version.
    pub version: String,
    /// Whether the current generation is the file in the folder.
    pub is_file: bool,
}
