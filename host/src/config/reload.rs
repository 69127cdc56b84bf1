//! Loads a configuration again while the host runs.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{BusConfig, Config, SandboxConfig};
use crate::ledger::LedgerConfig;

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadReport {
    /// The keys whose new values apply.
    pub(crate) applied: Vec<String>,
    /// The keys whose new values apply after a restart.
    pub(crate) pending: Vec<String>,
}

/// Why a configuration is not reloaded: all faults.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub(crate) struct ReloadError(Vec<String>);

impl ReloadError {
    /// A part of the configuration that cannot be applied.
    pub(crate) fn of(what: &str, error: &dyn std::error::Error) -> Self {
        Self(vec![format!("{what}: {error}")])
    }

    /// The faults.
    pub(crate) fn faults(&self) -> &[String] {
        &self.0
    }
}

/// The metadata that changes with a file. `None` if the file does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp(Option<(u64, u64, i64, i64)>);

impl FileStamp {
    /// The stamp of a file. Blocks.
    pub(crate) fn of(file: &Path) -> Self {
        let metadata = std::fs::metadata(file).ok();
        Self(metadata.map(|metadata| (metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec())))
    }
}

impl Config {
    /// The configuration file, if the configuration can be loaded again, and its stamp from before it was read at the
    /// start. The file need not exist.
    pub(crate) fn file(&self) -> Option<(&Path, FileStamp)> {
        let source = self.origins.source.as_ref()?;
        Some((source.file(), source.stamp))
    }

    /// Whether SIGHUP asks for a reload. A developer's host ends with its terminal.
    pub(crate) fn reloads_on_hangup(&self) -> bool {
        self.origins.source.as_ref().is_some_and(|source| !source.is_for_development)
    }

    /// Loads the configuration again and takes over what can change while the host runs. Blocks.
    ///
    /// # Errors
    /// If the new configuration has a fault. This one is then unchanged.
    pub(crate) fn reload(&mut self) -> Result<ReloadReport, ReloadError> {
        let Some(source) = self.origins.source.clone() else { return Ok(ReloadReport::default()) };
        if self.origins.file.is_some() && !source.file().exists() {
            let file = source.file().display();
            return Err(ReloadError(vec![format!(
                "{file} does not exist any more; write an empty file to apply the defaults"
            )]));
        }
        let report = Self::examine_source(*source);
        if !report.faults.is_empty() {
            let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
            let file = report.file.display();
            return Err(ReloadError(faults.iter().map(|fault| format!("{file}: {fault}")).collect()));
        }
        let (new, before) = (report.config, self.clone());
        self.adopt(&new);
        Ok(ReloadReport { applied: before.differences(self), pending: self.differences(&new) })
    }

    /// Takes over what can change while the host runs. Paths, addresses, the engine of the sandbox and what decides who
    /// may connect stay.
    fn adopt(&mut self, new: &Self) {
        let new = new.clone();
        self.log = new.log;
        self.link_roots = new.link_roots;
        self.shutdown_grace_period = new.shutdown_grace_period;
        self.events = new.events;
        self.ingress_rules = new.ingress_rules;
        self.bus = BusConfig {
            url: self.bus.url.clone(),
            standby: self.bus.standby,
            hop_limit: self.bus.hop_limit,
            webhook_origin: self.bus.webhook_origin.clone(),
            ..new.bus
        };
        self.sandbox = SandboxConfig {
            concurrency: self.sandbox.concurrency,
            max_memory_bytes: self.sandbox.max_memory_bytes,
            memory_bytes: new.sandbox.memory_bytes.min(self.sandbox.max_memory_bytes),
            admission_timeout: self.sandbox.admission_timeout,
            ..new.sandbox
        };
        self.ledger = LedgerConfig { record_responses: self.ledger.record_responses, ..new.ledger };
        self.outbound = new.outbound;
        self.secrets = new.secrets;
        self.origins = new.origins;
    }

    /// The keys whose values differ, in their order.
    fn differences(&self, other: &Self) -> Vec<String> {
        let (settings, others) = (self.effective_settings(), other.effective_settings());
        let differs = settings.into_iter().zip(others).filter(|(one, other)| one.value != other.value);
        differs.map(|(setting, _)| setting.key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn a_reload_takes_over_what_can_change_and_names_the_rest() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("sandbus.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("log = \"info\"\n[bus]\nmax_backlog = 5\nhop_limit = 9\n");
        let overrides = Overrides {
            config: Some(file.clone()),
            plugins: Some(home.path().to_owned()),
            log: Some("warn".to_owned()),
            ..Overrides::default()
        };
        let mut config = Config::load(&overrides).unwrap();
        assert_eq!(config.reload().unwrap(), ReloadReport::default());
        // A change between the start of the host and its first look at the file is a change.
        let stamp = |config: &Config| config.file().unwrap().1;
        assert_eq!(stamp(&config), FileStamp::of(&file));
        write(
            "log = \"debug\"\nlisten = \"127.0.0.1:1\"\n[bus]\nretain_for = \"1d\"\nhop_limit = 5\n[outbound.networks]\na = [\"10.0.0.0/8\"]\n[ingress]\naccess_log = true\n",
        );
        assert_ne!(stamp(&config), FileStamp::of(&file));
        let report = config.reload().unwrap();
        assert_eq!(report.applied, ["bus.max_backlog", "bus.retain_for", "ingress.access_log", "outbound.networks"]);
        assert_eq!(report.pending, ["bus.hop_limit", "listen"]);
        assert_eq!((config.bus.hop_limit, config.bus.max_backlog, config.log.as_str()), (9, None, "warn"));
        let before = config.clone();
        write("lisen = \"127.0.0.1:1\"\n[bus]\nretain_for = 5\n");
        let error = config.reload().unwrap_err().to_string();
        assert!(error.contains("did you mean `listen`") && error.contains("bus.retain_for"), "{error}");
        assert_eq!(config, before);
        std::fs::remove_file(&file).unwrap();
        assert!(config.reload().unwrap_err().to_string().contains("does not exist any more"));
        assert_eq!(config, before);
        write("");
        assert!(config.reload().is_ok() && config.bus.retain_for.is_none());
    }
}
