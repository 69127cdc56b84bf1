//! Requests that the admin interface rejects instead of ignoring a part of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sandbus_tests::{Host, Setup, eventually};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A filter in a body, which no handler reads.
const BODY: &str = r#"{"subscription":"nobody/nothing"}"#;

fn refusal(host: &Host, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = host.send(method, &host.api_url(path), &JSON, body.as_bytes());
    (answer.status, answer.problem())
}

/// A host with three dead letters.
fn with_dead_letters() -> Host {
    let host = Setup::new().plugin("poison").start();
    for id in ["1", "2", "3"] {
        assert_eq!(host.publish("poison.pill", id, json!({})).status, 202);
    }
    eventually("all are dead letters", || (host.dead_letters().len() == 3).then_some(()));
    host
}

/// RFC 9110, section 9.3.5: content of a DELETE has no defined semantics. A filter in it must not be mistaken for a
/// request without one.
#[test]
fn a_body_is_rejected_where_none_is_read() {
    let host = with_dead_letters();
    for (method, path) in [
        ("DELETE", "/dead-letters"),
        ("DELETE", "/dead-letters?all=true"),
        ("POST", "/dead-letters/redrive?all=true"),
        ("GET", "/dead-letters"),
        ("GET", "/dead-letters/1"),
        ("GET", "/plugins"),
        ("GET", "/plugins/poison"),
        ("POST", "/plugins/poison/drain"),
        ("POST", "/plugins/poison/resume"),
        ("POST", "/plugins/poison/rollback"),
        ("GET", "/subscriptions"),
        ("DELETE", "/subscriptions/poison/swallow"),
        ("POST", "/subscriptions/poison/swallow/pause"),
        ("POST", "/subscriptions/poison/swallow/resume"),
        ("DELETE", "/subscriptions/poison/swallow/replay"),
        ("GET", "/schedules"),
        ("GET", "/scheduled"),
        ("DELETE", "/scheduled?source=/a&id=1"),
        ("GET", "/events"),
        ("GET", "/events/1"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/retry-now?all=true"),
        ("GET", "/plugins/poison/state"),
        ("GET", "/plugins/poison/state/a"),
        ("POST", "/compaction"),
    ] {
        assert_eq!(refusal(&host, method, path, BODY), (400, "unexpected-body".into()), "{method} {path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = host.send("GET", &host.admin_url(path), &JSON, BODY.as_bytes());
        assert_eq!((answer.status, answer.problem().as_str()), (400, "unexpected-body"), "{path}");
    }
    assert_eq!(host.dead_letters().len(), 3, "nothing was dropped");
    assert_eq!(host.subscription("poison/swallow").unwrap()["status"], "active");
}

/// RFC 9112, section 7.1: the length of a chunked body is not declared.
#[test]
fn a_chunked_body_is_rejected_if_it_is_not_empty() {
    let host = with_dead_letters();
    let exchange = |chunks: &str| {
        let authority = host.admin_url("").replace("http://", "");
        let authority = authority.trim_end_matches('/');
        let mut stream = TcpStream::connect(authority).unwrap();
        let head = "DELETE /v1/dead-letters?all=true HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        write!(stream, "{head}transfer-encoding: chunked\r\n\r\n{chunks}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = exchange("2\r\n{}\r\n0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("unexpected-body"), "{answer}");
    assert_eq!(host.dead_letters().len(), 3);
    let answer = exchange("0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"dropped\":3"), "{answer}");
}

#[test]
fn redriving_and_dropping_everything_must_be_asked_for() {
    let host = with_dead_letters();
    for (query, code) in [
        ("", "selection-required"),
        ("?limit=1", "selection-required"),
        ("?all=false", "selection-required"),
        ("?all=true&cause=trap", "invalid-query"),
        ("?all=true&number=1", "invalid-query"),
        ("?all=yes", "invalid-query"),
        ("?cause=nosuch", "invalid-query"),
        ("?after=1", "invalid-query"),
    ] {
        for (method, path) in [("DELETE", "/dead-letters"), ("POST", "/dead-letters/redrive")] {
            let answer = host.operate(method, &format!("{path}{query}"));
            assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{method} {path}{query}");
        }
    }
    let unknown = host.operate("GET", "/dead-letters?cause=nosuch");
    assert!(unknown.status == 400 && unknown.body.contains("out-of-memory"), "{}", unknown.body);
    assert_eq!(host.dead_letters().len(), 3);
    assert_eq!(host.operate("DELETE", "/dead-letters?cause=timeout").json(), json!({ "dropped": 0 }));
    assert_eq!(host.operate("DELETE", "/dead-letters?all=true&limit=1").json(), json!({ "dropped": 1 }));
    assert_eq!(host.operate("DELETE", "/dead-letters?all=true").json(), json!({ "dropped": 2 }));
}

#[test]
fn contradictory_requests_about_deliveries_and_state_are_rejected() {
    let host = with_dead_letters();
    for (method, path, status, code) in [
        ("POST", "/deliveries/retry-now", 400, "selection-required"),
        ("POST", "/deliveries/retry-now?all=true&key=a", 400, "invalid-query"),
        ("POST", "/deliveries/retry-now?type=a..b", 400, "invalid-query"),
        ("POST", "/deliveries/retry-now?subscription=poison/none", 404, "not-found"),
        ("GET", "/deliveries?state=handled", 400, "invalid-query"),
        ("GET", "/deliveries?after=7", 400, "invalid-cursor"),
        ("GET", "/deliveries?after=9223372036854775807-7", 400, "invalid-cursor"),
        ("GET", "/deliveries?limit=0", 400, "invalid-query"),
        ("GET", "/deliveries?subscription=poison", 400, "invalid-subscription"),
        ("GET", "/events?until=now", 400, "invalid-query"),
        ("GET", "/plugins/nobody/state", 404, "not-found"),
        ("GET", "/plugins/poison/state/none", 404, "not-found"),
    ] {
        let answer = host.operate(method, path);
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{method} {path}");
    }
    for (method, path, body, status, code) in [
        ("PUT", "/plugins/poison/state/a", json!({}), 422, "invalid-body"),
        ("PUT", "/plugins/poison/state/a", json!({ "value": "1", "value_base64": "MQ==" }), 422, "invalid-body"),
        ("PUT", "/plugins/poison/state/a", json!({ "value_base64": "%" }), 422, "invalid-body"),
        ("PUT", "/plugins/poison/state/a", json!({ "value": "1", "version": 7 }), 409, "state-changed"),
        ("PUT", "/plugins/nobody/state/a", json!({ "value": "1" }), 404, "not-found"),
        ("POST", "/dead-letters/1/redrive", json!({}), 422, "invalid-body"),
        ("POST", "/dead-letters/1/redrive", json!({ "data": 1, "data_base64": "MQ==" }), 422, "invalid-body"),
        ("POST", "/dead-letters/1/redrive", json!({ "data_base64": "ew==" }), 422, "invalid-body"),
        ("POST", "/dead-letters/9/redrive", json!({ "data": null }), 404, "not-found"),
    ] {
        assert_eq!(refusal(&host, method, path, &body.to_string()), (status, code.into()), "{method} {path} {body}");
    }
    assert_eq!(host.dead_letters().len(), 3);
}

#[test]
fn a_body_of_another_media_type_is_rejected() {
    let host = Setup::new().plugin("echo").start();
    let wanted = json!({ "name": "hook", "pattern": "a.b", "target": { "plugin": "echo" } }).to_string();
    let status = |path: &str, media_type: Option<&str>, body: &[u8]| {
        let headers: Vec<_> = media_type.into_iter().map(|media_type| ("content-type", media_type)).collect();
        let answer = host.send("POST", &host.api_url(path), &headers, body);
        if answer.status == 415 {
            assert_eq!(answer.problem(), "unsupported-media-type", "{}", answer.body);
        }
        answer.status
    };
    for media_type in ["text/plain", "application/xml", "application/wasm", "application/cloudevents+xml"] {
        assert_eq!(status("/subscriptions", Some(media_type), wanted.as_bytes()), 415, "{media_type}");
    }
    for media_type in [None, Some("application/json"), Some("application/json; charset=utf-8"), Some("a/b+json")] {
        assert!(matches!(status("/subscriptions", media_type, wanted.as_bytes()), 200 | 201), "{media_type:?}");
    }
    let component = sandbus_tests::guest("echo");
    assert_eq!(status("/plugins/echo/canary", Some("application/json"), &component), 415);
    for media_type in [None, Some("application/wasm"), Some("application/octet-stream")] {
        assert_eq!(status("/plugins/echo/canary", media_type, &component), 200, "{media_type:?}");
    }
}

/// Numbers that are out of range or contradict each other, for new subscriptions and for changes of present ones.
#[test]
fn rules_without_sense_are_rejected() {
    let host = Setup::new().plugin("echo").start();
    let put = |name: &str, rules: &Value| {
        let target = json!({ "plugin": "echo" });
        host.admin_post("/subscriptions", json!({ "name": name, "pattern": "a.b", "target": target, "rules": rules }))
    };
    assert_eq!(put("present", &json!({})).status, 201);
    for (rules, word) in [
        (json!({ "timeout": "0s" }), "timeout"),
        (json!({ "concurrency": 0 }), "concurrency"),
        (json!({ "concurrency": 1_025 }), "concurrency"),
        (json!({ "max_attempts": 0 }), "max_attempts"),
        (json!({ "max_backlog": 0 }), "max_backlog"),
        (json!({ "max_delay": "0s" }), "max_delay"),
        (json!({ "initial_delay": "10m" }), "max_delay"),
        (json!({ "initial_delay": "2s", "max_delay": "1s" }), "max_delay"),
        (json!({ "backoff_multiplier": 0.5 }), "backoff_multiplier"),
        (json!({ "backoff_multiplier": -1 }), "backoff_multiplier"),
        (json!({ "backoff_multiplier": 1e300 }), "backoff_multiplier"),
        (json!({ "jitter": 1.5 }), "jitter"),
        (json!({ "jitter": -0.1 }), "jitter"),
        (json!({ "non_retryable": ["nosuch"] }), "nosuch"),
        (json!({ "attempts": 3 }), "max_attempts"),
        (json!({ "first_delay": "1s" }), "initial_delay"),
        (json!({ "timeout": "soon" }), "timeout"),
        (json!({ "timeout": 5 }), "timeout"),
    ] {
        for name in ["new", "present"] {
            let answer = put(name, &rules);
            assert_eq!(answer.status, 422, "{rules}: {}", answer.body);
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(word), "{rules}: {detail}");
        }
    }
    assert!(host.subscription("operator/new").is_none());
}

#[test]
fn a_start_in_the_future_is_rejected() {
    let host = Setup::new().plugin("ledger").start();
    for id in ["1", "2"] {
        assert_eq!(host.publish("ledger.entry", id, json!({})).status, 202);
    }
    host.wait_until_idle();
    let head = host.admin("/events")["events"][0]["position"].as_u64().unwrap();
    let replay = |start: &Value| host.admin_post("/subscriptions/ledger/entry/replay", json!({ "start": start }));
    let create = |start: &Value| {
        let target = json!({ "plugin": "ledger" });
        host.admin_post(
            "/subscriptions",
            json!({ "name": "audit", "pattern": "a.b", "target": target, "start": start }),
        )
    };
    for start in
        [json!({ "position": head + 2 }), json!({ "position": u64::MAX }), json!({ "time": "2999-01-01T00:00:00Z" })]
    {
        for answer in [replay(&start), create(&start)] {
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-start"), "{start}");
        }
    }
    assert!(host.subscription("operator/audit").is_none());
    assert_eq!(replay(&json!({ "position": head + 1 })).status, 202, "the next position is where the log ends");
    assert_eq!(create(&json!({ "position": head + 1 })).status, 201);
}

#[test]
fn an_unknown_plugin_is_an_error_that_names_the_known_ones() {
    let host = Setup::new().plugin("echo").plugin("ledger").start();
    for (method, path) in [
        ("GET", "/plugins/nosuch"),
        ("POST", "/plugins/nosuch/drain"),
        ("POST", "/plugins/nosuch/resume"),
        ("POST", "/plugins/nosuch/rollback"),
        ("POST", "/plugins/nosuch/canary"),
    ] {
        let answer = host.operate(method, path);
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{method} {path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("`nosuch`") && detail.contains("echo, ledger"), "{method} {path}: {detail}");
    }
    // A plugin that was drained may be gone, and is resumed all the same.
    assert_eq!(host.operate("POST", "/plugins/ledger/drain").status, 200);
    std::fs::remove_file(host.file("ledger.wasm")).unwrap();
    eventually("it is gone", || host.plugin("ledger.wasm").is_none().then_some(()));
    assert_eq!(host.operate("POST", "/plugins/ledger/resume").status, 204);
}

#[test]
fn a_webhook_to_the_host_itself_is_rejected_when_it_is_made() {
    let host = Setup::new().start();
    let ingress = host.url("/events");
    let admin = host.api_url("/dead-letters/redrive");
    for url in [
        ingress.clone(),
        admin.clone(),
        ingress.replace("127.0.0.1", "localhost"),
        admin.replace("127.0.0.1", "0.0.0.0"),
    ] {
        let target = json!({ "webhook": { "url": url } });
        let answer = host.admin_post("/subscriptions", json!({ "name": "hook", "pattern": "a.b", "target": target }));
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-subscription"), "{url}");
        assert!(answer.body.contains("listener"), "{}", answer.body);
    }
    let target = json!({ "webhook": { "url": "http://127.0.0.1:9/hook" } });
    assert_eq!(
        host.admin_post("/subscriptions", json!({ "name": "hook", "pattern": "a.b", "target": target })).status,
        201
    );
}

/// A path that moved below `/v1` is not mistaken for one that never existed.
#[test]
fn a_former_path_names_the_new_one() {
    let host = Setup::new().plugin("echo").start();
    let send = |method: &str, path: &str| host.send(method, &host.admin_url(path), &[], b"");
    for (method, path) in [
        ("GET", "/plugins"),
        ("GET", "/plugins/echo"),
        ("POST", "/plugins/echo/drain"),
        ("GET", "/subscriptions?limit=1"),
        ("DELETE", "/subscriptions/echo/remember"),
        ("GET", "/schedules"),
        ("GET", "/scheduled"),
        ("GET", "/events"),
        ("POST", "/events"),
        ("GET", "/events/a%20b"),
        ("GET", "/dead-letters"),
        ("DELETE", "/dead-letters?all=true"),
        ("POST", "/compaction"),
    ] {
        let answer = send(method, path);
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{method} {path}");
        let (detail, path) = (answer.json()["detail"].clone(), path.split('?').next().unwrap());
        assert_eq!(detail, format!("{path} is now /v1{path}"), "{method} {path}");
    }
    assert!(host.plugin("echo.wasm").is_some(), "it still runs");
    for path in ["/nothing", "/v1/nothing", "/v1", "/v1/", "/v2/plugins", "/v1/plugins/echo/nothing", "/v1/healthz"] {
        let answer = send("GET", path);
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
        assert!(answer.body.contains(&format!("no path {path}\"")), "{path}: {}", answer.body);
    }
    for (method, path) in [("DELETE", "/v1/events"), ("PATCH", "/v1/plugins"), ("POST", "/healthz")] {
        assert_eq!(send(method, path).problem(), "method-not-allowed", "{method} {path}");
    }
}
