//! The command line against a running host.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use sandbus_tests::command_line::{expect_code, run, text};
use sandbus_tests::{Setup, binary, eventually};
use serde_json::{Value, json};

#[test]
fn every_command_has_help() {
    let commands = [
        "new",
        "build",
        "inspect",
        "serve",
        "dev",
        "test",
        "publish",
        "plugins",
        "subscriptions",
        "events",
        "deliveries",
        "dead-letters",
        "state",
        "schedules",
    ];
    for command in commands {
        let output = Command::new(binary()).args([command, "--help"]).output().unwrap();
        assert!(output.status.success());
        assert!(text(&output).contains("Usage: sandbus"), "{command}");
    }
    let unknown = Command::new(binary()).args(["serv"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn commands_talk_to_the_running_host() {
    let host = Setup::new().plugin("echo").plugin("poison").start();
    let run = |arguments: &[&str]| run(&host, arguments);
    assert!(
        run(&["publish", "echo.hello", r#"{"a":1}"#, "--id", "h1", "--attribute", "tenant=x"]).contains("accepted h1")
    );
    assert!(run(&["publish", "echo.hello", r#"{"a":1}"#, "--id", "h1"]).contains("h1 (duplicate)"));
    assert!(run(&["publish", "poison.pill", "--id", "p1"]).contains("accepted p1"));
    assert!(run(&["plugins"]).contains("POST /echo/{word}"));
    assert!(run(&["plugins", "show", "echo", "--json"]).contains("\"asks_for\""));
    for arguments in [&["plugins", "show", "echo"][..], &["plugins", "echo"]] {
        let shown = run(arguments);
        assert!(shown.contains("subscription  echo/remember: ") && shown.contains(" MiB of memory"), "{shown}");
    }
    assert!(run(&["subscriptions"]).contains("echo/remember"));
    assert!(run(&["events"]).contains("echo.hello"));
    assert!(run(&["events", "list", "--limit", "1"]).contains("p1"));
    assert!(run(&["events", "show", "h1"]).contains("\"tenant\": \"x\""));
    eventually("the pill is a dead letter", || run(&["dead-letters"]).contains("swallow").then_some(()));
    assert!(run(&["dead-letters", "list", "--cause", "trap"]).contains("p1"));
    assert_eq!(run(&["dead-letters", "list", "--cause", "timeout"]).trim(), "none");
    let number = host.dead_letters()[0]["number"].to_string();
    let shown = run(&["dead-letters", "show", &number]);
    for line in
        ["subscription  poison/swallow", "event         poison.pill p1 from /cli, at position ", "cause         trap"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(run(&["dead-letters", "show", &number, "--json"]).contains("\"history\""));
    for command in ["plugins", "subscriptions", "events", "dead-letters", "schedules"] {
        let json: Value = serde_json::from_str(&run(&[command, "--json"])).unwrap();
        assert!(json.is_object(), "{command}");
    }
    let json: Value = serde_json::from_str(&run(&["publish", "echo.hello", "--json"])).unwrap();
    assert_eq!(json["accepted"][0]["duplicate"], false);
}

#[test]
fn failures_say_what_to_do() {
    let host = Setup::new().plugin("echo").start();
    let fail = |arguments: &[&str]| expect_code(&host, 1, arguments);
    assert!(fail(&["events", "show", "nothing"]).contains("no event with the id `nothing`"));
    assert!(fail(&["plugins", "nothing"]).contains("no plugin `nothing`"));
    assert!(fail(&["dead-letters", "show", "7"]).contains("no dead letter 7"));
    assert!(fail(&["publish", "x.y", "{"]).contains("not JSON"));
    assert!(fail(&["publish", ""]).contains("`type` is empty"));
    let misplaced = expect_code(&host, 2, &["publish", "x.y", "--reply", "x..y"]);
    assert!(misplaced.contains("a word is empty, and only `>` matches such types"), "{misplaced}");
    let nobody = fail(&["plugins", "--admin", "http://127.0.0.1:9"]);
    assert!(nobody.contains("sandbus serve") && nobody.contains("--admin"), "{nobody}");
}

/// A mistyped path is an error that names it once, and creates nothing.
#[test]
fn a_path_that_does_not_exist_is_refused_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    let component = sandbus_tests::guest_path("echo");
    let component = component.to_str().unwrap();
    for arguments in [
        &["serve", "--plugins", "typo"][..],
        &["dev", "typo"],
        &["test", "typo"],
        &["test", "typo.wasm"],
        &["test", component, "--scenarios", "typo"],
        &["build", "typo"],
        &["inspect", "typo"],
        &["canary", "typo"],
        &["new", "orders", "--directory", "typo"],
    ] {
        let output = Command::new(binary()).args(arguments).current_dir(home.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = error.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(line.contains("typo"), "{arguments:?}: {error}");
        let words = line.trim_start_matches("error: ").split(": ").collect::<Vec<_>>();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{arguments:?}: {error}");
        assert!(!home.path().join("typo").exists(), "{arguments:?}");
    }
}

#[test]
fn a_component_that_waits_for_its_sidecar_is_shown_with_what_it_wants() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("service.wasm");
    std::fs::copy(sandbus_tests::guest_path("service"), &file).unwrap();
    let inspect = || Command::new(binary()).arg("inspect").arg(&file).output().unwrap();
    let output = inspect();
    assert!(output.status.success() && text(&output).contains("needs routes in a sidecar"), "{output:?}");
    std::fs::write(home.path().join("service.toml"), "[limits]\ntimeout = \"1s\"\n").unwrap();
    let output = inspect();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output).matches("needs routes in a sidecar").count(), 1, "{output:?}");
}

#[test]
fn a_name_that_would_not_build_is_refused_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    for (name, lang) in
        [("serde", "rust"), ("sandbus-sdk", "rust"), ("match", "rust"), ("email", "python"), ("vendor", "js")]
    {
        let output =
            Command::new(binary()).args(["new", name, "--lang", lang]).current_dir(home.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            text(&output).contains(&format!("`{name}`")) && text(&output).contains("choose another name"),
            "{output:?}"
        );
        assert!(!home.path().join(name).exists());
    }
}

#[test]
fn an_operator_pauses_and_replays_a_subscription() {
    let host = Setup::new().plugin("ledger").start();
    let run = |arguments: &[&str]| run(&host, arguments);
    for id in 0..30 {
        assert_eq!(host.publish("ledger.entry", &id.to_string(), json!({})).status, 202);
    }
    host.wait_until_idle();
    assert!(run(&["subscriptions", "pause", "ledger/entry"]).contains("paused ledger/entry"));
    assert!(run(&["subscriptions"]).contains("ledger/entry is paused: an operator paused it"));
    assert!(run(&["subscriptions", "resume", "ledger/entry"]).contains("resumed ledger/entry"));
    assert!(!run(&["subscriptions"]).contains("is paused"));

    let slow = ["subscriptions", "replay", "ledger/entry", "--from-beginning", "--rate", "1"];
    assert!(run(&slow).contains("replaying: 30"));
    assert!(run(&["subscriptions"]).contains("1/s"));
    assert!(run(&["subscriptions", "replay", "ledger/entry", "--stop"]).contains("stopped: 1"));
    assert!(!run(&["subscriptions"]).contains("1/s"));
    let end = (host.admin("/events")["events"][0]["position"].as_u64().unwrap() + 1).to_string();
    let position = ["subscriptions", "replay", "ledger/entry", "--position", &end, "--json"];
    let json: Value = serde_json::from_str(&run(&position)).unwrap();
    assert_eq!((&json["replay"], &json["events"]), (&Value::Null, &Value::from(0)));

    assert!(expect_code(&host, 1, &["subscriptions", "pause", "ledger/nothing"]).contains("ledger/nothing"));
    let _ = expect_code(&host, 2, &["subscriptions", "replay", "ledger/entry"]);
    let _ = expect_code(&host, 2, &["subscriptions", "replay", "ledger/entry", "--since", "yesterday"]);
}

#[test]
fn an_operator_makes_and_deletes_a_subscription() {
    let host = Setup::new().plugin("echo").start();
    let run = |arguments: &[&str]| run(&host, arguments);
    let hook = ["subscriptions", "create", "hook", "--pattern", "order.>", "--webhook", "http://127.0.0.1:9/hook"];
    let signed = ["--secret", "whsec_YSBzZWNyZXQgZm9yIHRoZSB0ZXN0cyBvbmx5", "--handshake"];
    assert!(run(&[&hook[..], &signed].concat()).contains("created operator/hook"));
    assert!(run(&["subscriptions"]).contains("http://127.0.0.1:9/hook"));
    assert_eq!(host.subscription("operator/hook").unwrap()["target"]["signed"], true);

    let filters = r#"[{"prefix":{"subject":"eu/"}}]"#;
    let to_echo = ["subscriptions", "create", "europeans", "--pattern", "user.*", "--plugin", "echo"];
    let rules = ["--filters", filters, "--ordering-key", "subject", "--start", "beginning"];
    assert!(run(&[&to_echo[..], &rules].concat()).contains("created operator/europeans"));
    let made = host.subscription("operator/europeans").unwrap();
    assert_eq!((&made["ordering_key"], &made["target"]["plugin"]), (&Value::from("subject"), &Value::from("echo")));
    assert_eq!(made["filters"].to_string(), filters);

    for id in ["operator/hook", "operator/europeans"] {
        assert!(run(&["subscriptions", "delete", id]).contains("deleted"));
        assert!(host.subscription(id).is_none());
    }
    let reason = expect_code(&host, 1, &["subscriptions", "create", "hook", "--pattern", "order.>"]);
    assert!(reason.contains("a new subscription needs a target"), "{reason}");
    let _ = expect_code(&host, 2, &["subscriptions", "create", "hook", "--pattern", "order..x", "--plugin", "echo"]);
    let file = ["subscriptions", "create", "hook", "--pattern", "order.>", "--webhook", "file:///etc/passwd"];
    assert!(expect_code(&host, 1, &file).contains("invalid-subscription"));
}

#[test]
fn an_operator_drains_and_resumes_a_plugin() {
    let host = Setup::new().plugin("ledger").start();
    assert!(run(&host, &["plugins", "drain", "ledger", "--wait", "30s"]).contains("drained ledger"));
    assert_eq!(host.get("/ledger").problem(), "plugin-drained");
    assert!(run(&host, &["plugins"]).contains("drained"));
    assert!(run(&host, &["plugins", "resume", "ledger"]).contains("resumed ledger"));
    assert_eq!(host.get("/ledger").status, 200);
    assert!(expect_code(&host, 1, &["plugins", "drain", "nothing"]).contains("no plugin `nothing`"));
}

#[test]
fn events_for_later_are_shown_and_taken_back() {
    let host = Setup::new().plugin("ticker").start();
    let run = |arguments: &[&str]| run(&host, arguments);
    assert!(run(&["publish", "x.y", "--id", "soon", "--delay", "1h 30m"]).contains("accepted soon"));
    assert!(run(&["publish", "x.y", "--id", "far", "--at", "2999-01-01T00:00:00Z"]).contains("accepted far"));
    let shown = run(&["schedules"]);
    for part in ["ticker/each_second", "* * * * * *", "soon", "far", "2999-01-01T00:00:00.000Z", "/cli"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let cancel = ["schedules", "cancel", "--source", "/cli", "--id", "soon"];
    assert!(run(&cancel).contains("cancelled soon"));
    assert!(expect_code(&host, 1, &cancel).contains("no delayed event `soon` of source `/cli`"));
    let json: Value = serde_json::from_str(&run(&["schedules", "list", "--json"])).unwrap();
    assert_eq!(json["scheduled"].as_array().unwrap().len(), 1);
    assert!(run(&["events", "compact"]).contains("deleted: 0"));
}

#[test]
fn a_publisher_waits_for_a_reply() {
    let host = Setup::new().plugin("asker").start();
    let ask = |data: &'static str, timeout: &'static str| {
        ["publish", "question.asked", data, "--reply", "question.answered", "--timeout", timeout]
    };
    assert!(run(&host, &ask(r#"{"question":"who?"}"#, "30s")).contains("WHO?"));
    assert!(expect_code(&host, 1, &ask(r#"{"silent":true}"#, "200ms")).contains("no-reply"));
    let _ = expect_code(&host, 2, &["publish", "x.y", "--timeout", "5s"]);
    let _ = expect_code(&host, 2, &["publish", "x.y", "--delay", "5m", "--at", "2999-01-01T00:00:00Z"]);
}

#[test]
fn the_configuration_is_shown_with_origins() {
    let host = Setup::new().config("[sandbox]\ntimeout = \"7s\"\n").start();
    let output = host.cli(&["config"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |key: &str| text.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("sandbox.timeout").contains("\"7s\"") && line("sandbox.timeout").contains("file"), "{text}");
    assert!(line("sandbox.concurrency").contains("64") && line("sandbox.concurrency").contains("default"), "{text}");
    assert!(line("listen").contains("flag --listen") || line("listen").contains("environment"), "{text}");
    let settings = host.admin("/configuration");
    assert!(settings["settings"].as_array().unwrap().iter().any(|one| one["key"] == "bus.url"), "{settings}");
}
