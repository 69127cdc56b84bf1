//! Components that do not know Sandbus: made for other hosts or with other hosts' interfaces.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use sandbus_tests::languages::{componentize, root, run, source_of};
use sandbus_tests::{Host, Setup, eventually};
use sandbus_toolchain::{Toolchain, ToolchainSource};
use serde_json::{Value, json};

/// A host with a generated file in its plugin folder.
fn host_with(name: &str, sidecar: &str, make: impl FnOnce(&Path)) -> Host {
    let setup = Setup::new().sidecar(name, sidecar);
    make(&setup.path().join(format!("plugins/{name}.wasm")));
    setup.start()
}

#[test]
fn an_example_of_a_published_package_is_served_unchanged() {
    let home = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg("-r").arg(source_of("wasip2").join(".")).arg(home.path()));
    let toolchain = Toolchain::ensure(ToolchainSource::from_env().unwrap(), &mut |_| {}).unwrap();
    let report = sandbus_toolchain::build(&toolchain, home.path(), &["--example", "http-proxy"], false).unwrap();
    assert!(report.succeeded, "{:?}", report.messages);
    let host = host_with("http-proxy", "routes = [\"* /{*path}\"]", |plugin| {
        std::fs::copy(&report.artifacts[0].path, plugin).unwrap();
    });
    let answer = host.get("/any/path");
    assert_eq!((answer.status, answer.body.as_str()), (200, "Hello, WASI!"));
}

/// A host with a guest that receives messages.
fn messaging(guest: &str, sidecar: &str) -> Host {
    let folder = root().join("tests/guests/messaging");
    host_with(guest, sidecar, |plugin| {
        componentize(&folder.join("worlds.wit"), guest, &folder.join(format!("{guest}.js")), plugin);
    })
}

const RELAY: &str = "[config]\ngreeting = \"hello\"\n[grants]\npublish = [\"relayed.>\"]\n\
    [subscriptions.orders]\npattern = \"order.>\"\nordering_key = \"subject\"\nmax_attempts = 1\n";

#[test]
fn messages_are_events_for_a_component_that_does_not_know_sandbus() {
    let host = messaging("relay", RELAY);
    let order = json!({ "id": "1", "type": "order.placed", "subject": "7", "channel": "web", "data": "bread",
        "datacontenttype": "application/json" });
    assert_eq!(host.publish_event("/events", order).status, 202);
    let relayed = eventually("it is sent on", || host.events_of("relayed.order.placed").pop());
    let expected = json!({
        "topic": "order.placed", "deed": "\"bread\"", "count": 2, "many": [["a", "a"], null],
        "keys": ["a", "c", "count"], "cursor": null, "greeting": "hello",
    });
    assert_eq!(relayed["data"], expected);
    let attribute = |name: &str| relayed[name].as_str().unwrap_or_default().to_owned();
    let attributes = ["source", "subject", "datacontenttype", "channel", "tenant", "causationid"].map(attribute);
    assert_eq!(attributes, ["/plugins/relay", "7", "application/json", "web", "acme", "1"]);
    assert_ne!(relayed["id"], "1");
    let inspected = host.cli(&["inspect", "--json", "plugins/relay.wasm"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["descriptor"]["subscriptions"][0]["pattern"], "order.>", "{inspected}");
    let _ = host.wait_for_log(&["sent on order.placed", "\"plugin\":\"relay\""]);
}

#[test]
fn a_forbidden_call_of_a_message_handler_fails_only_its_delivery() {
    let host = messaging("relay", RELAY);
    for (deed, cause, reason) in [
        ("fail", "retry", "the other side is away"),
        ("hoard", "out-of-memory", "it needs more memory than its limit allows"),
        ("overstep", "retry", "plugin `relay` may not publish `forbidden`"),
    ] {
        assert_eq!(host.publish("order.placed", deed, json!(deed)).status, 202);
        let letter = eventually("there is a dead letter", || {
            host.dead_letters().into_iter().find(|letter| letter["logged"]["event"]["id"] == deed)
        });
        assert_eq!(letter["cause"], cause, "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
    }
    assert!(host.events_of("relayed.order.placed").is_empty());
}

#[test]
fn a_component_made_for_wasmcloud_answers_where_it_is_asked_to() {
    let sidecar =
        "[grants]\npublish = [\"answers.*\"]\n[subscriptions.questions]\npattern = \"question\"\nmax_attempts = 1\n";
    let host = messaging("cloud", sidecar);
    let question = json!({ "id": "1", "type": "question", "replyto": "answers.ada", "data": { "of": "life" } });
    assert_eq!(host.publish_event("/events", question).status, 202);
    let answer = eventually("there is an answer", || host.events_of("answers.ada").pop());
    assert_eq!((&answer["data"]["heard"], &answer["replyto"]), (&json!("{\"of\":\"life\"}"), &json!("thanks")));
    assert!(answer["data"]["waited"].as_str().unwrap().contains("`answers` cannot reply"), "{answer}");
    assert_eq!(host.publish("question", "2", json!({})).status, 202);
    let letter = eventually("there is a dead letter", || host.dead_letters().pop());
    assert_eq!(letter["reason"], "question asks for no reply");
}

const LISTENER: &str = "[grants]\npublish = [\"answers.*\"]\n[limits]\ntimeout = \"700ms\"\n[subscriptions.questions]\npattern = \"question.>\"\nmax_attempts = 2\ninitial_delay = \"1ms\"\n";

/// Publishes a question that asks for its answers in a topic of its own.
fn ask(host: &Host, question: &str, data: &str) {
    let event = json!({ "id": question, "type": format!("question.{question}"), "replyto": format!("answers.{question}"),
        "data": data });
    assert_eq!(host.publish_event("/events", event).status, 202);
}

#[test]
fn messages_with_streams_as_bodies_are_events() {
    let host = Setup::new().plugin("listener-0-3").sidecar("listener-0-3", LISTENER).start();
    let long = "long ".repeat(50_000);
    ask(&host, "long", &long);
    for event_type in ["answers.long", "answers.copy"] {
        let answer = eventually("the answer is published", || host.events_of(event_type).pop());
        assert_eq!((&answer["data"], &answer["replyto"]), (&json!(long), &json!("thanks")));
        assert_eq!((&answer["source"], &answer["causationid"]), (&json!("/plugins/listener-0-3"), &json!("long")));
    }
    ask(&host, "errors", "");
    let answer = eventually("the errors are reported", || host.events_of("answers.errors").pop());
    let errors = answer["data"].as_str().unwrap();
    for error in ["Error::SubjectInvalid", "Error::AccessDenied", "`answers` cannot reply while the handler runs"] {
        assert!(errors.contains(error), "{errors}");
    }
    ask(&host, "flood", "");
    let answer = eventually("the body is refused", || host.events_of("answers.flood").pop());
    assert!(answer["data"].to_string().contains("Error::MessageTooLarge"), "{answer}");
}

#[test]
fn a_failure_of_a_streaming_message_handler_is_rejected_or_retried() {
    let host = Setup::new().plugin("listener-0-3").sidecar("listener-0-3", LISTENER).start();
    for (question, cause, attempts, reason) in [
        ("reject", "rejected", 1, "the handler rejected the message"),
        ("retry", "retry", 2, "the handler asked for another attempt"),
        ("other", "rejected", 1, "it is not a question"),
        ("endless", "timeout", 2, "700"),
        ("late-trap", "trap", 2, "unreachable"),
    ] {
        ask(&host, question, "");
        let letter = eventually("there is a dead letter", || {
            host.dead_letters().into_iter().find(|letter| letter["logged"]["event"]["id"] == question)
        });
        assert_eq!((&letter["cause"], &letter["attempts"]), (&json!(cause), &json!(attempts)), "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
    }
    assert!(host.events_of("answers.late-trap").is_empty(), "a trap discards what the handler published");
}

#[test]
fn a_sidecar_that_does_not_go_with_the_component_says_what_is_missing() {
    let host = messaging("relay", "");
    assert!(host.wait_until_refused("relay.wasm").contains("[subscriptions.NAME] with pattern"));
    let told = |sidecar: &str, words: &str| {
        sandbus_tests::put(&host.path().join("plugins/relay.toml"), sidecar.as_bytes());
        eventually(words, || host.wait_until_refused("relay.wasm").contains(words).then_some(()));
    };
    told("[subscriptions.orders]\nmax_attempts = 1", "subscription `orders` has no pattern");
    host.drop_in("ping", "ping.wasm");
    sandbus_tests::put(&host.path().join("plugins/ping.toml"), b"[subscriptions.pong]\npattern = \"a\"");
    eventually("it is refused", || host.wait_until_refused("ping.wasm").contains("it has `pattern`").then_some(()));
}
