//! `sandbus test` on real components, with exported production events as fixtures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbus_tests::{Setup, binary, guest_path, put};
use serde_json::{Value, json};

fn play(arguments: &[&str]) -> Output {
    Command::new(binary()).arg("test").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The scenarios of an example plugin.
fn scenarios_of(plugin: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin).join("tests")
}

#[test]
fn the_example_plugins_pass_their_scenarios() {
    let rust = [("registration", 3), ("registration-handler", 4), ("registration-subscriber", 3)];
    for (plugin, count) in rust.into_iter().chain([("verification", 2), ("audit", 1)]) {
        let output = play(&[path(&guest_path(plugin)), "--scenarios", path(&scenarios_of(plugin)), "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{answer:#}");
        assert_eq!(answer["passed"], count, "{answer:#}");
    }
}

#[test]
fn a_script_is_built_and_its_scenarios_are_played() {
    let output = play(&[path(scenarios_of("audit").parent().unwrap())]);
    assert!(output.status.success() && stdout(&output).contains("1 passed"), "{output:?}");
}

const RATES: &str = r#"
import { config, plugin, state } from "@sandbus/sdk";

export default plugin({ config: { base: "EUR" } }).on("rates.wanted", () => state.set("base", config.get("base")));
"#;

const RATES_SCENARIO: &str = r#"
[[scenario]]
name = "the sidecar counts"
[[scenario.step]]
event = "rates.wanted"
then.state = { base = "SEK" }

[[scenario]]
name = "and what a scenario says counts more"
given.config = { base = "NOK" }
[[scenario.step]]
event = "rates.wanted"
then.state = { base = "NOK" }
"#;

/// The scenarios of `sandbus new` do not name their plugin, since they lie in its project.
#[test]
fn several_projects_are_built_and_tested_as_they_were_begun() {
    let setup = Setup::new();
    let home = setup.path();
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    for name in ["orders", "rates"] {
        assert!(sandbus(&["new", name, "--lang", "js", "--on", "x.y"]).status.success());
    }
    let rates = home.join("rates");
    std::fs::write(rates.join("src/plugin.js"), RATES).unwrap();
    std::fs::write(rates.join("tests/scenarios.toml"), RATES_SCENARIO).unwrap();
    put(&rates.join("rates.toml"), b"[config]\nbase = \"SEK\"\n");
    let output = sandbus(&["test", "."]);
    assert!(output.status.success() && stdout(&output).contains("3 passed, 0 failed"), "{output:?}");
    let output = sandbus(&["test", ".", "--scenarios", "rates/tests"]);
    assert!(output.status.success() && stdout(&output).contains("2 passed, 0 failed"), "{output:?}");
    std::fs::create_dir(home.join("apart")).unwrap();
    put(&home.join("apart/scenarios.toml"), RATES_SCENARIO.as_bytes());
    let output = sandbus(&["test", ".", "--scenarios", "apart"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("begin it with plugin ="), "{output:?}");

    let output = sandbus(&["build", "."]);
    assert!(output.status.success(), "{output:?}");
    assert!(home.join("orders/dist/orders.wasm").is_file() && rates.join("dist/rates.wasm").is_file());
    assert_eq!(std::fs::read_to_string(rates.join("dist/rates.toml")).unwrap(), "[config]\nbase = \"SEK\"\n");

    // An operator's sidecar is kept, and a project that does not build does not stop the others.
    std::fs::create_dir(home.join("deploy")).unwrap();
    put(&home.join("deploy/rates.toml"), b"[config]\nbase = \"DKK\"\n");
    std::fs::write(home.join("orders/src/plugin.js"), "export default (").unwrap();
    let output = sandbus(&["build", ".", "--out", "deploy", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("1 of 2 projects failed: orders") && errors.contains("differs from"), "{errors}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer[0]["descriptor"]["name"], "rates", "{answer}");
    assert_eq!(std::fs::read_to_string(home.join("deploy/rates.toml")).unwrap(), "[config]\nbase = \"DKK\"\n");
}

const FAILING: &str = r#"
[[scenario]]
name = "what is so"
[[scenario.step]]
event = "user.registered"
data = { user_id = "1", name = "Ada", email = "ada@example.com" }
then.outcome = "ack"

[[scenario]]
name = "what is not so"
[[scenario.step]]
event = "user.registered"
data = { user_id = "1", name = "Ada", email = "ada@example.com" }
then.outcome = "reject"
then.published = [{ type = "user.welcomed", data = { message = "Hello, Ada!" } }]
then.state = { total = 2 }
then.absent = ["welcomed/1"]
then.logs = ["Hello"]
"#;

#[test]
fn a_failing_scenario_says_what_was_expected_and_what_came() {
    let setup = Setup::new();
    let file = setup.path().join("failing.toml");
    put(&file, FAILING.as_bytes());
    let wasm = guest_path("registration-handler");
    let output = play(&[path(&wasm), "--scenarios", path(&file)]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for line in [
        "ok     what is so (",
        "FAILED what is not so (",
        "step 1 (user.registered): outcome: expected reject, got ack",
        r#"published[0].data.message: expected "Hello, Ada!", got "Welcome, Ada!""#,
        r#"state["total"]: expected 2, got 1"#,
        r#"state["welcomed/1"]: expected none, got "Welcome, Ada!""#,
        r#"logs: expected a line with "Hello", got ["info Welcome, Ada!"]"#,
        "1 passed, 1 failed",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let output = play(&[path(&wasm), "--scenarios", path(&file), "--filter", "what is so"]);
    assert!(output.status.success(), "{}", stdout(&output));
    let output = play(&[path(&wasm), "--scenarios", path(&file), "--filter", "nothing"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no scenario name contains"));
}

#[test]
fn a_malformed_file_is_named_with_the_place() {
    let setup = Setup::new();
    let file = setup.path().join("bad.toml");
    put(&file, b"[[scenario]]\nname = \"x\"\n[[scenario.step]]\nevnt = \"a.b\"\n");
    let output = play(&[path(&guest_path("echo")), "--scenarios", path(&file)]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("bad.toml") && error.contains("evnt") && error.contains("line 4"), "{error}");
}

#[test]
fn recorded_events_are_fixtures() {
    let host = Setup::new().start();
    for (id, name) in [("1", "Ada"), ("2", "Grace"), ("3", "Edsger")] {
        let user = json!({ "user_id": id, "name": name, "email": format!("{name}@example.com") });
        assert_eq!(host.publish("user.registered", id, user).status, 202);
        assert_eq!(host.publish("other.thing", &format!("o{id}"), json!(1)).status, 202);
    }
    let export = |arguments: &[&str]| {
        let output = host.cli(&[&["events", "export"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout(&output)
    };
    let ids = |text: &str| -> Vec<String> {
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&export(&[])), ["1", "o1", "2", "o2", "3", "o3"]);
    assert_eq!(ids(&export(&["--since", "4"])), ["o2", "3", "o3"]);
    assert_eq!(ids(&export(&["--since", "2100-01-01T00:00:00Z"])), [""; 0]);
    let recorded = export(&["--type", "user.*", "--last", "2"]);
    assert_eq!(ids(&recorded), ["2", "3"]);

    put(&host.path().join("recorded.ndjson"), recorded.as_bytes());
    let scenario = "[[scenario]]\nname = \"history\"\n[[scenario.step]]\nevents = \"recorded.ndjson\"\nthen.state = { total = 2, \"welcomed/3\" = \"Welcome, Edsger!\" }\n";
    let file = host.path().join("history.toml");
    put(&file, scenario.as_bytes());
    let output = play(&[path(&guest_path("registration-handler")), "--scenarios", path(&file)]);
    assert!(output.status.success(), "{}", stdout(&output));
}
