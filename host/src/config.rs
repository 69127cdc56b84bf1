//! The configuration: command line over environment over `sandbus.toml` over defaults, read once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::bus;
use crate::endpoint::DEFAULT_ORIGIN;
use crate::ingress::{EventsRule, IngressConfig};
use crate::plugin::{self, Limits};
use crate::server::HttpLimits;
use crate::telemetry::Format;
use crate::toml_file;

/// Where a host is asked for by default, and asks.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
/// The plugin folder of a host that is told nothing.
const DEFAULT_PLUGINS: &str = "plugins";
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What the host runs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder with the plugins.
    pub plugins: PathBuf,
    /// The directory with the bus and the compiled code.
    pub data: PathBuf,
    /// Where the ingress listens.
    pub listen: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    /// How log lines look.
    pub log_format: Format,
    /// Which log lines there are.
    pub log: String,
    /// How long a shutdown waits for what runs.
    pub shutdown_grace_period: Duration,
    /// Who may publish at `POST /events`.
    pub events: EventsRule,
    /// Limits of HTTP requests.
    pub http: HttpLimits,
    /// What the bus keeps.
    pub bus: BusConfig,
    /// Limits of the sandbox.
    pub sandbox: SandboxConfig,
    /// Whether backtraces name the lines of plugins' sources. `sandbus dev` wants it.
    pub source_lines: bool,
}

/// The bus' part.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// Where the store is, and by that the engine.
    pub url: bus::StoreUrl,
    /// How many deliveries may wait for a subscription that says nothing else, before publishers are told
    /// to come back later. Without it there is no limit.
    pub max_backlog: Option<u64>,
    /// How many bytes the events of the log may have, before publishers are told to come back later.
    pub max_log_bytes: Option<u64>,
    /// How many events of one plugin may wait to be handled, delayed ones and dead letters among them, before its
    /// handlers may not publish.
    pub max_plugin_backlog: u64,
    /// How many bytes the events of one plugin may have, before its handlers may not publish. Half of `max_log_bytes`
    /// if that is given, and else without a limit.
    pub max_plugin_log_bytes: Option<u64>,
    /// How many events of one producer may wait for their time, before it is told to come back later.
    pub max_producer_delayed: u64,
    /// How many bytes the events of one producer may have, before it is told to come back later. Half of
    /// `max_log_bytes` if that is given, and else without a limit.
    pub max_producer_log_bytes: Option<u64>,
    /// How many event types there may be.
    pub max_types: usize,
    /// Events that were stored so long ago are deleted.
    #[serde(deserialize_with = "crate::duration::option::deserialize")]
    pub retain_for: Option<Duration>,
    /// The oldest events are deleted while the log has more bytes than this.
    pub retain_bytes: Option<u64>,
    /// Whether events are deleted that a subscription has not handled yet.
    pub retain_delete_unhandled: bool,
    /// How many events a flow may pass before its deliveries are dead letters.
    pub hop_limit: u32,
    /// The name that the host gives of itself to webhooks, in the validation handshake.
    pub webhook_origin: String,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: bus::StoreUrl::default(),
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
    /// What the bus is told of it.
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
        }
    }
}

/// The sandbox's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxConfig {
    /// How many invocations run at a time, of all plugins together.
    pub concurrency: NonZeroU32,
    /// How many invocations of one plugin run at a time.
    pub plugin_concurrency: NonZeroU32,
    /// How many deliveries of one subscription run at a time.
    pub subscription_concurrency: NonZeroU32,
    /// Linear memory of one invocation, in bytes.
    pub memory_bytes: usize,
    /// The most linear memory that a sidecar may grant, in bytes.
    pub max_memory_bytes: usize,
    /// Time for one invocation.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub timeout: Duration,
    /// How long a request waits for a place before it is told to come back.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub admission_timeout: Duration,
    /// How many events one invocation may publish.
    pub max_publishes: usize,
    /// How many bytes the effects of one invocation may have together.
    pub max_effect_bytes: usize,
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
        }
    }
}

impl SandboxConfig {
    /// What applies to a plugin that says nothing else.
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

/// What the command line and the environment say.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// The configuration file; sandbus.toml in the working directory by default, if it is there
    #[arg(long, env = "SANDBUS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder with the plugins [default: plugins]
    #[arg(long, env = "SANDBUS_PLUGINS", value_name = "FOLDER")]
    pub plugins: Option<PathBuf>,
    /// The directory with the bus and the compiled code [default: data]
    #[arg(long, env = "SANDBUS_DATA", value_name = "DIRECTORY")]
    pub data: Option<PathBuf>,
    /// Where the ingress listens [default: 127.0.0.1:8080]
    #[arg(long, env = "SANDBUS_LISTEN", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Where the admin interface listens, on loopback [default: 127.0.0.1:8081]
    #[arg(long, env = "SANDBUS_ADMIN_LISTEN", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub admin_listen: Option<SocketAddr>,
    /// How log lines look [default: human on a terminal, else JSON]
    #[arg(long, env = "SANDBUS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<Format>,
    /// Which log lines there are, such as `info` or `warn,plugin=debug` [default: info]
    #[arg(long, env = "SANDBUS_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// What the file says. Unknown keys are refused: a misspelt limit would be none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    plugins: Option<PathBuf>,
    data: Option<PathBuf>,
    #[serde(deserialize_with = "deserialize_address")]
    listen: Option<SocketAddr>,
    #[serde(deserialize_with = "deserialize_address")]
    admin_listen: Option<SocketAddr>,
    log_format: Option<Format>,
    log: Option<String>,
    #[serde(deserialize_with = "crate::duration::option::deserialize")]
    shutdown_grace_period: Option<Duration>,
    ingress: IngressConfig,
    http: HttpLimits,
    bus: BusConfig,
    sandbox: SandboxConfig,
}

/// An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, or `localhost:8080`, of which the first address is taken.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let found = std::net::ToSocketAddrs::to_socket_addrs(text);
    let found = found.map_err(|error| format!("{error}; write ADDRESS:PORT, such as 127.0.0.1:8080"))?;
    // The same for everybody, whichever a system names first.
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "the name has no address".to_owned())
}

fn deserialize_address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    listen_address(&text).map(Some).map_err(serde::de::Error::custom)
}

impl Config {
    /// Puts everything together. Nobody may publish at `POST /events` unless the file says who.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed, or a value is out of range.
    pub fn load(overrides: &Overrides) -> anyhow::Result<Self> {
        Self::load_with(overrides, EventsRule::Off)
    }

    /// The same for a developer's host: anybody may publish unless the file says who.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_open(overrides: &Overrides) -> anyhow::Result<Self> {
        Self::load_with(overrides, EventsRule::open())
    }

    fn load_with(overrides: &Overrides, events: EventsRule) -> anyhow::Result<Self> {
        let file = read_file(overrides.config.as_deref())?;
        let given = overrides.clone();
        let config = Self {
            plugins: given.plugins.or(file.plugins).unwrap_or_else(|| DEFAULT_PLUGINS.into()),
            data: given.data.or(file.data).unwrap_or_else(|| "data".into()),
            listen: given.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            admin: given.admin_listen.or(file.admin_listen).unwrap_or(DEFAULT_ADMIN),
            log_format: given.log_format.or(file.log_format).unwrap_or_default(),
            log: given.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            shutdown_grace_period: file.shutdown_grace_period.unwrap_or(Duration::from_secs(10)),
            events: file.ingress.events.unwrap_or(events),
            http: file.http,
            bus: file.bus,
            sandbox: file.sandbox,
            source_lines: false,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        if !self.admin.ip().is_loopback() {
            bail!(
                "the admin interface may do anything and asks for no password, and so it listens on loopback only; {} is not",
                self.admin.ip()
            );
        }
        if self.sandbox.memory_bytes > self.sandbox.max_memory_bytes {
            bail!("sandbox.memory_bytes is above sandbox.max_memory_bytes");
        }
        if self.sandbox.concurrency.get() > 4_096 {
            bail!("sandbox.concurrency is above 4096");
        }
        if self.sandbox.timeout.is_zero() {
            bail!("sandbox.timeout is zero");
        }
        Ok(())
    }
}

/// Makes sure that the plugin folder is there. The default one is made; any other is somebody's, and a host on a folder
/// that was mistyped would run, empty, as if all were well.
///
/// # Errors
/// If it is not there.
pub(crate) fn ensure_folder(path: &Path) -> anyhow::Result<()> {
    if path == Path::new(DEFAULT_PLUGINS) && !path.exists() {
        std::fs::create_dir(path).with_context(|| format!("the plugin folder {} cannot be made", path.display()))?;
        tracing::warn!(
            "made the plugin folder `{DEFAULT_PLUGINS}`; put .wasm files into it, or give another with --plugins"
        );
    }
    check_folder(path)
}

/// Checks that a plugin folder is there.
///
/// # Errors
/// If it is not there, or no directory.
pub(crate) fn check_folder(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => bail!("the plugin folder {shown} is a file; give the directory that it lies in"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the plugin folder {shown} does not exist; make it with `mkdir -p {shown}`, or give another with --plugins"
            )
        }
        Err(error) => Err(error).with_context(|| format!("the plugin folder {shown} cannot be read")),
    }
}

fn read_file(named: Option<&Path>) -> anyhow::Result<File> {
    let path = named.unwrap_or(Path::new("sandbus.toml"));
    match std::fs::read_to_string(path) {
        Ok(text) => toml_file::parse(&text).with_context(|| format!("{} is malformed", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(File::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

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
    fn unknown_keys_and_bad_values_are_named() {
        let error = |text: &str| format!("{:#}", load(text, Overrides::default()).unwrap_err());
        assert!(error("plugin = \"x\"").contains("plugin"));
        assert!(error("[http]\nmax_body = 5").contains("max_body"));
        assert!(error("admin_listen = \"0.0.0.0:1\"").contains("loopback"));
        let unknown = error("[bus]\nurl = \"redis://user:secret@host\"");
        assert!(unknown.contains("`redis:`") && unknown.contains("`file:DIRECTORY`"), "{unknown}");
    }

    /// The README's list of settings is complete and true.
    #[test]
    fn the_readme_lists_every_setting_with_its_default() {
        let readme = include_str!("../../README.md");
        let mut blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let producers = blocks.find(|block| block.starts_with("[[ingress.events]]")).unwrap();
        assert!(matches!(load(producers, Overrides::default()).unwrap().events, EventsRule::Producers(_)));
        let block = blocks.find(|block| block.starts_with("plugins = ")).unwrap();
        let from_readme = load(block, Overrides::default()).unwrap();
        assert_eq!(from_readme, load("", Overrides::default()).unwrap());
        let keys = |text: &str| text.matches(" = ").count();
        assert_eq!(keys(block), 7 + 1 + 13 + 6 + 9, "a new setting belongs into the README");
        // Those without a default stand there as comments.
        let all = block.replace("\n# ", "\n");
        assert!(load(&all, Overrides::default()).unwrap().bus.retain_for.is_some());
        let sidecar = blocks.find(|block| block.starts_with("enabled = ")).unwrap();
        crate::plugin::Sidecar::parse(sidecar).unwrap();
    }

    #[test]
    fn a_folder_that_somebody_named_must_exist() {
        let home = tempfile::tempdir().unwrap();
        assert!(ensure_folder(home.path()).is_ok());
        let typo = home.path().join("typo");
        let error = ensure_folder(&typo).unwrap_err().to_string();
        assert!(error.contains(typo.to_str().unwrap()) && error.contains("does not exist; make it"), "{error}");
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
