//! Webhooks according to the `CloudEvents` HTTP 1.1 Web Hooks specification 1.0.2 and Standard Webhooks: rates, holds
//! and signatures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbus_tests::{Hook, Host, Setup, Webhook, eventually};
use serde_json::{Value, json};

/// Two secrets in Standard Webhooks form.
const SECRETS: [&str; 2] =
    ["whsec_YSBzZWNyZXQgZm9yIHRoZSB0ZXN0cyBvbmx5", "whsec_YW5vdGhlciBzZWNyZXQgZm9yIHRoZSB0ZXN0cw=="];
const AGREES: &str = "HTTP/1.1 200 Answer\r\nWebHook-Allowed-Origin: *\r\n";

/// Creates an operator subscription for a webhook, with two attempts.
fn subscribe(host: &Host, webhook: &Webhook, more: &Value) {
    let mut target = json!({ "url": format!("http://{}/hook", webhook.address) });
    target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let rules = json!({ "max_attempts": 2, "initial_delay": "10ms" });
    let wanted = json!({ "name": "hook", "pattern": "order.>", "target": { "webhook": target }, "rules": rules });
    let answer = host.admin_post("/subscriptions", wanted);
    assert_eq!((answer.status, &answer.json()["id"]), (201, &json!("operator/hook")), "{}", answer.body);
}

/// Publishes orders in one batch.
fn order(host: &Host, ids: &[&str]) {
    let order = |id| json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "order.placed", "data": {} });
    let batch: Vec<_> = ids.iter().map(order).collect();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let answer = host.send("POST", &host.url("/events"), &headers, json!(batch).to_string().as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.body);
}

/// Waits for a number of deliveries.
fn deliveries(webhook: &Webhook, count: usize) -> Vec<Hook> {
    let hooks = eventually("the webhook is called", || Some(webhook.received()).filter(|hooks| hooks.len() >= count));
    assert_eq!(hooks.len(), count, "{hooks:?}");
    hooks
}

/// Whether no attempt runs and every outcome is committed. A hold is stored before the outcome of its attempt.
fn is_settled(subscription: &Value) -> bool {
    subscription["in_flight"] == 0 && subscription["committing"] == 0
}

fn shown(host: &Host) -> Value {
    host.subscription("operator/hook").unwrap()
}

fn metric(host: &Host, line: &str) -> bool {
    let answer = host.send("GET", &host.admin_url("/metrics"), &[], b"");
    answer.body.lines().any(|other| other == line)
}

/// Section 2.2: "The sender MUST observe the value of the Retry-After header and refrain from sending further requests
/// until the indicated time."
#[test]
fn an_endpoint_that_is_overloaded_is_left_alone_across_a_crash() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let busy = format!("{status}\r\nRetry-After: 3");
        let webhook = Webhook::start_answering(&[&busy, "204 No Content"], AGREES);
        let host = Setup::new().start();
        subscribe(&host, &webhook, &json!({}));
        order(&host, &["1", "2", "3", "4", "5"]);
        let held = eventually("it is held back", || {
            Some(shown(&host)).filter(|shown| !shown["held_back_until"].is_null() && is_settled(shown))
        });
        assert_eq!(held["status"], "paused");
        let why = held["waits_for"].as_str().unwrap();
        assert!(why.contains(status) && why.contains(held["held_back_until"].as_str().unwrap()), "{why}");
        assert!(metric(&host, r#"sandbus_endpoint_holds_total{subscription="operator/hook"} 1"#));
        assert!(metric(&host, r#"sandbus_subscription_paused{subscription="operator/hook"} 1"#));
        let listed = String::from_utf8(host.cli(&["subscriptions"]).stdout).unwrap();
        assert!(listed.contains(why), "{listed}");

        let host = host.crash_and_restart();
        order(&host, &["6"]);
        let hooks = deliveries(&webhook, 7);
        let early: Vec<_> = hooks[1..].iter().filter(|hook| hook.at < hooks[0].at + Duration::from_secs(2)).collect();
        assert!(early.is_empty(), "{early:?}");
        host.wait_until_idle();
        assert!(host.dead_letters().is_empty(), "what was not sent has lost no attempt");
        assert!(metric(&host, r#"sandbus_subscription_paused{subscription="operator/hook"} 0"#));
    }
}

/// RFC 9110, section 10.2.3: a date as well as seconds. An operator can resume at once.
#[test]
fn an_endpoint_that_names_a_date_is_left_alone_until_it_is_resumed() {
    let busy = "429 Too Many Requests\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT";
    let webhook = Webhook::start_answering(&[busy, "204 No Content"], AGREES);
    let host = Setup::new().start();
    subscribe(&host, &webhook, &json!({}));
    order(&host, &["1", "2"]);
    let held = eventually("it is held back", || {
        Some(shown(&host)).filter(|shown| !shown["held_back_until"].is_null() && is_settled(shown))
    });
    assert_eq!(held["next_attempt"], held["held_back_until"], "{held}");
    assert_eq!(webhook.received().len(), 1);
    assert!(host.cli(&["subscriptions", "resume", "operator/hook"]).status.success());
    host.wait_until_idle();
    let hooks = deliveries(&webhook, 3);
    let refused = hooks[0].header("ce-id");
    assert_eq!(hooks[1..].iter().filter(|hook| hook.header("ce-id") == refused).count(), 1, "{hooks:?}");
}

/// Section 2.2: "the sender SHOULD refrain from sending any further notifications".
#[test]
fn an_endpoint_that_is_gone_stops_its_subscription() {
    let webhook = Webhook::start(&[410, 204]);
    let host = Setup::new().start();
    subscribe(&host, &webhook, &json!({}));
    order(&host, &["1", "2", "3"]);
    let stopped = eventually("it is stopped", || {
        Some(shown(&host)).filter(|shown| shown["status"] == "paused" && is_settled(shown))
    });
    assert!(stopped["waits_for"].as_str().unwrap().contains("410 Gone"), "{stopped}");
    let _ = host.wait_for_log(&["410 Gone", "subscriptions resume operator/hook"]);
    assert!(metric(&host, r#"sandbus_endpoint_gone_total{subscription="operator/hook"} 1"#));

    let host = host.crash_and_restart();
    order(&host, &["4"]);
    let stopped = shown(&host);
    assert_eq!((&stopped["status"], &stopped["backlog"]), (&json!("paused"), &json!(4)), "{stopped}");
    assert_eq!((webhook.received().len(), host.dead_letters().len()), (1, 0));
    assert!(host.cli(&["subscriptions", "resume", "operator/hook"]).status.success());
    host.wait_until_idle();
    let mut ids: Vec<_> = webhook.received()[1..].iter().map(|hook| hook.header("ce-id").unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3", "4"]);
}

/// Section 4.1.2: "the sender MUST use the WebHook-Request-Origin request header for each delivery request".
#[test]
fn each_request_names_its_origin() {
    for handshake in [true, false] {
        let webhook = Webhook::start_answering(&["204 No Content"], AGREES);
        let host = Setup::new().config("[bus]\nwebhook_origin = \"bus.example.com\"").start();
        subscribe(&host, &webhook, &json!({ "handshake": handshake }));
        order(&host, &["1", "2", "3"]);
        host.wait_until_idle();
        let hooks = [deliveries(&webhook, 3), webhook.asked()].concat();
        assert_eq!(hooks.len(), 3 + usize::from(handshake));
        for hook in hooks {
            assert_eq!(hook.header("webhook-request-origin"), Some("bus.example.com"), "{hook:?}");
        }
    }
}

/// Section 4.2.2: the rate is in requests per minute.
#[test]
fn an_endpoint_gets_no_more_than_it_allows() {
    let handshake = "HTTP/1.1 200 Answer\r\nWebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: 120\r\n";
    let webhook = Webhook::start_answering(&["204 No Content"], handshake);
    let host = Setup::new().start();
    subscribe(&host, &webhook, &json!({ "handshake": true }));
    order(&host, &["1", "2", "3", "4"]);
    let hooks = deliveries(&webhook, 4);
    for pair in hooks[1..].windows(2) {
        let between = pair[1].at.duration_since(pair[0].at);
        assert!(between > Duration::from_millis(400), "{between:?}");
    }
}

/// Section 2.1: "the request MUST carry a notification payload".
#[test]
fn an_event_without_data_has_a_body_all_the_same() {
    let webhook = Webhook::start(&[204]);
    let host = Setup::new().start();
    subscribe(&host, &webhook, &json!({}));
    let event = json!({ "id": "1", "type": "order.placed" });
    assert_eq!(host.publish_event("/events", event).status, 202);
    let hook = deliveries(&webhook, 1).remove(0);
    assert!(hook.header("content-type").unwrap().starts_with("application/cloudevents+json"), "{hook:?}");
    assert_eq!(serde_json::from_str::<Value>(&hook.body).unwrap()["id"], "1");
}

/// Standard Webhooks: "the signatures are space delimited", one for each secret while it is rotated.
#[test]
fn a_secret_is_replaced_while_both_sign() {
    let webhook = Webhook::start(&[204]);
    let host = Setup::new().start();
    subscribe(&host, &webhook, &json!({ "secret": SECRETS[0] }));
    let mut count = 0;
    let mut signatures = || {
        count += 1;
        order(&host, &[&count.to_string()]);
        let signed = deliveries(&webhook, count).remove(count - 1);
        signed.header("webhook-signature").unwrap().split(' ').count()
    };
    assert_eq!(signatures(), 1);
    let rotated = host.admin_post("/subscriptions/operator/hook/secret", json!({ "secret": SECRETS[1] }));
    assert_eq!((rotated.status, &rotated.json()["secret"]), (200, &Value::Null), "{}", rotated.body);
    assert_eq!(signatures(), 2);
    let until = shown(&host)["target"]["former_secrets_until"].clone();
    assert_eq!((until.as_array().unwrap().len(), &until), (1, &rotated.json()["former_secrets_until"]));
    assert!(!shown(&host).to_string().contains("whsec_"), "nobody is shown a secret");

    let made = host.cli(&["subscriptions", "rotate-secret", "operator/hook", "--overlap", "0s"]);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && said.contains("whsec_"), "{said}");
    assert_eq!(signatures(), 2, "the first one still has its time, and the second one has none");
    for (path, body, status, code) in [
        ("operator/nothing", json!({}), 404, "not-found"),
        ("operator/hook", json!({ "secret": "short" }), 422, "invalid-body"),
        ("operator/hook", json!({ "overlap": "soon" }), 422, "invalid-body"),
        ("operator/hook", json!({ "overlap": "101y" }), 422, "invalid-secret"),
    ] {
        let refused = host.admin_post(&format!("/subscriptions/{path}/secret"), body.clone());
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{path} {body}");
    }
}

/// RFC 9110, section 15.4.5: 304 is not a redirect.
#[test]
fn an_answer_is_called_by_its_name() {
    for (status, reason) in [
        (304, "the webhook answered 304 Not Modified"),
        (307, "the webhook answered 307 Temporary Redirect, and redirects are not followed"),
        (499, "the webhook answered 499"),
    ] {
        let webhook = Webhook::start_answering(&[&format!("{status} Answer")], AGREES);
        let host = Setup::new().start();
        subscribe(&host, &webhook, &json!({}));
        order(&host, &["1"]);
        let letters = eventually("it is dead", || Some(host.dead_letters()).filter(|all| !all.is_empty()));
        assert_eq!(letters[0]["reason"], reason);
    }
}
