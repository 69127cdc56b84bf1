//! The demo's scenario: three plugins that do not know each other, and an event that passes through them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::{Setup, Webhook, eventually};
use serde_json::json;

fn seed() -> Setup {
    Setup::new().plugin("registration").plugin("registration-handler").plugin("registration-subscriber")
}

#[test]
fn a_user_registers_and_is_welcomed() {
    let host = seed().start();
    let answer = host.post("/register", json!({ "name": "Ada", "email": "ada@example.com" }));
    assert_eq!(answer.status, 201);
    let answer = answer.json();
    assert_eq!(answer["message"], "User registered successfully");
    let event_id = answer["event_id"].as_str().unwrap();

    host.wait_until_idle();
    let events = host.admin("/events")["events"].as_array().unwrap().clone();
    let of_type = |name: &str| events.iter().find(|logged| logged["event"]["type"] == name).unwrap()["event"].clone();
    let registered = of_type("user.registered");
    assert_eq!(registered["id"], event_id);
    assert_eq!(registered["source"], "/plugins/registration");
    let welcomed = of_type("user.welcomed");
    assert_eq!(welcomed["data"]["message"], "Welcome, Ada!");
    assert_eq!(welcomed["causationid"], event_id);
    assert_eq!(welcomed["correlationid"], event_id);

    let line = host.wait_for_log(&["Welcome, Ada!", "\"plugin\":\"registration-handler\""]);
    assert_eq!(line["event"], event_id);
    assert_eq!(line["attempt"], 1);

    let given = json!({ "user_id": "7", "name": "Bob", "email": "bob@example.com" });
    let answer = host.post("/handle_user_registration", given).json();
    assert_eq!(answer["message"], "User registration handled successfully");
    assert_eq!((&answer["handled"], &answer["total"]), (&json!(1), &json!(2)));
}

#[test]
fn bad_registrations_are_refused_and_publish_nothing() {
    let host = seed().start();
    let refused = |body: &str, content_type: &str| {
        let answer = host.send("POST", &host.url("/register"), &[("content-type", content_type)], body.as_bytes());
        (answer.status, answer.problem())
    };
    assert_eq!(refused(r#"{"name":"","email":"a@b.c"}"#, "application/json"), (422, "invalid-name".into()));
    assert_eq!(refused(r#"{"name":"A","email":"nobody"}"#, "application/json"), (422, "invalid-email".into()));
    assert_eq!(refused(r#"{"name":"A"}"#, "application/json").0, 422);
    assert_eq!(refused("{", "application/json").0, 422);
    assert_eq!(refused("name=A", "application/x-www-form-urlencoded").0, 415);
    let first = host.post("/register", json!({ "name": "A", "email": "a@b.c" }));
    assert_eq!(first.status, 201);
    let again = host.post("/register", json!({ "name": "A", "email": "A@B.c" }));
    assert_eq!((again.status, again.problem().as_str()), (409, "already-registered"));
    host.wait_until_idle();
    let events = host.admin("/events");
    assert_eq!(events["events"].as_array().unwrap().len(), 2, "one registration, one welcome: {events}");
}

#[test]
fn pending_registrations_are_handled_on_request() {
    let sidecar = "[config]\nwelcome = \"on-request\"\ngreeting = \"Hello\"\n";
    let host = seed().sidecar("registration-handler", sidecar).start();
    for name in ["Ada", "Bob"] {
        let email = format!("{name}@example.com");
        assert_eq!(host.post("/register", json!({ "name": name, "email": email })).status, 201);
    }
    host.wait_until_idle();
    let handle = || host.send("POST", &host.url("/handle_user_registration"), &[], b"").json()["handled"].clone();
    assert_eq!(handle(), 2);
    assert_eq!(handle(), 0);
    let _ = host.wait_for_log(&["Hello, Ada!"]);
}

#[test]
fn a_caller_subscribes_a_webhook_and_a_plugin_at_run_time() {
    let webhook = Webhook::start(&[500, 204]);
    let grant = format!("[grants]\nwebhooks = [\"{}\"]\n", webhook.address);
    let host = seed().plugin("echo").sidecar("registration-subscriber", &grant).start();
    let url = format!("http://{}/hook", webhook.address);
    let answer = host.post("/subscribe_user_registration", json!({ "webhook": url }));
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.json()["message"], "User registration event subscribed successfully");
    let answer = host.post("/subscribe_user_registration", json!({ "plugin": "echo" }));
    assert_eq!(answer.status, 201);
    let to_echo = answer.json()["subscription"].as_str().unwrap().to_owned();

    // The subscriptions survive a restart.
    let host = host.crash_and_restart();
    let registered = host.post("/register", json!({ "name": "Ada", "email": "ada@example.com" }));
    assert_eq!(registered.status, 201);
    host.wait_until_idle();
    let hooks = eventually("the webhook is tried again", || Some(webhook.received()).filter(|hooks| hooks.len() == 2));
    assert_eq!(hooks[0].header("ce-id"), hooks[1].header("ce-id"));
    assert_eq!(hooks[1].header("ce-type"), Some("user.registered"));
    assert_eq!(hooks[1].header("content-type"), Some("application/json"));
    assert!(hooks[1].body.contains("ada@example.com"));

    let seen = host.get("/echo/subscriptions").json();
    assert!(seen.as_array().unwrap().contains(&json!(format!("registered/{to_echo}"))), "{seen}");
}

#[test]
fn a_webhook_that_is_not_granted_is_refused() {
    let host = seed().start();
    let refused = |url: &str| {
        let answer = host.post("/subscribe_user_registration", json!({ "webhook": url }));
        (answer.status, answer.problem())
    };
    assert_eq!(refused("http://127.0.0.1:9/hook"), (403, "not-granted".into()));
    assert_eq!(refused("http://169.254.169.254/latest"), (403, "not-granted".into()));
    assert_eq!(refused("file:///etc/passwd"), (422, "invalid-subscriber".into()));
    assert_eq!(host.admin("/subscriptions")["subscriptions"].as_array().unwrap().len(), 1);
}
