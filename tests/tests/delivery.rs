//! The guarantees for subscribers: retries, dead letters, exactly-once effects, duplicates, delays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::thread;

use sandbus_tests::{Setup, eventually};
use serde_json::{Value, json};

#[test]
fn a_handler_that_fails_twice_succeeds_and_leaves_its_effects_once() {
    let host = Setup::new().plugin("flaky").start();
    assert_eq!(host.publish("flaky.job", "1", json!({})).status, 202);
    host.wait_until_idle();
    assert_eq!(host.get("/flaky").json(), 1, "the state that failed attempts wrote is gone");
    let events = host.admin("/events");
    let done: Vec<_> =
        events["events"].as_array().unwrap().iter().filter(|logged| logged["event"]["type"] == "flaky.done").collect();
    assert_eq!(done.len(), 1, "what failed attempts published is gone");
    assert_eq!(done[0]["event"]["data"], 3);
    let _ = host.wait_for_log(&["attempt failed", "attempt 2 is not good enough", "\"attempt\":2"]);
    assert!(host.dead_letters().is_empty());
}

#[test]
fn a_poison_event_becomes_a_dead_letter_and_is_redriven_to_the_mended_handler() {
    let host = Setup::new().plugin("poison").start();
    for id in ["1", "2"] {
        assert_eq!(host.publish("poison.pill", id, json!(id)).status, 202);
    }
    let letters = eventually("both are dead letters", || Some(host.dead_letters()).filter(|all| all.len() == 2));
    let letter = &letters[0];
    assert_eq!((&letter["cause"], &letter["attempts"]), (&json!("trap"), &json!(2)));
    assert!(letter["reason"].as_str().unwrap().contains("this handler cannot swallow"), "{letter}");
    assert!(letter["reason"].as_str().unwrap().contains("poison.rs"), "{letter}");
    assert_eq!(letter["history"].as_array().unwrap().len(), 2);
    assert!(letter["history"][0]["digest"].as_str().is_some_and(|digest| digest.len() == 64));
    assert_eq!(host.subscription("poison/swallow").unwrap()["backlog"], 0, "nothing is blocked by them");

    // The broken handler would fail again.
    let shown = host.cli(&["dead-letters", "redrive", &letter["number"].to_string()]);
    assert!(shown.status.success());
    let letters = eventually("it is dead again", || {
        Some(host.dead_letters())
            .filter(|all| all.len() == 2 && all.iter().all(|one| one["number"] != letter["number"]))
    });
    assert_eq!(letters.len(), 2);

    host.drop_in("poison-fixed", "poison.wasm");
    host.wait_until_loaded("poison-fixed", "poison.wasm");
    assert!(host.cli(&["dead-letters", "redrive", "--subscription", "poison/swallow"]).status.success());
    eventually("both are handled", || (host.get("/poison").json() == 2).then_some(()));
    assert!(host.dead_letters().is_empty());
}

#[test]
fn dead_letters_are_dropped_when_told_so() {
    let host = Setup::new().plugin("poison").start();
    assert_eq!(host.publish("poison.pill", "1", json!(1)).status, 202);
    let letters = eventually("it is a dead letter", || Some(host.dead_letters()).filter(|all| all.len() == 1));
    let number = letters[0]["number"].to_string();
    assert!(!host.cli(&["dead-letters", "drop"]).status.success(), "nothing is dropped by mistake");
    let shown = host.cli(&["dead-letters", "show", &number, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["logged"]["event"]["id"], "1");
    assert!(host.cli(&["dead-letters", "drop", &number]).status.success());
    assert!(host.dead_letters().is_empty());
    assert!(!host.cli(&["dead-letters", "drop", &number]).status.success());
}

#[test]
fn the_same_source_and_id_are_stored_once() {
    let host = Setup::new().plugin("ledger").start();
    let accepted = |id: &str| host.publish("ledger.entry", id, json!({})).json()["accepted"][0]["duplicate"].clone();
    assert_eq!(accepted("1"), false);
    assert_eq!(accepted("1"), true);
    let host = host.crash_and_restart();
    let again = host.publish("ledger.entry", "1", json!({}));
    assert_eq!((again.status, &again.json()["accepted"][0]["duplicate"]), (202, &json!(true)));
    host.wait_until_idle();
    assert_eq!(host.get("/ledger").json()["booked"], 1);
}

#[test]
fn concurrent_read_modify_write_loses_nothing() {
    let host = Setup::new().plugin("ledger").start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(host.post("/ledger/contended", json!({})).status, 200);
                }
            });
        }
    });
    assert_eq!(host.post("/ledger/contended", json!({})).json(), 201);
}

#[test]
fn many_events_are_each_handled_once_by_every_subscription() {
    const EVENTS: usize = 2_000;
    let host = Setup::new().plugin("ledger").start();
    publish_batches(&host, 0, EVENTS);
    host.wait_until_idle();
    let balance = host.get("/ledger").json();
    assert_eq!(balance, json!({ "booked": EVENTS, "merged": EVENTS, "rewritten": EVENTS, "repeated": 0 }));
}

/// Publishes in batches, as a producer with a backlog does.
fn publish_batches(host: &sandbus_tests::Host, from: usize, count: usize) {
    for first in (from..from + count).step_by(100) {
        let events: Vec<_> = (first..first + 100)
            .map(|id| json!({ "specversion": "1.0", "id": id.to_string(), "source": "/batch", "type": "ledger.entry", "data": id }))
            .collect();
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let answer = host.send("POST", &host.url("/events"), &headers, Value::from(events).to_string().as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
}

#[test]
fn a_backlog_larger_than_memory_keeps_is_worked_off_after_a_restart() {
    const EVENTS: usize = 1_500;
    let host = Setup::new().plugin("ledger").start();
    std::fs::remove_file(host.file("ledger.wasm")).unwrap();
    eventually("the plugin is gone", || (host.get("/ledger").status == 503).then_some(()));
    publish_batches(&host, 0, EVENTS);
    assert_eq!(host.subscription("ledger/entry").unwrap()["backlog"], EVENTS);
    let host = host.crash_and_restart();
    assert_eq!(host.subscription("ledger/entry").unwrap()["backlog"], EVENTS);
    host.drop_in("ledger", "ledger.wasm");
    host.wait_until_loaded("ledger", "ledger.wasm");
    host.wait_until_idle();
    assert_eq!(host.get("/ledger").json()["merged"], EVENTS);
}

#[test]
fn a_delayed_event_survives_a_crash_and_arrives_when_it_is_due() {
    let host = Setup::new().plugin("echo").start();
    assert_eq!(host.send("POST", &host.url("/echo/later/1500"), &[], b"hello").status, 200);
    assert_eq!(host.get("/echo/last/echo.later").status, 404, "it is not due yet");
    let host = host.crash_and_restart();
    let seen = eventually("it has arrived", || {
        let answer = host.get("/echo/last/echo.later");
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(seen["data"], "hello");
    assert_eq!(host.admin("/events")["events"].as_array().unwrap().len(), 1);
}

#[test]
fn wildcards_deliver_and_causes_are_carried_on() {
    let host = Setup::new().plugin("echo").start();
    assert_eq!(host.publish("echo.ping", "ping-1", json!("hi")).status, 202);
    host.wait_until_idle();
    let pong = eventually("the pong is remembered", || {
        let answer = host.get("/echo/last/echo.pong");
        (answer.status == 200).then(|| answer.json())
    });
    let extensions: HashSet<(String, String)> = serde_json::from_value(pong["extensions"].clone()).unwrap();
    assert!(extensions.contains(&("causationid".into(), "ping-1".into())));
    assert!(extensions.contains(&("correlationid".into(), "ping-1".into())));
    assert_eq!(pong["source"], "/plugins/echo");
}

#[test]
fn a_shutdown_lets_what_runs_come_to_its_end() {
    let host = Setup::new().plugin("ledger").start();
    publish_batches(&host, 0, 500);
    let (ended_well, log) = host.terminate();
    assert!(ended_well, "{log}");
    assert!(log.contains("stopped"), "{log}");
    assert!(!log.contains("the grace period is over"), "{log}");
}
