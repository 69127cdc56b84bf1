//! Plugins are uploaded, configured, disabled and removed through the admin interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::{Answer, Host, Setup, digest, eventually, guest};
use serde_json::json;

const WASM: (&str, &str) = ("content-type", "application/wasm");
const TOML: (&str, &str) = ("content-type", "application/toml");

fn send(host: &Host, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    host.send(method, &host.api_url(path), headers, body)
}

fn upload(host: &Host, name: &str, guest_name: &str) -> Answer {
    send(host, "PUT", &format!("/plugins/{name}/component"), &[WASM], &guest(guest_name))
}

fn put_sidecar(host: &Host, name: &str, text: &str) -> Answer {
    send(host, "PUT", &format!("/plugins/{name}/sidecar"), &[TOML], text.as_bytes())
}

/// The visible files in the plugin folder.
fn files(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.file("")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

#[test]
fn an_uploaded_plugin_runs_when_the_response_arrives_and_after_a_restart() {
    let host = Setup::new().start();
    let created = upload(&host, "poison", "poison");
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.json()["digest"], digest(&guest("poison")).as_str());
    assert_eq!(host.get("/poison").status, 404);
    let replaced = upload(&host, "poison", "poison-fixed");
    assert_eq!((replaced.status, &replaced.json()["status"]), (200, &json!("running")), "{}", replaced.body);
    assert_eq!(host.get("/poison").body, "0");
    let host = host.crash_and_restart();
    assert_eq!((host.get("/poison").body, files(&host)), ("0".to_owned(), vec!["poison.wasm".to_owned()]));
}

#[test]
fn a_refused_upload_changes_nothing() {
    let rule = "[canary]\nevents = 10\nmin_conclusive = 0\n";
    let host = Setup::new().plugin("poison-fixed").sidecar("poison-fixed", rule).plugin("echo").start();
    for id in ["1", "2"] {
        assert_eq!(host.publish("poison.pill", id, json!({})).status, 202);
    }
    host.wait_until_idle();
    let before = std::fs::read(host.file("poison-fixed.wasm")).unwrap();
    let failed = upload(&host, "poison", "poison");
    assert_eq!(refused(&failed), (409, "change-refused".to_owned()), "{}", failed.body);
    assert!(failed.body.contains("the canary failed"), "{}", failed.body);
    assert_eq!(host.get("/poison").body, "2", "the former generation runs");
    assert_eq!(std::fs::read(host.file("poison-fixed.wasm")).unwrap(), before);
    eventually("the former file counts as loaded", || {
        host.plugin("poison-fixed.wasm").filter(|plugin| plugin["error"].is_null() && plugin["status"] == "running")
    });
    for name in ["other", "poison", "poison-fixed"] {
        let another = upload(&host, name, "echo");
        assert_eq!(refused(&another), (422, "unloadable".to_owned()), "it is another plugin than {name}");
    }
    let garbage = send(&host, "PUT", "/plugins/new/component", &[WASM], b"garbage");
    assert_eq!(refused(&garbage), (422, "unloadable".to_owned()));
    let text = send(&host, "PUT", "/plugins/new/component", &[("content-type", "text/html")], b"<p>");
    assert_eq!(refused(&text), (415, "unsupported-media-type".to_owned()));
    for name in ["%2e%2e%2fx", "a%2fb", ".hidden", "-rf", "a%0ab", "gr%C3%BCn", &"x".repeat(129)] {
        let answer = upload(&host, name, "ping");
        assert_eq!(refused(&answer), (422, "invalid-plugin-name".to_owned()), "{name}");
        assert_eq!(refused(&put_sidecar(&host, name, "")), (422, "invalid-plugin-name".to_owned()), "{name}");
        assert!((400..500).contains(&send(&host, "DELETE", &format!("/plugins/{name}"), &[], b"").status), "{name}");
    }
    assert_eq!(files(&host), ["echo.wasm", "poison-fixed.toml", "poison-fixed.wasm"].map(str::to_owned));
}

#[test]
fn an_upload_that_a_crash_interrupted_is_undone() {
    let host = Setup::new().plugin("poison-fixed").start();
    let present = guest("poison");
    std::fs::rename(host.file("poison-fixed.wasm"), former(&host, &digest(&present))).unwrap();
    std::fs::write(host.file("poison-fixed.wasm"), present).unwrap();
    let host = host.crash_and_restart();
    assert_eq!(host.get("/poison").body, "0", "the former file runs");
    assert_eq!(std::fs::read_dir(host.file("")).unwrap().count(), 1);
    let _ = host.wait_for_log(&["restored the former file"]);
}

/// The hidden name of the file that an upload replaces.
fn former(host: &Host, digest: &str) -> std::path::PathBuf {
    host.file(&format!(".poison-fixed.wasm.former-{}", &digest[..12]))
}

#[test]
fn an_upload_of_what_was_rolled_back_from_does_not_count_as_running() {
    let host = Setup::new().start();
    assert_eq!(upload(&host, "poison", "poison-fixed").status, 201);
    assert_eq!(upload(&host, "poison", "poison").status, 200);
    assert_eq!(host.operate("POST", "/plugins/poison/rollback").status, 200);
    let again = upload(&host, "poison", "poison");
    assert_eq!(refused(&again), (409, "change-superseded".to_owned()), "{}", again.body);
    assert_eq!(host.get("/poison").body, "0");
}

#[test]
fn the_tag_of_a_plugin_is_that_of_its_content() {
    let host = Setup::new().plugin("poison-fixed").sidecar("poison-fixed", "[canary]\nmin_conclusive = 0\n").start();
    assert_eq!(host.publish("poison.pill", "1", json!({})).status, 202);
    host.wait_until_idle();
    let before = tag(&host, "/plugins/poison");
    assert_eq!(upload(&host, "poison", "poison-fixed").status, 200);
    assert_eq!(tag(&host, "/plugins/poison"), before, "the same content");
    assert_eq!(refused(&upload(&host, "poison", "poison")).0, 409);
    assert_eq!(tag(&host, "/plugins/poison"), before, "a refused change");
    let host = host.crash_and_restart();
    assert_eq!(tag(&host, "/plugins/poison"), before, "a restart");
    assert_eq!(put_sidecar(&host, "poison", "").status, 204);
    assert_ne!(tag(&host, "/plugins/poison"), before);
}

#[test]
fn a_sidecar_is_read_replaced_and_removed() {
    let host = Setup::new().plugin("keeper").start();
    let path = "/plugins/keeper/sidecar";
    assert_eq!(refused(&host.operate("GET", path)), (404, "not-found".to_owned()));
    let text = "# limits\n[limits]\ntimeout = \"2s\"\n";
    assert_eq!(put_sidecar(&host, "keeper", text).status, 204);
    assert_eq!(host.plugin("keeper.wasm").unwrap()["limits"]["timeout"], "2s", "it applies when the response arrives");
    let shown = host.operate("GET", path);
    assert_eq!((shown.body.as_str(), shown.headers["content-type"].as_str()), (text, "application/toml"));
    for (bad, code) in [
        ("[limits]\ntime = 1\n", (422, "invalid-sidecar")),
        ("not toml", (422, "invalid-sidecar")),
        ("[subscriptions.nothing]\nmax_attempts = 1\n", (409, "change-refused")),
        ("name = \"other\"\n", (409, "change-refused")),
    ] {
        let answer = put_sidecar(&host, "keeper", bad);
        assert_eq!(refused(&answer), (code.0, code.1.to_owned()), "{bad}: {}", answer.body);
        assert_eq!(host.operate("GET", path).body, text, "{bad}");
    }
    assert_eq!(host.operate("DELETE", path).status, 204);
    assert_eq!(host.plugin("keeper.wasm").unwrap()["limits"]["timeout"], "10s");
    assert_eq!(refused(&host.operate("DELETE", path)), (404, "not-found".to_owned()));
    // A component that does not describe itself needs its sidecar first.
    assert_eq!(refused(&upload(&host, "service", "bench-wasi-http")), (422, "unloadable".to_owned()));
    assert_eq!(put_sidecar(&host, "service", "routes = [\"* /service/{*path}\"]\n").status, 204);
    assert_eq!(upload(&host, "service", "bench-wasi-http").status, 201);
}

#[test]
fn a_disabled_plugin_keeps_its_backlog_and_a_removed_one_its_state() {
    let host = Setup::new().plugin("poison-fixed").start();
    let operate = |method: &str, path: &str| host.operate(method, path).status;
    assert_eq!(operate("POST", "/plugins/poison/disable"), 204);
    assert_eq!((host.get("/poison").status, host.publish("poison.pill", "1", json!({})).status), (503, 202));
    assert_eq!(operate("POST", "/plugins/poison-fixed/disable"), 204, "it is disabled already");
    assert_eq!(operate("POST", "/plugins/poison/enable"), 204, "also by the name of the plugin");
    eventually("the backlog is handled", || (host.get("/poison").body == "1").then_some(()));
    assert_eq!(operate("DELETE", "/plugins/poison"), 204);
    assert_eq!((operate("DELETE", "/plugins/poison"), files(&host).len()), (404, 0));
    assert_eq!(operate("POST", "/plugins/poison/enable"), 404);
    assert_eq!(host.operate("GET", "/plugins/poison/state/swallowed").json()["value"], "1");
    assert_eq!(upload(&host, "poison", "poison-fixed").status, 201);
    assert_eq!(host.get("/poison").body, "1");
}

#[test]
fn the_command_line_changes_plugins() {
    let host = Setup::new().start();
    let component = host.path().join("poison.wasm");
    std::fs::write(&component, guest("poison-fixed")).unwrap();
    let sidecar = host.path().join("limits.toml");
    std::fs::write(&sidecar, "[limits]\nconcurrency = 3\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = host.cli(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let expect = |arguments: &[&str], words: &str| {
        let (success, text) = run(arguments);
        assert!(success && text.contains(words), "{arguments:?}: {text}");
    };
    expect(&["plugins", "upload", component.to_str().unwrap()], "poison 0.1.0");
    expect(&["plugins", "sidecar", "poison", "--file", sidecar.to_str().unwrap()], "new sidecar");
    expect(&["plugins", "sidecar", "poison"], "concurrency = 3");
    expect(&["plugins", "show", "poison"], "3 at a time");
    expect(&["plugins", "disable", "poison"], "disabled");
    expect(&["plugins", "list"], "disabled");
    let plugins = host.admin("/plugins");
    assert_eq!((plugins["plugins"].as_array().unwrap().len(), &plugins["plugins"][0]["name"]), (1, &json!("poison")));
    let waits = host.subscription("poison/swallow").unwrap()["waits_for"].as_str().unwrap().to_owned();
    assert!(waits.contains("is disabled; run `sandbus plugins enable poison`"), "{waits}");
    expect(&["plugins", "sidecar", "poison"], "enabled = false\n[limits]");
    expect(&["plugins", "enable", "poison"], "enabled");
    expect(&["plugins", "sidecar", "poison", "--remove"], "removed the sidecar");
    expect(&["plugins", "sidecar", "nobody", "--file", sidecar.to_str().unwrap()], "there is no plugin nobody yet");
    expect(&["plugins", "remove", "poison"], "removed poison");
    let (success, text) = run(&["plugins", "remove", "poison"]);
    assert!(!success && text.contains("there is no plugin `poison`"), "{text}");
}

/// The tag of a resource.
fn tag(host: &Host, path: &str) -> String {
    let answer = host.operate("GET", path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.headers["etag"].clone()
}

#[test]
fn a_change_with_a_condition_is_refused_once_the_resource_has_changed() {
    let host = Setup::new().plugin("echo").plugin("poison-fixed").sidecar("poison-fixed", "").start();
    let wanted = |pattern: &str| json!({ "name": "one", "pattern": pattern, "target": { "plugin": "echo" } });
    assert_eq!(host.admin_post("/subscriptions", wanted("a.b")).status, 201);
    let json = ("content-type", "application/json");
    let value = "/plugins/echo/state/key";
    assert_eq!(send(&host, "PUT", value, &[json], br#"{"value":"1"}"#).status, 200);
    let subscription = "/subscriptions/operator/one";
    let body = |value: &serde_json::Value| value.to_string().into_bytes();
    let sidecar = b"[limits]\nconcurrency = 2\n";
    // The resource, and changes of it in an order in which each makes the tag of the one before stale.
    type Change<'a> = (&'a str, &'a str, &'a str, (&'a str, &'a str), Vec<u8>);
    let changes: [Change<'_>; 8] = [
        (subscription, "POST", "/subscriptions", json, body(&wanted("a.c"))),
        (subscription, "POST", "/subscriptions/operator/one/pause", json, Vec::new()),
        (subscription, "DELETE", subscription, json, Vec::new()),
        (value, "PUT", value, json, br#"{"value":"2"}"#.to_vec()),
        (value, "DELETE", value, json, Vec::new()),
        ("/plugins/poison/sidecar", "PUT", "/plugins/poison/sidecar", TOML, sidecar.to_vec()),
        ("/plugins/poison", "PUT", "/plugins/poison/component", WASM, guest("poison")),
        ("/plugins/poison", "DELETE", "/plugins/poison", WASM, Vec::new()),
    ];
    for (resource, method, path, media_type, body) in changes {
        let current = tag(&host, resource);
        let stale = ("if-match", "\"0123\"");
        let answer = send(&host, method, path, &[media_type, stale], &body);
        assert_eq!(refused(&answer), (412, "precondition-failed".to_owned()), "{method} {path}");
        assert_eq!(tag(&host, resource), current, "{method} {path} changed nothing");
        let malformed = send(&host, method, path, &[media_type, ("if-match", "0123")], &body);
        assert_eq!(refused(&malformed), (400, "invalid-precondition".to_owned()), "{method} {path}");
        let answer = send(&host, method, path, &[media_type, ("if-match", &current)], &body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        let again = send(&host, method, path, &[media_type, ("if-match", &current)], &body);
        assert!([404, 412].contains(&again.status), "{method} {path} again: {}", again.body);
    }
    // `*` stands for a resource that exists.
    let answer = send(&host, "POST", "/subscriptions", &[json, ("if-match", "*")], &body(&wanted("a.b")));
    assert_eq!(refused(&answer), (412, "precondition-failed".to_owned()));
    let answer = send(&host, "POST", "/dead-letters/redrive?all=true", &[("if-match", "*")], b"");
    assert_eq!(refused(&answer), (400, "precondition-unsupported".to_owned()));
    let answer = send(&host, "PUT", value, &[json, ("if-none-match", "*")], br#"{"value":"3"}"#);
    assert_eq!(refused(&answer), (400, "precondition-unsupported".to_owned()));
}

#[test]
fn of_many_changes_with_one_condition_one_takes_effect() {
    let host = Setup::new().plugin("echo").start();
    let json = ("content-type", "application/json");
    assert_eq!(put_sidecar(&host, "echo", "[limits]\nconcurrency = 1\n").status, 204);
    let wanted = |pattern: &str| json!({ "name": "one", "pattern": pattern, "target": { "plugin": "echo" } });
    assert_eq!(host.admin_post("/subscriptions", wanted("a.b")).status, 201);
    assert_eq!(send(&host, "PUT", "/plugins/echo/state/key", &[json], br#"{"value":"0"}"#).status, 200);
    let sidecar = |number: usize| format!("[limits]\nconcurrency = {}\n", number + 2).into_bytes();
    let rules = |number: usize| wanted(&format!("a.b{number}")).to_string().into_bytes();
    let value = |number: usize| format!("{{\"value\":\"{number}\"}}").into_bytes();
    type Race<'a> = (&'a str, &'a str, &'a str, (&'a str, &'a str), &'a (dyn Fn(usize) -> Vec<u8> + Sync));
    let races: [Race<'_>; 3] = [
        ("/plugins/echo/sidecar", "PUT", "/plugins/echo/sidecar", TOML, &sidecar),
        ("/subscriptions/operator/one", "POST", "/subscriptions", json, &rules),
        ("/plugins/echo/state/key", "PUT", "/plugins/echo/state/key", json, &value),
    ];
    for (resource, method, path, media_type, body) in races {
        let current = tag(&host, resource);
        let statuses: Vec<_> = std::thread::scope(|scope| {
            let send = |number: usize| {
                let headers = [media_type, ("if-match", &*current)];
                send(&host, method, path, &headers, &body(number)).status
            };
            let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || send(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (done, stale): (Vec<_>, Vec<_>) = statuses.into_iter().partition(|status| (200..300).contains(status));
        assert_eq!((done.len(), stale), (1, vec![412; 7]), "{path}");
    }
    assert!(host.get("/nothing").status == 404, "the host still serves");
}
