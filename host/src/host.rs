//! The composition root: builds the parts, connects them, starts them, and stops them in order.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use axum::Router;
use axum::http::HeaderValue;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{AuditLog, TokenStore};
use crate::admin::{Access, Admin};
use crate::api::{ConfigurationView, SettingView};
use crate::backup::BackupSource;
use crate::bus::SharedBus;
use crate::canary::{Canary, CanarySelection};
use crate::clock::Clock;
use crate::config::{Config, EffectiveSetting, ensure_folder};
use crate::descriptors::Connections;
use crate::dispatcher::{Dispatcher, Webhooks};
use crate::files;
use crate::ingress::{Ingress, Producers, SpoolLimits};
use crate::ledger::Ledger;
use crate::lock::Locked;
use crate::login::Login;
use crate::observer::Observer;
use crate::otlp::{Exporter, Otlp};
use crate::outbound::{self, Listeners, Outbound};
use crate::plugin::{
    CanaryRule, CanaryRunner, Environment, Generation, Loader, PluginPaths, Reconciler, Registry, SharedFolder,
    SubscriptionRegistrar,
};
use crate::scenario::ScenarioPaths;
use crate::server::{self, BodyReader, HttpLimits, InProcess, Listener};
use crate::stderr;
use crate::subscription::{Declaration, SubscriptionId};
use crate::telemetry::{self, MetricsExport, RequestMetrics};
use crate::threads::Capacity;

pub use listeners::BoundListeners;
use listeners::ProbeServer;
use opening::open_bus;
use reload::Reloader;
use shared_plugins::{DatabaseFiles, share_plugins};

mod listeners;
pub mod migration;
mod opening;
mod reload;
mod shared_plugins;
mod systemd;

/// The configuration of a running host, which a reload replaces.
type HostConfig = Arc<ArcSwap<Config>>;

/// The log target of the lines that announce the addresses. `sandbus dev` shows these lines and no others of this
/// module.
const ANNOUNCEMENT: &str = "sandbus_host::announcement";

/// The bounds of the time that a shutdown spends on exporting the last telemetry. Within these bounds, the time is the
/// rest of the grace period.
const MIN_EXPORT_TIME: Duration = Duration::from_millis(500);
const MAX_EXPORT_TIME: Duration = Duration::from_secs(3);

/// A host that has loaded its plugins and is ready to run.
#[derive(Debug)]
pub struct Host {
    bus: SharedBus,
    registry: Registry,
    reconciler: Reconciler<HostServices>,
    dispatcher: Dispatcher,
    /// The router of the ingress.
    ingress: Router,
    streaming_responses: TaskTracker,
    admin: Admin,
    ready: watch::Sender<bool>,
    listener: Listener,
    admin_listener: Listener,
    admin_socket: Option<Listener>,
    config: HostConfig,
    reloader: Reloader,
    connections: Connections,
    probe: Option<ProbeServer>,
    stops: Stops,
    ledger: Ledger,
    otlp: Otlp,
    exporter: Option<Exporter>,
    /// The plugin folder, if it is shared with other hosts.
    shared_folder: Option<SharedFolder<DatabaseFiles>>,
    /// Locked for the host's lifetime.
    _lock: Option<Locked>,
}

/// Locks a data directory, since a second host would overwrite its generations and routes. None if the store is in this
/// very directory, because an open store holds the lock itself.
fn lock_data(data: &Path, store: Option<&Path>) -> anyhow::Result<Option<Locked>> {
    if store == Some(data) {
        return Ok(None);
    }
    let shown = data.display();
    let unusable = || format!("cannot use the data directory {shown}; make it writable, or choose another with --data");
    files::make_directory(data).with_context(unusable)?;
    let is_same = |store: &Path| {
        files::make_directory(store).and_then(|()| Ok(store.canonicalize()? == data.canonicalize()?)).unwrap_or(false)
    };
    if store.is_some_and(is_same) {
        return Ok(None);
    }
    let lock = Locked::try_new(data).with_context(unusable)?;
    lock.map(Some).ok_or_else(|| {
        anyhow!("the data directory {shown} is in use by another process; stop that process, or choose another directory with --data")
    })
}

/// The effective configuration in the API's form.
fn view_configuration(config: &Config) -> ConfigurationView {
    let view = |setting: EffectiveSetting| SettingView {
        key: setting.key,
        value: setting.value,
        origin: setting.origin.kind().to_owned(),
        source: setting.origin.source(),
    };
    ConfigurationView { settings: config.effective_settings().into_iter().map(view).collect() }
}

/// The loader of plugins, with the engine and the limits of the configuration.
fn open_loader(config: &Config, environment: Environment) -> anyhow::Result<Loader> {
    let engine = config.sandbox.engine(config.sandbox.concurrency.get() as usize, config.source_lines);
    let loader = Loader::new(engine, config.data.join("cache"), config.host_settings(), environment)?;
    Ok(match config.runtimes.clone() {
        Some(paths) => loader.with_runtimes(paths),
        None => loader,
    })
}

/// Where the files of plugins and their generations are.
fn plugin_paths(config: &Config) -> PluginPaths {
    PluginPaths {
        plugins: config.plugins.clone(),
        link_roots: config.link_roots.clone(),
        archive: config.data.join("generations"),
        routes: config.data.join("routes"),
    }
}

/// What a backup copies. `store` is the directory of the bus, if it is on this machine.
fn backup_source(config: &Config, store: Option<PathBuf>) -> BackupSource {
    BackupSource {
        data: config.data.clone(),
        store,
        plugins: config.plugins.clone(),
        link_roots: config.link_roots.clone(),
    }
}

/// The login of people, if the operator has configured a provider.
fn open_login(config: &Config, client: &outbound::Client) -> anyhow::Result<Option<Arc<Login>>> {
    let login = config.access.oidc.clone().map(|oidc| Login::new(oidc, client.clone())).transpose()?;
    Ok(login.map(Arc::new))
}

/// Opens the ledger in the data directory.
fn open_ledger(config: &Config, bus: &SharedBus, clock: &Clock) -> std::io::Result<Ledger> {
    let bus = Arc::clone(bus);
    let backlog = move |owner: &str, name: &str| {
        let catalogue = Arc::clone(&bus.catalogue().borrow());
        let id = SubscriptionId { owner: owner.to_owned(), name: name.to_owned() };
        Some(bus.feed(catalogue.subscription(&id)?.feed)?.overview().backlog)
    };
    Ledger::open(&config.data, &config.ledger, clock.clone(), Box::new(backlog))
}

/// Opens the tokens and the audit log in the data directory.
fn open_access(config: &Config) -> anyhow::Result<Access> {
    let audit = AuditLog::open(&config.data, config.access.audit_retain_bytes)?;
    Ok(Access::new(TokenStore::open(&config.data), audit, config.requires_tokens()))
}

/// The cancellation tokens of the parts, in the order of a shutdown.
#[derive(Debug, Default)]
struct Stops {
    /// New connections and requests.
    ingress: CancellationToken,
    /// New deliveries.
    dispatcher: CancellationToken,
    /// Requests that wait for replies.
    replies: CancellationToken,
    /// Everything else.
    rest: CancellationToken,
}

/// The reason for the end of a run.
#[derive(Debug)]
enum End {
    /// A signal or the caller stopped it.
    Stopped,
    /// The store failed.
    StoreFailed(String),
}

/// The host's services for the plugin reconciler, which does not know the bus: subscriptions and canaries.
#[derive(Debug)]
struct HostServices {
    bus: SharedBus,
    capacity: Capacity,
}

impl SubscriptionRegistrar for HostServices {
    async fn declare(&self, plugin: String, declaration: Declaration) -> Result<Vec<String>, String> {
        let orphans = self.bus.declare(&plugin, declaration).await.map_err(|error| error.to_string())?;
        Ok(orphans.into_iter().map(|id| id.name).collect())
    }

    async fn withdraw(&self, plugin: String) -> Result<(), String> {
        self.bus.withdraw(&plugin).await.map_err(|error| error.to_string())
    }
}

impl CanaryRunner for HostServices {
    async fn run_canary(&self, running: Arc<Generation>, new: Arc<Generation>, rule: CanaryRule) -> Result<(), String> {
        let plugin = Arc::clone(&running.name);
        let canary = Canary { bus: &*self.bus, capacity: &self.capacity, running, new };
        let report = canary.run(CanarySelection::Recent(rule.events)).await.map_err(|error| error.to_string())?;
        let (handled, different, removed) = (report.handled, report.different, &report.subscriptions_removed);
        if different > rule.max_differences || !removed.is_empty() && rule.max_differences == 0 {
            let dropped = if removed.is_empty() {
                String::new()
            } else {
                format!(" and no longer subscribes to {}", removed.join(", "))
            };
            return Err(format!(
                "the canary failed: the new file handles {different} of the last {handled} events differently from the running generation{dropped}, and its sidecar allows {}; run `sandbus canary` to see the differences, then fix the plugin, raise `max_differences` in [canary], or remove [canary]",
                rule.max_differences
            ));
        }
        let (conclusive, inconclusive) = (report.conclusive(), report.inconclusive);
        if conclusive < rule.min_conclusive {
            return Err(format!(
                "the canary is inconclusive: only {conclusive} of the last {handled} events are conclusive, and its sidecar's [canary] asks for {}; for {inconclusive} events a handler read state that has changed since the event was stored; lower `min_conclusive`, or remove [canary] after testing the file another way, such as with scenarios",
                rule.min_conclusive
            ));
        }
        tracing::info!(%plugin, handled, different, inconclusive, "the canary passed");
        Ok(())
    }
}

impl Host {
    /// Builds a host: opens the bus, binds the addresses and loads the plugin folder. The observer sees every attempt,
    /// and telemetry is exported by `otlp`. None if `stop` is cancelled while the host waits for the lease of another
    /// host.
    ///
    /// # Errors
    /// If a part cannot start: what failed, and what to do.
    pub async fn start(
        config: Config,
        observer: Observer,
        otlp: Otlp,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        // Bind first: a second host with the same addresses must not touch the data.
        let listeners = BoundListeners::bind(&config).await?;
        Self::start_on(listeners, config, observer, otlp, stop).await
    }

    /// As [`Self::start`], on listeners that are bound already.
    ///
    /// # Errors
    /// If a part cannot start: what failed, and what to do.
    pub async fn start_on(
        listeners: BoundListeners,
        config: Config,
        observer: Observer,
        otlp: Otlp,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        catch_file_size_signal()?;
        let hangups = config.reloads_on_hangup().then(|| signal(SignalKind::hangup())).transpose()?;
        let clock = Clock::System;
        let producers = Producers::load(config.events.clone()).context("[ingress] events")?;
        let producers = Arc::new(ArcSwap::from_pointee(producers));
        let own = Listeners::new(listeners.addresses()?);
        let sandbox = &config.sandbox;
        ensure_folder(&config.plugins)?;
        if !config.data.exists() {
            tracing::info!(data = %config.data.display(), "starting with a new data directory");
        }
        let store = config.bus.url.directory(&config.data);
        let lock = lock_data(&config.data, store.as_deref())?;
        let client = outbound::Client::new(own.clone(), &config.outbound)
            .context("cannot set up the HTTP client for webhooks and plugins")?;
        let environment = Environment::new(clock.clone(), Outbound::Network(client.clone()))
            .recording_responses(config.ledger.response_memory())
            .traced_by(otlp.tracer());
        let (loader, registry) = (Arc::new(open_loader(&config, environment)?), Registry::default());
        let Some(bus) = Box::pin(open_bus(&config, &clock, &loader, &listeners, stop)).await? else { return Ok(None) };
        // The folder must be that of all hosts before it is loaded.
        let shared_folder = Box::pin(share_plugins(&config)).await?;
        let BoundListeners { ingress: listener, admin: admin_listener, admin_socket, probe, connections, .. } =
            listeners;

        let concurrency = sandbox.concurrency.get() as usize;
        let capacity = Capacity::new(concurrency).context("cannot start the threads for guests")?;
        let services = HostServices { bus: bus.clone(), capacity: capacity.clone() };
        let paths = plugin_paths(&config);
        let mut reconciler = Reconciler::new(paths, Arc::clone(&loader), registry.clone(), services, clock.clone());
        let reconciler_handle = reconciler.handle();
        reconciler.load_all().await;

        let origin = HeaderValue::from_str(&config.bus.webhook_origin).context("bus.webhook_origin")?;
        let webhooks = Webhooks::new(client.clone(), origin, clock.clone());
        let hop_limit = config.bus.hop_limit;
        let dispatcher = Dispatcher::new(bus.clone(), registry.clone(), capacity.clone(), webhooks, hop_limit);
        let dispatcher = dispatcher.observed_by(observer.clone()).holding_failed_deliveries(config.hold_failures);
        // Before the parts that register metrics.
        let metrics = telemetry::start_metrics().map_err(|error| anyhow!("cannot start metrics: {error}"))?;
        let ledger = open_ledger(&config, &bus, &clock).context("cannot start the ledger")?;
        let dispatcher = dispatcher.recorded_by(ledger.recorder()).traced_by(otlp.tracer());
        let exporter = otlp.start();
        let access = Arc::new(open_access(&config)?);
        let login = open_login(&config, &client)?;
        let (limits, stops) = (config.http, Stops::default());
        let admission_timeout = sandbox.admission_timeout;
        let streaming_responses = TaskTracker::new();
        let streaming_permits = Arc::new(Semaphore::new(concurrency / 4));
        let view = Arc::new(ArcSwap::from_pointee(view_configuration(&config)));
        let reloader = Reloader {
            config: Arc::new(ArcSwap::from_pointee(config.clone())),
            bus: bus.clone(),
            producers: Arc::clone(&producers),
            public_rules: listener.public_rules(),
            recorder: ledger.recorder(),
            client,
            loader: Arc::clone(&loader),
            reconciler: reconciler_handle.clone(),
            view: Arc::clone(&view),
            hangups,
        };
        let ingress = Ingress {
            bus: bus.clone(),
            producers,
            registry: registry.clone(),
            capacity: capacity.clone(),
            body_reader: BodyReader { limits, stop: stops.ingress.clone() },
            replies_ended: stops.replies.clone(),
            admission_timeout,
            // A quarter of all permits, so that slow clients leave most permits to others.
            streaming_permits: Arc::clone(&streaming_permits),
            spool_limits: SpoolLimits::new(streaming_permits),
            streaming_responses,
            observer,
            recorder: ledger.recorder(),
            tracer: otlp.tracer(),
            metrics: RequestMetrics::default(),
        };
        let streaming_responses = ingress.streaming_responses.clone();
        let ingress = ingress.router();
        let ready = watch::Sender::new(false);
        let admin = Admin {
            ingress: InProcess::new(&listener, ingress.clone(), limits, stops.ingress.clone())?,
            bus: bus.clone(),
            registry: registry.clone(),
            reconciler: reconciler_handle,
            loader,
            capacity,
            body_reader: BodyReader { limits, stop: stops.rest.clone() },
            replies_ended: stops.replies.clone(),
            recorder: ledger.recorder(),
            tracer: otlp.tracer(),
            ledger: ledger.reader(),
            metrics,
            listeners: own,
            clock,
            ready: ready.subscribe(),
            backup: backup_source(&config, store.clone()),
            data: store.unwrap_or_else(|| config.data.clone()),
            access,
            login,
            is_secure: config.is_admin_secure(),
            changes: Arc::default(),
            configuration: view,
            scenarios: ScenarioPaths::of_directory(&config.plugins),
        };
        Ok(Some(Self {
            bus,
            registry,
            reconciler,
            dispatcher,
            ingress,
            streaming_responses,
            admin,
            ready,
            listener,
            admin_listener,
            admin_socket,
            config: Arc::clone(&reloader.config),
            reloader,
            connections,
            probe,
            _lock: lock,
            stops,
            ledger,
            otlp,
            exporter,
            shared_folder,
        }))
    }

    /// The same host with its scenarios in other places than the plugin folder.
    #[must_use]
    pub fn with_scenarios(mut self, scenarios: ScenarioPaths) -> Self {
        self.admin.scenarios = scenarios;
        self
    }

    /// The address of the ingress.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// The address of the admin interface.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin_listener.address()
    }

    /// The URL of the dashboard, as a browser on this machine opens it.
    ///
    /// # Errors
    /// If the system does not know the address of the admin interface.
    pub fn dashboard_url(&self) -> std::io::Result<String> {
        let mut address = self.admin_address()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(format!("{}://{address}/", self.admin_listener.scheme()))
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> SharedBus {
        self.bus.clone()
    }

    /// The plugins.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Logs the addresses and the routes.
    ///
    /// # Errors
    /// If a listener has no address.
    pub fn announce(&self) -> std::io::Result<()> {
        let (address, admin, scheme) = (self.address()?, self.admin_address()?, self.listener.scheme());
        for (name, generation) in &self.registry.snapshot().plugins {
            for route in &generation.descriptor.routes {
                let (method, path) = (&route.method, &route.path);
                tracing::info!(target: ANNOUNCEMENT, plugin = name, "{method} {scheme}://{address}{path}");
            }
            for subscription in &generation.descriptor.subscriptions {
                let (subscription, pattern) = (&subscription.name, &subscription.pattern);
                tracing::info!(target: ANNOUNCEMENT, plugin = name, subscription, "on {pattern}");
            }
        }
        let (dashboard, version) = (self.dashboard_url()?, env!("CARGO_PKG_VERSION"));
        tracing::info!(target: ANNOUNCEMENT, %address, %admin, dashboard, version, "listening");
        Ok(())
    }

    /// Runs until the token is cancelled, then drains: the host accepts nothing new, finishes running requests and
    /// deliveries, and closes the bus. Clients that wait for replies get an answer once the deliveries have ended. Work
    /// that exceeds the grace period is abandoned; its deliveries are attempted again at the next start.
    ///
    /// # Errors
    /// If the store fails. The host then acknowledges nothing and does not drain.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self {
            bus,
            reconciler,
            dispatcher,
            ingress,
            streaming_responses,
            admin,
            ready,
            listener,
            admin_listener,
            admin_socket,
            config,
            reloader,
            connections,
            probe,
            stops,
            ledger,
            otlp,
            exporter,
            shared_folder,
            ..
        } = self;
        let store = admin.data.clone();
        let changes = admin.access.changes.clone();
        let http = config.load().http;
        let limits = |max_connections| HttpLimits { max_connections, ..http };
        // The host accepts connections from here on.
        ready.send_replace(true);
        probe.iter().for_each(|probe| probe.set_started(admin.clone()));
        let mut ingress_tasks = JoinSet::new();
        ingress_tasks.spawn(server::serve(listener, ingress, limits(connections.ingress), stops.ingress.clone()));
        let mut dispatcher_tasks = JoinSet::new();
        dispatcher_tasks.spawn(dispatcher.run(stops.dispatcher.clone()));
        let mut other_tasks = JoinSet::new();
        other_tasks.spawn(reconciler.run(stops.rest.clone()));
        if let Some(folder) = shared_folder {
            other_tasks.spawn(folder.run(stops.rest.clone()));
        }
        other_tasks.spawn(admin.metrics.clone().fold(stops.rest.clone()));
        other_tasks.spawn(reloader.run(stops.rest.clone()));
        let (registry, clock, cancelled) = (admin.registry.clone(), admin.clock.clone(), stops.rest.clone());
        let source = MetricsExport { otlp, bus: bus.clone(), registry, clock, cancelled };
        other_tasks.spawn(admin.metrics.clone().export(source));
        if let Some(socket) = admin_socket {
            let router = admin.clone().socket_router();
            other_tasks.spawn(server::serve(socket, router, limits(connections.socket), stops.rest.clone()));
        }
        other_tasks.spawn(server::serve(admin_listener, admin.router(), limits(connections.admin), stops.rest.clone()));

        systemd::notify(&[NotifyState::Ready, NotifyState::Status("active")]);
        let end = tokio::select! {
            () = stop.cancelled() => End::Stopped,
            reason = bus.failed() => End::StoreFailed(reason),
        };
        ready.send_replace(false);
        systemd::notify(&[NotifyState::Stopping]);
        if let End::StoreFailed(reason) = end {
            if let Some(exporter) = exporter {
                exporter.finish(MIN_EXPORT_TIME).await;
            }
            let url = config.load().bus.url.clone();
            let (place, to_check) = match url.directory(&store) {
                Some(_) => (store.display().to_string(), "disk"),
                None => (url.to_string(), "database"),
            };
            return Err(anyhow!(
                "{reason}; the host has stopped acknowledging. All acknowledged events are in {place}; check the {to_check}, and start the host again"
            ));
        }
        let grace_period = config.load().shutdown_grace_period;
        let stopping = Instant::now();
        tracing::info!(grace_period = %humantime::format_duration(grace_period), "stopping; waiting for running requests and deliveries");
        let drain = async {
            stops.ingress.cancel();
            stops.dispatcher.cancel();
            while dispatcher_tasks.join_next().await.is_some() {}
            // No further replies can come.
            stops.replies.cancel();
            while ingress_tasks.join_next().await.is_some() {}
            streaming_responses.close();
            streaming_responses.wait().await;
            stops.rest.cancel();
            while other_tasks.join_next().await.is_some() {}
            // Changes whose clients have disconnected.
            changes.close();
            changes.wait().await;
        };
        if tokio::time::timeout(grace_period, drain).await.is_err() {
            tracing::warn!("the grace period is over; unfinished deliveries will be attempted again at the next start");
        }
        // The bus still commits the commands that it has accepted.
        drop(tokio::time::timeout(Duration::from_secs(5), bus.close()).await);
        // Writes what is queued, and the aggregates of the current minute.
        drop(tokio::task::spawn_blocking(move || drop(ledger)).await);
        if let Some(exporter) = exporter {
            let left = grace_period.saturating_sub(stopping.elapsed());
            exporter.finish(left.clamp(MIN_EXPORT_TIME, MAX_EXPORT_TIME)).await;
        }
        // Until here, the host is alive and not ready.
        if let Some(probe) = probe {
            probe.stop().await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Catches the signal of a write beyond the process's limit for file sizes, which would end the process. The write then
/// fails like one on a full disk.
fn catch_file_size_signal() -> std::io::Result<()> {
    // The signal stays caught after the stream is dropped.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// A token that SIGTERM and SIGINT cancel. A second signal ends the process at once.
pub(crate) fn stop_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        for attempt in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if attempt > 0 {
                stderr::exit(130);
            }
            stop.cancel();
        }
    });
    Ok(token)
}
