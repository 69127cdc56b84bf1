//! `sandbus test`.

mod files;
mod junit;
mod plugins;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use super::client::Client;
use super::output::Output;
use super::response::Response;
use crate::printable;
use crate::projects::{display_path, join_names};
use crate::scenario::{
    PluginUnderTest, ScenarioFile, ScenarioReport, check, check_with_crashes, scenario_files, shared_files,
};
use files::{applies_to, plugins_of};
use plugins::{Candidate, find_candidates};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A .wasm file, a plugin's project or script, or a directory of them; projects and scripts are built first
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Run this scenario file, or those in this directory [default: `tests` next to the plugin; for a script, also
    /// NAME.scenarios.toml]
    #[arg(long, value_name = "PATH")]
    scenarios: Option<PathBuf>,
    /// Run only scenarios whose names contain this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// Also run each scenario with simulated crashes, before and after each commit (at most 50 commits)
    #[arg(long)]
    crash: bool,
    /// Record the event with this id, from a running host, as a scenario; run no scenarios
    #[arg(long, value_name = "ID", conflicts_with_all = ["path", "scenarios", "filter", "crash", "junit", "json"])]
    record: Option<String>,
    /// Write the recorded scenario to this file [default: standard output]
    #[arg(long, value_name = "FILE", requires = "record")]
    output: Option<PathBuf>,
    /// Record from the host with this admin interface
    #[arg(long, env = "SANDBUS_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    admin: String,
    /// Write the results to this file, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also show expected skips: roots of workspaces, and directories of tools
    #[arg(long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The results of a scenario file for a plugin, or for several plugins together.
#[derive(Debug)]
struct FileResult {
    file: PathBuf,
    plugins: Vec<String>,
    reports: Vec<ScenarioReport>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    /// How long to wait for a response of the host.
    const TIMEOUT: Duration = Duration::from_secs(30);
    if let Some(event) = &arguments.record {
        return record::record(&Client::new(&arguments.admin, TIMEOUT), event, arguments.output.as_deref()).await;
    }
    let (output, filter, junit) = (Output { json: arguments.json }, arguments.filter.clone(), arguments.junit.clone());
    // Compiling and running block.
    let results = tokio::task::spawn_blocking(move || run_scenarios(&arguments)).await?;
    let results = results.and_then(|mut results| {
        // Files without a selected scenario are not mentioned.
        results.retain(|result| !result.reports.is_empty());
        match results.is_empty() {
            true if !filter.is_empty() => bail!("no scenario name contains `{filter}`"),
            true => bail!("the scenario files have no scenarios"),
            false => Ok(results),
        }
    });
    if let Some(path) = junit {
        junit::write(&path, &results)?;
    }
    let results = results?;
    let all = || results.iter().flat_map(|result| &result.reports);
    let failed = all().filter(|report| !report.is_ok()).count();
    let passed = all().count() - failed;
    let response = TestSummary { passed, failed, scenarios: results.iter().flat_map(to_views).collect() };
    output.print(&Response::local(response)?, |_| {
        let files: String = results.iter().map(format_result).collect();
        format!("{files}{passed} passed, {failed} failed")
    });
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} scenarios failed", passed + failed),
    }
}

fn run_scenarios(arguments: &Arguments) -> anyhow::Result<Vec<FileResult>> {
    let mut candidates = find_candidates(&arguments.path, arguments.verbose)?;
    let mut shared = Vec::new();
    match &arguments.scenarios {
        Some(scenarios) if scenarios.exists() => {
            candidates.iter_mut().for_each(|candidate| candidate.scenarios = vec![scenarios.clone()]);
        }
        Some(scenarios) => {
            bail!("{} does not exist; give a scenario file, or a directory of scenario files", scenarios.display());
        }
        None => shared = shared_files(&arguments.path)?,
    }
    let mut results: Vec<FileResult> = Vec::new();
    let (mut unmatched, mut joint) = (BTreeMap::new(), BTreeSet::new());
    let canonical = |file: &PathBuf| file.canonicalize().unwrap_or_else(|_| file.clone());
    let tested = candidates.clone();
    for candidate in &tested {
        let mut files = Vec::new();
        for path in &candidate.scenarios {
            files.extend(scenario_files(path)?);
        }
        // The directory may itself be the project, by another path.
        let own: BTreeSet<_> = files.iter().map(canonical).collect();
        files.extend(shared.iter().filter(|file| !own.contains(&canonical(file))).cloned());
        for file in files {
            let scenario_file = ScenarioFile::read(&file)?;
            let subjects = if !scenario_file.plugins.is_empty() {
                if !joint.insert(canonical(&file)) {
                    continue;
                }
                let indices = plugins_of(&scenario_file, &file, &mut candidates)?;
                indices.into_iter().map(|index| candidates[index].clone()).collect()
            } else if applies_to(&scenario_file, candidate, &tested, &file)? {
                vec![candidate.clone()]
            } else {
                unmatched.entry(file).or_insert(scenario_file.plugin);
                continue;
            };
            results.push(play(&scenario_file, file, &subjects, arguments)?);
        }
    }
    unmatched.retain(|file, _| !results.iter().any(|result| result.file == *file));
    // The directory of a single file may contain scenarios of other plugins.
    if let Some((file, Some(plugin))) = unmatched.pop_first().filter(|_| !arguments.path.is_file()) {
        let names = join_names(tested.iter().map(|candidate| candidate.name.as_str()));
        bail!("{} is for the plugin `{plugin}`, but the tested plugins are {names}", file.display());
    }
    if results.is_empty() {
        let mut searched: Vec<_> = tested.iter().flat_map(|candidate| &candidate.scenarios).collect();
        searched.retain(|path| path.extension().is_none_or(|extension| extension != "json"));
        let searched: Vec<_> = searched.into_iter().map(|path| display_path(path)).collect();
        bail!("there are no scenarios; write them to a file in {}, or give --scenarios PATH", searched.join(" or "));
    }
    Ok(results)
}

fn play(
    scenario_file: &ScenarioFile,
    file: PathBuf,
    subjects: &[Candidate],
    arguments: &Arguments,
) -> anyhow::Result<FileResult> {
    let mut plugins = Vec::new();
    for subject in subjects {
        plugins.push(PluginUnderTest { name: &subject.name, wasm: &subject.wasm, sidecar: subject.load_sidecar()? });
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let selected = scenario_file.scenarios_matching(&arguments.filter);
    let check = if arguments.crash { check_with_crashes } else { check };
    let locate = |text: &mut String| {
        subjects.iter().for_each(|subject| *text = subject.sources.locate(text));
    };
    let mut reports: Vec<_> = selected.map(|scenario| check(scenario, &plugins, folder)).collect();
    for report in &mut reports {
        report.failures.iter_mut().chain(&mut report.failed_attempts).chain(&mut report.logs).for_each(locate);
    }
    let plugins = subjects.iter().map(|subject| subject.name.clone()).collect();
    Ok(FileResult { file, plugins, reports })
}

/// The results of all scenarios as `--json` prints them.
#[derive(Debug, Serialize)]
struct TestSummary<'a> {
    passed: usize,
    failed: usize,
    scenarios: Vec<ScenarioView<'a>>,
}

/// The result of a scenario.
#[derive(Debug, Serialize)]
struct ScenarioView<'a> {
    file: String,
    name: &'a str,
    ok: bool,
    took_ms: u64,
    /// The expectations that were not met.
    failures: &'a [String],
    /// The attempts that failed, with their reasons.
    failed_attempts: &'a [String],
    /// The log lines of plugins.
    logs: &'a [String],
    /// The number of runs with a crash, with `--crash`.
    crashes: u64,
    /// The number of commits with a crash before and after them.
    crash_commits: u64,
    /// The number of commits, with `--crash`.
    commits: u64,
    /// The requests that were sent again after a crash, as `METHOD URL`.
    repeated_requests: &'a BTreeSet<String>,
}

fn to_views(result: &FileResult) -> impl Iterator<Item = ScenarioView<'_>> {
    result.reports.iter().map(|report| ScenarioView {
        file: display_path(&result.file),
        name: &report.name,
        ok: report.is_ok(),
        took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        failures: &report.failures,
        failed_attempts: &report.failed_attempts,
        logs: &report.logs,
        crashes: report.crashes,
        crash_commits: report.crash_commits,
        commits: report.commits,
        repeated_requests: &report.repeated_requests,
    })
}

fn format_result(result: &FileResult) -> String {
    let mut text = format!("{}\n", display_path(&result.file));
    for report in &result.reports {
        let verdict = if report.is_ok() { "ok    " } else { "FAILED" };
        let crashes = match report.crashes {
            0 => String::new(),
            1 => ", 1 crash".to_owned(),
            crashes if report.crash_commits < report.commits => {
                format!(", {crashes} crashes at {} of {} commits", report.crash_commits, report.commits)
            }
            crashes => format!(", {crashes} crashes"),
        };
        let (name, took) = (printable::line(&report.name), report.took.as_millis());
        text.push_str(&format!("  {verdict} {name} ({took} ms{crashes})\n"));
        for request in &report.repeated_requests {
            text.push_str(&format!("         sent again after a crash: {}\n", printable::line(request)));
        }
        for failure in &report.failures {
            text.push_str(&indent("", failure));
        }
        if !report.is_ok() {
            text.push_str(&explain(report));
        }
    }
    text
}

/// What the plugins did in a scenario that failed.
fn explain(report: &ScenarioReport) -> String {
    /// The largest number of lines of each kind. The last ones are closest to the end.
    const LIMIT: usize = 20;
    let mut text = String::new();
    for (title, lines) in [("failed: ", &report.failed_attempts), ("log: ", &report.logs)] {
        let omitted = lines.len().saturating_sub(LIMIT);
        if omitted > 0 {
            text.push_str(&indent(title, &format!("{omitted} earlier lines are left out; --json has them")));
        }
        lines[omitted..].iter().for_each(|line| text.push_str(&indent(title, line)));
    }
    text
}

/// A text below a scenario, which may quote the plugin.
fn indent(title: &str, text: &str) -> String {
    format!("         {title}{}\n", printable::block(text).replace('\n', "\n           "))
}
