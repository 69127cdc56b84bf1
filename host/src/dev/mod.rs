//! `sandbus dev`: a host and a builder in one process. What is saved is built and swapped in; compiler
//! errors, log lines and outcomes come in one stream.

mod builder;
mod sources;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use sandbus_toolchain::{Source, Toolchain};

use crate::cli::serve::{announce, stop_signal};
use crate::config::{Config, Overrides};
use crate::host::Host;
use crate::telemetry::{self, Format};
use builder::Builder;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A plugin's crate, or a directory with several
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

/// Log lines for a developer: also how each delivery ended.
const LOG: &str = "info,sandbus_host::dispatcher=debug,sandbus_host::host=warn";

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { path, mut overrides } = arguments;
    let packages = sandbus_toolchain::packages(&path).with_context(|| format!("{}", path.display()))?;
    if packages.is_empty() {
        bail!("{} has no plugin: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]", path.display());
    }
    // Beside what cargo builds, and kept: state and backlog survive a restart.
    let home = sandbus_toolchain::target_directory(&path)?.join("sandbus-dev");
    let folder = overrides.plugins.get_or_insert_with(|| home.join("plugins")).clone();
    overrides.data.get_or_insert_with(|| home.join("data"));
    overrides.log.get_or_insert_with(|| LOG.to_owned());
    overrides.log_format.get_or_insert(Format::Human);
    let config = Config::load(&overrides)?;
    telemetry::start_logs(config.log_format, &config.log)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;

    let say = |text: &str| tracing::info!("guest compiler: {text}");
    let toolchain = tokio::task::spawn_blocking(move || Toolchain::ensure(Source::from_env()?, &mut { say })).await??;
    let builder = Builder::new(toolchain, packages, folder, home.join("build"));
    // What does not compile now may after the next change.
    let builder = tokio::task::spawn_blocking(move || {
        builder.build();
        builder
    })
    .await?;

    let host = Host::start(config).await?;
    announce(&host)?;
    let asked = stop_signal()?;
    let building = tokio::spawn(builder.run(asked.clone()));
    let result = host.run(asked).await;
    building.abort();
    result
}
