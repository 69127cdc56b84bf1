//! `sandbus dev`: a host and a builder in one process. Saved sources are built and swapped in. Compiler errors, log
//! lines and the cause tree of each request and event are printed in one stream.

mod builder;
mod cause_trees;
mod load_check;
mod prompt;
mod retries;
mod sources;
mod unmatched;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::{Config, ParsedOverrides, check_folder};
use crate::console;
use crate::host::{BoundListeners, Host, stop_signal};
use crate::observer::Observer;
use crate::otlp::Otlp;
use crate::plugin::PreparedRuntimePaths;
use crate::projects::{self, SourceIndex, join_names};
use crate::scenario::ScenarioPaths;
use crate::telemetry::{self, Format};
use builder::{Builder, BuilderSettings, Folder};
use cause_trees::CauseTrees;
use load_check::LoadCheck;
use retries::Retries;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A plugin's project, a directory of projects, or a script
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Keep each failed delivery, and retry it when the plugin is rebuilt or `dev` restarts
    #[arg(long)]
    hold_failures: bool,
    /// Open the dashboard in a browser
    #[arg(long)]
    open: bool,
    /// Also show expected skips: roots of workspaces, and directories of tools
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    overrides: ParsedOverrides,
}

/// The default log filter. Cause trees replace the log lines of deliveries.
pub(crate) const LOG: &str = "info,sandbus_host::dispatcher::report=off,sandbus_host::host=warn";

/// The message that deliveries are held.
const HOLDING: &str = "failed deliveries are held; to stop holding them, restart without --hold-failures";

/// Describes the options of `serve` whose defaults differ here.
pub(crate) fn with_dev_defaults(command: clap::Command) -> clap::Command {
    let place =
        |name: &str| format!("sandbus-dev/{name} in cargo's target directory, else .sandbus/dev/{name} in PATH");
    command
        .mut_arg("plugins", |option| {
            option.help(format!("Put components into this folder [default: {}]", place("plugins")))
        })
        .mut_arg("data", |option| {
            option.help(format!("Keep the bus and compiled code in this directory [default: {}]", place("data")))
        })
        .mut_arg("log_format", |option| option.help("Set the format of log lines [default: human]"))
        .mut_arg("log", |option| option.help(format!("Set the log filter [default: {LOG}]")))
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { path, hold_failures, open, verbose, overrides: ParsedOverrides(mut overrides) } = arguments;
    let found = projects::find(&path, verbose)?;
    let home = builder::home(&path, &found);
    let folder = folder(overrides.plugins.as_deref(), &home)?;
    overrides.plugins.get_or_insert_with(|| folder.path.clone());
    overrides.data.get_or_insert_with(|| home.join("data"));
    overrides.log.get_or_insert_with(|| LOG.to_owned());
    overrides.log_format.get_or_insert(Format::Human);
    let code = sandbus_toolchain::cache_directory()?.join("code");
    let runtimes = Some(PreparedRuntimePaths { runtimes: sandbus_toolchain::prepared_runtimes()?, code });
    let config = Config { source_lines: true, runtimes, hold_failures, ..Config::load_open(&overrides)? };
    let otlp = Otlp::from_environment(Clock::System)?;
    telemetry::start_logs(config.log_format, &config.log, otlp.log_layer())?;
    let listeners = BoundListeners::bind(&config).await?;
    console::print_status(&format!("building {}", join_names(found.names())));

    // A project that does not build is built again after its next change.
    let (sources, scenarios) = (SourceIndex::default(), ScenarioPaths::of_directory(&path));
    let settings = BuilderSettings {
        path,
        verbose,
        sources: sources.clone(),
        load_check: LoadCheck::new(&config)?,
        scenarios: scenarios.clone(),
    };
    let mut builder = Builder::new(settings, found, folder);
    let building = tokio::task::spawn_blocking(move || {
        builder.build();
        builder
    });
    let builder = listeners.answer_starting(building).await?;

    let (observer, observed) = Observer::channel();
    let asked = stop_signal()?;
    let Some(host) = Host::start_on(listeners, config, observer, otlp, &asked).await? else { return Ok(()) };
    let host = host.with_scenarios(scenarios);
    host.announce()?;
    if open {
        open_dashboard(&host.dashboard_url()?);
    }
    console::print_status(prompt::HELP);
    if hold_failures {
        console::print_status(HOLDING);
    }
    let bus = host.bus();
    let retries = Retries { bus: bus.clone(), registry: host.registry() };
    let mut background = JoinSet::new();
    background.spawn(builder.run(asked.clone()));
    background.spawn(CauseTrees::new(bus.clone(), observed, retries.clone(), sources).run(asked.clone()));
    background.spawn(retries.run(asked.clone()));
    background.spawn(prompt::run(bus, asked.clone()));
    let result = host.run(asked).await;
    background.shutdown().await;
    result
}

/// Opens the dashboard in the browser of the desktop. Without one, a person can open the URL elsewhere.
fn open_dashboard(url: &str) {
    if let Err(error) = open::that_detached(url) {
        console::print_status(&format!("cannot open a browser ({error}); open {url}"));
    }
}

/// The folder for components: a named one that exists, or a private one.
fn folder(named: Option<&Path>, home: &Path) -> anyhow::Result<Folder> {
    if let Some(path) = named {
        check_folder(path)?;
        return Ok(Folder { path: path.to_owned(), is_own: false });
    }
    let path = home.join("plugins");
    std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    // Version control ignores cargo's target directory already.
    if let Some(kept) = home.parent().filter(|parent| parent.ends_with(".sandbus")) {
        let ignore = kept.join(".gitignore");
        std::fs::write(&ignore, "*\n").with_context(|| format!("cannot write {}", ignore.display()))?;
    }
    Ok(Folder { path, is_own: true })
}
