//! Runs components that others have published on a real host, and prints whether each does what it must.
//! `cargo xtask corpus` builds them and calls this program.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sandbus_tests::{Answer, Host, Setup, Upstream, eventually, put};
use serde::Deserialize;

/// Runs published components on a host.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run only the components that CI runs
    #[arg(long)]
    short: bool,
    /// Run only the components whose names contain this text
    #[arg(long, default_value = "")]
    only: String,
}

/// A component, as `tests/corpus/components.json` describes it.
#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    registry: String,
    package: String,
    version: String,
    source: Source,
    wasi: String,
    in_ci: bool,
    routes: Vec<String>,
    memory_bytes: Option<u64>,
    /// The answers of other servers, by the URL without its query. The component may send requests to these servers.
    #[serde(default)]
    upstream: BTreeMap<String, String>,
    #[serde(default)]
    requests: Vec<Request>,
    /// Parts of the message with which the host must refuse the component. Without them, the host must run it.
    #[serde(default)]
    refused_with: Vec<String>,
}

/// Where in its package a component comes from.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Source {
    Example {
        #[expect(dead_code, reason = "its presence says what this is")]
        example: String,
    },
    Program {
        file: String,
    },
}

/// A request, and the response that it must get.
#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    send: String,
    status: u16,
    /// A part of the body.
    body: String,
}

impl Component {
    /// Where the component comes from, in a word or two.
    fn origin(&self) -> &str {
        match &self.source {
            Source::Example { .. } => "example",
            Source::Program { file } if file.to_lowercase().starts_with("readme") => "README",
            Source::Program { .. } => "comment",
        }
    }

    /// How much is checked.
    fn success(&self) -> String {
        match self.refused_with.is_empty() {
            true => format!("{} of {} as expected", self.requests.len(), self.requests.len()),
            false => "refused as expected".to_owned(),
        }
    }

    fn sidecar(&self) -> String {
        let mut sidecar = format!("routes = {:?}\n", self.routes);
        // Formatting text cannot fail.
        if let Some(bytes) = self.memory_bytes {
            let _ = writeln!(sidecar, "[limits]\nmemory_bytes = {bytes}");
        }
        let servers = Upstream::servers(&self.upstream);
        let _ = writeln!(sidecar, "[grants]\nhttp = {servers:?}");
        sidecar
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/components.json");
    let mut components: Vec<Component> = serde_json::from_slice(&std::fs::read(list)?)?;
    components.retain(|component| (component.in_ci || !arguments.short) && component.name.contains(&arguments.only));
    print_row(["component", "registry", "package", "version", "from", "WASI", "result"]);
    let failures = components.iter().filter(|component| !runs_as_expected(component)).count();
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a component, and prints its row.
fn runs_as_expected(component: &Component) -> bool {
    let problems = problems_of(component);
    let result = if problems.is_empty() { component.success() } else { problems.join("; ") };
    let Component { name, registry, package, version, wasi, .. } = component;
    print_row([name, registry, package, version, component.origin(), wasi, &result]);
    problems.is_empty()
}

fn print_row([name, registry, package, version, from, wasi, result]: [&str; 7]) {
    println!("{name:<31} {registry:<9} {package:<25} {version:<18} {from:<8} {wasi:<5} {result}");
}

/// Serves a component, and returns what it does differently.
fn problems_of(component: &Component) -> Vec<String> {
    let setup = Setup::new().plugin(&component.name).sidecar(&component.name, &component.sidecar());
    let upstream = Upstream::start(&component.upstream);
    let authority = setup.path().join("authority.pem");
    put(&authority, upstream.certificate.as_bytes());
    let outbound = format!("[outbound]\nproxy = \"http://{}\"\nca_file = {authority:?}\n", upstream.address);
    let host = setup.config(&outbound).start();
    match refusal(&host, &component.name).as_deref() {
        Some(error) if component.refused_with.is_empty() => vec![error.to_owned()],
        Some(error) => missing_from(error, &component.refused_with),
        None if component.refused_with.is_empty() => {
            component.requests.iter().filter_map(|request| problem_of(&host, request)).collect()
        }
        None => vec!["the host does not refuse it".to_owned()],
    }
}

/// Waits until the host has loaded or refused a component. Returns the message of the refusal.
fn refusal(host: &Host, name: &str) -> Option<String> {
    let file = format!("{name}.wasm");
    let plugin = eventually(&format!("{file} is loaded or refused"), || {
        host.plugin(&file).filter(|plugin| plugin["digest"].is_string() || plugin["error"].is_string())
    });
    plugin["error"].as_str().map(str::to_owned)
}

/// What the message of a refusal lacks.
fn missing_from(error: &str, parts: &[String]) -> Vec<String> {
    let missing = parts.iter().filter(|part| !error.contains(part.as_str()));
    missing.map(|part| format!("the refusal lacks `{part}`: {error}")).collect()
}

fn problem_of(host: &Host, request: &Request) -> Option<String> {
    let Request { method, path, send, status, body } = request;
    let answer: Answer = host.send(method, &host.url(path), &[], send.as_bytes());
    let is_expected = answer.status == *status && answer.body.contains(body.as_str());
    (!is_expected).then(|| format!("{method} {path} returned {}: {}", answer.status, answer.body.trim()))
}
