//! The effective settings, each with its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde::Serialize;
use serde_json::Value;

use super::{Config, Overrides};

/// The origin of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Neither the file nor the command line nor the environment has it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl Origin {
    /// The name of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }

    /// The file, the variable or the flag.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::File(path) => Some(path.display().to_string()),
            Self::Environment(name) | Self::Flag(name) => Some(name.clone()),
        }
    }
}

/// A setting with its value and its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveSetting {
    /// The key, such as `bus.max_backlog`.
    pub key: String,
    /// The value; null if it has none.
    pub value: Value,
    /// Its origin.
    pub origin: Origin,
}

/// The origins of all settings that are not defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// How to load the configuration again. None if it was not loaded from a file and flags.
    pub(super) source: Option<Box<super::ConfigSource>>,
    /// The file that was read, if there is one.
    pub(super) file: Option<FileKeys>,
    /// The origins of the overrides, by key.
    pub(super) overrides: BTreeMap<String, Origin>,
}

/// A configuration file and the keys in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileKeys {
    path: PathBuf,
    keys: BTreeSet<String>,
}

impl FileKeys {
    /// The keys of a file with this text. Those of a malformed file are not known.
    pub(super) fn of(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), keys: toml::from_str(text).map(|table| keys(&table)).unwrap_or_default() }
    }

    /// Whether the file has a key, such as `ledger.record`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }
}

impl Origins {
    fn of(&self, key: &str) -> Origin {
        if let Some(origin) = self.overrides.get(key) {
            return origin.clone();
        }
        match &self.file {
            Some(file) if file.keys.contains(key) => Origin::File(file.path.clone()),
            _ => Origin::Default,
        }
    }
}

/// The keys of a document, such as `bus.max_backlog`. `[[ingress.events]]` is one key.
fn keys(table: &toml::Table) -> BTreeSet<String> {
    let within = |(name, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) => inner.keys().map(|key| format!("{name}.{key}")).collect(),
        _ => vec![name.clone()],
    };
    table.iter().flat_map(within).collect()
}

/// [`Overrides`] whose origins are known.
#[derive(Clone, Debug, Default)]
pub struct ParsedOverrides(pub Overrides);

impl FromArgMatches for ParsedOverrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let overrides = Overrides::from_arg_matches(matches)?;
        let command = Overrides::augment_args(Command::new("sandbus"));
        let origin = |argument: &clap::Arg| {
            let id = argument.get_id().as_str();
            let origin = match matches.value_source(id)? {
                ValueSource::CommandLine => Origin::Flag(format!("--{}", argument.get_long()?)),
                ValueSource::EnvVariable => Origin::Environment(argument.get_env()?.to_str()?.to_owned()),
                _ => return None,
            };
            Some((id.to_owned(), origin))
        };
        let origins = command.get_arguments().filter_map(origin).collect();
        Ok(Self(Overrides { origins, ..overrides }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ParsedOverrides {
    fn augment_args(command: Command) -> Command {
        Overrides::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Overrides::augment_args_for_update(command)
    }
}

/// The settings in the form of the configuration file.
#[derive(Serialize)]
struct Document<'a> {
    plugins: &'a Path,
    link_roots: &'a [PathBuf],
    data: &'a Path,
    listen: std::net::SocketAddr,
    admin_listen: std::net::SocketAddr,
    log_format: crate::telemetry::Format,
    log: &'a str,
    #[serde(with = "crate::duration")]
    shutdown_grace_period: std::time::Duration,
    probe: &'a super::ProbeConfig,
    cluster: &'a super::ClusterConfig,
    admin: AdminSettings<'a>,
    ingress: IngressSettings<'a>,
    http: &'a crate::server::HttpLimits,
    bus: &'a super::BusConfig,
    sandbox: &'a super::SandboxConfig,
    ledger: &'a crate::ledger::LedgerConfig,
    access: &'a super::AccessConfig,
    outbound: &'a crate::outbound::OutboundConfig,
    secrets: &'a crate::secrets::SecretsConfig,
}

#[derive(Serialize)]
struct AdminSettings<'a> {
    tls: Option<&'a crate::server::TlsConfig>,
    socket: Option<&'a Path>,
}

#[derive(Serialize)]
struct IngressSettings<'a> {
    events: &'a crate::ingress::EventsRule,
    tls: Option<&'a crate::server::TlsConfig>,
    access_log: bool,
    trusted_proxies: &'a crate::server::TrustedProxies,
}

impl Config {
    /// All settings, each with its origin, in the order of their keys. They contain no secrets: tokens are in files of
    /// their own.
    #[must_use]
    pub fn effective_settings(&self) -> Vec<EffectiveSetting> {
        let document = Document {
            plugins: &self.plugins,
            link_roots: &self.link_roots,
            data: &self.data,
            listen: self.listen,
            admin_listen: self.admin,
            log_format: self.log_format,
            log: &self.log,
            shutdown_grace_period: self.shutdown_grace_period,
            probe: &self.probe,
            cluster: &self.cluster,
            admin: AdminSettings { tls: self.admin_tls.as_ref(), socket: self.admin_socket.as_deref() },
            ingress: IngressSettings {
                events: &self.events,
                tls: self.ingress_tls.as_ref(),
                access_log: self.ingress_rules.access_log,
                trusted_proxies: &self.ingress_rules.proxies,
            },
            http: &self.http,
            bus: &self.bus,
            sandbox: &self.sandbox,
            ledger: &self.ledger,
            access: &self.access,
            outbound: &self.outbound,
            secrets: &self.secrets,
        };
        let Ok(Value::Object(document)) = serde_json::to_value(document) else { return Vec::new() };
        let mut settings = Vec::new();
        for (name, value) in document {
            match value {
                Value::Object(table) => {
                    settings.extend(table.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
                }
                value => settings.push((name, value)),
            }
        }
        settings.sort_by(|one, other| one.0.cmp(&other.0));
        let with_origin =
            |(key, value): (String, Value)| EffectiveSetting { origin: self.origins.of(&key), key, value };
        settings.into_iter().map(with_origin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        overrides: ParsedOverrides,
    }

    fn settings(text: &str, arguments: &[&str]) -> BTreeMap<String, (Value, &'static str, Option<String>)> {
        use clap::Parser as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let arguments = [&["sandbus", "--config", file.path().to_str().unwrap()], arguments].concat();
        let config = Config::load(&Command::parse_from(arguments).overrides.0).unwrap();
        let view = |setting: EffectiveSetting| {
            let source = setting.origin.source().filter(|_| !matches!(setting.origin, Origin::File(_)));
            (setting.key, (setting.value, setting.origin.kind(), source))
        };
        config.effective_settings().into_iter().map(view).collect()
    }

    #[test]
    fn each_setting_has_its_value_and_its_origin() {
        let text = "data = \"theirs\"\nplugins = \"theirs\"\n[sandbox]\ntimeout = \"2s\"\n[[ingress.events]]\ntypes = [\"a.>\"]\nsources = [\"/a/*\", \"*\", \"/b\"]\n[ingress.tls]\ncertificate = \"host.pem\"\nkey = \"host.key\"\n";
        let found = settings(text, &["--data", "mine", "--probe-listen", "0.0.0.0:8082"]);
        for (key, value, kind, source) in [
            ("data", "\"mine\"", "flag", Some("--data")),
            ("plugins", "\"theirs\"", "file", None),
            ("sandbox.timeout", "\"2s\"", "file", None),
            ("sandbox.concurrency", "64", "default", None),
            ("bus.max_backlog", "null", "default", None),
            ("bus.url", "\"file:.\"", "default", None),
            ("listen", "\"127.0.0.1:8080\"", "default", None),
            ("log_format", "\"auto\"", "default", None),
            ("probe.listen", "\"0.0.0.0:8082\"", "flag", Some("--probe-listen")),
            ("admin.tls", "null", "default", None),
            ("ingress.tls", r#"{"certificate":"host.pem","key":"host.key"}"#, "file", None),
            ("ledger.record", "\"sampled\"", "default", None),
            ("ledger.retain_aggregates_for", "\"90d\"", "default", None),
            (
                "ingress.events",
                r#"[{"types":["a.>"],"sources":["/a/*","*","/b"],"token_file":null,"replies":false}]"#,
                "file",
                None,
            ),
        ] {
            let expected = (serde_json::from_str(value).unwrap(), kind, source.map(str::to_owned));
            assert_eq!(found[key], expected, "{key}");
        }
        assert_eq!(settings("", &[])["ingress.events"].0, "off");
    }

    #[test]
    fn the_settings_are_the_keys_of_the_file() {
        let page = include_str!("../../../docs/configuration.md");
        let block = crate::documented::with_commented_keys(&crate::documented::titled(page, "sandbus.toml"));
        let documented = keys(&toml::from_str(&block).unwrap());
        assert_eq!(settings("", &[]).into_keys().collect::<BTreeSet<_>>(), documented);
    }
}
