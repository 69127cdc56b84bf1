//! Debian's Prometheus: `promtool` tests the alert rules, and a server scrapes a host.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sandbus_tests::languages::root;
use sandbus_tests::{Setup, eventually};
use serde_json::{Value, json};

use super::collector::Collector;
use super::{TRACE, exporting, traceparent};

/// The directory with Prometheus' programs. None if Debian's package cannot be had on this system.
fn programs() -> Option<PathBuf> {
    match sandbus_toolchain::debian_packages("prometheus-debian", &["prometheus"]) {
        Ok(root) => Some(root.join("usr/bin")),
        Err(error) => {
            eprintln!("SKIPPED: Debian's package `prometheus` cannot be downloaded: {error}");
            None
        }
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn monitoring() -> PathBuf {
    root().join("xtask/packaging/monitoring")
}

#[test]
fn the_alert_rules_fire_when_they_should_and_only_then() {
    let Some(programs) = programs() else { return };
    let promtool = programs.join("promtool");
    let checked = run(Command::new(&promtool).args(["check", "rules"]).arg(monitoring().join("alerts.yaml")));
    assert!(checked.contains("SUCCESS: 18 rules found"), "{checked}");
    run(Command::new(&promtool).args(["test", "rules"]).arg(monitoring().join("alerts.test.yaml")));
}

/// A server that scrapes an address each second.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Server {
    fn start(programs: &Path, home: &Path, target: &str) -> Self {
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files:\n  - {}\nscrape_configs:\n  - job_name: sandbus\n    static_configs:\n      - targets: [\"{target}\"]\n",
            monitoring().join("alerts.yaml").display()
        );
        let file = home.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        run(Command::new(programs.join("promtool")).args(["check", "config"]).arg(&file));
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(programs.join("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()))
            .arg(format!("--web.listen-address={free}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, url: format!("http://{free}") }
    }

    /// The result of a query. None if the server does not answer yet.
    fn query(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let agent = sandbus_tests::agent();
        let request = parameters
            .iter()
            .fold(agent.get(format!("{}{path}", self.url)), |request, (name, value)| request.query(*name, *value));
        let answer: Value = request.call().ok()?.body_mut().read_json().ok()?;
        Some(answer["data"].clone())
    }
}

#[test]
fn prometheus_reads_the_metrics_and_their_exemplars_and_the_dashboard_queries_them() {
    let Some(programs) = programs() else { return };
    let (collector, home) = (Collector::start(), tempfile::tempdir().unwrap());
    let host = exporting(Setup::new().plugin("flaky"), &collector.address).start();
    let target = host.admin_url("").trim_start_matches("http://").to_owned();
    let server = Server::start(&programs, home.path(), &target);
    let event = json!({ "type": "flaky.job", "id": "j1", "data": {}, "traceparent": traceparent("01") });
    assert_eq!(host.publish_event("/events", event).status, 202);

    let exemplars = eventually("an exemplar in Prometheus", || {
        let query = [("query", "sandbus_handler_seconds_bucket"), ("start", "0"), ("end", "4000000000")];
        let found = server.query("/api/v1/query_exemplars", &query)?;
        found.as_array().is_some_and(|series| !series.is_empty()).then_some(found)
    });
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], TRACE, "{exemplars}");
    let handled = eventually("the attempts", || {
        let query = [("query", "sandbus_attempts_total{subscription=\"flaky/job\",outcome=\"retry\"}")];
        server.query("/api/v1/query", &query)?["result"][0]["value"][1].as_str().map(str::to_owned)
    });
    assert_eq!(handled, "2");

    // Every query of the dashboard is one of this Prometheus, and every rule was evaluated.
    let dashboard = std::fs::read_to_string(monitoring().join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array());
    let expressions: Vec<_> =
        targets.flatten().map(|target| without_variables(target["expr"].as_str().unwrap())).collect();
    // Metrics of requests, and others without a label value, have no series yet. Rates need a second scrape.
    eventually("most queries have a result", || {
        let has_result = |expression: &&String| {
            let result = server.query("/api/v1/query", &[("query", expression)]);
            let result = result.unwrap_or_else(|| panic!("{expression} is refused"));
            result["result"].as_array().is_some_and(|series| !series.is_empty())
        };
        let count = expressions.iter().filter(has_result).count();
        (expressions.len() >= 26 && count >= 20).then_some(())
    });
    let rules = server.query("/api/v1/rules", &[]).unwrap();
    let healthy = rules["groups"][0]["rules"].as_array().unwrap().iter().filter(|rule| rule["health"] != "err").count();
    assert_eq!(healthy, 18, "{rules}");
}

/// An expression of the dashboard with values for Grafana's variables.
fn without_variables(expression: &str) -> String {
    let expression = expression.replace("$__rate_interval", "1m");
    let variables = ["instance", "subscription", "plugin"];
    variables.iter().fold(expression, |text, name| text.replace(&format!("\"${name}\""), "\".*\""))
}
