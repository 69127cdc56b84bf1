//! `sandbus check`: validates the configuration, the sidecars and the plugins without a host.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::output::Output;
use super::response::Response;
use crate::clock::Clock;
use crate::config::{Config, ParsedOverrides, SandboxConfig};
use crate::otlp::Otlp;
use crate::plugin::{self, Environment, FileFault, FolderReport, Loader};
use crate::printable;
use crate::toml_file::Malformed;

/// Arguments of `sandbus check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    overrides: ParsedOverrides,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The result of a check as `--json` prints it.
#[derive(Clone, Debug, Default, Serialize)]
struct CheckView {
    errors: Vec<ErrorView>,
    /// The plugins that the host would load.
    plugins: Vec<PluginView>,
    /// The files that their sidecars disable.
    disabled: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ErrorView {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    key: Option<String>,
    message: String,
}

#[derive(Clone, Debug, Serialize)]
struct PluginView {
    file: String,
    name: String,
    version: String,
}

impl ErrorView {
    fn new(file: &Path, fault: &Malformed) -> Self {
        let (line, column) = fault.place().unzip();
        Self {
            file: file.display().to_string(),
            line,
            column,
            key: fault.key().map(str::to_owned),
            message: fault.what().to_owned(),
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let json = arguments.json;
    let check = tokio::task::spawn_blocking(move || check(&arguments.overrides));
    let found = check.await.context("the check failed")??;
    let errors = found.errors.len();
    Output { json }.print(&Response::local(found)?, show);
    match errors {
        0 => Ok(()),
        1 => bail!("1 error"),
        errors => bail!("{errors} errors"),
    }
}

fn check(overrides: &ParsedOverrides) -> anyhow::Result<CheckView> {
    let report = Config::examine(&overrides.0);
    let mut view = CheckView::default();
    view.errors.extend(report.faults.iter().map(|fault| ErrorView::new(&report.file, fault)));
    if let Err(error) = Otlp::from_environment(Clock::System) {
        view.errors.push(ErrorView::new(Path::new("environment"), &Malformed::whole(error.to_string())));
    }
    let folder = &report.config.plugins;
    // The configuration's own check reports a folder that does not exist.
    if folder.is_dir() {
        match check_plugins(&report.config) {
            Ok(plugins) => view.add(folder, &plugins),
            // The other errors may be the reason.
            Err(error) => view.errors.push(ErrorView::new(&report.file, &Malformed::whole(format!("{error:#}")))),
        }
    }
    Ok(view)
}

/// Loads the plugins as the host does, with a cache that is deleted afterwards.
fn check_plugins(config: &Config) -> anyhow::Result<FolderReport> {
    let (folder, sandbox) = (&config.plugins, &config.sandbox);
    let cache = tempfile::tempdir().context("cannot create a directory for compiled code")?;
    let concurrency = sandbox.concurrency.get().min(SandboxConfig::MAX_CONCURRENCY) as usize;
    let engine = sandbox.engine(concurrency, false);
    let loader = Loader::new(engine, cache.path().to_owned(), config.host_settings(), Environment::default())?;
    plugin::check_folder(folder, &config.link_roots, &loader)
        .with_context(|| format!("cannot read the plugin folder {}", folder.display()))
}

impl CheckView {
    fn add(&mut self, folder: &Path, report: &FolderReport) {
        let error = |FileFault { file, fault }: &FileFault| ErrorView::new(&folder.join(file), fault);
        self.errors.extend(report.faults.iter().map(error));
        let is_faulty = |stem: &str| {
            report.faults.iter().any(|fault| Path::new(&fault.file).file_stem().is_some_and(|file| file == stem))
        };
        let sound = report.loaded.iter().filter(|(stem, _)| !is_faulty(stem));
        self.plugins.extend(sound.map(|(stem, generation)| PluginView {
            file: format!("{stem}.wasm"),
            name: generation.name.to_string(),
            version: generation.descriptor.version.clone(),
        }));
        self.disabled.extend(report.disabled.iter().map(|stem| format!("{stem}.wasm")));
    }
}

fn show(view: &CheckView) -> String {
    let mut lines: Vec<_> = view.errors.iter().map(show_error).collect();
    if lines.is_empty() {
        lines.extend(view.plugins.iter().map(|plugin| format!("{}: {} {}", plugin.file, plugin.name, plugin.version)));
        lines.extend(view.disabled.iter().map(|file| format!("{file}: disabled by its sidecar")));
        lines.push("no errors".to_owned());
    }
    lines.join("\n")
}

fn show_error(error: &ErrorView) -> String {
    let place = match (error.line, error.column) {
        (Some(line), Some(column)) => format!(":{line}:{column}"),
        _ => String::new(),
    };
    let key = error.key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default();
    printable::line(&format!("{}{place}: {key}{}", error.file, error.message)).into_owned()
}
