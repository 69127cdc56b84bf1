//! Lists, shows, drains and resumes plugins, and reports files that are not loaded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::body::{Path, Query};
use super::cursor::List;
use super::plugin_target::disabled_plugin;
use super::precondition::Tagged;
use super::{Admin, Page, page_size, plugin_target};
use crate::api::{
    ConfigKeyView, CorsRuleView, DeclaredScheduleView, DeclaredSubscriptionView, DrainQuery, DrainResult,
    GenerationView, GrantsView, LimitsView, ListQuery, OverlapView, PinView, PluginList, PluginStatus, PluginView,
    RequestedGrantsView,
};
use crate::plugin::{
    AllOrSome, Capabilities, CorsPolicy, Descriptor, FileStatus, Generation, GrantedCapabilities, RegistrySnapshot,
    RequestedCapabilities, Settings,
};
use crate::problem::Problem;

/// The largest page.
const LIMIT: usize = 1_000;

/// How long a drain waits for running invocations by default.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// List plugins
#[utoipa::path(
    get,
    path = "/plugins",
    operation_id = "list_plugins",
    tag = "plugins",
    params(ListQuery),
    responses((status = 200, body = PluginList, description = "The plugins, and files that are not loaded."))
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<ListQuery>,
) -> Result<Json<PluginList>, Problem> {
    let limit = page_size(query.limit, LIMIT, LIMIT)?;
    let after = admin.decode_cursor(List::Plugins, query.after.as_deref())?;
    let plugins = list_plugins(&admin).into_iter().map(|plugin| (sort_key(&plugin), plugin)).collect();
    let page = Page::of_sorted(plugins, |(key, _)| key, after.as_deref(), limit);
    let next = page.next(|(key, _)| admin.cursor(List::Plugins, key));
    let plugins = page.items.into_iter().map(|(_, plugin)| plugin).collect();
    Ok(Json(PluginList { plugins, folder_error: admin.reconciler.fault(), next }))
}

/// The place of a plugin in the list: plugins, then ignored files, then removed plugins, each by name.
fn sort_key(plugin: &PluginView) -> String {
    let part = match plugin.status {
        PluginStatus::Ignored => 1,
        PluginStatus::Removed => 2,
        _ => 0,
    };
    // Files are sorted by their names without `.wasm`.
    let file = plugin.file.as_deref().map(|file| file.strip_suffix(".wasm").filter(|_| part == 0).unwrap_or(file));
    format!("{part}/{}", file.or(plugin.name.as_deref()).unwrap_or_default())
}

/// Show a plugin
#[utoipa::path(
    get,
    path = "/plugins/{name}",
    operation_id = "get_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin.")),
    responses((status = 200, body = PluginView, description = "The plugin.",
               headers(("ETag" = String, description = "Changes with the files, and when the plugin is drained or resumed. Missing if the file was removed."))))
)]
pub(super) async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Response, Problem> {
    let view = find(&admin, &name).ok_or_else(|| no_plugin(&admin, &name))?;
    // A plugin whose file was removed has no tag.
    Ok(match plugin_target::tag_of(&admin, &plugin_target::target(&admin, &name)?, &name).await? {
        Some(tag) => Tagged(tag, view).into_response(),
        None => Json(view).into_response(),
    })
}

/// The plugin with this name, or whose file has this name.
pub(super) fn find(admin: &Admin, name: &str) -> Option<PluginView> {
    let file = format!("{name}.wasm");
    let is_meant =
        |plugin: &PluginView| plugin.name.as_deref() == Some(name) || plugin.file.as_deref() == Some(file.as_str());
    list_plugins(admin).into_iter().find(is_meant)
}

/// A problem with 404 that names the loaded plugins.
pub(super) fn no_plugin(admin: &Admin, name: &str) -> Problem {
    let snapshot = admin.registry.snapshot();
    let loaded: Vec<_> = snapshot.plugins.keys().map(|name| &**name).collect();
    let loaded =
        if loaded.is_empty() { "no plugin is loaded".to_owned() } else { format!("loaded: {}", loaded.join(", ")) };
    Problem::not_found(format!("there is no plugin `{name}`; {loaded}"))
}

/// Drain a plugin
///
/// Stops deliveries to the plugin, answers its routes with 503, and waits for running invocations. The plugin stays drained
/// until it is resumed, even across restarts.
#[utoipa::path(
    post,
    path = "/plugins/{name}/drain",
    operation_id = "drain_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), DrainQuery),
    responses((status = 200, body = DrainResult, description = "The plugin is drained."))
)]
pub(super) async fn drain(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(query): Query<DrainQuery>,
) -> Result<Json<DrainResult>, Problem> {
    let generation = admin.registry.snapshot().plugins.get(&name).cloned();
    let generation = generation.ok_or_else(|| no_plugin(&admin, &name))?;
    admin.bus.drain(&name, true).await?;
    let limiter = &generation.limiter;
    let drained = tokio::select! {
        biased;
        drained = tokio::time::timeout(query.wait.unwrap_or(DEFAULT_WAIT), limiter.wait_until_idle()) => drained.is_ok(),
        // The stopping host waits for the invocations itself.
        () = admin.body_reader.stop.cancelled() => false,
    };
    Ok(Json(DrainResult { drained, running: if drained { 0 } else { limiter.running() } }))
}

/// Resume a drained plugin
#[utoipa::path(
    post,
    path = "/plugins/{name}/resume",
    operation_id = "resume_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin.")),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn resume(State(admin): State<Admin>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    // A plugin that was drained may have been removed since.
    if !admin.bus.is_drained(&name) && !admin.registry.snapshot().plugins.contains_key(&*name) {
        return Err(no_plugin(&admin, &name));
    }
    admin.bus.drain(&name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All plugins of the folder, then ignored files, then removed plugins.
fn list_plugins(admin: &Admin) -> Vec<PluginView> {
    let snapshot = admin.registry.snapshot();
    let catalogue = Arc::clone(&admin.bus.catalogue().borrow());
    let drained = &catalogue.drained;
    let statuses = admin.reconciler.statuses();
    let mut plugins: Vec<_> =
        statuses.iter().map(|(stem, status)| view_file(stem, status, &snapshot, drained)).collect();
    plugins.extend(admin.reconciler.ignored().into_iter().map(|(file, reason)| PluginView {
        file: Some(file),
        status: PluginStatus::Ignored,
        error: Some(reason),
        ..PluginView::default()
    }));
    let is_disabled = |name: &str| statuses.iter().any(|(stem, status)| disabled_plugin(stem, status) == Some(name));
    let removed = snapshot.absent.iter().filter(|(name, _)| !is_disabled(name));
    plugins.extend(removed.map(|(name, routes)| PluginView {
        name: Some(name.clone()),
        status: PluginStatus::Removed,
        routes: to_strings(routes),
        ..PluginView::default()
    }));
    plugins
}

fn view_file(stem: &str, status: &FileStatus, snapshot: &RegistrySnapshot, drained: &BTreeSet<String>) -> PluginView {
    let generation = status.plugin.as_ref().and_then(|name| snapshot.plugins.get(name));
    let overlaps = generation.map(|generation| snapshot.overlaps(&generation.name)).unwrap_or_default();
    let overlaps = overlaps.into_iter().map(|overlap| OverlapView {
        route: overlap.route.to_string(),
        plugin: overlap.plugin,
        theirs: overlap.theirs.to_string(),
        goes_first: overlap.goes_first,
    });
    let kept = status.generations.iter().map(|kept| {
        let (asks_for, granted) = view_capabilities(kept.capabilities.clone());
        GenerationView {
            digest: kept.digest.clone(),
            version: kept.version.clone(),
            since: kept.since.to_string(),
            rolled_back_from: kept.rolled_back_from,
            asks_for,
            granted,
        }
    });
    PluginView {
        file: Some(format!("{stem}.wasm")),
        status: match (generation, status) {
            (_, FileStatus { disabled: true, .. }) => PluginStatus::Disabled,
            (Some(generation), _) if drained.contains(&*generation.name) => PluginStatus::Drained,
            (Some(_), FileStatus { error: None, rolled_back: Some(_), .. }) => PluginStatus::RolledBack,
            (Some(_), FileStatus { error: None, .. }) => PluginStatus::Running,
            (Some(_), _) => PluginStatus::RunningOlder,
            (None, _) => PluginStatus::Broken,
        },
        error: status.error.clone(),
        overlaps: overlaps.collect(),
        rolled_back: status.rolled_back.as_ref().map(|pin| PinView {
            passed_over: pin.replaces.clone(),
            runs: pin.runs.clone(),
            reason: pin.reason.clone(),
            since: pin.since.to_string(),
        }),
        generations: kept.collect(),
        ..generation.map(|generation| view_generation(generation)).unwrap_or_else(|| PluginView {
            name: disabled_plugin(stem, status).map(str::to_owned),
            ..PluginView::default()
        })
    }
}

/// The view of a running plugin.
fn view_generation(generation: &Generation) -> PluginView {
    let (descriptor, settings) = (&generation.descriptor, &generation.settings);
    let (asks_for, granted) = view_capabilities(Some(Capabilities::of(descriptor, settings)));
    PluginView {
        name: Some(descriptor.name.clone()),
        version: Some(descriptor.version.clone()),
        description: descriptor.description.clone(),
        digest: Some(generation.digest.as_str().to_owned()),
        size_bytes: Some(generation.size_bytes),
        load_us: Some(crate::duration::micros(generation.load_time)),
        routes: to_strings(&descriptor.routes),
        asks_for,
        granted,
        withheld: settings.withheld(descriptor),
        limits: Some(view_limits(settings)),
        cors: settings.cors.iter().map(|policy| view_cors(policy)).collect(),
        ..view_declared(descriptor)
    }
}

/// What a generation requested and was granted; nothing if it is not recorded.
fn view_capabilities(recorded: Option<Capabilities>) -> (Option<RequestedGrantsView>, Option<GrantsView>) {
    let Some(Capabilities { requested, granted }) = recorded else { return (None, None) };
    let RequestedCapabilities { publish, subscribe } = requested;
    let asks_for = RequestedGrantsView { publish, subscribe };
    let GrantedCapabilities { publish, subscribe, webhooks, http, networks } = granted;
    (Some(asks_for), Some(GrantsView { publish, subscribe, webhooks, http, networks }))
}

fn view_declared(descriptor: &Descriptor) -> PluginView {
    let subscriptions = descriptor.subscriptions.iter().map(|subscription| DeclaredSubscriptionView {
        name: subscription.name.clone(),
        pattern: subscription.pattern.to_string(),
    });
    let schedules = descriptor.schedules.iter().map(|(name, schedule)| DeclaredScheduleView {
        name: name.clone(),
        cron: schedule.cron.clone(),
        timezone: schedule.timezone.clone(),
        event_type: schedule.event_type.clone(),
    });
    let config_keys = descriptor.config.iter().map(|key| ConfigKeyView {
        name: key.name.clone(),
        default: key.default.clone(),
        description: key.description.clone(),
    });
    PluginView {
        subscriptions: subscriptions.collect(),
        schedules: schedules.collect(),
        config_keys: config_keys.collect(),
        ..PluginView::default()
    }
}

fn view_limits(settings: &Settings) -> LimitsView {
    LimitsView {
        memory_bytes: settings.limits.memory_bytes as u64,
        timeout: crate::duration::format(settings.limits.timeout),
        concurrency: settings.concurrency.get(),
    }
}

fn view_cors(policy: &CorsPolicy) -> CorsRuleView {
    CorsRuleView {
        routes: to_strings(&policy.routes),
        origins: view_list(&policy.origins, |origin| origin.to_str().unwrap_or_default()),
        headers: view_list(&policy.headers, HeaderName::as_str),
        expose_headers: view_list(&policy.expose_headers, HeaderName::as_str),
        credentials: policy.credentials,
        max_age: policy.max_age.map(crate::duration::format),
    }
}

fn view_list<T>(list: &AllOrSome<T>, text: impl Fn(&T) -> &str) -> Vec<String> {
    match list {
        AllOrSome::All => vec!["*".to_owned()],
        AllOrSome::Some(values) => values.iter().map(|value| text(value).to_owned()).collect(),
    }
}

fn to_strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
