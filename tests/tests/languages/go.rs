//! The SDK for Go: its own tests, a new project, and a plugin that uses each function of the host.

use std::path::Path;

use sandbus_tests::languages::{self, root};
use sandbus_tests::{Host, Setup, eventually};
use sandbus_toolchain::Project;
use serde_json::{Value, json};

/// Runs Go in a directory, without a network and for a platform. Returns what it printed.
fn go(directory: &Path, arguments: &[&str], platform: &[(&str, &str)]) -> String {
    let mut go = sandbus_toolchain::go(directory, &mut |_| {}).unwrap();
    go.args(arguments).env("GOPROXY", "off").envs(platform.iter().copied());
    String::from_utf8(languages::run(&mut go).stdout).unwrap()
}

const COMPONENT: [(&str, &str); 2] = [("GOOS", "wasip1"), ("GOARCH", "wasm")];

#[test]
fn the_sdks_tests_pass_and_its_sources_are_in_form() {
    let sdk = root().join("guest-sdk/go");
    go(&sdk, &["test", "./..."], &[]);
    for platform in [&[][..], &COMPONENT] {
        go(&sdk, &["vet", "./..."], platform);
    }
    go(&root().join("tests/guests/go"), &["vet", "."], &COMPONENT);
    // The command `go fmt` would change the files.
    let compiler = sandbus_toolchain::go(&sdk, &mut |_| {}).unwrap();
    let mut gofmt = std::process::Command::new(Path::new(compiler.get_program()).with_file_name("gofmt"));
    let unformatted = languages::run(gofmt.current_dir(root()).args(["-l", "guest-sdk/go", "tests/guests/go"]));
    assert_eq!(String::from_utf8_lossy(&unformatted.stdout), "");
}

#[test]
fn a_project_in_go_begins_with_the_binary_alone() {
    super::begins("go", |project| {
        go(project, &["test"], &[]);
        go(project, &["vet"], &[]);
    });
}

fn everything() -> (Host, Value) {
    let project = Project::find(&root().join("tests/guests/go")).unwrap();
    let report = project.build(false, &mut |_| {}).unwrap();
    assert!(report.succeeded, "{:?}", report.messages);
    let setup = Setup::new();
    let file = setup.path().join("plugins/everything-go.wasm");
    std::fs::copy(&report.artifacts[0].path, &file).unwrap();
    let mut inspect = std::process::Command::new(sandbus_tests::binary());
    let inspected = languages::run(inspect.args(["inspect", "--json"]).arg(&file));
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    (setup.start(), inspected["descriptor"].clone())
}

#[test]
fn a_plugin_in_go_uses_each_function_of_the_host() {
    let (host, descriptor) = everything();
    let orders = &descriptor["subscriptions"][0];
    assert_eq!((&orders["name"], &orders["pattern"]), (&json!("orders"), &json!("order.>")), "{descriptor}");
    assert_eq!(descriptor["version"], "1.2.3");
    for (name, value) in
        [("concurrency", json!(2)), ("dead_letter_policy", json!("park")), ("max_backlog", json!(1000))]
    {
        assert_eq!(orders[name], value, "{name}: {orders}");
    }
    let retry = &orders["retry"];
    for (name, value) in [("attempts", json!(3)), ("factor_percent", json!(150)), ("jitter_percent", json!(0))] {
        assert_eq!(retry[name], value, "{name}: {retry}");
    }

    let found = host.post("/everything-go/calls?a=b", json!({}));
    let found = found.json();
    for (name, value) in [
        ("method", json!("POST")),
        ("query", json!("b")),
        ("greeting", json!("Hello")),
        ("hasKey", json!(false)),
        ("value", json!([1, 2])),
        ("bytes", json!("/wA=")),
        ("missing", json!(false)),
        ("keys", json!(["a/1", "a/2"])),
        ("sum", json!(-5)),
        ("notANumber", json!("not-a-number")),
        ("ids", json!(3)),
        ("denied", json!("denied")),
        ("parallel", json!(10)),
        ("random", json!(16)),
        ("sameTime", json!(true)),
    ] {
        assert_eq!(found[name], value, "{name}: {found}");
    }
    let status = |id: &str| host.get(&format!("/everything-go/items/{id}")).status;
    assert_eq!(["1", "none", "problem", "panic", "text"].map(status), [200, 204, 404, 500, 203]);
    let problem = host.get("/everything-go/items/problem");
    assert_eq!(problem.problem(), "no-item");
    let refused = host.post("/everything-go/rates", json!("http://127.0.0.1:1/"));
    assert_eq!(refused.json()["permanent"], true, "{}", refused.json());
    // Nobody replies.
    assert_eq!(host.post("/everything-go/prices", json!({ "id": 7 })).status, 504);
    // The subscription that the plugin created at run time has the plugin's own handler.
    assert_eq!(host.publish("late.a", "l", json!(1)).status, 202);
    host.wait_until_idle();
    assert!(host.dead_letters().is_empty());
}

#[test]
fn the_error_of_a_handler_in_go_decides_the_outcome() {
    let (host, _) = everything();
    for outcome in ["", "retry", "reject", "panic", "fail", "exit"] {
        let order = json!({ "id": 9_007_199_254_740_993_i64, "customer": format!("c-{outcome}"), "do": outcome });
        assert_eq!(host.publish("order.placed", &format!("o-{outcome}"), order).status, 202);
    }
    assert_eq!(host.publish("order.placed", "misfit", json!({ "id": "7" })).status, 202);
    let _ = host.wait_for_log(&["order id=9007199254740993 number=", "attempt=2"]);
    let letters = eventually("five deliveries have failed", || {
        let letters = host.dead_letters();
        (letters.len() == 5).then_some(letters)
    });
    let letter = |id: &str| {
        let found = letters.iter().find(|letter| letter["logged"]["event"]["id"] == id).unwrap();
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        (text("cause"), text("reason"), found["attempts"].as_u64().unwrap())
    };
    assert_eq!(letter("o-reject"), ("rejected".to_owned(), "the order is refused".to_owned(), 1));
    let (cause, reason, attempts) = letter("misfit");
    assert_eq!((cause.as_str(), attempts), ("rejected", 1), "{reason}");
    assert!(reason.starts_with("the event's data is invalid: "), "{reason}");
    // The subscription's policy does not retry exceptions.
    let (cause, reason, attempts) = letter("o-panic");
    assert_eq!((cause.as_str(), attempts), ("exception", 1), "{reason}");
    assert!(reason.contains("nil pointer dereference") && reason.contains("at main.placed (main.go:"), "{reason}");
    let (_, reason, attempts) = letter("o-fail");
    assert_eq!((reason.as_str(), attempts), ("the order failed", 3));
    let (cause, reason, attempts) = letter("o-exit");
    assert_eq!((cause.as_str(), attempts), ("trap", 3), "{reason}");
    assert!(reason.contains("no way out"), "{reason}");
}
