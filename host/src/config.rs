//! The configuration: flags override environment variables, which override `sandbus.toml`, which overrides defaults.
//! Read once at start.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cluster::ClusterConfig;
use origins::FileKeys;
pub use origins::{EffectiveSetting, Origin, Origins, ParsedOverrides};
pub(crate) use reload::{FileStamp, ReloadError, ReloadReport};

use crate::bus;
use crate::endpoint::DEFAULT_ORIGIN;
use crate::files;
use crate::ingress::{EventsRule, IngressConfig};
use crate::ledger::LedgerConfig;
use crate::login::OidcConfig;
use crate::outbound::OutboundConfig;
use crate::plugin::{self, EngineConfig, HostSettings, Limits, PreparedRuntimePaths};
use crate::secrets::{SecretStore, SecretsConfig};
use crate::server::{HttpLimits, PublicListenerRules, TlsConfig};
use crate::telemetry::Format;
use crate::toml_file;

mod check;
mod cluster;
mod origins;
mod reload;

/// The default address of the admin interface, for the server and the CLI.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
/// The default configuration file.
const DEFAULT_FILE: &str = "sandbus.toml";
/// The largest configuration file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The default plugin folder.
const DEFAULT_PLUGINS: &str = "plugins";
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The configuration of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The plugin folder.
    pub plugins: PathBuf,
    /// The directories that links in the plugin folder may point into, in addition to the folder itself.
    pub link_roots: Vec<PathBuf>,
    /// The data directory: the store and the compiled code.
    pub data: PathBuf,
    /// The address of the ingress.
    pub listen: SocketAddr,
    /// The address of the admin interface.
    pub admin: SocketAddr,
    /// The format of log lines.
    pub log_format: Format,
    /// The log filter.
    pub log: String,
    /// How long a shutdown waits for running requests and deliveries.
    pub shutdown_grace_period: Duration,
    /// The probe listener.
    pub probe: ProbeConfig,
    /// How the host shares its work with others.
    pub cluster: ClusterConfig,
    /// Who may publish at `POST /events`.
    pub events: EventsRule,
    /// TLS of the ingress.
    pub ingress_tls: Option<TlsConfig>,
    /// What the ingress does with each request.
    pub ingress_rules: PublicListenerRules,
    /// TLS of the admin interface.
    pub admin_tls: Option<TlsConfig>,
    /// The Unix socket of the admin interface.
    pub admin_socket: Option<PathBuf>,
    /// Limits of HTTP requests.
    pub http: HttpLimits,
    /// Settings of the bus.
    pub bus: BusConfig,
    /// Limits of the sandbox.
    pub sandbox: SandboxConfig,
    /// Settings of the ledger.
    pub ledger: LedgerConfig,
    /// Who may use the admin interface.
    pub access: AccessConfig,
    /// Settings of outgoing requests.
    pub outbound: OutboundConfig,
    /// Settings of secrets.
    pub secrets: SecretsConfig,
    /// Whether backtraces name source lines of plugins, as `sandbus dev` needs.
    pub source_lines: bool,
    /// Where the prepared runtimes of scripts are. Only `sandbus dev` has them.
    pub runtimes: Option<PreparedRuntimePaths>,
    /// Whether failed deliveries of plugins are held until they are retried by hand, as `sandbus dev` offers.
    pub hold_failures: bool,
    /// The origins of the settings that are not defaults.
    pub origins: Origins,
}

/// Settings of the access to the admin interface.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// Whether callers need tokens also on a loopback address.
    pub require_tokens: bool,
    /// Whether a proxy in front of the admin interface terminates TLS. Then any address is allowed, and callers need
    /// tokens.
    pub behind_proxy: bool,
    /// The size of the audit log above which its oldest files are deleted.
    pub audit_retain_bytes: u64,
    /// The login through an OpenID provider. There is none by default.
    pub oidc: Option<OidcConfig>,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self { require_tokens: false, behind_proxy: false, audit_retain_bytes: 256 << 20, oidc: None }
    }
}

/// Settings of the admin interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// The files for TLS. Without them, the admin interface speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// The path of a Unix socket for the user of the host. There is none by default.
    pub socket: Option<PathBuf>,
}

/// Settings of the probe listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// The address. There is no probe listener by default.
    #[serde(deserialize_with = "deserialize_address")]
    #[schemars(with = "Option<AddressText>")]
    pub listen: Option<SocketAddr>,
}

/// Settings of the bus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// The URL of the store, which selects the engine.
    pub url: bus::StoreUrl,
    /// Whether the host stands by while another host uses the store, and takes over when that host stops or dies. Only
    /// for a database.
    pub standby: bool,
    /// The largest backlog of a subscription without its own limit. Beyond it, publishers get 429. No limit by default.
    pub max_backlog: Option<u64>,
    /// The largest size of all events in the log. Beyond it, publishers get 503.
    pub max_log_bytes: Option<u64>,
    /// The largest number of pending events of one plugin, including delayed events and dead letters. Beyond it, its
    /// handlers may not publish.
    pub max_plugin_backlog: u64,
    /// The largest size of one plugin's events. Beyond it, its handlers may not publish. Half of `max_log_bytes` by
    /// default, or unlimited without that.
    pub max_plugin_log_bytes: Option<u64>,
    /// The largest number of delayed events of one producer. Beyond it, the producer gets 429.
    pub max_producer_delayed: u64,
    /// The largest size of one producer's events. Beyond it, the producer gets 429. Half of `max_log_bytes` by default,
    /// or unlimited without that.
    pub max_producer_log_bytes: Option<u64>,
    /// The largest number of event types.
    pub max_types: usize,
    /// The age at which handled events are deleted.
    #[serde(with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::DurationText>")]
    pub retain_for: Option<Duration>,
    /// The size of the log above which the oldest handled events are deleted.
    pub retain_bytes: Option<u64>,
    /// Whether retention also deletes events that a subscription has not handled.
    pub retain_delete_unhandled: bool,
    /// The largest number of hops in a cause tree. Deliveries beyond it become dead letters.
    pub hop_limit: u32,
    /// The host's name in the validation handshake of webhooks.
    pub webhook_origin: String,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: bus::StoreUrl::default(),
            standby: false,
            max_backlog: None,
            max_log_bytes: None,
            max_plugin_backlog: bus::Settings::default().max_plugin_backlog,
            max_plugin_log_bytes: None,
            max_producer_delayed: bus::Settings::default().max_producer_delayed,
            max_producer_log_bytes: None,
            max_types: bus::Settings::default().max_types,
            retain_for: None,
            retain_bytes: None,
            retain_delete_unhandled: false,
            hop_limit: 64,
            webhook_origin: DEFAULT_ORIGIN.to_owned(),
        }
    }
}

impl BusConfig {
    /// The settings that the bus is opened with.
    #[must_use]
    pub fn settings(&self) -> bus::Settings {
        bus::Settings {
            max_backlog: self.max_backlog,
            max_log_bytes: self.max_log_bytes,
            max_plugin_backlog: self.max_plugin_backlog,
            max_plugin_log_bytes: self.max_plugin_log_bytes,
            max_producer_delayed: self.max_producer_delayed,
            max_producer_log_bytes: self.max_producer_log_bytes,
            max_types: self.max_types,
            retention: bus::Retention {
                max_age: self.retain_for,
                max_bytes: self.retain_bytes,
                delete_unhandled: self.retain_delete_unhandled,
            },
            repeatable_ids: false,
            crash_point: None,
        }
    }
}

/// Settings of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxConfig {
    /// The number of concurrent invocations of all plugins.
    #[schemars(range(min = 1, max = SandboxConfig::MAX_CONCURRENCY))]
    pub concurrency: NonZeroU32,
    /// The number of concurrent invocations of one plugin.
    pub plugin_concurrency: NonZeroU32,
    /// The number of concurrent deliveries of one subscription.
    pub subscription_concurrency: NonZeroU32,
    /// Linear memory of one invocation, in bytes.
    pub memory_bytes: usize,
    /// The largest linear memory that a sidecar may grant, in bytes.
    pub max_memory_bytes: usize,
    /// The time limit of one invocation.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::PositiveDurationText")]
    pub timeout: Duration,
    /// How long a request waits for a permit before it gets 503.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub admission_timeout: Duration,
    /// The largest number of events that one invocation may publish.
    pub max_publishes: usize,
    /// The largest total size of the effects of one invocation, in bytes.
    pub max_effect_bytes: usize,
    /// Whether components of WASI 0.3 may run. The engine's support for it is experimental.
    pub wasi_0_3: bool,
    /// Whether components may import an interface several times, under labels of their own. The engine's support for it
    /// is not finished.
    pub labelled_imports: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        let plugin::Defaults { limits, subscription_concurrency, plugin_concurrency, max_memory_bytes } =
            plugin::Defaults::default();
        Self {
            concurrency: NonZeroU32::new(64).expect("64 is not zero"),
            plugin_concurrency,
            subscription_concurrency,
            memory_bytes: limits.memory_bytes,
            max_memory_bytes,
            timeout: limits.timeout,
            admission_timeout: Duration::from_secs(5),
            max_publishes: limits.publishes,
            max_effect_bytes: limits.effect_bytes,
            wasi_0_3: true,
            labelled_imports: true,
        }
    }
}

impl SandboxConfig {
    /// The largest number of concurrent invocations. Each reserves some 32 GiB of the address space, which has 128 TiB,
    /// and half as much again if components of WASI 0.3 run.
    pub(crate) const MAX_CONCURRENCY: u32 = 2_048;

    /// The configuration of the engines, for a number of concurrent invocations.
    pub(crate) fn engine(&self, concurrency: usize, source_lines: bool) -> EngineConfig {
        EngineConfig {
            concurrency,
            memory_bytes: self.max_memory_bytes,
            source_lines,
            wasi_0_3: self.wasi_0_3,
            labelled_imports: self.labelled_imports,
        }
    }

    /// The defaults of plugins.
    #[must_use]
    pub fn plugin_defaults(&self) -> plugin::Defaults {
        plugin::Defaults {
            limits: Limits {
                memory_bytes: self.memory_bytes,
                timeout: self.timeout,
                publishes: self.max_publishes,
                effect_bytes: self.max_effect_bytes,
                ..Limits::default()
            },
            subscription_concurrency: self.subscription_concurrency,
            plugin_concurrency: self.plugin_concurrency,
            max_memory_bytes: self.max_memory_bytes,
        }
    }
}

/// Where a configuration comes from, so that it can be loaded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigSource {
    overrides: Overrides,
    /// Who may publish if the file does not say.
    events: EventsRule,
    /// Whether the ledger keeps responses if the file does not say, and SIGHUP ends the host.
    is_for_development: bool,
    /// The file as it was before the host read it at its start.
    stamp: FileStamp,
}

impl ConfigSource {
    /// The source of a serving host.
    fn serving(overrides: &Overrides) -> Self {
        Self::of(overrides, EventsRule::Off, false)
    }

    /// The source of a developer's host.
    fn developing(overrides: &Overrides) -> Self {
        Self::of(overrides, EventsRule::open(), true)
    }

    fn of(overrides: &Overrides, events: EventsRule, is_for_development: bool) -> Self {
        let stamp = FileStamp::of(file_of(overrides));
        Self { overrides: overrides.clone(), events, is_for_development, stamp }
    }

    /// The configuration file. It need not exist if nobody named it.
    fn file(&self) -> &Path {
        file_of(&self.overrides)
    }
}

fn file_of(overrides: &Overrides) -> &Path {
    overrides.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
}

/// Parses `--bus`. Its errors leave out the value, which may contain a password.
#[derive(Clone, Copy, Debug)]
struct StoreUrlParser;

impl TypedValueParser for StoreUrlParser {
    type Value = bus::StoreUrl;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Self::Value, clap::Error> {
        let malformed = |reason: String| {
            let message = format!("the value of `--bus` or of the variable SANDBUS_BUS is malformed: {reason}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| malformed("it is not UTF-8".to_owned()))?;
        bus::StoreUrl::parse(text).map_err(|error| malformed(error.to_string()))
    }
}

/// Settings from flags and environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// Read the configuration from FILE [default: sandbus.toml, if it exists]
    #[arg(long, env = "SANDBUS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Load plugins from FOLDER [default: plugins]
    #[arg(long, env = "SANDBUS_PLUGINS", value_name = "FOLDER")]
    pub plugins: Option<PathBuf>,
    /// Keep the store and compiled code in DIRECTORY [default: data]
    #[arg(long, env = "SANDBUS_DATA", value_name = "DIRECTORY")]
    pub data: Option<PathBuf>,
    /// Keep the bus in this store, such as `postgres://USER@HOST/DATABASE` [default: the data directory]
    #[arg(id = "bus.url", long = "bus", env = "SANDBUS_BUS", value_name = "URL", value_parser = StoreUrlParser)]
    pub bus_url: Option<bus::StoreUrl>,
    /// Stand by while another host uses the database, and take over when it stops or dies [default: false]
    #[arg(
        id = "bus.standby",
        long = "standby",
        env = "SANDBUS_STANDBY",
        value_name = "BOOLEAN",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub standby: Option<bool>,
    /// Serve HTTP on this address [default: 127.0.0.1:8080]
    #[arg(long, env = "SANDBUS_LISTEN", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Serve the admin interface on this address [default: 127.0.0.1:8081]
    #[arg(long, env = "SANDBUS_ADMIN_LISTEN", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub admin_listen: Option<SocketAddr>,
    /// Let the admin interface listen on any address, because a proxy terminates TLS; requires tokens [default: false]
    #[arg(
        id = "access.behind_proxy",
        long = "behind-proxy",
        env = "SANDBUS_BEHIND_PROXY",
        value_name = "BOOLEAN",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub behind_proxy: Option<bool>,
    /// Serve /livez, /readyz and /metrics on this address [default: off]
    #[arg(
        id = "probe.listen",
        long = "probe-listen",
        env = "SANDBUS_PROBE_LISTEN",
        value_name = "ADDRESS:PORT",
        value_parser = listen_address
    )]
    pub probe_listen: Option<SocketAddr>,
    /// Share the work of other hosts on the same database, and accept their connections on this address [default: off]
    #[arg(
        id = "cluster.listen",
        long = "cluster-listen",
        env = "SANDBUS_CLUSTER_LISTEN",
        value_name = "ADDRESS:PORT",
        value_parser = listen_address
    )]
    pub cluster_listen: Option<SocketAddr>,
    /// Tell other hosts to connect to this address [default: that of --cluster-listen]
    #[arg(
        id = "cluster.advertise",
        long = "cluster-advertise",
        env = "SANDBUS_CLUSTER_ADVERTISE",
        value_name = "HOST:PORT"
    )]
    pub cluster_advertise: Option<String>,
    /// Set the format of log lines [default: human on a terminal, else JSON]
    #[arg(long, env = "SANDBUS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<Format>,
    /// Set the log filter, such as `info` or `warn,plugin=debug` [default: info]
    #[arg(long, env = "SANDBUS_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// The origin of each value, by its key. Others are defaults of a command.
    #[arg(skip)]
    pub origins: BTreeMap<String, Origin>,
}

/// The configuration file. Unknown keys are refused, since a misspelt limit would not apply.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(description = "The configuration of a Sandbus host. Flags and environment variables override it.")]
struct File {
    /// The plugin folder; `plugins` by default.
    plugins: Option<PathBuf>,
    /// The directories that links in the plugin folder may point into, in addition to the folder itself.
    link_roots: Vec<PathBuf>,
    /// The data directory, with the store and the compiled code; `data` by default.
    data: Option<PathBuf>,
    /// The address of the ingress; `127.0.0.1:8080` by default.
    #[serde(deserialize_with = "deserialize_address")]
    #[schemars(with = "Option<AddressText>")]
    listen: Option<SocketAddr>,
    /// The address of the admin interface; `127.0.0.1:8081` by default.
    #[serde(deserialize_with = "deserialize_address")]
    #[schemars(with = "Option<AddressText>")]
    admin_listen: Option<SocketAddr>,
    /// The format of log lines.
    log_format: Option<Format>,
    /// The log filter, such as `warn,plugin=debug`; `info` by default.
    log: Option<String>,
    /// How long a shutdown waits for running requests and deliveries; `10s` by default.
    #[serde(with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::DurationText>")]
    shutdown_grace_period: Option<Duration>,
    /// The admin interface.
    admin: AdminConfig,
    /// The probe listener.
    probe: ProbeConfig,
    /// How the host shares its work with others.
    cluster: ClusterConfig,
    /// The ingress.
    ingress: IngressConfig,
    /// Limits of HTTP requests.
    http: HttpLimits,
    /// The bus.
    bus: BusConfig,
    /// The sandbox.
    sandbox: SandboxConfig,
    /// The ledger.
    ledger: LedgerConfig,
    /// Who may use the admin interface.
    access: AccessConfig,
    /// Outgoing requests.
    outbound: OutboundConfig,
    /// Secrets of plugins.
    secrets: SecretsConfig,
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> serde_json::Value {
    toml_file::schema::<File>("sandbus.toml")
}

/// A listen address in a JSON Schema.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^.+:[0-9]+$", "examples" = ["127.0.0.1:8080"]))]
#[expect(dead_code, reason = "only its schema is used")]
struct AddressText(String);

/// Reads a listen address: `127.0.0.1:8080`, `[::1]:8080`, or `localhost:8080`. A name stands for its first address.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let found = std::net::ToSocketAddrs::to_socket_addrs(text);
    let found = found.map_err(|error| format!("{error}; write ADDRESS:PORT, such as 127.0.0.1:8080"))?;
    // IPv4 first, so that every system resolves `localhost` to the same address.
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "the name has no address".to_owned())
}

fn deserialize_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    listen_address(&text).map(Some).map_err(serde::de::Error::custom)
}

impl Config {
    /// Loads the configuration of a serving host. Nobody may publish at `POST /events` unless the file names producers.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed, or a value is out of range.
    pub fn load(overrides: &Overrides) -> anyhow::Result<Self> {
        Self::load_with(ConfigSource::serving(overrides))
    }

    /// Loads the configuration of a developer's host. Anybody may publish unless the file names producers, and the
    /// ledger keeps what other services answer unless the file says otherwise.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_open(overrides: &Overrides) -> anyhow::Result<Self> {
        Self::load_with(ConfigSource::developing(overrides))
    }

    fn load_with(source: ConfigSource) -> anyhow::Result<Self> {
        let (file, keys) = read_file(source.overrides.config.as_deref())?;
        let config = Self::combine(file, keys, source);
        match config.out_of_range().into_iter().next() {
            Some((_, fault)) => bail!(fault),
            None => Ok(config),
        }
    }

    fn combine(mut file: File, keys: Option<FileKeys>, source: ConfigSource) -> Self {
        let given = source.overrides.clone();
        if !keys.as_ref().is_some_and(|keys| keys.has("ledger.record_responses")) {
            file.ledger.record_responses = source.is_for_development;
        }
        Self {
            plugins: given.plugins.or(file.plugins).unwrap_or_else(|| DEFAULT_PLUGINS.into()),
            link_roots: file.link_roots,
            data: given.data.or(file.data).unwrap_or_else(|| "data".into()),
            listen: given.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            admin: given.admin_listen.or(file.admin_listen).unwrap_or(DEFAULT_ADMIN),
            log_format: given.log_format.or(file.log_format).unwrap_or_default(),
            log: given.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            shutdown_grace_period: file.shutdown_grace_period.unwrap_or(Duration::from_secs(10)),
            probe: ProbeConfig { listen: given.probe_listen.or(file.probe.listen) },
            cluster: ClusterConfig {
                listen: given.cluster_listen.or(file.cluster.listen),
                advertise: given.cluster_advertise.or(file.cluster.advertise),
            },
            events: file.ingress.events.unwrap_or_else(|| source.events.clone()),
            ingress_tls: file.ingress.tls,
            ingress_rules: PublicListenerRules {
                proxies: file.ingress.trusted_proxies,
                access_log: file.ingress.access_log,
            },
            admin_tls: file.admin.tls,
            admin_socket: file.admin.socket,
            http: file.http,
            bus: BusConfig {
                url: given.bus_url.unwrap_or(file.bus.url),
                standby: given.standby.unwrap_or(file.bus.standby),
                ..file.bus
            },
            sandbox: file.sandbox,
            ledger: file.ledger,
            access: AccessConfig {
                behind_proxy: given.behind_proxy.unwrap_or(file.access.behind_proxy),
                ..file.access
            },
            outbound: file.outbound,
            secrets: file.secrets,
            source_lines: false,
            runtimes: None,
            hold_failures: false,
            origins: Origins { source: Some(Box::new(source)), file: keys, overrides: given.origins },
        }
    }

    /// What plugins get from the configuration.
    #[must_use]
    pub fn host_settings(&self) -> HostSettings {
        HostSettings {
            defaults: self.sandbox.plugin_defaults(),
            networks: self.outbound.networks.clone(),
            secrets: SecretStore::new(&self.secrets),
        }
    }

    /// Whether browsers reach the admin interface by TLS.
    #[must_use]
    pub fn is_admin_secure(&self) -> bool {
        let by_login = self.access.oidc.as_ref().is_some_and(OidcConfig::is_secure);
        self.admin_tls.is_some() || self.access.behind_proxy || by_login
    }

    /// Whether callers of the admin interface need tokens: always if it can be reached from other machines.
    #[must_use]
    pub fn requires_tokens(&self) -> bool {
        self.access.require_tokens || self.access.behind_proxy || !self.admin.ip().is_loopback()
    }
}

/// Ensures that the plugin folder exists. Only the default folder is created: with any other, a misspelt name would
/// start an empty host.
///
/// # Errors
/// If the folder does not exist.
pub(crate) fn ensure_folder(path: &Path) -> anyhow::Result<()> {
    if path == Path::new(DEFAULT_PLUGINS) && !path.exists() {
        std::fs::create_dir(path).with_context(|| format!("cannot create the plugin folder {}", path.display()))?;
        tracing::warn!(
            "created the plugin folder `{DEFAULT_PLUGINS}`; put .wasm files into it, or choose another folder with --plugins"
        );
    }
    check_folder(path)
}

/// Checks that the plugin folder exists.
///
/// # Errors
/// If the folder does not exist or is not a directory.
pub(crate) fn check_folder(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => bail!("the plugin folder {shown} is a file; name the directory that contains it"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the plugin folder {shown} does not exist; create it with `mkdir -p {shown}`, or choose another folder with --plugins"
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot read the plugin folder {shown}")),
    }
}

/// Reads the file, and finds out which keys it has.
fn read_file(named: Option<&Path>) -> anyhow::Result<(File, Option<FileKeys>)> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match files::read_text(path, MAX_FILE_BYTES) {
        Ok(text) => {
            let file = toml_file::parse(&text).with_context(|| format!("{} is malformed", path.display()))?;
            Ok((file, Some(FileKeys::of(path, &text))))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok((File::default(), None)),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, overrides: Overrides) -> anyhow::Result<Config> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Config::load(&Overrides { config: Some(file.path().to_owned()), ..overrides })
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
        let overrides = Overrides { data: Some("mine".into()), ..Overrides::default() };
        let config =
            load("data = \"theirs\"\nplugins = \"handlers\"\n[sandbox]\ntimeout = \"2s\"\n", overrides).unwrap();
        assert_eq!(config.data, Path::new("mine"));
        assert_eq!(config.plugins, Path::new("handlers"));
        assert_eq!(config.sandbox.timeout, Duration::from_secs(2));
        assert_eq!(config.listen, DEFAULT_LISTEN);
    }

    #[test]
    fn a_developers_host_records_responses_unless_the_file_says_otherwise() {
        for (text, served, developed) in [
            ("", false, true),
            ("[ledger]\nslow = \"2s\"\n", false, true),
            ("[ledger]\nrecord_responses = false\n", false, false),
            ("[ledger]\nrecord_responses = true\n", true, true),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
            let records = |config: Config| config.ledger.record_responses;
            let loaded = (Config::load(&overrides).unwrap(), Config::load_open(&overrides).unwrap());
            assert_eq!((records(loaded.0), records(loaded.1)), (served, developed), "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named() {
        let error = |text: &str| format!("{:#}", load(text, Overrides::default()).unwrap_err());
        assert!(error("plugin = \"x\"").contains("plugin"));
        assert!(error("[http]\nmax_body = 5").contains("max_body"));
        assert!(error("admin_listen = \"0.0.0.0:1\"").contains("loopback"));
        let behind_proxy = "admin_listen = \"0.0.0.0:1\"\n[access]\nbehind_proxy = true";
        assert!(load(behind_proxy, Overrides::default()).unwrap().requires_tokens());
        let tls = "admin_listen = \"0.0.0.0:1\"\n[admin.tls]\ncertificate = \"a\"\nkey = \"b\"";
        assert!(load(tls, Overrides::default()).unwrap().requires_tokens());
        assert!(!load("", Overrides::default()).unwrap().requires_tokens());
        assert!(load("[access]\nrequire_tokens = true", Overrides::default()).unwrap().requires_tokens());
        assert!(error("[probe]\nlisten = \"127.0.0.1:8081\"").contains("probe.listen and admin_listen"));
        assert!(error("[probe]\nlisten = \"8082\"").contains("ADDRESS:PORT"));
        assert!(error("[probe]\naddress = \"127.0.0.1:8082\"").contains("address"));
        assert!(error("[ingress.tls]\ncertificate = \"a.pem\"").contains("key"));
        assert!(error("[admin.tls]\ncert = \"a.pem\"").contains("cert"));
        let unknown = error("[bus]\nurl = \"redis://user:secret@host\"");
        assert!(unknown.contains("`redis:`") && unknown.contains("`file:DIRECTORY`"), "{unknown}");
    }

    #[test]
    fn a_folder_that_somebody_named_must_exist() {
        let home = tempfile::tempdir().unwrap();
        assert!(ensure_folder(home.path()).is_ok());
        let typo = home.path().join("typo");
        let error = ensure_folder(&typo).unwrap_err().to_string();
        assert!(error.contains(typo.to_str().unwrap()) && error.contains("does not exist; create it"), "{error}");
        assert!(!typo.exists());
        std::fs::write(&typo, "").unwrap();
        assert!(ensure_folder(&typo).unwrap_err().to_string().contains("is a file"));
    }

    #[test]
    fn a_listener_may_be_named() {
        let parsed = |text: &str| listen_address(text).map(|address| address.to_string());
        assert_eq!(parsed("127.0.0.1:8080").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(parsed("[::1]:8080").as_deref(), Ok("[::1]:8080"));
        assert!(parsed("localhost:8080").is_ok_and(|address| address.ends_with(":8080")));
        for text in ["", "localhost", ":8080", "localhost:port", "localhost:99999", "::1:x"] {
            assert!(parsed(text).is_err(), "{text}");
        }
        assert!(load("listen = \"localhost:80\"", Overrides::default()).unwrap().listen.ip().is_loopback());
    }

    #[test]
    fn a_named_file_must_exist() {
        let overrides = Overrides { config: Some("/nonexistent/sandbus.toml".into()), ..Overrides::default() };
        assert!(Config::load(&overrides).is_err());
    }
}
