//! Schemathesis sends requests to a host that it makes from the OpenAPI document, valid and invalid ones, and compares
//! the responses with the document.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and shows what was tested")]

use std::process::Command;

use sandbus_tests::languages::{root, tool};
use sandbus_tests::{Host, Setup, eventually};
use serde_json::json;

/// How long it sends requests, in seconds.
const SECONDS: &str = "50";

/// A host with something in each list.
fn host() -> Host {
    let host = Setup::new().plugin("echo").plugin("ledger").plugin("poison").plugin("ticker").start();
    for (name, target) in
        [("hook", json!({ "webhook": { "url": "http://127.0.0.1:9/hook" } })), ("copy", json!({ "plugin": "ledger" }))]
    {
        let wanted = json!({ "name": name, "pattern": "ledger.>", "target": target });
        assert_eq!(host.admin_post("/subscriptions", wanted).status, 201);
    }
    for id in ["1", "2", "3"] {
        assert_eq!(host.publish("poison.pill", id, json!({})).status, 202);
        assert_eq!(host.publish("ledger.entry", id, json!({ "amount": 1 })).status, 202);
        let later = json!({ "id": format!("later {id}"), "type": "ledger.entry", "data": {} });
        assert_eq!(host.publish_event("/events?delay=1h", later).status, 202);
    }
    eventually("there are dead letters", || (host.dead_letters().len() >= 3).then_some(()));
    host
}

#[test]
fn the_host_does_what_its_document_says() {
    let host = host();
    let (home, settings) = (tempfile::tempdir().unwrap(), root().join("tests/schemathesis"));
    let mut schemathesis = Command::new("python3");
    schemathesis.current_dir(home.path());
    schemathesis.env("PYTHONPATH", tool("schemathesis==4.32.5")).env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"));
    schemathesis.args(["-c", "from schemathesis.cli import schemathesis; schemathesis()"]);
    schemathesis.arg("--config-file").arg(settings.join("schemathesis.toml"));
    schemathesis.args(["run", &host.api_url("/openapi.json"), "--no-color", "--continue-on-failure"]);
    schemathesis.args(["--max-time", SECONDS, "--request-timeout", "20", "--warnings", "off"]);
    let output = schemathesis.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{errors}");
    let summary = report.rsplit_once("= SUMMARY =").map_or(&*report, |(_, summary)| summary);
    assert!(summary.contains("Tested:"), "nothing was tested: {report}\n{errors}");
    eprintln!("{summary}");
    assert_eq!(host.send("GET", &host.admin_url("/readyz"), &[], b"").status, 200);
    assert!(!host.log().contains(r#""message":"panic: "#), "{}", host.log());
}
