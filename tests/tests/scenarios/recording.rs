//! `sandbus test --record`: events of a running host become scenarios.

use super::*;
use sandbus_tests::{Host, Webhook};

#[test]
fn an_event_of_a_running_host_becomes_a_scenario() {
    let host = Setup::new().plugin("registration-handler").start();
    let user = json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" });
    assert_eq!(host.publish("user.registered", "1", user).status, 202);
    assert_eq!(host.publish("user.registered", "bad", json!({ "user_id": 7 })).status, 202);
    let user = json!({ "user_id": "2", "name": "Grace", "email": "grace@example.com", "phone": null });
    assert_eq!(host.publish("user.registered", "2", user).status, 202);
    host.wait_until_idle();

    let wasm = guest_path("registration-handler");
    for (id, expected, other) in [
        ("1", "Welcome, Ada!", "Welcome, Bob!"),
        ("bad", "cause = \"rejected\"", "cause = \"trap\""),
        ("2", "Welcome, Grace!", "Welcome, Bob!"),
    ] {
        let file = host.path().join(format!("recorded/{id}.toml"));
        let output = host.cli(&["test", "--record", id, "--output", path(&file)]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.contains("not recorded"), "{output:?}");
        let scenario = std::fs::read_to_string(&file).unwrap();
        assert!(scenario.contains(expected), "{scenario}");
        let output = play(&[path(&wasm), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{scenario}", stdout(&output));
        put(&file, scenario.replace(expected, other).as_bytes());
        assert_eq!(play(&[path(&wasm), "--scenarios", path(&file)]).status.code(), Some(1), "{scenario}");
    }
    assert!(host.path().join("recorded/2.ndjson").is_file(), "TOML has no null");
    let output = host.cli(&["test", "--record", "nobody"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no event with the id `nobody`"), "{output:?}");
}

/// The comments and the command of a recording of several plugins can be followed as they stand.
#[test]
fn an_event_of_several_plugins_becomes_a_scenario_that_can_be_completed() {
    let plugins = ["audit", "registration-handler"];
    let host = Setup::new().plugin(plugins[0]).plugin(plugins[1]).start();
    let user = json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" });
    assert_eq!(host.publish("user.registered", "1", user).status, 202);
    host.wait_until_idle();
    std::fs::create_dir(host.path().join("shop")).unwrap();
    for guest in plugins {
        std::fs::copy(guest_path(guest), host.path().join("shop").join(format!("{guest}.wasm"))).unwrap();
    }
    let file = host.path().join("shop/recorded.toml");
    let output = host.cli(&["test", "--record", "1", "--output", path(&file)]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let command = format!("sandbus test DIRECTORY --scenarios {}", path(&file));
    assert!(output.status.success() && told.contains(&command), "{output:?}");

    let recorded = std::fs::read_to_string(&file).unwrap();
    let completed: String = recorded
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.starts_with("given.")).unwrap_or(line).to_owned() + "\n")
        .collect();
    assert!(completed.contains("\ngiven.plugins.registration-handler.state = { }\n"), "{recorded}");
    for text in [recorded, completed] {
        put(&file, text.as_bytes());
        let output = play(&[path(&host.path().join("shop")), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{text}\n{output:?}", stdout(&output));
    }
}

/// Retries with short delays need time to pass, too, whether they succeed or end as a dead letter.
#[test]
fn recorded_retries_take_place_in_a_scenario() {
    let host = Setup::new().plugin("flaky").plugin("poison").start();
    for (plugin, event_type) in [("flaky", "flaky.job"), ("poison", "poison.pill")] {
        assert_eq!(host.publish(event_type, plugin, json!({})).status, 202);
        host.wait_until_idle();
        let file = host.path().join(format!("recorded/{plugin}.toml"));
        let output = host.cli(&["test", "--record", plugin, "--output", path(&file)]);
        assert!(output.status.success(), "{output:?}");
        let scenario = std::fs::read_to_string(&file).unwrap();
        assert!(scenario.contains("flaky.done") || scenario.contains("attempts = 2"), "{scenario}");
        let output = play(&[path(&guest_path(plugin)), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{scenario}", stdout(&output));
    }
}

/// Events that JSON allows, but that few programs can read.
#[test]
fn odd_data_in_the_log_does_not_prevent_recordings() {
    let host = Setup::new().plugin("registration-handler").start();
    let user = |id: &str| format!(r#"{{"user_id":"{id}","name":"Ada","email":"ada@example.com""#);
    for (id, data) in [
        ("huge", "1e400".to_owned()),
        ("surrogate", r#"{"name":"\ud800"}"#.to_owned()),
        ("handled", format!("{},\"weight\":1e400}}", user("1"))),
        ("plain", format!("{}}}", user("2"))),
    ] {
        let (event_type, content) = ("user.registered", "application/cloudevents+json");
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"{event_type}","datacontenttype":"application/json","data":{data}}}"#
        );
        assert_eq!(
            host.send("POST", &host.url("/events"), &[("content-type", content)], event.as_bytes()).status,
            202,
            "{event}"
        );
    }
    host.wait_until_idle();
    for (id, is_file) in [("plain", false), ("handled", true), ("huge", true), ("surrogate", true)] {
        let file = host.path().join(format!("recorded/{id}.toml"));
        let output = host.cli(&["test", "--record", id, "--output", path(&file)]);
        assert!(output.status.success(), "{id}: {output:?}");
        assert_eq!(file.with_extension("ndjson").is_file(), is_file, "{id}");
        let output = play(&[path(&guest_path("registration-handler")), "--scenarios", path(&file)]);
        assert!(output.status.success(), "{}\n{}", stdout(&output), std::fs::read_to_string(&file).unwrap());
    }
}

/// Busy for one request, and then available: a handler that needs success is retried. The responses echo the request.
fn busy_upstream() -> Webhook {
    Webhook::start_echoing_with(&[
        "503 Busy\r\nretry-after: 0",
        "200 OK\r\ncontent-type: application/json\r\nserver: test",
    ])
}

/// Records an event, and plays the scenario as it is written. No request leaves the machine.
fn record_and_play(host: &Host, id: &str, plugin: &Path, upstream: &Webhook) -> String {
    let file = host.path().join(format!("recorded/{id}.toml"));
    let output = host.cli(&["test", "--record", id, "--output", path(&file)]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("look for secrets before you share it"), "{output:?}");
    let (scenario, requests) = (std::fs::read_to_string(&file).unwrap(), upstream.received().len());
    let output = play(&[path(plugin), "--scenarios", path(&file)]);
    assert!(output.status.success(), "{}\n{scenario}", stdout(&output));
    assert_eq!(upstream.received().len(), requests);
    scenario
}

/// The Rust SDK sends requests with `wasi:http`, whose bodies are streams.
#[test]
fn responses_that_a_component_streams_become_stubs() {
    let upstream = busy_upstream();
    let sidecar = format!(
        "[grants]\nhttp = [\"{}\"]\n[subscriptions.call]\nmax_attempts = 3\ninitial_delay = \"10ms\"\n",
        upstream.address
    );
    let setup = Setup::new().plugin("caller").sidecar("caller", &sidecar);
    let host = setup.config("[ledger]\nrecord_responses = true\n").start();
    let url = format!("http://{}/orders?number=7", upstream.address);
    let wanted = json!({ "method": "POST", "url": url, "body": "{\"number\":7}", "needs_success": true });
    assert_eq!(host.publish("call.wanted", "retried", wanted).status, 202);
    let long = "0123456789".repeat(10_000);
    let wanted = json!({ "method": "PUT", "url": url, "body": long });
    host.wait_until_idle();
    assert_eq!(host.publish("call.wanted", "long", wanted).status, 202);
    host.wait_until_idle();

    let wasm = host.file("caller.wasm");
    let scenario = record_and_play(&host, "retried", &wasm, &upstream);
    let request = format!("request = \"POST {url}\"");
    let stubs: Vec<_> = scenario.lines().filter(|line| line.contains(&request)).collect();
    assert_eq!(stubs.len(), 2, "{scenario}");
    assert!(stubs[0].contains("times = 1, status = 503"), "{scenario}");
    assert!(stubs[1].contains("status = 200, headers = { server = \"test\" }, json = { number = 7 }"), "{scenario}");
    assert!(scenario.contains("advance = "), "the retry may have been fast, and must be waited for: {scenario}");
    assert!(!scenario.contains("record_responses") && scenario.contains("They may contain secrets"), "{scenario}");
    // The answers are part of the scenario: with others, it fails.
    let file = host.path().join("recorded/retried.toml");
    put(&file, scenario.replace("number = 7 }", "number = 70 }").as_bytes());
    assert_eq!(play(&[path(&wasm), "--scenarios", path(&file)]).status.code(), Some(1));

    // What exceeds the limit is left out, and the file says so.
    let attempts = host.admin("/attempts?event=long&exchanges=true");
    let exchange = &attempts["attempts"][0]["calls"][0]["exchange"];
    assert_eq!((&exchange["url"], &exchange["body_end"]), (&json!(url), &json!("truncated")));
    let length = exchange["body"].as_str().unwrap().len();
    assert!((60_000..=65_536).contains(&length), "{length}");
    let whole = host.admin("/attempts?event=long");
    assert!(whole["attempts"][0]["calls"][0]["exchange"].is_null(), "{whole}");
    let file = host.path().join("recorded/long.toml");
    assert!(host.cli(&["test", "--record", "long", "--output", path(&file)]).status.success());
    assert!(std::fs::read_to_string(&file).unwrap().contains("longer than what the host records"));
}

const ORDERING: &str = r#"
import { config, plugin, publish } from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";

export default plugin({ config: { base: "", api_token: "" }, publishes: ["order.*"] }).on(
  "order.wanted",
  { retry: { maxAttempts: 3, initialDelay: "10ms" } },
  (order) => {
    const url = `${config.get("base")}/orders?token=${encodeURIComponent(config.get("api_token"))}`;
    publish("order.placed", client.post(url, { json: order }).success().json());
  },
);
"#;

/// The SDKs of script languages send requests in one call. A host of `sandbus dev` records responses by default.
#[test]
fn responses_to_a_script_become_stubs_without_the_secrets_of_its_configuration() {
    let upstream = busy_upstream();
    let setup = Setup::new();
    let home = setup.path().to_owned();
    let created =
        Command::new(binary()).args(["new", "orders", "--lang", "js", "--on", "x.y"]).current_dir(&home).output();
    assert!(created.unwrap().status.success());
    let project = home.join("orders");
    put(&project.join("src/plugin.js"), ORDERING.as_bytes());
    let sidecar = format!(
        "[grants]\nhttp = [\"{0}\"]\n[config]\nbase = \"http://{0}\"\napi_token = \"s3cret/token\"\n",
        upstream.address
    );
    put(&project.join("orders.toml"), sidecar.as_bytes());
    let host = setup.develop_project(Path::new("orders"));
    let _ = host.wait_for_log(&["built for the prepared runtime", "orders"]);
    assert_eq!(host.publish("order.wanted", "1", json!({ "item": "tea" })).status, 202);
    host.wait_until_idle();
    assert_eq!(host.events_of("order.placed").len(), 1);

    let scenario = record_and_play(&host, "1", &project, &upstream);
    assert!(
        scenario.contains("times = 1, status = 503") && scenario.contains("json = { item = \"tea\" }"),
        "{scenario}"
    );
    assert!(scenario.contains("given.config = { api_token = \"hidden-api-token\" }"), "{scenario}");
    assert!(scenario.contains("/orders?token=hidden-api-token\"") && !scenario.contains("s3cret"), "{scenario}");
}

/// A retry after a failed connection is recorded, too.
#[test]
fn a_request_without_a_response_fails_in_the_scenario() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let sidecar = format!("[grants]\nhttp = [\"{address}\"]\n");
    let record = |config: &str| {
        let setup = Setup::new().plugin("caller").sidecar("caller", &sidecar).config(config);
        let host = setup.start();
        let wanted = json!({ "method": "GET", "url": format!("http://{address}/a") });
        assert_eq!(host.publish("call.wanted", "1", wanted).status, 202);
        host.wait_until_idle();
        let file = host.path().join("recorded.toml");
        let output = host.cli(&["test", "--record", "1", "--output", path(&file)]);
        assert!(output.status.success(), "{output:?}");
        (std::fs::read_to_string(&file).unwrap(), file, host)
    };
    let (scenario, file, host) = record("[ledger]\nrecord_responses = true\n");
    assert!(scenario.contains(&format!("{{ request = \"GET http://{address}/a\", error = ")), "{scenario}");
    assert!(scenario.contains("# There was no response."), "{scenario}");
    let output = play(&[path(&host.file("caller.wasm")), "--scenarios", path(&file)]);
    assert!(output.status.success(), "{}\n{scenario}", stdout(&output));

    let (scenario, ..) = record("");
    assert!(!scenario.contains("error = ") && scenario.contains("got no response"), "{scenario}");
}

#[test]
fn a_host_that_does_not_record_responses_says_how_to() {
    let upstream = Webhook::start_echoing();
    let sidecar = format!("[grants]\nhttp = [\"{}\"]\n", upstream.address);
    let host = Setup::new().plugin("caller").sidecar("caller", &sidecar).start();
    let wanted = json!({ "method": "POST", "url": format!("http://{}/", upstream.address), "body": "private" });
    assert_eq!(host.publish("call.wanted", "1", wanted).status, 202);
    host.wait_until_idle();
    let answer = host.cli(&["test", "--record", "1"]);
    let scenario = stdout(&answer);
    assert!(
        scenario.contains("`record_responses = true` in [ledger]") && !scenario.contains("\ngiven.http"),
        "{scenario}"
    );
    let attempts = host.admin("/attempts?event=1&exchanges=true");
    assert!(attempts["attempts"][0]["calls"][0]["exchange"].is_null(), "{attempts}");
}
