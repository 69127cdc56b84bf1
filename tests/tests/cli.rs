//! The command line against a running host.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use sandbus_tests::{Setup, binary, eventually};
use serde_json::Value;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_command_has_help() {
    for command in ["serve", "dev", "publish", "plugins", "subscriptions", "events", "dead-letters"] {
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
    let run = |arguments: &[&str]| {
        let output = host.cli(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    };
    assert!(
        run(&["publish", "echo.hello", r#"{"a":1}"#, "--id", "h1", "--attribute", "tenant=x"]).contains("accepted h1")
    );
    assert!(run(&["publish", "echo.hello", r#"{"a":1}"#, "--id", "h1"]).contains("there already"));
    assert!(run(&["publish", "poison.pill", "--id", "p1"]).contains("accepted p1"));
    assert!(run(&["plugins"]).contains("POST /echo/{word}"));
    assert!(run(&["plugins", "echo"]).contains("\"asks_for\""));
    assert!(run(&["subscriptions"]).contains("echo/remember"));
    assert!(run(&["events"]).contains("echo.hello"));
    assert!(run(&["events", "list", "--limit", "1"]).contains("p1"));
    assert!(run(&["events", "show", "h1"]).contains("\"tenant\": \"x\""));
    eventually("the pill is a dead letter", || run(&["dead-letters"]).contains("swallow").then_some(()));
    assert!(run(&["dead-letters", "list", "--cause", "trap"]).contains("p1"));
    assert_eq!(run(&["dead-letters", "list", "--cause", "timeout"]).trim(), "none");
    for command in ["plugins", "subscriptions", "events", "dead-letters"] {
        let json: Value = serde_json::from_str(&run(&[command, "--json"])).unwrap();
        assert!(json.is_object(), "{command}");
    }
    let json: Value = serde_json::from_str(&run(&["publish", "x.y", "--json"])).unwrap();
    assert_eq!(json["accepted"][0]["duplicate"], false);
}

#[test]
fn failures_say_what_to_do() {
    let host = Setup::new().plugin("echo").start();
    let fail = |arguments: &[&str]| {
        let output = host.cli(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        text(&output)
    };
    assert!(fail(&["events", "show", "nothing"]).contains("no event with the id `nothing`"));
    assert!(fail(&["plugins", "nothing"]).contains("no plugin `nothing`"));
    assert!(fail(&["dead-letters", "show", "7"]).contains("no dead letter 7"));
    assert!(fail(&["publish", "x.y", "{"]).contains("no JSON"));
    assert!(fail(&["publish", "two words"]).contains("white space"));
    let nobody = fail(&["plugins", "--admin", "http://127.0.0.1:9"]);
    assert!(nobody.contains("sandbus serve") && nobody.contains("--admin"), "{nobody}");
}
