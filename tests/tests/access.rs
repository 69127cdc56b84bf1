//! Tokens, roles, and the audit log of the admin interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use sandbus_tests::command_line::{expect_code, run, text};
use sandbus_tests::{Answer, Host, Setup, eventually};
use serde_json::{Value, json};

const REQUIRED: &str = "[access]\nrequire_tokens = true\n";
const ROLES: [&str; 4] = ["view", "operate", "deploy", "admin"];

/// The roles that may use each operation, as `docs/operating.md` describes them.
const TABLE: &[(&str, &[&str])] = &[
    ("compact", &["operate", "admin"]),
    ("create_backup", &["admin"]),
    ("cancel_scheduled", &["operate", "admin"]),
    ("create_session", &ROLES),
    ("create_token", &["admin"]),
    ("delete_session", &ROLES),
    ("delete_state", &["operate", "admin"]),
    ("delete_subscription", &["operate", "admin"]),
    ("disable_plugin", &["deploy", "admin"]),
    ("drain_plugin", &["operate", "deploy", "admin"]),
    ("drop_dead_letters", &["operate", "admin"]),
    ("enable_plugin", &["deploy", "admin"]),
    ("follow_stream", &ROLES),
    ("get_access", &ROLES),
    ("get_cause_tree", &ROLES),
    ("get_configuration", &ROLES),
    ("get_dead_letter", &ROLES),
    ("get_events", &ROLES),
    ("get_metrics", &ROLES),
    ("get_openapi", &ROLES),
    ("get_plugin", &ROLES),
    ("get_sidecar", &["deploy", "admin"]),
    ("get_state", &ROLES),
    ("get_statistics", &ROLES),
    ("get_storage", &ROLES),
    ("get_subscription", &ROLES),
    ("list_attempts", &ROLES),
    ("list_audit", &["admin"]),
    ("list_dead_letter_groups", &ROLES),
    ("list_dead_letters", &ROLES),
    ("list_deliveries", &ROLES),
    ("list_events", &ROLES),
    ("list_minutes", &ROLES),
    ("list_plugins", &ROLES),
    ("list_requests", &ROLES),
    ("list_samples", &ROLES),
    ("list_scheduled", &ROLES),
    ("list_schedules", &ROLES),
    ("list_state_keys", &ROLES),
    ("list_subscriptions", &ROLES),
    ("list_tokens", &["admin"]),
    ("pause_subscription", &["operate", "admin"]),
    ("publish_events", &["operate", "admin"]),
    ("put_sidecar", &["deploy", "admin"]),
    ("put_state", &["operate", "admin"]),
    ("put_subscription", &["operate", "admin"]),
    ("redrive_dead_letters", &["operate", "admin"]),
    ("redrive_edited_dead_letter", &["operate", "admin"]),
    ("remove_plugin", &["deploy", "admin"]),
    ("remove_sidecar", &["deploy", "admin"]),
    ("resume_plugin", &["operate", "deploy", "admin"]),
    ("resume_subscription", &["operate", "admin"]),
    ("retry_deliveries", &["operate", "admin"]),
    ("revoke_token", &["admin"]),
    ("roll_back_plugin", &["deploy", "admin"]),
    ("rotate_secret", &["operate", "admin"]),
    ("run_canary", &["deploy", "admin"]),
    ("send_request", &["operate", "admin"]),
    ("set_dead_letter_group_status", &["operate", "admin"]),
    ("start_replay", &["operate", "admin"]),
    ("stop_replays", &["operate", "admin"]),
    ("upload_plugin", &["deploy", "admin"]),
];

/// The operations that need no token.
const OPEN: [&str; 5] = ["get_health", "get_readiness", "get_login_methods", "begin_login", "complete_login"];

/// Creates a token next to the running host, as its machine's operator does.
fn token(host: &Host, arguments: &[&str]) -> String {
    let data = host.path().join("data");
    let created = run(host, &[&["token", "create", "--json", "--data", data.to_str().unwrap()], arguments].concat());
    let created: Value = serde_json::from_str(&created).unwrap();
    created["secret"].as_str().unwrap().to_owned()
}

fn send(host: &Host, token: &str, method: &str, url: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("content-type", "application/json")];
    if !token.is_empty() {
        headers.push(("authorization", &bearer));
    }
    host.send(method, url, &headers, body)
}

/// The status, and the code of the problem.
fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status < 400 { String::new() } else { answer.problem() })
}

fn get(host: &Host, token: &str, path: &str) -> (u16, String) {
    outcome(&send(host, token, "GET", &host.api_url(path), b""))
}

/// A command with a token in a file.
fn with_token(host: &Host, token: &str, arguments: &[&str]) -> std::process::Output {
    let file = host.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    host.cli(&[arguments, &["--token-file", file.to_str().unwrap()]].concat())
}

/// The operations of the OpenAPI document: id, method and a path in which every parameter is `none`.
fn operations(document: &Value) -> Vec<(String, String, String)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "7" } else { part }).collect();
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            operations.push((id, method.to_uppercase(), path.join("/")));
        }
    }
    operations
}

#[test]
fn each_role_may_use_its_operations_and_no_others() {
    let host = Setup::new().config(REQUIRED).start();
    let tokens = ROLES.map(|role| (role, token(&host, &["--role", role])));
    let document = send(&host, &tokens[0].1, "GET", &host.api_url("/openapi.json"), b"").json();
    let table: BTreeMap<_, _> = TABLE.iter().copied().collect();
    let known: BTreeSet<_> = table.keys().copied().chain(OPEN).map(str::to_owned).collect();
    let operations = operations(&document);
    assert_eq!(operations.iter().map(|(id, ..)| id.clone()).collect::<BTreeSet<_>>(), known, "the table is complete");
    for (id, method, path) in operations {
        // The stream does not end, so its response is only looked at where it is refused.
        let is_endless = id == "follow_stream";
        let call = |token: &str| outcome(&send(&host, token, &method, &host.admin_url(&path), b""));
        let (status, code) = call("");
        if OPEN.contains(&id.as_str()) {
            // There is no provider.
            assert_eq!(status, if id.ends_with("_login") { 404 } else { 200 }, "{id}");
            continue;
        }
        assert_eq!((status, code.as_str()), (401, "token-required"), "{id} without a token");
        for (role, token) in &tokens {
            let is_allowed = table[id.as_str()].contains(role);
            if is_allowed && is_endless {
                continue;
            }
            let (status, code) = call(token);
            if is_allowed {
                assert!(![401, 403].contains(&status), "{role} may {id}: {status} {code}");
            } else {
                assert_eq!((status, code.as_str()), (403, "forbidden"), "{role} may not {id}");
            }
        }
    }
}

#[test]
fn a_token_that_is_not_valid_gives_no_access() {
    let host = Setup::new().config(REQUIRED).start();
    let admin = token(&host, &["--role", "admin", "--name", "first"]);
    assert_eq!(get(&host, &admin, "/plugins").0, 200);
    let expired = token(&host, &["--role", "view", "--expires", "1ms"]);
    let id = admin.split('_').nth(1).unwrap();
    let long = format!("sbt_{id}_{}", "x".repeat(10_000));
    let cut = &admin[..admin.len() - 1];
    for wrong in [expired.as_str(), cut, &format!("sbt_{id}_x"), &format!("{admin}x"), "sbt_00000000_x", "x", &long] {
        assert_eq!(get(&host, wrong, "/plugins"), (401, "token-rejected".to_owned()), "{wrong}");
    }
    let url = host.api_url("/plugins");
    for header in ["", "Basic YWRtaW46YWRtaW4=", &admin, "Bearer", "Bearer "] {
        let answer = host.send("GET", &url, &[("authorization", header)], b"");
        assert_eq!((answer.status, answer.problem().as_str()), (401, "token-rejected"), "{header}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"sandbus\"");
    }
    // Wrong tokens are slowed down, and the valid one still works.
    let limited = eventually("failures are limited", || {
        let answer = send(&host, "sbt_00000000_x", "GET", &url, b"");
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(limited.problem(), "too-many-failures");
    assert!(limited.headers["retry-after"].parse::<u32>().unwrap() <= 60);
    assert_eq!(get(&host, &admin, "/plugins").0, 200);

    // A revoked token is rejected at once, and also after a restart.
    let other = token(&host, &["--role", "view"]);
    assert_eq!(get(&host, &other, "/plugins").0, 200);
    let other_id = other.split('_').nth(1).unwrap();
    assert!(with_token(&host, &admin, &["token", "revoke", other_id]).status.success());
    assert_ne!(get(&host, &other, "/plugins").0, 200);
    let host = host.crash_and_restart();
    assert_eq!(get(&host, &admin, "/plugins").0, 200);
    assert_eq!(get(&host, &other, "/plugins").0, 401);
    assert!(!host.log().contains(&admin), "no log line has a token");
}

#[test]
fn the_command_line_sends_a_token() {
    let host = Setup::new().plugin("echo").config(REQUIRED).start();
    let refused = expect_code(&host, 1, &["plugins"]);
    assert!(refused.contains("this host requires a token") && refused.contains("token create --data"), "{refused}");
    let admin = token(&host, &["--role", "admin"]);
    assert!(text(&with_token(&host, &admin, &["plugins"])).contains("echo"));
    let created = with_token(&host, &admin, &["token", "create", "--role", "view", "--expires", "90d", "--json"]);
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    let view = created["secret"].as_str().unwrap();
    assert!(created["token"]["created_by"].as_str().unwrap().starts_with("token "), "{created}");
    assert!(created["token"]["expires_at"].is_string(), "{created}");
    let denied = text(&with_token(&host, view, &["plugins", "drain", "echo"]));
    assert!(denied.contains("needs the role operate or deploy or admin") && denied.contains("(forbidden)"), "{denied}");
    let list = text(&with_token(&host, &admin, &["token", "list"]));
    assert!(list.contains("command line") && list.contains("never") && !list.contains(view), "{list}");
    let access = send(&host, view, "GET", &host.api_url("/access"), b"").json();
    assert_eq!((&access["role"], &access["tokens_required"]), (&json!("view"), &json!(true)), "{access}");

    for (arguments, expected) in [
        (&["token", "create", "--role", "admin", "--plugin", "echo"][..], "cannot be restricted"),
        (&["token", "create", "--role", "view", "--plugin", "a b"], "not the name of a plugin"),
        (&["token", "revoke", "00000000"], "no token 00000000"),
    ] {
        let refused = with_token(&host, &admin, arguments);
        assert!(!refused.status.success() && text(&refused).contains(expected), "{arguments:?}: {}", text(&refused));
    }
    let _ = expect_code(&host, 2, &["token", "create", "--role", "root"]);
    let _ = expect_code(&host, 2, &["token", "revoke", "x"]);
    assert!(expect_code(&host, 1, &["token", "list", "--data", "/nonexistent"]).contains("no data directory"));
    assert!(expect_code(&host, 1, &["plugins", "--token-file", "/nonexistent"]).contains("cannot read the token file"));
}

#[test]
fn a_token_for_a_plugin_reaches_no_other() {
    let host = Setup::new().plugin("echo").plugin("keeper").start();
    let operate = token(&host, &["--role", "operate", "--plugin", "echo"]);
    let deploy = token(&host, &["--role", "deploy", "--plugin", "echo"]);
    for path in [
        "/plugins/echo",
        "/plugins/echo/state",
        "/subscriptions/echo/remember",
        "/subscriptions?plugin=echo",
        "/attempts?plugin=echo",
        "/deliveries?subscription=echo/remember",
        "/access",
        "/openapi.json",
    ] {
        assert_eq!(get(&host, &operate, path).0, 200, "{path}");
    }
    assert_eq!(outcome(&send(&host, &operate, "GET", &host.admin_url("/metrics?plugin=echo"), b"")).0, 403);
    let shown = with_token(&host, &operate, &["plugins", "show", "echo"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("subscription  echo/remember: "), "{shown:?}");
    let listed = send(&host, &operate, "GET", &host.api_url("/subscriptions?plugin=echo"), b"").body;
    assert!(listed.contains("echo/remember") && !listed.contains("keeper/"), "{listed}");
    for path in [
        "/plugins/keeper",
        "/plugins/keeper/state/a",
        "/plugins/%6beeper",
        "/plugins",
        "/subscriptions/keeper/job",
        "/subscriptions",
        "/subscriptions?plugin=keeper",
        "/events",
        "/events/1",
        "/attempts",
        "/attempts?plugin=keeper",
        "/attempts?subscription=keeper/job",
        "/attempts?plugin=echo&subscription=keeper/job",
        "/dead-letters/1",
        "/statistics",
        "/configuration",
        "/stream",
    ] {
        assert_eq!(get(&host, &operate, path), (403, "other-plugin".to_owned()), "{path}");
    }
    assert_eq!(get(&host, &operate, "/attempts?plugin=echo&plugin=keeper").0, 400);
    let act = |token: &str, method: &str, path: &str, body: &[u8]| {
        outcome(&send(&host, token, method, &host.api_url(path), body))
    };
    assert_eq!(act(&operate, "POST", "/subscriptions/echo/remember/pause", b"").0, 204);
    for (method, path) in [
        ("POST", "/subscriptions/keeper/job/pause"),
        ("POST", "/dead-letters/redrive?all=true"),
        ("POST", "/dead-letters/redrive?number=1"),
        ("POST", "/events"),
        ("POST", "/subscriptions"),
        ("POST", "/compaction"),
        ("PUT", "/plugins/keeper/state/a"),
    ] {
        assert_eq!(act(&operate, method, path, b""), (403, "other-plugin".to_owned()), "{path}");
    }
    // The group of a dead letter needs the subscription, and the dead letter must be one of it.
    let status = br#"{"status":"ignored"}"#;
    let group = "/dead-letters/groups/1/status";
    assert_eq!(act(&operate, "PUT", group, status), (403, "other-plugin".to_owned()));
    let own = format!("{group}?subscription=echo/remember");
    assert_eq!(act(&operate, "PUT", &own, status), (404, "not-found".to_owned()));
    let access = send(&host, &operate, "GET", &host.api_url("/access"), b"").json();
    let may = |operation: &str| access["operations"].as_array().unwrap().iter().any(|listed| listed == operation);
    for (operation, listed) in [
        ("pause_subscription", true),
        ("set_dead_letter_group_status", true),
        ("get_access", true),
        ("compact", false),
        ("get_events", false),
        ("upload_plugin", false),
    ] {
        assert_eq!(may(operation), listed, "{operation}");
    }
    // The component must be that of the plugin, whatever the file is called.
    let url = host.api_url("/plugins/echo/component");
    let bearer = format!("Bearer {deploy}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/wasm")];
    let answer = host.send("PUT", &url, &headers, &sandbus_tests::guest("ticker"));
    assert!(answer.status >= 400, "another plugin's component: {} {}", answer.status, answer.body);
    std::fs::remove_file(host.file("echo.wasm")).unwrap();
    eventually("the plugin is gone", || host.plugin("echo.wasm").is_none().then_some(()));
    let answer = host.send("PUT", &url, &headers, &sandbus_tests::guest("ticker"));
    assert!(answer.status >= 400, "another plugin's component: {} {}", answer.status, answer.body);
    assert_eq!(host.send("PUT", &url, &headers, &sandbus_tests::guest("echo")).status, 201);
    // A file may have the name of the token's plugin, and contain another one.
    std::fs::rename(host.file("echo.wasm"), host.file("moved.wasm")).unwrap();
    std::fs::rename(host.file("keeper.wasm"), host.file("echo.wasm")).unwrap();
    eventually("the files are exchanged", || {
        let of = |file: &str| Some(host.plugin(file)?["name"].as_str()?.to_owned());
        (of("moved.wasm")? == "echo" && of("echo.wasm")? == "keeper").then_some(())
    });
    assert_eq!(get(&host, &deploy, "/plugins/echo").0, 200, "the plugin of this name, in another file");
    std::fs::remove_file(host.file("moved.wasm")).unwrap();
    eventually("the plugin is gone", || host.plugin("moved.wasm").is_none().then_some(()));
    for (method, path) in
        [("DELETE", "/plugins/echo"), ("POST", "/plugins/echo/disable"), ("GET", "/plugins/echo/sidecar")]
    {
        assert_eq!(act(&deploy, method, path, b""), (403, "other-plugin".to_owned()), "{path}");
    }
}

#[test]
fn payloads_are_hidden() {
    let host = Setup::new()
        .plugin("echo")
        .plugin("keeper")
        .plugin("poison-fixed")
        .config("[ledger]\nrecord = \"all\"\n")
        .start();
    let secret = "s3cret-payload";
    assert_eq!(host.publish("keeper.bad", "b1", json!({ "wrong": secret })).status, 202);
    eventually("it is a dead letter", || (host.dead_letters().len() == 1).then_some(()));
    let state = host.api_url("/plugins/keeper/state/k");
    assert_eq!(send(&host, "", "PUT", &state, json!({ "value": secret }).to_string().as_bytes()).status, 200);
    let hidden = token(&host, &["--role", "operate", "--hide-payloads"]);
    let shown = token(&host, &["--role", "operate"]);
    for path in ["/events", "/events/b1", "/dead-letters", "/dead-letters/1"] {
        let see = |token: &str| send(&host, token, "GET", &host.api_url(path), b"");
        assert!(see(&shown).body.contains(secret), "{path}");
        let answer = see(&hidden);
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains(secret) && answer.body.contains("b1"), "{path}: {}", answer.body);
    }
    assert_eq!(get(&host, &shown, "/plugins/keeper/state/k").0, 200);
    assert_eq!(get(&host, &hidden, "/plugins/keeper/state/k"), (403, "payloads-hidden".to_owned()));
    let spy = json!({ "name": "spy", "pattern": ">", "target": { "webhook": { "url": "http://192.0.2.1/" } } });
    let created = send(&host, &hidden, "POST", &host.api_url("/subscriptions"), spy.to_string().as_bytes());
    assert_eq!(outcome(&created), (403, "payloads-hidden".to_owned()));
    let settings = send(&host, &hidden, "GET", &host.api_url("/configuration"), b"").json();
    assert!(
        settings["settings"].as_array().unwrap().iter().all(|setting| setting.get("value").is_some()),
        "{settings}"
    );
    // A log line may contain a payload.
    assert_eq!(host.publish("poison.pill", "p1", json!({})).status, 202);
    host.wait_until_idle();
    for (path, member) in [("/attempts?event=p1", "attempts"), ("/cause-trees/p1", "events")] {
        let see = |token: &str| send(&host, token, "GET", &host.api_url(path), b"");
        assert!(see(&shown).body.contains("swallowed p1"), "{path}");
        let answer = see(&hidden);
        assert!(!answer.body.contains("swallowed p1") && !answer.json()[member].is_null(), "{path}: {}", answer.body);
    }
    let listed = text(&with_token(&host, &hidden, &["events", "list"]));
    assert!(listed.contains("keeper.bad"), "the command line shows the rest: {listed}");
}

/// The entries of the audit log, oldest first: actor, operation and outcome.
fn audit(host: &Host) -> Vec<(String, String, String)> {
    let list = host.admin("/audit?limit=1000");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let entry = |entry: &Value| {
        let status = entry["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
        (word(&entry["actor"]), word(&entry["operation"]), word(&entry["outcome"]) + &status)
    };
    list["entries"].as_array().unwrap().iter().rev().map(entry).collect()
}

#[test]
fn each_change_is_recorded_before_and_after_it() {
    let host = Setup::new().plugin("echo").plugin("keeper").start();
    let handler = ["subscriptions", "create", "audit", "--pattern", "sandbus.audit.>", "--plugin", "echo"];
    let _ = run(&host, &handler);
    let operate = token(&host, &["--role", "operate", "--name", "ann"]);
    let id = operate.split('_').nth(1).unwrap().to_owned();
    assert!(with_token(&host, &operate, &["subscriptions", "pause", "keeper/job"]).status.success());
    assert!(!with_token(&host, &operate, &["subscriptions", "pause", "keeper/none"]).status.success());
    assert!(!with_token(&host, &operate, &["plugins", "disable", "keeper"]).status.success());
    let ann = format!("token {id} (ann)");
    let pair = |actor: &str, operation: &str, status: u16| {
        [
            (actor.to_owned(), operation.to_owned(), "begun".to_owned()),
            (actor.to_owned(), operation.to_owned(), format!("ended {status}")),
        ]
    };
    let mut expected: Vec<_> = pair("local", "put_subscription", 201).into();
    expected.extend(pair(&ann, "pause_subscription", 204));
    expected.extend(pair(&ann, "pause_subscription", 404));
    expected.push((ann.clone(), "disable_plugin".to_owned(), "denied 403".to_owned()));
    assert_eq!(audit(&host), expected);
    assert!(run(&host, &["audit"]).contains("POST /v1/subscriptions/keeper/job/pause"));

    // The ends are events.
    let event =
        eventually("the denial is an event", || host.events_of("sandbus.audit.disable-plugin").into_iter().next());
    assert_eq!((&event["source"], &event["subject"]), (&json!("/sandbus/audit"), &json!(ann)), "{event}");
    assert_eq!(event["data"]["outcome"], json!({ "kind": "denied", "status": 403 }));
    assert_eq!(host.events_of("sandbus.audit.pause-subscription").len(), 2);

    // The chain is intact, also after a crash, and a changed entry is found.
    let data = host.path().join("data");
    let data = data.to_str().unwrap();
    let verify = |host: &Host, code, more: &[&str]| {
        expect_code(host, code, &[&["audit", "verify", "--data", data], more].concat())
    };
    let checked: Value = serde_json::from_str(&verify(&host, 0, &["--json"])).unwrap();
    assert_eq!(checked["entries"], 7, "{checked}");
    let head = checked["head"].as_str().unwrap().to_owned();
    let host = host.crash_and_restart();
    let _ = run(&host, &["subscriptions", "resume", "keeper/job"]);
    assert!(verify(&host, 0, &["--expect", &head]).contains("9 entries are intact"));
    let file = std::fs::read_dir(host.path().join("data/audit")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("denied", "donned", 1)).unwrap();
    let found = verify(&host, 1, &[]);
    assert!(found.contains("entry") && found.contains("line 7"), "{found}");
    std::fs::write(&file, &text[..text.rfind("{\"previous\"").unwrap()]).unwrap();
    assert!(verify(&host, 0, &["--expect", &head]).contains("8 entries"));
}

#[test]
fn a_change_that_cannot_be_recorded_is_not_made() {
    let host = Setup::new().plugin("keeper").start();
    // Nothing can be written below a file.
    let directory = host.path().join("data/audit");
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "").unwrap();
    let answer = host.operate("POST", "/subscriptions/keeper/job/pause");
    assert_eq!((answer.status, answer.problem().as_str()), (503, "audit-unavailable"), "{}", answer.body);
    assert_eq!(host.subscription("keeper/job").unwrap()["status"], "active");
    std::fs::remove_file(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    assert_eq!(host.operate("POST", "/subscriptions/keeper/job/pause").status, 204);
}

#[test]
fn a_host_that_other_machines_reach_requires_tokens_and_a_proxy() {
    let refused = Setup::new().start().start_second(&["--admin-listen", "0.0.0.0:0"]);
    assert!(refused.contains("access.behind_proxy") && refused.contains("clear text"), "{refused}");
    let host = Setup::new().config("[access]\nbehind_proxy = true\n").start();
    assert_eq!(get(&host, "", "/plugins"), (401, "token-required".to_owned()));
    let admin = token(&host, &["--role", "admin"]);
    let url = host.api_url("/plugins");
    let bearer = format!("Bearer {admin}");
    // A proxy passes the name on.
    let named = [("authorization", bearer.as_str()), ("host", "sandbus.example")];
    assert_eq!(host.send("GET", &url, &named, b"").status, 200);
    let foreign = [named[0], named[1], ("origin", "https://elsewhere.example")];
    let answer = host.send("GET", &url, &foreign, b"");
    assert_eq!((answer.status, answer.problem().as_str()), (403, "foreign-caller"));
}

#[test]
fn a_damaged_file_of_tokens_gives_nobody_access() {
    let host = Setup::new().config(REQUIRED).start();
    let admin = token(&host, &["--role", "admin"]);
    let file = host.path().join("data/tokens.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(get(&host, &admin, "/plugins"), (503, "tokens-unreadable".to_owned()));
    assert_eq!(get(&host, "", "/plugins"), (401, "token-required".to_owned()));
    let _ = host.wait_for_log(&["cannot use the tokens", "restore the file"]);
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(get(&host, &admin, "/plugins").0, 200);
}

#[test]
fn a_stream_ends_when_its_token_is_revoked() {
    let host = Setup::new().config(REQUIRED).start();
    let view = token(&host, &["--role", "view"]);
    let id = view.split('_').nth(1).unwrap();
    let address = host.admin_url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let request = format!("GET /v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {view}\r\n\r\n");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let data = host.path().join("data");
    let _ = run(&host, &["token", "revoke", id, "--data", data.to_str().unwrap()]);
    // The last chunk, long before the timeout.
    let mut rest = Vec::new();
    let mut part = [0; 4_096];
    while !rest.ends_with(b"0\r\n\r\n") {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "the connection was cut: {}", String::from_utf8_lossy(&rest));
        rest.extend_from_slice(&part[..count]);
    }
}

#[test]
fn a_change_is_recorded_also_if_its_client_disconnects() {
    let host = Setup::new().plugin("asker").start();
    let address = host.admin_url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    // The host waits for a reply that nobody sends, and the client does not wait with it.
    let body = r#"{"specversion":"1.0","id":"left","source":"/test","type":"nobody.replies","data":{}}"#;
    let request = format!(
        "POST /v1/events?reply=nobody.answers&timeout=3s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    eventually("the event is stored", || (host.events_of("nobody.replies").len() == 1).then_some(()));
    drop(stream);
    eventually("the end is recorded", || {
        let entries = audit(&host);
        (entries.len() == 2 && entries[1].2.starts_with("ended")).then_some(())
    });
}

#[test]
fn audit_events_and_denials_are_limited() {
    let host = Setup::new().plugin("echo").start();
    let operate = token(&host, &["--role", "operate"]);
    let subscribe = |pattern: &str| {
        let wanted = json!({ "name": "spy", "pattern": pattern, "target": { "plugin": "echo" } });
        outcome(&send(&host, &operate, "POST", &host.api_url("/subscriptions"), wanted.to_string().as_bytes()))
    };
    for pattern in ["sandbus.audit.>", "sandbus.>", "sandbus.*.*"] {
        assert_eq!(subscribe(pattern), (403, "forbidden".to_owned()), "{pattern}");
    }
    assert_eq!(subscribe("sandbus.dead-letter").0, 201);
    let view = token(&host, &["--role", "view"]);
    for _ in 0..40 {
        let url = host.api_url(&format!("/compaction?token={operate}"));
        assert_eq!(outcome(&send(&host, &view, "POST", &url, b"")), (403, "forbidden".to_owned()));
    }
    let entries = audit(&host);
    assert!(entries.iter().filter(|(_, _, outcome)| outcome == "denied 403").count() <= 20, "{entries:?}");
    let recorded = host.admin("/audit").to_string();
    assert!(!recorded.contains(&operate) && recorded.contains("token=sbt_…"), "no token is recorded: {recorded}");
}
