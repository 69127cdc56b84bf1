//! What `sandbus dev` prints about failures, retries and events that nobody handles, and how it applies the settings of a
//! project.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use sandbus_tests::{Host, Setup, binary, eventually, put};
use serde_json::json;

/// A project in JavaScript whose handler of orders has a body.
fn new_orders(setup: &Setup, body: &str) {
    let output = Command::new(binary())
        .args(["new", "orders", "--lang", "javascript", "--on", "order.placed"])
        .current_dir(setup.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let ignored = std::fs::read_to_string(setup.path().join("orders/.gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "*.dev.toml"), "{ignored}");
    save(setup.path(), body);
}

fn save(directory: &Path, body: &str) {
    let source = format!(
        r#"import {{ config, log, plugin, publish, reject }} from "@sandbus/sdk";

export default plugin({{ publishes: ["order.paid"], config: {{ currency: "EUR", key: null }} }})
  .on("order.placed", {{ name: "pay", retry: {{ maxAttempts: 3, initialDelay: "2s", jitter: 0 }} }}, (order, event) => {{
    {body}
  }});
"#
    );
    std::fs::write(directory.join("orders/src/plugin.js"), source).unwrap();
}

fn order(host: &Host, id: &str) {
    assert_eq!(host.publish("order.placed", id, json!({ "id": id })).status, 202);
}

/// The lines of the log that contain a text.
fn lines(host: &Host, text: &str) -> Vec<String> {
    host.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

fn wait_for_line(host: &Host, text: &str) -> String {
    eventually(&format!("a line with {text}"), || lines(host, text).pop())
}

#[test]
fn a_retry_is_one_line_and_an_event_without_a_subscription_gets_a_hint() {
    let setup = Setup::new();
    new_orders(
        &setup,
        r#"if (event.attempt < 3) throw new Error("no funds"); publish("order.paid", {}); publish("order.paid", {});"#,
    );
    let host = setup.develop_project(Path::new("orders"));
    order(&host, "1");
    let recovered = wait_for_line(&host, "✓ orders/pay");
    assert!(recovered.starts_with("└─ ✓ orders/pay attempt 3 of 3 at order.placed 1 in "), "{recovered}");
    let hint = "no subscription matches the type order.paid; similar: order.placed (orders/pay)";
    let _ = wait_for_line(&host, hint);
    assert_eq!(lines(&host, "no subscription").len(), 1, "{}", host.log());
    assert_eq!(lines(&host, "order.placed 1 {").len(), 1, "the event is printed once: {}", host.log());
    let failed = lines(&host, "✗ orders/pay");
    assert!(failed[0].starts_with("└─ ✗ orders/pay attempt 1 of 3: exception: "), "{failed:?}");
    assert!(failed[0].contains("no funds") && failed[0].ends_with("; next in 2.0 s"), "{failed:?}");
    assert!(failed[0].contains("src/plugin.js:5"), "{failed:?}");
    let second = "└─ ✗ orders/pay attempt 2 of 3 at order.placed 1: exception: ";
    assert!(failed.len() == 2 && failed[1].starts_with(second), "{failed:?}");
}

#[test]
fn a_held_delivery_runs_again_with_each_version_until_it_passes() {
    let setup = Setup::new();
    new_orders(&setup, r#"throw new Error("bug 1");"#);
    let host = setup.develop_with(Path::new("orders"), &["--hold-failures"]);
    order(&host, "1");
    let held = "; held until the next version of orders";
    let first = wait_for_line(&host, "bug 1");
    assert!(first.starts_with("└─ ✗ orders/pay: exception: ") && first.ends_with(held), "{first}");

    // Another fault: the delivery is held again, although the policy has three attempts.
    for bug in ["bug 2", "bug 3", "bug 4"] {
        save(host.path(), &format!(r#"throw new Error("{bug}");"#));
        let _ = host.wait_for_log(&["retrying 1 delivery", "orders/pay"]);
        let again = wait_for_line(&host, bug);
        assert!(again.contains("at order.placed 1: exception") && again.ends_with(held), "{again}");
    }
    // It survives a restart, which is another chance.
    let host = host.develop_again(Path::new("orders"), &["--hold-failures"]);
    let again = wait_for_line(&host, "bug 4");
    assert!(again.contains("attempt 5 at order.placed 1: exception") && again.ends_with(held), "{again}");
    // A rejected event is held, too.
    save(host.path(), r#"throw reject("rejected");"#);
    let _ = wait_for_line(&host, "rejected");
    assert!(host.dead_letters().is_empty());

    save(host.path(), "log.info(`paid ${order.id}`);");
    let passed = wait_for_line(&host, "✓ orders/pay");
    assert!(passed.starts_with("└─ ✓ orders/pay attempt 7 at order.placed 1 in "), "{passed}");
    host.wait_until_idle();
}

/// The way to give up on an event that no version will handle: the retry policy decides again.
#[test]
fn a_held_delivery_is_given_up_by_a_restart_without_the_option() {
    let setup = Setup::new();
    new_orders(&setup, r#"throw reject("this order is malformed");"#);
    let host = setup.develop_with(Path::new("orders"), &["--hold-failures"]);
    let _ = wait_for_line(&host, "restart without --hold-failures");
    order(&host, "1");
    let _ = wait_for_line(&host, "held until the next version of orders");
    assert!(host.dead_letters().is_empty());
    let host = host.develop_again(Path::new("orders"), &[]);
    let given_up = eventually("it is a dead letter", || lines(&host, "; dead letter").pop());
    assert!(given_up.contains("this order is malformed"), "{given_up}");
    assert_eq!(host.dead_letters().len(), 1);
    assert!(lines(&host, "with an earlier version").is_empty(), "it is the same version: {}", host.log());
}

#[test]
fn a_renamed_handler_is_reported_once_with_what_to_do() {
    let setup = Setup::new();
    new_orders(&setup, "");
    let host = setup.develop_project(Path::new("orders"));
    let save_renamed = |body: &str| {
        save(host.path(), body);
        let path = host.path().join("orders/src/plugin.js");
        let source = std::fs::read_to_string(&path).unwrap().replace("name: \"pay\"", "name: \"charge\"");
        std::fs::write(path, source).unwrap();
    };
    let mut published = 0;
    for version in 1..4 {
        save_renamed(&format!("log.info(`version {version} charges ${{order.id}}`);"));
        eventually("the new version runs", || {
            published += 1;
            order(&host, &published.to_string());
            lines(&host, &format!("version {version} charges")).pop()
        });
    }
    let warned = lines(&host, "no longer declares this subscription");
    assert!(warned.len() == 1 && warned[0].contains("`sandbus subscriptions delete orders/pay`"), "{warned:?}");
    // Hints name subscriptions with a handler only.
    assert_eq!(host.publish("order.plced", "typo", json!({})).status, 202);
    let hint = wait_for_line(&host, "no subscription matches the type order.plced");
    assert!(hint.ends_with("similar: order.placed (orders/charge)"), "{hint}");
}

/// An exception or a syntax error at the top level of a script, which is only known once it runs.
#[test]
fn an_error_at_the_top_level_of_a_script_is_reported_with_its_line_only() {
    for (language, source, fault, expected) in [
        ("js", "src/plugin.js", "const table = null;\ntable.name;", "TypeError: cannot read property 'name' of null"),
        ("python", "src/orders.py", "table = None\ntable.name", "AttributeError: 'NoneType' object has no attribute"),
        ("python", "src/orders.py", "\ntable = (", "SyntaxError: '(' was never closed"),
    ] {
        let setup = Setup::new();
        let new = ["new", "orders", "--lang", language, "--on", "order.placed"];
        let output = Command::new(binary()).args(new).current_dir(setup.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let path = setup.path().join("orders").join(source);
        let sound = std::fs::read_to_string(&path).unwrap();
        let broken = format!("{sound}{fault}\n");
        let number = broken.lines().count();
        let (line, quoted) = (format!("orders/{source}:{number}"), fault.lines().last().unwrap());
        let quoted = format!("{number} | {quoted}");
        std::fs::write(&path, &broken).unwrap();
        let check = |text: &str| {
            assert!(text.contains(expected) && text.contains(&line) && text.contains(&quoted), "{line}: {text}");
            for noise in ["wasm trap", "backtrace", "componentize", "panicked", "frozen", "standard error"] {
                assert!(!text.contains(noise), "{noise}: {text}");
            }
        };
        let test = ["test", "orders", "--junit", "junit.xml"];
        let tested = Command::new(binary()).args(test).current_dir(setup.path()).output().unwrap();
        assert!(!tested.status.success());
        let report = std::fs::read_to_string(setup.path().join("junit.xml")).unwrap();
        assert!(report.contains("name=\"build orders\"") && report.contains(&line), "{report}");
        check(&format!("{}{}", String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr)));

        let host = setup.develop_project(Path::new("orders"));
        let _ = host.wait_for_log(&["the build of orders failed"]);
        check(&host.log());
        assert!(!host.log().contains("\\n") && host.plugin("orders.wasm").is_none(), "{}", host.log());
        std::fs::write(host.path().join("orders").join(source), sound).unwrap();
        eventually("the mended script runs", || host.plugin("orders.wasm").filter(|plugin| plugin["error"].is_null()));
    }
}

#[test]
fn settings_for_development_apply_to_dev_and_test_and_are_not_shipped() {
    let setup = Setup::new();
    new_orders(&setup, r#"log.info(`order ${order.id} in ${config.get("currency")} with ${config.get("key")}`);"#);
    let project = setup.path().join("orders");
    put(&project.join("orders.toml"), b"[config]\ncurrency = \"SEK\"\n[limits]\ntimeout = \"3s\"\n");
    put(&project.join("orders.dev.toml"), b"[config]\nkey = \"s3cret\"\n");
    let scenario = "[[scenario]]\nname = \"it pays\"\n[[scenario.step]]\nevent = \"order.placed\"\ndata = { id = 7 }\nthen.logs = [\"order 7 in SEK with s3cret\"]\n";
    put(&project.join("tests/scenarios.toml"), scenario.as_bytes());
    let run = |command: &str| {
        let output = Command::new(binary()).args([command, "orders"]).current_dir(setup.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("test");
    run("build");
    let shipped = std::fs::read_to_string(project.join("dist/orders.toml")).unwrap();
    assert!(!shipped.contains("s3cret") && !project.join("dist/orders.dev.toml").exists(), "{shipped}");

    let host = setup.develop_project(Path::new("orders"));
    order(&host, "1");
    let _ = host.wait_for_log(&["order 1 in SEK with s3cret"]);
    put(&host.path().join("orders/orders.dev.toml"), b"[config]\nkey = \"other\"\n");
    let mut count = 1;
    eventually("the changed overlay is in force", || {
        count += 1;
        order(&host, &count.to_string());
        host.log().contains("in SEK with other").then_some(())
    });
    // A broken overlay changes nothing, and the message does not quote it.
    put(&host.path().join("orders/orders.dev.toml"), b"[config]\nkey = \"s3cret2\n");
    let message = host.wait_for_log(&["cannot apply its sidecar", "orders.dev.toml: line 2"]);
    assert!(!message.to_string().contains("s3cret2"), "{message}");
}

#[test]
fn a_warning_of_the_python_compiler_is_shown_by_the_build_and_not_by_each_call() {
    let setup = Setup::new();
    let new = ["new", "greeter", "--lang", "python", "--route", "GET /answer"];
    let output = Command::new(binary()).args(new).current_dir(setup.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let source = "from sandbus import Plugin\n\nplugin = Plugin()\n\n\n@plugin.route(\"GET /answer\")\ndef answer(request):\n    return {\"answer\": 1 if request is \"\\d\" else 2}\n";
    std::fs::write(setup.path().join("greeter/src/greeter.py"), source).unwrap();
    let host = setup.develop_project(Path::new("greeter"));
    for _ in 0..3 {
        assert_eq!(host.get("/answer").json(), json!({ "answer": 2 }));
    }
    let _ = wait_for_line(&host, "GET /answer");
    let warnings = lines(&host, "greeter.py:8");
    let count = |words: &str| warnings.iter().filter(|line| line.contains(words)).count();
    assert_eq!((count("invalid escape sequence"), count("is\" with")), (1, 1), "{}", host.log());
    assert!(!host.log().contains("SyntaxWarning"), "{}", host.log());
}
