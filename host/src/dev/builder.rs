//! Builds plugins when their sources change, and puts what comes out into the plugin folder, where the
//! host finds it as it finds any other file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbus_toolchain::{BuildReport, Error, Package, Project, Toolchain};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::sources;
use crate::cli::output;
use crate::telemetry;

/// Editors write a file in several steps; a build begins when they have come to rest.
const QUIET: Duration = Duration::from_millis(50);

/// What is built, and where it goes.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) crates: Option<Crates>,
    /// The projects in other languages.
    pub(super) projects: Vec<Project>,
    pub(super) folder: PathBuf,
}

/// Plugins in Rust, which are built together.
#[derive(Debug)]
pub(super) struct Crates {
    pub(super) toolchain: Toolchain,
    pub(super) packages: Vec<Package>,
    pub(super) target: PathBuf,
}

impl Builder {
    /// Builds after each change of a source, until it is cancelled.
    pub(super) async fn run(self, cancelled: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let directories = self.directories();
        // Dropped, it would watch no more.
        let _watcher = match sources::watch(&directories, Arc::clone(&changed)) {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::error!(%error, "the sources cannot be watched; restart `sandbus dev` after a change");
                return cancelled.cancelled().await;
            }
        };
        // What was saved between the first build and the watch.
        changed.notify_one();
        let builder = Arc::new(self);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = changed.notified() => {}
            }
            while tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {}
            let builder = Arc::clone(&builder);
            // A build that panics has said so; the next change starts another.
            drop(tokio::task::spawn_blocking(move || builder.build()).await);
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        let packages = self.crates.iter().flat_map(|crates| &crates.packages);
        let packages = packages.flat_map(|package| [&package.directory].into_iter().chain(&package.beside));
        let all: BTreeSet<_> = packages.chain(self.projects.iter().map(|project| &project.directory)).collect();
        all.into_iter().cloned().collect()
    }

    /// Takes out of the folder what none of the projects makes: what was renamed, or belongs to others. Only where the
    /// folder is nobody else's.
    pub(super) fn clear(&self) -> std::io::Result<()> {
        let packages = self.crates.iter().flat_map(|crates| &crates.packages).map(|package| &package.name);
        let names = packages.chain(self.projects.iter().map(|project| &project.name));
        let names: BTreeSet<_> = names.map(|name| name.replace('_', "-")).collect();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            if path.extension().is_some_and(|extension| extension == "wasm") && !names.contains(&*stem) {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Builds everything; what is up to date costs nothing. Blocks for as long as it compiles.
    pub(super) fn build(&self) {
        if let Some(crates) = &self.crates {
            let started = Instant::now();
            self.take(started, crates.build());
        }
        for project in &self.projects {
            let started = Instant::now();
            self.take(started, project.build(telemetry::colours(), &mut |text| tracing::info!("{text}")));
        }
    }

    /// Puts what was made into the folder, and says how it went.
    fn take(&self, started: Instant, report: Result<BuildReport, Error>) {
        let report = match report {
            Ok(report) => report,
            Err(error) => return tracing::error!("the build cannot be started: {error}"),
        };
        for message in &report.messages {
            output::compiler_message(message);
        }
        if !report.succeeded {
            tracing::error!("the build failed; what ran before goes on");
        }
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        for artifact in &report.artifacts {
            match artifact.place(&self.folder) {
                Ok(true) => tracing::info!(plugin = artifact.name, took_ms, "built"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(plugin = artifact.name, %error, "the plugin cannot be put into the folder")
                }
            }
        }
    }
}

impl Crates {
    fn build(&self) -> Result<BuildReport, Error> {
        let target = self.target.to_string_lossy();
        let mut arguments = vec!["--keep-going", "--target-dir", &target];
        arguments.extend(sandbus_toolchain::QUICK);
        arguments.extend(self.packages.iter().flat_map(|package| ["-p", package.name.as_str()]));
        let directory = self.packages.first().map_or(Path::new("."), |package| &package.directory);
        sandbus_toolchain::build(&self.toolchain, directory, &arguments, telemetry::colours())
    }
}
