//! Loads the programs of scripts before they are put into the plugin folder. What a script does at its top level runs
//! then, so an exception there, and Python's syntax errors, are errors of the build.

use std::path::Path;

use sandbus_toolchain::{Artifact, ArtifactForm};

use crate::config::Config;
use crate::plugin::{Digest, Environment, Loader, Sidecar};
use crate::projects;

/// Checks whether programs load.
#[derive(Debug)]
pub(super) struct LoadCheck {
    loader: Loader,
}

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoadVerdict {
    Loads,
    /// The message for the author, and the digest of the program.
    Fails(String, String),
}

impl LoadCheck {
    /// Starts an engine with the settings of the host, and with its caches, so that the host need not do the same work
    /// again.
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        /// One program is checked at a time, but a permit covers few core instances.
        const CONCURRENCY: usize = 2;
        let engine = config.sandbox.engine(CONCURRENCY, config.source_lines);
        let defaults = config.sandbox.plugin_defaults();
        let loader = Loader::new(engine, config.data.join("cache"), defaults, Environment::default())?;
        let loader = match config.runtimes.clone() {
            Some(paths) => loader.with_runtimes(paths),
            None => loader,
        };
        Ok(Self { loader })
    }

    /// Checks a program that is not in the folder yet. Components are left to the host.
    pub(super) fn check(&self, artifact: &Artifact, folder: &Path) -> LoadVerdict {
        if artifact.form != ArtifactForm::Program {
            return LoadVerdict::Loads;
        }
        let present = std::fs::read(folder.join(artifact.file_name())).ok();
        let Ok(bytes) = std::fs::read(&artifact.path) else { return LoadVerdict::Loads };
        if present.is_some_and(|present| present == bytes) {
            return LoadVerdict::Loads;
        }
        let notice = || tracing::info!(plugin = artifact.name, "compiling the runtime for this machine (once)");
        match projects::run_with_notice(|| self.loader.load(&bytes, &Sidecar::default()), notice) {
            Err(error) if error.concerns_code() => {
                LoadVerdict::Fails(error.author_message(), Digest::of(&bytes).as_str().to_owned())
            }
            _ => LoadVerdict::Loads,
        }
    }
}
