//! `sandbus dev`: a host and a builder in one process. What is saved is built and swapped in; compiler
//! errors, log lines and what each request and event leads to come in one stream.

mod builder;
mod cause_trees;
mod prompt;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::config::{Config, Overrides, check_folder};
use crate::console;
use crate::host::{Host, stop_signal};
use crate::observer::Observer;
use crate::projects::{self, join_names};
use crate::telemetry::{self, Format};
use builder::{Builder, Folder};
use cause_trees::CauseTrees;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A plugin's project, in any language, or a directory with several
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

/// Log lines for a developer. How deliveries end is shown as a tree.
pub(crate) const LOG: &str = "info,sandbus_host::dispatcher::report=off,sandbus_host::host=warn";

/// The options that it shares with `serve`, where it does not share their defaults.
pub(crate) fn with_dev_defaults(command: clap::Command) -> clap::Command {
    let place =
        |name: &str| format!("sandbus-dev/{name} in cargo's target directory, else .sandbus/dev/{name} in PATH");
    command
        .mut_arg("plugins", |option| {
            option.help(format!("The folder that components are put into [default: {}]", place("plugins")))
        })
        .mut_arg("data", |option| {
            option.help(format!("The directory with the bus and the compiled code [default: {}]", place("data")))
        })
        .mut_arg("log_format", |option| option.help("How log lines look [default: human]"))
        .mut_arg("log", |option| option.help(format!("Which log lines there are [default: {LOG}]")))
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { path, mut overrides } = arguments;
    let found = projects::find(&path)?;
    let home = builder::home(&path, &found);
    let folder = folder(overrides.plugins.as_deref(), &home)?;
    overrides.plugins.get_or_insert_with(|| folder.path.clone());
    overrides.data.get_or_insert_with(|| home.join("data"));
    overrides.log.get_or_insert_with(|| LOG.to_owned());
    overrides.log_format.get_or_insert(Format::Human);
    let config = Config { source_lines: true, ..Config::load_open(&overrides)? };
    telemetry::start_logs(config.log_format, &config.log)?;
    console::print_status(&format!("building {}", join_names(found.names())));

    // What does not compile now may after the next change.
    let mut builder = Builder::new(path, found, folder);
    let builder = tokio::task::spawn_blocking(move || {
        builder.build();
        builder
    })
    .await?;

    let (observer, observed) = Observer::channel();
    let host = Host::start(config, observer).await?;
    host.announce()?;
    console::print_status(prompt::HELP);
    let (asked, bus) = (stop_signal()?, host.bus());
    let mut background = JoinSet::new();
    background.spawn(builder.run(asked.clone()));
    background.spawn(CauseTrees::new(bus.clone(), observed).run(asked.clone()));
    background.spawn(prompt::run(bus, asked.clone()));
    let result = host.run(asked).await;
    background.shutdown().await;
    result
}

/// The folder that components go into: one that is there already, or one of its own.
fn folder(named: Option<&Path>, home: &Path) -> anyhow::Result<Folder> {
    if let Some(path) = named {
        check_folder(path)?;
        return Ok(Folder { path: path.to_owned(), is_own: false });
    }
    let path = home.join("plugins");
    std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    // It keeps itself out of version control; cargo's target directory is kept out already.
    if let Some(kept) = home.parent().filter(|parent| parent.ends_with(".sandbus")) {
        let ignore = kept.join(".gitignore");
        std::fs::write(&ignore, "*\n").with_context(|| format!("{} cannot be written", ignore.display()))?;
    }
    Ok(Folder { path, is_own: true })
}
