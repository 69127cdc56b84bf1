//! `sandbus dev`: a host and a builder in one process. What is saved is built and swapped in; compiler
//! errors, log lines and what each request and event leads to come in one stream.

mod builder;
mod flows;
mod keys;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Package, Project, Source, Toolchain};
use tokio::task::JoinSet;

use crate::cli::output;
use crate::cli::serve::{announce, stop_signal};
use crate::config::{Config, Overrides};
use crate::host::Host;
use crate::observer::Observer;
use crate::telemetry::{self, Format};
use builder::{Builder, Crates};
use flows::Flows;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A plugin's project, in any language, or a directory with several
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

/// Log lines for a developer. How deliveries end is shown as a tree.
const LOG: &str = "info,sandbus_host::dispatcher::attempt=off,sandbus_host::host=warn";

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { path, mut overrides } = arguments;
    let packages = sandbus_toolchain::packages(&path).with_context(|| format!("{}", path.display()))?;
    let projects = Project::scripts(&path)?;
    if packages.is_empty() && projects.is_empty() {
        bail!(
            "{} has no plugin: no Cargo.toml with [lib] crate-type = [\"cdylib\"], no package.json and no pyproject.toml",
            path.display()
        );
    }
    let home = home(&path, &packages)?;
    let is_own_folder = overrides.plugins.is_none();
    let folder = overrides.plugins.get_or_insert_with(|| home.join("plugins")).clone();
    overrides.data.get_or_insert_with(|| home.join("data"));
    overrides.log.get_or_insert_with(|| LOG.to_owned());
    overrides.log_format.get_or_insert(Format::Human);
    let config = Config { source_lines: true, ..Config::load_open(&overrides)? };
    telemetry::start_logs(config.log_format, &config.log)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;

    // What does not compile now may after the next change.
    let builder = tokio::task::spawn_blocking(move || {
        let crates = crates(packages, home.join("build"))?;
        let builder = Builder { crates, projects, folder };
        if is_own_folder {
            builder.clear().context("what was built before cannot be cleared away")?;
        }
        builder.build();
        anyhow::Ok(builder)
    })
    .await??;

    let (observer, observed) = Observer::channel();
    let host = Host::start(config, observer).await?;
    announce(&host)?;
    output::progress(keys::HELP);
    let (asked, bus) = (stop_signal()?, host.bus());
    let mut beside = JoinSet::new();
    beside.spawn(builder.run(asked.clone()));
    beside.spawn(Flows::new(bus.clone(), observed).run(asked.clone()));
    beside.spawn(keys::run(bus, asked.clone()));
    let result = host.run(asked).await;
    beside.shutdown().await;
    result
}

/// Where what is built is kept, and the data: state and backlog survive a restart.
fn home(path: &Path, packages: &[Package]) -> anyhow::Result<PathBuf> {
    Ok(match packages {
        [] => path.join(".sandbus/dev"),
        _ => sandbus_toolchain::target_directory(path)?.join("sandbus-dev"),
    })
}

/// Where plugins in Rust are built, below cargo's target directory.
pub(crate) fn build_directory(target: &Path) -> PathBuf {
    target.join("sandbus-dev/build")
}

/// What plugins in Rust are built with, if there are any.
fn crates(packages: Vec<Package>, target: PathBuf) -> anyhow::Result<Option<Crates>> {
    if packages.is_empty() {
        return Ok(None);
    }
    let say = &mut |text: &str| tracing::info!("guest compiler: {text}");
    Ok(Some(Crates { toolchain: Toolchain::ensure(Source::from_env()?, say)?, packages, target }))
}
