//! Checks a configuration: all faults in one pass, for `sandbus check`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    ClusterConfig, Config, ConfigSource, File, FileKeys, MAX_FILE_BYTES, Overrides, SandboxConfig, check_folder,
};
use crate::bus::StoreUrl;
use crate::files;
use crate::ingress::{EventsRule, Producers};
use crate::login::OidcConfig;
use crate::server::Tls;
use crate::telemetry;
use crate::toml_file::{self, Malformed};

/// The result of checking a configuration.
#[derive(Debug)]
pub(crate) struct ConfigReport {
    /// The configuration without the faulty keys.
    pub(crate) config: Config,
    /// The file; it may not exist if nobody named it.
    pub(crate) file: PathBuf,
    pub(crate) faults: Vec<Malformed>,
}

/// A key with what is wrong about it.
type Fault = (&'static str, String);

impl Config {
    /// Checks the configuration of a serving host. Neither uses the data directory nor binds an address.
    pub(crate) fn examine(overrides: &Overrides) -> ConfigReport {
        Self::examine_source(ConfigSource::serving(overrides))
    }

    /// Checks the configuration of a source.
    pub(super) fn examine_source(source: ConfigSource) -> ConfigReport {
        let (named, file) = (source.overrides.config.as_deref(), source.file().to_owned());
        let (text, mut faults) = match files::read_text(&file, MAX_FILE_BYTES) {
            Ok(text) => (text, Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                (String::new(), Vec::new())
            }
            Err(error) => (String::new(), vec![Malformed::whole(format!("cannot read the file: {error}"))]),
        };
        let (parsed, malformed) = toml_file::parse_all::<File>(&text);
        faults.extend(malformed);
        let keys = file.exists().then(|| FileKeys::of(&file, &text));
        let config = Self::combine(parsed.unwrap_or_default(), keys, source);
        let (used, contradictory) = (config.unusable_files(), config.contradictions());
        let semantic = config.out_of_range().into_iter().chain(contradictory).chain(used);
        faults.extend(semantic.map(|(key, what)| Malformed::at(&text, key, what)));
        faults.sort_by_key(Malformed::place);
        ConfigReport { config, file, faults }
    }

    /// Values that no host accepts.
    pub(super) fn out_of_range(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !self.admin.ip().is_loopback() && !self.access.behind_proxy && self.admin_tls.is_none() {
            let what = format!(
                "{} is not a loopback address, and tokens must not be sent in clear text; give it a certificate in [admin.tls], or put a proxy that terminates TLS in front of the host and set access.behind_proxy = true, or listen on a loopback address",
                self.admin
            );
            faults.push(("admin_listen", what));
        }
        faults.extend(self.access.oidc.iter().flat_map(OidcConfig::faults));
        if let Some(probe) = self.probe.listen
            && probe.port() != 0
            && let Some((key, _)) =
                [("listen", self.listen), ("admin_listen", self.admin)].iter().find(|(_, address)| *address == probe)
        {
            let what = format!("probe.listen and {key} have the same address, {probe}; give each listener its own");
            faults.push(("probe.listen", what));
        }
        if let Some(socket) = &self.admin_socket
            && (socket.as_os_str().is_empty() || std::os::unix::net::SocketAddr::from_pathname(socket).is_err())
        {
            let what = "admin.socket is not a path that a Unix socket may have; give it a path of 1 to 107 bytes";
            faults.push(("admin.socket", what.to_owned()));
        }
        if self.bus.standby && matches!(self.bus.url, StoreUrl::Directory(_)) {
            let what =
                "bus.standby needs a store that another host can use; set bus.url to a database, or remove bus.standby";
            faults.push(("bus.standby", what.to_owned()));
        }
        faults.extend(self.cluster_faults());
        if self.sandbox.memory_bytes > self.sandbox.max_memory_bytes {
            let what = "sandbox.memory_bytes exceeds sandbox.max_memory_bytes; lower the first or raise the second";
            faults.push(("sandbox.memory_bytes", what.to_owned()));
        }
        if self.sandbox.concurrency.get() > SandboxConfig::MAX_CONCURRENCY {
            let what = format!("it exceeds the limit, {}", SandboxConfig::MAX_CONCURRENCY);
            faults.push(("sandbox.concurrency", what));
        }
        if self.sandbox.timeout.is_zero() {
            let what = "sandbox.timeout is zero; write a duration such as \"10s\"";
            faults.push(("sandbox.timeout", what.to_owned()));
        }
        faults
    }

    /// What contradicts `[cluster]`.
    fn cluster_faults(&self) -> Vec<(&'static str, String)> {
        let ClusterConfig { listen, advertise } = &self.cluster;
        let Some(listen) = listen else {
            let what = "cluster.advertise has no effect without cluster.listen; set cluster.listen, or remove it";
            return advertise.iter().map(|_| ("cluster.advertise", what.to_owned())).collect();
        };
        let mut faults = Vec::new();
        let mut fault = |key, what: &str| faults.push((key, what.to_owned()));
        if self.bus.standby {
            fault(
                "bus.standby",
                "a host with cluster.listen shares the work instead of standing by; remove bus.standby or cluster.listen",
            );
        }
        if self.cluster.advertised(*listen).is_none() {
            fault(
                "cluster.listen",
                "other hosts cannot connect to an address that stands for all; set cluster.advertise to the name or the address of this machine, with the port",
            );
        }
        let is_usable = |address: &str| {
            let is_host = |host: &str| {
                let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
                !host.is_empty() && !ip.is_ok_and(|ip| ip.is_unspecified())
            };
            address.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
        };
        if let Some(address) = advertise
            && !is_usable(address)
        {
            fault("cluster.advertise", "cluster.advertise is not HOST:PORT of this machine, such as `10.0.0.5:8083`");
        }
        faults
    }

    /// Values that make a host useless or that contradict each other. The host accepts some of them.
    fn contradictions(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key, what: &str| faults.push((key, what.to_owned()));
        if self.listen == self.admin && self.listen.port() != 0 {
            fault("admin_listen", "it equals `listen`; choose another port");
        }
        if self.cluster.listen.is_some() && matches!(self.bus.url, StoreUrl::Directory(_)) {
            fault("cluster.listen", "it needs a store that other hosts can use; set `bus.url` to a database");
        }
        let http = &self.http;
        for (key, time) in [
            ("http.header_timeout", http.header_timeout),
            ("http.body_timeout", http.body_timeout),
            ("http.write_timeout", http.write_timeout),
        ] {
            if time == Duration::ZERO {
                fault(key, "it is zero, so every request would fail; write a duration such as \"10s\"");
            }
        }
        if http.max_connections == 0 {
            fault("http.max_connections", "it is zero, so every connection would be refused");
        }
        let bus = &self.bus;
        let exceeds_log =
            |bytes: Option<u64>| matches!((bytes, bus.max_log_bytes), (Some(one), Some(log)) if one > log);
        if exceeds_log(bus.retain_bytes) && bus.retain_for.is_none() {
            fault(
                "bus.retain_bytes",
                "it exceeds `max_log_bytes`, so the log fills up before anything is deleted; lower it, or set `retain_for`",
            );
        }
        for (key, bytes) in [
            ("bus.max_plugin_log_bytes", bus.max_plugin_log_bytes),
            ("bus.max_producer_log_bytes", bus.max_producer_log_bytes),
        ] {
            if exceeds_log(bytes) {
                fault(key, "it exceeds `max_log_bytes`, so it has no effect; lower it");
            }
        }
        if bus.retain_delete_unhandled && bus.retain_for.is_none() && bus.retain_bytes.is_none() {
            fault(
                "bus.retain_delete_unhandled",
                "it has no effect without `retain_for` or `retain_bytes`; set one of them",
            );
        }
        faults
    }

    /// Files and filters that cannot be used.
    fn unusable_files(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let EventsRule::Producers(rules) = &self.events {
            // Each rule is checked by itself, so that all token files are read.
            for rule in rules {
                let loaded = Producers::load(EventsRule::Producers(vec![rule.clone()]));
                faults.extend(loaded.err().map(|error| ("ingress.events", error.to_string())));
            }
        }
        for (key, listener, tls) in
            [("ingress.tls", "ingress", &self.ingress_tls), ("admin.tls", "admin", &self.admin_tls)]
        {
            let loaded = tls.clone().map_or(Ok(()), |tls| Tls::load(listener, tls).map(drop));
            faults.extend(loaded.err().map(|error| (key, error.to_string())));
        }
        if let Err(error) = self.outbound.authorities() {
            faults.push(("outbound.ca_file", error.to_string()));
        }
        if let Err(error) = telemetry::check_filter(&self.log) {
            faults.push(("log", error.to_string()));
        }
        let is_created = self.plugins == Path::new(super::DEFAULT_PLUGINS) && !self.plugins.exists();
        if let Err(error) = check_folder(&self.plugins)
            && !is_created
        {
            faults.push(("plugins", error.to_string()));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("sandbus.toml");
        std::fs::write(&file, text).unwrap();
        let plugins = Some(home.path().to_owned());
        let overrides = Overrides { config: Some(file), plugins, ..Overrides::default() };
        Config::examine(&overrides).faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_faults_are_found_in_one_pass() {
        let found = faults(
            "liste = \"127.0.0.1:1\"\nadmin_listen = \"0.0.0.0:1\"\n[http]\nmax_body = 5\nheader_timeout = \"0s\"\nmax_connections = \"many\"\n[bus]\nretain_bytes = 10\nmax_log_bytes = 5\n[[ingress.events]]\ntypes = [\"a..b\"]\nsources = [\"/a\"]\n[[ingress.events]]\ntypes = [\"a\"]\nsources = [\"/a\"]\ntoken_file = \"/nonexistent/token\"\nreplys = true\n",
        );
        let expected = [
            "line 4, column 1: `http.max_body`: unknown key; did you mean `max_body_bytes`?",
            "line 6, column 19: `http.max_connections`: found a string; write a whole number from 0",
            "line 11, column 9: `ingress.events.types`: ",
            "line 17, column 1: `ingress.events.replys`: unknown key; did you mean `replies`?",
            "line 1, column 1: `liste`: unknown key; did you mean `listen`?",
            "line 2, column 1: `admin_listen`: 0.0.0.0:1 is not a loopback address",
            "line 5, column 1: `http.header_timeout`: it is zero",
            "line 8, column 1: `bus.retain_bytes`: it exceeds `max_log_bytes`",
            "`ingress.events`: the token file /nonexistent/token",
        ];
        for part in expected {
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn each_contradiction_is_a_fault_of_its_key() {
        for (text, key) in [
            ("listen = \"127.0.0.1:9\"\nadmin_listen = \"127.0.0.1:9\"", "admin_listen"),
            ("log = \"a=b=c\"", "log"),
            ("[http]\nmax_connections = 0", "http.max_connections"),
            ("[http]\nbody_timeout = \"0s\"", "http.body_timeout"),
            ("[bus]\nmax_log_bytes = 1\nmax_plugin_log_bytes = 2", "bus.max_plugin_log_bytes"),
            ("[bus]\nretain_delete_unhandled = true", "bus.retain_delete_unhandled"),
            ("[bus]\nurl = \"redis:x\"", "bus.url"),
            ("[sandbox]\nmemory_bytes = 999999999999", "sandbox.memory_bytes"),
            ("[sandbox]\nconcurrency = 5000", "sandbox.concurrency"),
            ("[sandbox]\ntimeout = \"0s\"", "sandbox.timeout"),
            ("[ledger]\nrecord = \"some\"", "ledger.record"),
            ("[admin]\nsocket = \"\"", "admin.socket"),
            (&format!("[admin]\nsocket = \"{}\"", "a".repeat(200)), "admin.socket"),
        ] {
            let found = faults(text);
            assert!(found.len() == 1 && found[0].contains(&format!("`{key}`: ")), "{text}: {found:?}");
        }
        assert_eq!(faults(""), [""; 0]);
        assert_eq!(faults("[bus]\nmax_log_bytes = 5\nretain_bytes = 9\nretain_for = \"7d\""), [""; 0]);
    }

    #[test]
    fn a_file_that_cannot_be_read_or_is_not_toml_is_a_fault() {
        let overrides = Overrides { config: Some("/nonexistent/sandbus.toml".into()), ..Overrides::default() };
        let report = Config::examine(&overrides);
        assert!(report.faults[0].to_string().starts_with("cannot read the file"), "{:?}", report.faults);
        let found = faults("a = \nb = ]\n");
        assert!(found.len() >= 2 && found[0].starts_with("line 1"), "{found:?}");
    }
}
