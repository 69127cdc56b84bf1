//! The library for scenarios, as a plugin's author uses it, on real components.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbus_host::scenario::Scenario;
use sandbus_tests::guest_path;
use serde_json::{Value, json};

fn of(guest: &str) -> Scenario {
    Scenario::of(guest_path(guest))
}

#[test]
fn a_registration_flows_from_one_plugin_to_the_other() {
    let played = of("registration-handler")
        .with(guest_path("registration"))
        .config("greeting", "Hello")
        .state("total", json!(41))
        .request("POST", "/register", json!({ "name": "Ada", "email": "ada@example.com" }))
        .run()
        .unwrap();
    assert_eq!(played.response().unwrap()["status"], 201);
    let types: Vec<_> = played.published().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["user.registered", "user.welcomed"]);
    assert_eq!(played.published()[1]["data"]["message"], "Hello, Ada!");
    assert_eq!(played.published()[1]["causationid"], played.published()[0]["id"]);
    assert_eq!(played.state("total"), Some(&json!(42)));
    assert!(played.logs().contains(&"info Hello, Ada!".to_owned()), "{:?}", played.logs());
}

#[test]
fn usual_crates_have_fresh_random_numbers_in_each_invocation() {
    let played = of("crates").event("crates.wanted", json!(1)).event("crates.wanted", json!(2)).run().unwrap();
    assert_eq!(played.outcomes(), ["ack", "ack"], "{:?}", played.all.attempts);
    let random = |event: &Value| event["data"]["random"].as_object().unwrap().clone();
    let (first, second) = (random(&played.published()[0]), random(&played.published()[1]));
    assert_eq!(first.len(), 6);
    for (source, value) in &first {
        assert_ne!(value, &second[source], "{source}");
    }
}

#[test]
fn retries_come_when_they_are_due_and_not_before() {
    let early = of("flaky").event("flaky.job", json!(null)).run().unwrap();
    assert_eq!(early.outcomes(), ["retry"], "time stands still");
    assert!(early.published().is_empty());

    let played = of("flaky").event("flaky.job", json!(null)).advance(Duration::from_mins(1)).run().unwrap();
    assert_eq!(played.outcomes(), ["retry", "retry", "ack"]);
    let times: Vec<_> = played.all.attempts.iter().map(|attempt| attempt.at.as_str()).collect();
    assert_eq!(times, ["+0s", "+20ms", "+60ms"], "20 ms, and twice as much");
    assert_eq!(played.published().len(), 1, "what failed attempts published is gone");
    assert_eq!(played.state("effects"), Some(&json!(1)));
}

#[test]
fn schedules_and_delayed_events_follow_the_scenarios_clock() {
    let played = of("ticker")
        .at(Duration::from_millis(500))
        .request("POST", "/later", json!({ "delay_ms": 2_000 }))
        .advance(Duration::from_millis(1_000))
        .advance(Duration::from_millis(1_000))
        .run()
        .unwrap();
    assert_eq!(played.steps[0].scheduled[0]["at"], "+2s 500ms");
    assert_eq!(played.steps[1].state.get("later"), None, "it is not due yet");
    assert_eq!(played.state("later"), Some(&json!(1)));
    assert_eq!(played.state("ticks"), Some(&json!(2)), "one each second");
    assert!(played.all.scheduled.is_empty());
}

#[test]
fn the_client_of_a_request_gets_the_reply_in_the_scenarios_time() {
    let played = of("asker").request("POST", "/ask", json!({ "question": "why" })).run().unwrap();
    assert_eq!(played.response().unwrap()["json"], json!({ "answer": "WHY" }));
    let silent = json!({ "question": "why", "silent": true, "timeout_ms": 30_000 });
    let played = of("asker").request("POST", "/ask", silent).run().unwrap();
    assert_eq!(played.response().unwrap()["status"], 504);
}

#[test]
fn a_scenario_plays_the_same_each_time() {
    let play = || -> Vec<Value> {
        let user = json!({ "user_id": "1", "name": "Ada", "email": "ada@example.com" });
        of("registration-handler").event("user.registered", user).run().unwrap().published().to_vec()
    };
    let first = play();
    assert_eq!(first.len(), 1);
    assert_eq!(first, play(), "with the same ids and times");
}
