//! `sandbus test` on real components, with exported production events as fixtures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crashes;
mod recording;

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

/// Their components pass the same scenarios above.
#[test]
fn the_example_scripts_pass_their_scenarios_as_programs() {
    for (plugin, passed) in [("audit", "1 passed"), ("verification", "2 passed")] {
        let output = play(&[path(scenarios_of(plugin).parent().unwrap())]);
        assert!(output.status.success() && stdout(&output).contains(passed), "{plugin}: {output:?}");
    }
}

/// Plays scenarios in both forms of scripts: `sandbus test` runs a project as a program on a prepared runtime, and
/// what `sandbus build` makes of it as a component.
fn play_in_both_forms(home: &Path, project: &str, scenarios: &str, arguments: &[&str]) -> [Output; 2] {
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    let built = sandbus(&["build", project, "--out", "built"]);
    assert!(built.status.success(), "{built:?}");
    [project, "built"].map(|tested| sandbus(&[&["test", tested, "--scenarios", scenarios], arguments].concat()))
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
fn a_failing_scenario_says_why_handlers_failed_and_what_they_logged() {
    let setup = Setup::new();
    let file = setup.path().join("failing.toml");
    let scenario =
        "[[scenario]]\nname = \"a pill\"\n[[scenario.step]]\nevent = \"poison.pill\"\nthen.state = { swallowed = 1 }\n";
    put(&file, scenario.as_bytes());
    let wasm = guest_path("poison");
    let text = stdout(&play(&[path(&wasm), "--scenarios", path(&file)]));
    assert!(text.contains("failed: poison/swallow, event 1, attempt 1 at +0s: trap: "), "{text}");
    let output = play(&[path(&wasm), "--scenarios", path(&file), "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = answer["scenarios"][0]["failed_attempts"].as_array().unwrap();
    assert!(failed[0].as_str().unwrap().contains(": trap: "), "{answer:#}");

    put(&file, FAILING.as_bytes());
    let text = stdout(&play(&[path(&guest_path("registration-handler")), "--scenarios", path(&file)]));
    assert_eq!(text.matches("log: info Welcome, Ada!").count(), 1, "only a failed scenario has its log:\n{text}");
}

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

/// Reads a JUnit report as CI systems do, with an independent parser. Prints each test case with its results as JSON.
const READ_JUNIT: &str = r#"
import json, sys
from xml.etree import ElementTree
root = ElementTree.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites", root.tag
suites = []
for suite in root:
    assert suite.tag == "testsuite" and float(suite.get("time")) >= 0
    cases = []
    for case in suite:
        assert case.tag == "testcase" and float(case.get("time")) >= 0
        parts = {part.tag: {"message": part.get("message"), "text": part.text} for part in case}
        cases.append({"class": case.get("classname"), "name": case.get("name"), "file": case.get("file"), **parts})
    counts = [int(suite.get(name)) for name in ["tests", "failures", "errors"]]
    suites.append({"name": suite.get("name"), "counts": counts, "cases": cases})
print(json.dumps({"counts": [int(root.get(name)) for name in ["tests", "failures", "errors"]], "suites": suites}))
"#;

fn read_junit(file: &Path) -> Value {
    let output = Command::new("python3").args(["-c", READ_JUNIT, path(file)]).output().unwrap();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_junit_report_has_the_results_of_each_scenario() {
    let setup = Setup::new();
    let (file, report) = (setup.path().join("failing.toml"), setup.path().join("reports/junit.xml"));
    let name = "what is <not> \"so\" & ]]> more";
    let failing = FAILING.replace("name = \"what is not so\"", &format!("name = '{name}'"));
    let malformed = "\n[[scenario]]\nname = \"cannot run\"\n[[scenario.step]]\n";
    put(&file, format!("{failing}{malformed}").as_bytes());
    let wasm = guest_path("registration-handler");
    let output = play(&[path(&wasm), "--scenarios", path(&file), "--junit", path(&report)]);
    assert_eq!(output.status.code(), Some(1));
    let report = read_junit(&report);
    assert_eq!(report["counts"], json!([3, 1, 1]), "{report:#}");
    let suite = &report["suites"][0];
    assert_eq!(suite["name"], format!("registration-handler: {}", path(&file)));
    assert_eq!(suite["counts"], json!([3, 1, 1]));
    let [good, bad, malformed] = [0, 1, 2].map(|index| &suite["cases"][index]);
    assert_eq!((&good["class"], &good["file"]), (&json!("registration-handler"), &json!(path(&file))));
    assert_eq!((&good["name"], &good["failure"]), (&json!("what is so"), &Value::Null));
    assert_eq!(good["system-out"]["text"], "info Welcome, Ada!");
    assert_eq!(bad["name"], name);
    assert_eq!(bad["failure"]["message"], "step 1 (user.registered): outcome: expected reject, got ack");
    let text = bad["failure"]["text"].as_str().unwrap();
    assert!(text.contains("\n") && text.contains(r#"expected "Hello, Ada!", got "Welcome, Ada!""#), "{text}");
    assert!(malformed["error"]["message"].as_str().unwrap().contains("exactly one of"), "{malformed}");
}

#[test]
fn a_junit_report_says_why_no_scenario_was_run() {
    let setup = Setup::new();
    let home = setup.path();
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    assert!(sandbus(&["new", "orders", "--lang", "js", "--on", "x.y"]).status.success());
    std::fs::write(home.join("orders/src/plugin.js"), "export default ( < & \"").unwrap();
    let output = sandbus(&["test", "orders", "--junit", "junit.xml"]);
    assert_eq!(output.status.code(), Some(1));
    let report = read_junit(&home.join("junit.xml"));
    let case = &report["suites"][0]["cases"][0];
    assert_eq!((&report["counts"], &case["name"]), (&json!([1, 0, 1]), &json!("build orders")), "{report:#}");
    assert!(case["error"]["text"].as_str().unwrap().contains("plugin.js"), "{report:#}");

    let output = sandbus(&["test", path(&guest_path("echo")), "--scenarios", "nowhere", "--junit", "junit.xml"]);
    assert_eq!(output.status.code(), Some(1));
    let report = read_junit(&home.join("junit.xml"));
    let message = report["suites"][0]["cases"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("nowhere does not exist"), "{report:#}");
}

const CHAIN: &str = r#"
plugins = ["registration", "handler/registration-handler.wasm"]

[[scenario]]
name = "a registration is welcomed by the other plugin"
given.plugins.registration-handler = { config = { greeting = "Hello" }, state = { total = 41 } }

[[scenario.step]]
request = "POST /register"
json = { name = "Ada", email = "ada@example.com" }
then.response = { status = 201 }
then.published = [{ type = "user.registered" }, { type = "user.welcomed" }]
then.attempts = [{ subscription = "registration-handler/user_registered", outcome = "ack" }]
then.plugins.registration = { published = [{ type = "user.registered" }], attempts = [] }

[scenario.step.then.plugins.registration-handler]
outcome = "ack"
published = [{ type = "user.welcomed", data = { message = "Hello, Ada!" } }]
state = { total = 42 }
logs = ["info Hello, Ada!"]
"#;

#[test]
fn plugins_of_a_scenario_receive_each_others_events() {
    let setup = Setup::new();
    let home = setup.path();
    std::fs::create_dir_all(home.join("tests/handler")).unwrap();
    for (guest, to) in [("registration", "."), ("registration-handler", "tests/handler"), ("echo", ".")] {
        std::fs::copy(guest_path(guest), home.join(to).join(format!("{guest}.wasm"))).unwrap();
    }
    let file = home.join("tests/chain.toml");
    put(&file, CHAIN.as_bytes());
    let output = play(&[path(home)]);
    let text = stdout(&output);
    assert!(output.status.success() && text.contains("1 passed, 0 failed"), "{text}{output:?}");

    for (from, to, expected) in [
        ("total = 42", "total = 43", "registration-handler: state[\"total\"]: expected 43, got 42"),
        ("attempts = [] }", "attempts = [{}] }", "registration: attempts[0]: expected {}, but there are only 0"),
        ("[\"info Hello", "[\"info Bye", "registration-handler: logs: expected a line with \"info Bye, Ada!\""),
        ("plugins.registration =", "plugins.nobody =", "the plugins of this scenario are registration, registration-"),
        ("then.response", "then.state = { a = 1 }\nthen.response", "write `then.plugins.NAME.state`"),
    ] {
        assert!(CHAIN.contains(from));
        put(&file, CHAIN.replace(from, to).as_bytes());
        let output = play(&[path(home)]);
        assert!(stdout(&output).contains(expected), "{expected} is not in {output:?}");
    }
    for (from, to, expected) in [
        ("[\"registration\",", "[\"nobody\",", "the tested plugins are echo, registration"),
        ("handler/reg", "nowhere/reg", "does not exist"),
        ("plugins = [", "plugin = \"echo\"\nplugins = [", "either `plugin` or `plugins`"),
    ] {
        put(&file, CHAIN.replacen(from, to, 1).as_bytes());
        let output = play(&[path(home)]);
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{expected} is not in {output:?}");
    }
}

const ORDERS: &str = r#"
import { plugin, publish, state } from "@sandbus/sdk";

export default plugin({ publishes: ["order.*"] })
  .on("order.wanted", (order) => {
    publish("order.placed", order);
    publish("order.forgotten", order, { delay: "2h" });
  })
  .on("mail.sent", () => state.set("mails", (state.get("mails") ?? 0) + 1));
"#;

const MAIL: &str = r#"
import { log, plugin, publish } from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";

export default plugin({ publishes: ["mail.*"] }).on("order.placed", ({ item }) => {
  client.post("https://mail.example.com/send", { text: item }).success();
  log.info(`sent ${item}`);
  publish("mail.sent");
});
"#;

const SHOP: &str = r#"
plugins = ["orders", "mail"]

[[scenario]]
name = "an order is confirmed by mail"
given.http = [{ request = "POST https://mail.example.com/send" }]
[[scenario.step]]
event = "order.wanted"
data = { item = "tea" }
then.published = [{ type = "order.placed" }, { type = "mail.sent" }]
then.plugins.orders = { state = { mails = 1 }, scheduled = [{ type = "order.forgotten", at = "+2h" }] }
then.plugins.mail = { logs = ["sent tea"], scheduled = [], requests = [{ body = "tea" }] }
then.requests = [{ plugin = "mail" }]

[[scenario]]
name = "a mail that cannot be sent is a dead letter"
given.http = [{ request = "POST https://mail.example.com/send", status = 503 }]
[[scenario.step]]
event = "order.wanted"
data = { item = "tea" }
then.plugins.mail.outcome = "retry"
[[scenario.step]]
advance = "1h"
then.plugins.mail.dead_letters = [{ attempts = 8 }]
then.plugins.orders = { dead_letters = [], absent = ["mails"] }
"#;

/// A scenario file next to the projects names all of them.
#[test]
fn projects_of_a_directory_share_scenarios() {
    let setup = Setup::new();
    let home = setup.path();
    let sandbus = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(home).output().unwrap();
    for (name, source) in [("orders", ORDERS), ("mail", MAIL)] {
        assert!(sandbus(&["new", name, "--lang", "js", "--on", "x.y"]).status.success());
        std::fs::write(home.join(name).join("src/plugin.js"), source).unwrap();
        std::fs::remove_file(home.join(name).join("tests/scenarios.toml")).unwrap();
    }
    std::fs::create_dir(home.join("tests")).unwrap();
    put(&home.join("tests/shop.toml"), SHOP.as_bytes());
    put(&home.join("tests/fixture.json"), b"[1]");
    let output = sandbus(&["test", "."]);
    let text = stdout(&output);
    assert!(output.status.success() && text.contains("2 passed, 0 failed"), "{text}{output:?}");
    for output in play_in_both_forms(home, ".", "tests/shop.toml", &[]) {
        let text = stdout(&output);
        assert!(output.status.success() && text.contains("2 passed, 0 failed"), "{text}{output:?}");
    }
    std::fs::remove_dir_all(home.join("built")).unwrap();

    // From the project of one plugin, the other one is a path.
    put(&home.join("orders/tests/shop.toml"), SHOP.replace("\"mail\"]", "\"../../mail\"]").as_bytes());
    std::fs::remove_file(home.join("tests/shop.toml")).unwrap();
    let output = sandbus(&["test", "orders"]);
    let text = stdout(&output);
    assert!(output.status.success() && text.contains("2 passed, 0 failed"), "{text}{output:?}");
}

const PAYMENT: &str = r#"
import { plugin, publish, state } from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";

export default plugin({ publishes: ["payment.*"] })
  .route("POST /pay", (request) => {
    const { amount } = request.json();
    state.set("asked", (state.get("asked") ?? 0) + 1);
    publish("payment.wanted", { amount });
    return { status: 202 };
  })
  .on("payment.wanted", ({ amount }, event) => {
    const headers = { "idempotency-key": KEY };
    client.post("https://pay.example.com/charges", { headers, json: { amount } }).success();
    state.set("paid", (state.get("paid") ?? 0) + amount);
    publish("payment.made", { amount });
    publish("payment.due", { amount }, { delay: "1h" });
  });
"#;

const PAYMENT_SCENARIO: &str = r#"
[[scenario]]
name = "a payment is made"
given.http = [{ request = "POST https://pay.example.com/charges" }]
given.state = { paid = 1 }
[[scenario.step]]
request = "POST /pay"
json = { amount = 5 }
then.response = { status = 202 }
then.state = { asked = 1, paid = 6 }
then.published = [{ type = "payment.wanted" }, { type = "payment.made" }]
then.scheduled = [{ type = "payment.due", at = "+1h" }]
[[scenario.step]]
event = "payment.wanted"
id = "second"
data = { amount = 2 }
then.state = { paid = 8 }
[[scenario.step]]
advance = "2h"
then.published = [{ type = "payment.due" }, { type = "payment.due" }]
then.scheduled = []
"#;

const GREET: &str = r#"
import { plugin, state } from "@sandbus/sdk";

export default plugin().on("user.registered", ({ name }) => state.set("greeted", name));
"#;

/// A script has its scenarios next to it, whatever the form of its path.
#[test]
fn the_scenarios_of_a_script_are_next_to_it() {
    let setup = Setup::new();
    let home = setup.path();
    std::fs::create_dir_all(home.join("one/tests")).unwrap();
    std::fs::write(home.join("one/greet.js"), GREET).unwrap();
    let scenario = |name: &str| {
        format!(
            "[[scenario]]\nname = \"{name}\"\n[[scenario.step]]\nevent = \"user.registered\"\n\
             data = {{ name = \"Ada\" }}\nthen.state = {{ greeted = \"Ada\" }}\n"
        )
    };
    let test = |directory: &str, script: &str| {
        Command::new(binary()).args(["test", script]).current_dir(home.join(directory)).output().unwrap()
    };
    let missing = test("one", "greet.js");
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(error.contains("no scenarios; write them to a file in tests or greet.scenarios.toml"), "{error}");

    put(&home.join("one/tests/welcome.toml"), scenario("in the directory").as_bytes());
    put(&home.join("one/greet.scenarios.toml"), scenario("in the file").as_bytes());
    let absolute = home.join("one/greet.js");
    for (directory, script, shown) in [
        ("one", "greet.js", "tests/welcome.toml\n"),
        ("one", "./greet.js", "tests/welcome.toml\n"),
        (".", "one/greet.js", "one/tests/welcome.toml\n"),
        (".", path(&absolute), "one/tests/welcome.toml\n"),
    ] {
        let output = test(directory, script);
        let text = stdout(&output);
        assert!(output.status.success() && text.contains("2 passed, 0 failed"), "{script}: {text}{output:?}");
        assert!(text.starts_with(shown) || text.contains(&format!("\n{shown}")), "{script}: {text}");
    }
    // A file of several plugins names scripts, too.
    let chain = format!("plugins = [\"greet.js\"]\n{}", scenario("of several"));
    put(&home.join("one/greet.scenarios.toml"), chain.as_bytes());
    let output = test("one", "greet.js");
    assert!(output.status.success() && stdout(&output).contains("2 passed, 0 failed"), "{output:?}");

    let output = Command::new(binary())
        .args(["test", "greet.js", "--filter", "of several"])
        .current_dir(home.join("one"))
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(text.contains("1 passed") && !text.contains("welcome.toml"), "no heading without a scenario: {text}");
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
