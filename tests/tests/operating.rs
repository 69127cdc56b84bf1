//! An operator's actions on a running bus: webhooks, pausing, replaying, draining, and retention limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hmac::{Hmac, KeyInit as _, Mac as _};
use sandbus_tests::{Hook, Host, Setup, Webhook, eventually};
use serde_json::{Value, json};
use sha2::Sha256;

/// A secret in Standard Webhooks form, and its bytes.
const SECRET: &str = "whsec_YSBzZWNyZXQgZm9yIHRoZSB0ZXN0cyBvbmx5";
const SECRET_BYTES: &[u8] = b"a secret for the tests only";

/// Publishes entries of a ledger with the ids `first..=last`.
fn enter(host: &Host, ids: std::ops::RangeInclusive<u32>) {
    for id in ids {
        assert_eq!(host.publish("ledger.entry", &id.to_string(), json!({})).status, 202);
    }
}

/// One counter of the ledger.
fn ledger(host: &Host, counter: &str) -> i64 {
    host.get("/ledger").json()[counter].as_i64().unwrap()
}

/// Creates an operator subscription for a webhook.
fn subscribe(host: &Host, pattern: &str, webhook: &Webhook, more: &Value) {
    let mut target = json!({ "url": format!("http://{}/hook", webhook.address) });
    target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let rules = json!({ "max_attempts": 2, "initial_delay": "10ms" });
    let wanted = json!({ "name": "hook", "pattern": pattern, "target": { "webhook": target }, "rules": rules });
    let answer = host.admin_post("/subscriptions", wanted);
    assert_eq!((answer.status, &answer.json()["id"]), (201, &json!("operator/hook")), "{}", answer.body);
}

/// Waits for deliveries to a webhook.
fn deliveries(webhook: &Webhook, count: usize) -> Vec<Hook> {
    eventually("the webhook is called", || Some(webhook.received()).filter(|hooks| hooks.len() == count))
}

/// The signature that Standard Webhooks requires for a delivery.
fn signature(hook: &Hook) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET_BYTES).unwrap();
    for part in [hook.header("webhook-id").unwrap(), ".", hook.header("webhook-timestamp").unwrap(), ".", &hook.body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", base64(&mac.finalize().into_bytes()))
}

/// Bytes in base64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = (0..4).map(|digit| char::from(ALPHABET[bits >> (18 - 6 * digit) & 63]));
        text.extend(digits.take(chunk.len() + 1).chain(std::iter::repeat_n('=', 3 - chunk.len())));
    }
    text
}

#[test]
fn an_operators_webhook_is_signed() {
    assert_eq!(format!("whsec_{}", base64(SECRET_BYTES)), SECRET);
    let webhook = Webhook::start(&[204]);
    let host = Setup::new().start();
    subscribe(&host, "order.>", &webhook, &json!({ "secret": SECRET }));
    let shown = host.subscription("operator/hook").unwrap();
    assert_eq!(shown["target"]["signed"], true);
    assert!(!shown.to_string().contains("whsec_"), "nobody is shown the secret: {shown}");
    assert_eq!(host.publish("order.placed", "o1", json!({ "total": 7 })).status, 202);

    let hook = deliveries(&webhook, 1).remove(0);
    assert!(hook.header("webhook-id").unwrap().starts_with("evt_"));
    assert_eq!(hook.header("webhook-signature"), Some(signature(&hook).as_str()));
    let media_type = hook.header("content-type").unwrap();
    assert!(media_type.starts_with("application/cloudevents+json"), "{media_type}");
    let event: Value = serde_json::from_str(&hook.body).unwrap();
    assert_eq!((&event["id"], &event["data"]["total"]), (&json!("o1"), &json!(7)));
    assert!(webhook.asked().is_empty(), "no handshake was demanded");
}

#[test]
fn an_operator_subscribes_a_plugin_to_some_events() {
    let host = Setup::new().plugin("echo").start();
    let register = |id: &str, subject: &str| {
        let event = json!({ "id": id, "type": "user.registered", "subject": subject, "data": id });
        assert_eq!(host.publish_event("/events", event).status, 202);
        host.wait_until_idle();
        host.get("/echo/subscriptions").json()
    };
    let wanted = json!({
        "name": "europeans", "pattern": "user.*", "target": { "plugin": "echo" }, "ordering_key": "subject",
        "filters": [{ "prefix": { "subject": "eu/" } }],
    });
    assert_eq!(host.admin_post("/subscriptions", wanted).status, 201);
    assert_eq!(register("1", "us/1"), json!(["registered/unused"]), "the plugin's own subscription takes all");
    assert_eq!(register("2", "eu/1"), json!(["registered/europeans", "registered/unused"]));
    assert!(host.dead_letters().is_empty());
    assert_eq!(host.operate("DELETE", "/subscriptions/operator/europeans").status, 204);
    assert!(host.subscription("operator/europeans").is_none());
}

#[test]
fn a_webhook_is_asked_once_before_the_first_delivery() {
    let webhook = Webhook::start_agreeing(&[204]);
    let host = Setup::new().config("[bus]\nwebhook_origin = \"bus.example.com\"").start();
    subscribe(&host, "order.>", &webhook, &json!({ "handshake": true }));
    assert_eq!(host.publish("order.placed", "o1", json!(1)).status, 202);
    assert_eq!(deliveries(&webhook, 1)[0].header("ce-id"), Some("o1"));
    assert_eq!(host.publish("order.placed", "o2", json!(2)).status, 202);
    let hooks = deliveries(&webhook, 2);
    assert_eq!((hooks[1].method.as_str(), hooks[1].header("ce-id")), ("POST", Some("o2")));
    let asked = webhook.asked();
    assert_eq!((asked.len(), asked[0].header("webhook-request-origin")), (1, Some("bus.example.com")));
}

#[test]
fn a_webhook_that_does_not_agree_gets_nothing() {
    let webhook = Webhook::start(&[204]);
    let host = Setup::new().start();
    subscribe(&host, "order.>", &webhook, &json!({ "handshake": true }));
    assert_eq!(host.publish("order.placed", "o1", json!(1)).status, 202);
    let letters = eventually("it is given up", || Some(host.dead_letters()).filter(|all| !all.is_empty()));
    assert_eq!(letters[0]["cause"], "webhook");
    assert!(letters[0]["reason"].as_str().unwrap().contains("did not agree"), "{letters:?}");
    assert_eq!((webhook.received().len(), webhook.asked().len()), (0, 2));
}

#[test]
fn a_malformed_subscription_of_the_operator_is_refused() {
    let host = Setup::new().start();
    let url = "http://127.0.0.1:9/hook";
    for wanted in [
        json!({ "name": "two words", "pattern": "a.b", "target": { "webhook": { "url": url } } }),
        json!({ "name": "hook", "pattern": "a..b", "target": { "webhook": { "url": url } } }),
        json!({ "name": "hook", "pattern": "a.b", "target": { "webhook": { "url": "file:///etc/passwd" } } }),
        json!({ "name": "hook", "pattern": "a.b", "target": { "webhook": { "url": url, "secret": "short" } } }),
        json!({ "name": "hook", "pattern": "a.b", "target": { "webhook": { "url": url } }, "filters": [{}] }),
        json!({ "name": "hook", "pattern": "a.b" }),
    ] {
        let answer = host.admin_post("/subscriptions", wanted.clone());
        assert_eq!(answer.status, 422, "{wanted}");
        assert!(answer.problem().starts_with("invalid-"), "{wanted}");
    }
    assert_eq!(host.admin("/subscriptions"), json!({ "subscriptions": [], "next": null }));
}

#[test]
fn a_paused_subscription_waits_until_it_is_resumed() {
    let host = Setup::new().plugin("ledger").start();
    assert_eq!(host.operate("POST", "/subscriptions/ledger/entry/pause").status, 204);
    enter(&host, 1..=3);
    // The other subscription to the same events continues.
    eventually("the other one has handled them", || (ledger(&host, "rewritten") == 3).then_some(()));
    let host = host.crash_and_restart();
    enter(&host, 4..=5);
    eventually("the other one goes on", || (ledger(&host, "rewritten") == 5).then_some(()));
    let paused = host.subscription("ledger/entry").unwrap();
    assert_eq!((&paused["status"], &paused["backlog"]), (&json!("paused"), &json!(5)), "{paused}");
    assert!(paused["waits_for"].is_string(), "{paused}");
    assert_eq!(ledger(&host, "booked"), 0);

    assert_eq!(host.operate("POST", "/subscriptions/ledger/entry/resume").status, 204);
    host.wait_until_idle();
    assert_eq!(ledger(&host, "booked"), 5);
    assert_eq!(host.subscription("ledger/entry").unwrap()["status"], "active");
    assert_eq!(host.operate("POST", "/subscriptions/ledger/nothing/pause").problem(), "not-found");
}

#[test]
fn history_is_replayed_beside_what_is_new() {
    let host = Setup::new().plugin("ledger").start();
    enter(&host, 1..=5);
    host.wait_until_idle();
    let replay = |body: Value| host.admin_post("/subscriptions/ledger/entry/replay", body);
    let answer = replay(json!({ "start": "beginning" }));
    assert_eq!((answer.status, &answer.json()["events"]), (202, &json!(5)));
    eventually("all are handled once more", || (ledger(&host, "repeated") == 5).then_some(()));
    let mark = format!("\"replay\":{}", answer.json()["replay"]);
    let _ = host.wait_for_log(&["\"message\":\"handled\"", "\"event\":\"1\"", &mark]);
    eventually("the replay is over", || {
        let all = host.admin("/subscriptions");
        let mut all = all["subscriptions"].as_array()?.iter();
        all.all(|subscription| subscription["replay"].is_null()).then_some(())
    });
    let host = host.crash_and_restart();
    enter(&host, 6..=6);
    host.wait_until_idle();
    assert_eq!((ledger(&host, "repeated"), ledger(&host, "booked"), ledger(&host, "rewritten")), (5, 6, 6));

    let first_booked = host.admin("/events")["events"][0]["position"].as_u64().unwrap();
    let answer =
        host.admin_post("/subscriptions/ledger/entry/replay", json!({ "start": { "position": first_booked + 1 } }));
    assert_eq!(answer.json(), json!({ "replay": null, "events": 0 }), "there is nothing to replay");
    let answer = host.admin_post("/subscriptions/ledger/entry/replay", json!({ "start": "now" }));
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-start"));
}

#[test]
fn a_slow_replay_survives_a_kill_and_is_stopped() {
    let host = Setup::new().plugin("ledger").start();
    enter(&host, 1..=100);
    host.wait_until_idle();
    let body = json!({ "start": "beginning", "per_second": 2 });
    assert_eq!(host.admin_post("/subscriptions/ledger/entry/replay", body).status, 202);
    eventually("it has begun", || (ledger(&host, "repeated") > 0).then_some(()));
    let host = host.crash_and_restart();
    let replays = |host: &Host| {
        let all = host.admin("/subscriptions")["subscriptions"].clone();
        all.as_array().unwrap().iter().filter(|one| !one["replay"].is_null()).cloned().collect::<Vec<_>>()
    };
    let running = replays(&host);
    assert_eq!((running.len(), &running[0]["id"]), (1, &json!("ledger/entry")));
    assert_eq!(running[0]["replay"]["per_second"], 2);
    let before = ledger(&host, "repeated");
    eventually("it goes on", || (ledger(&host, "repeated") > before).then_some(()));
    assert_eq!(host.operate("DELETE", "/subscriptions/ledger/entry/replay").json(), json!({ "stopped": 1 }));
    assert!(replays(&host).is_empty());
    assert!(ledger(&host, "repeated") < 100, "it was slow");
    enter(&host, 101..=101);
    host.wait_until_idle();
    assert_eq!(ledger(&host, "booked"), 101);
}

#[test]
fn a_webhook_is_given_history_once_more() {
    let webhook = Webhook::start(&[204]);
    let host = Setup::new().start();
    assert_eq!(host.publish("order.placed", "o1", json!(1)).status, 202);
    subscribe(&host, "order.>", &webhook, &json!({}));
    assert_eq!(host.publish("order.placed", "o2", json!(2)).status, 202);
    assert_eq!(deliveries(&webhook, 1)[0].header("ce-id"), Some("o2"));
    host.wait_until_idle();
    let answer = host.admin_post("/subscriptions/operator/hook/replay", json!({ "start": { "position": 1 } }));
    assert_eq!(answer.json()["events"], 2);
    let mut ids: Vec<_> =
        deliveries(&webhook, 3)[1..].iter().map(|hook| hook.header("ce-id").unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, ["o1", "o2"]);
}

#[test]
fn a_drained_plugin_takes_nothing_until_it_is_resumed() {
    let host = Setup::new().plugin("ledger").plugin("echo").start();
    let answer = host.operate("POST", "/plugins/ledger/drain?wait=30s");
    assert_eq!(answer.json(), json!({ "drained": true, "running": 0 }));
    enter(&host, 1..=2);
    let host = host.crash_and_restart();
    let refused = host.get("/ledger");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "plugin-drained"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(host.post("/echo/x", json!({})).status, 200, "others go on");
    assert_eq!(host.plugin("ledger.wasm").unwrap()["status"], "drained");
    let waiting = host.subscription("ledger/entry").unwrap();
    assert_eq!((&waiting["status"], &waiting["backlog"]), (&json!("paused"), &json!(2)));
    assert!(waiting["waits_for"].as_str().unwrap().contains("drained"), "{waiting}");

    assert_eq!(host.operate("POST", "/plugins/ledger/resume").status, 204);
    host.wait_until_idle();
    assert_eq!(ledger(&host, "booked"), 2);
    assert_eq!(host.plugin("ledger.wasm").unwrap()["status"], "running");
    assert_eq!(host.operate("POST", "/plugins/nothing/drain").problem(), "not-found");
}

#[test]
fn a_full_backlog_turns_publishers_away_until_there_is_room() {
    let host = Setup::new().plugin("ledger").config("[bus]\nmax_backlog = 2").start();
    assert_eq!(host.operate("POST", "/subscriptions/ledger/entry/pause").status, 204);
    enter(&host, 1..=2);
    let refused = host.publish("ledger.entry", "3", json!({}));
    assert_eq!((refused.status, refused.problem().as_str()), (429, "backlog-full"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(host.post("/ledger", json!({})).problem(), "backlog-full", "the same holds for routes");
    assert_eq!(host.publish("other.type", "4", json!({})).status, 202, "nobody has a backlog of these");
    assert_eq!(host.events_of("ledger.entry").len(), 2, "nothing of it is stored");

    assert_eq!(host.operate("POST", "/subscriptions/ledger/entry/resume").status, 204);
    host.wait_until_idle();
    enter(&host, 3..=3);
    host.wait_until_idle();
    assert_eq!(ledger(&host, "booked"), 3);
}

#[test]
fn a_full_log_turns_publishers_away() {
    let host = Setup::new().config("[bus]\nmax_log_bytes = 1000").start();
    assert_eq!(host.publish("big.one", "1", json!("x".repeat(1_000))).status, 202);
    let refused = host.publish("big.one", "2", json!("x"));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "log-full"));
    assert!(refused.headers.contains_key("retry-after"));
    let refused = host.cli(&["publish", "big.one", "{}"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("limit of 1000 bytes"), "{refused:?}");
    assert_eq!(host.events_of("big.one").len(), 1, "nothing of it is stored");
}

#[test]
fn old_events_are_deleted_when_they_are_handled_and_dead_letters_are_kept() {
    let host = Setup::new().plugin("ledger").plugin("poison").config("[bus]\nretain_bytes = 1000").start();
    assert_eq!(host.publish("poison.pill", "pill", json!({})).status, 202);
    eventually("the pill is a dead letter", || (host.dead_letters().len() == 1).then_some(()));
    assert_eq!(host.operate("POST", "/subscriptions/ledger/rewrite/pause").status, 204);
    enter(&host, 1..=50);
    eventually("all are booked", || (ledger(&host, "booked") == 50).then_some(()));
    assert_eq!(host.operate("POST", "/compaction").status, 200);
    assert_eq!(host.events_of("ledger.entry").len(), 50, "one subscription has not handled them yet");

    assert_eq!(host.operate("POST", "/subscriptions/ledger/rewrite/resume").status, 204);
    host.wait_until_idle();
    assert_eq!(host.operate("POST", "/compaction").status, 200);
    let left = host.events_of("ledger.entry").len() + host.events_of("ledger.booked").len();
    assert!((1..=20).contains(&left), "{left} events are left");
    assert_eq!(host.dead_letters()[0]["logged"]["event"]["id"], "pill");
    let host = host.crash_and_restart();
    assert_eq!(host.dead_letters()[0]["logged"]["event"]["id"], "pill");
    enter(&host, 51..=51);
    host.wait_until_idle();
    let balance = json!({ "booked": 51, "merged": 51, "rewritten": 51, "repeated": 0 });
    assert_eq!(host.get("/ledger").json(), balance);
}

/// The output of a command that succeeds.
fn said(host: &Host, arguments: &[&str]) -> String {
    let output = host.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every list tells when there is more, and a cursor leads through all of it.
#[test]
fn lists_are_whole_page_by_page() {
    let host = Setup::new().plugin("poison").start();
    let count = 1_203;
    let events: Vec<_> = (0..count)
        .map(|number| {
            json!({ "specversion": "1.0", "id": format!("{number}"), "source": "/test", "type": "nobody.cares" })
        })
        .collect();
    let batch = |path: &str, part: &[Value]| {
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let answer = host.send("POST", &host.url(path), &headers, json!(part).to_string().as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.body);
    };
    events.chunks(400).for_each(|part| batch("/events", part));
    let later: Vec<_> = events
        .iter()
        .cloned()
        .map(|mut event| {
            event["source"] = "/later".into();
            event
        })
        .collect();
    later.chunks(400).for_each(|part| batch("/events?delay=1h", part));

    for (path, name, limit) in
        [("/events", "events", 100), ("/scheduled", "scheduled", 100), ("/scheduled", "scheduled", 1_000)]
    {
        let (mut found, mut next) = (0, Value::Null);
        loop {
            let query = match &next {
                Value::Null => format!("{path}?limit={limit}"),
                next => format!("{path}?limit={limit}&after={}", next.as_str().unwrap()),
            };
            let page = host.admin(&query);
            found += page[name].as_array().unwrap().len();
            next = page["next"].clone();
            if next.is_null() {
                break;
            }
        }
        assert_eq!(found, count, "{path} by {limit}");
    }

    let listed = said(&host, &["schedules"]);
    assert!(listed.contains("There are more. Continue with --after "), "{listed}");
    let all = said(&host, &["schedules", "list", "--all", "--json"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!((all["scheduled"].as_array().unwrap().len(), &all["next"]), (count, &Value::Null));
    let listed = said(&host, &["events", "list", "--limit", "1100"]);
    assert!(listed.contains("There are more. Continue with --after "), "{listed}");
}

/// An existing subscription keeps the rules that the command does not name, and the response lists the changes.
#[test]
fn a_subscription_is_changed_rule_by_rule() {
    let host = Setup::new().start();
    let create = |arguments: &[&str]| said(&host, &[&["subscriptions", "create", "audit"], arguments].concat());
    let created = create(&[
        "--pattern",
        "order.>",
        "--webhook",
        "http://127.0.0.1:9/a",
        "--secret",
        SECRET,
        "--ordering-key",
        "subject",
    ]);
    assert_eq!(created.trim(), "created operator/audit");
    let updated = create(&["--pattern", "order.*"]);
    assert_eq!(updated.trim(), "updated operator/audit\n  pattern: \"order.>\" -> \"order.*\"");
    assert_eq!(create(&["--pattern", "order.*"]).trim(), "operator/audit already has these rules");
    let _ = create(&["--webhook", "http://127.0.0.1:9/b"]);
    let rules = json!({ "name": "audit", "rules": { "max_attempts": 3 } });
    let answer = host.admin_post("/subscriptions", rules);
    assert_eq!((answer.status, &answer.json()["created"]), (200, &json!(false)));
    let shown = host.subscription("operator/audit").unwrap();
    assert_eq!(shown["target"], json!({ "webhook": "http://127.0.0.1:9/b", "signed": true, "handshake": false }));
    assert_eq!((&shown["ordering_key"], &shown["retry"]["max_attempts"]), (&json!("subject"), &json!(3)));
    let _ = create(&["--no-ordering-key"]);
    assert_eq!(host.subscription("operator/audit").unwrap()["ordering_key"], Value::Null);
    let answer = host.admin_post("/subscriptions", json!({ "name": "audit", "start": "beginning" }));
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-start"));
}

#[test]
fn filters_and_keys_that_name_no_attribute_are_refused() {
    let host = Setup::new().plugin("echo").start();
    for rules in [
        json!({ "filters": [{ "exact": { "Tenant": "a" } }] }),
        json!({ "filters": [{ "not": { "any": [{ "prefix": { "data": "a" } }] } }] }),
        json!({ "ordering_key": "Tenant" }),
        json!({ "ordering_key": "data" }),
        json!({ "ordering_key": "/a~2" }),
    ] {
        let mut wanted = json!({ "name": "n", "pattern": "a.b", "target": { "plugin": "echo" } });
        wanted.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        let answer = host.admin_post("/subscriptions", wanted);
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-subscription"), "{rules}");
    }
}
