//! Bad input gets a clear message that names the problem and the remedy, harms nobody else and loses nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::{Host, Setup, eventually, guest, put};
use serde_json::json;

/// A host with a plugin that must not be harmed.
fn host() -> Host {
    Setup::new().plugin("echo").start()
}

fn echo_is_unharmed(host: &Host) {
    assert_eq!(host.post("/echo/x", json!({})).status, 200);
    assert_eq!(host.plugin("echo.wasm").unwrap()["status"], "running");
}

/// Puts a file into the folder and returns why it is refused.
fn refused(host: &Host, file: &str, content: &[u8]) -> String {
    put(&host.file(file), content);
    let error = host.wait_until_refused(file);
    echo_is_unharmed(host);
    let line = host.wait_for_log(&["plugin not loaded", file]);
    assert_eq!(line["level"], "ERROR");
    let listed = host.cli(&["plugins"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(file), "the command line names it");
    error
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_file_that_is_no_wasm() {
    let error = refused(&host(), "notes.wasm", b"remember the milk");
    assert!(error.contains("not WebAssembly") && error.contains("build it for"), "{error}");
}

#[test]
fn a_truncated_file() {
    let error = refused(&host(), "cut.wasm", &guest("ledger")[..100_000]);
    assert!(error.contains("cannot be made into a component") || error.contains("truncated"), "{error}");
}

#[test]
fn a_module_without_a_component_type() {
    let error = refused(&host(), "module.wasm", &component("(module (func (export \"run\")))"));
    assert!(error.contains("SDK"), "{error}");
}

#[test]
fn a_component_that_does_not_describe_itself() {
    let error = refused(&host(), "mute.wasm", &component("(component)"));
    assert!(error.contains("sandbus:plugin/descriptor"), "{error}");
}

#[test]
fn a_component_with_an_import_that_the_host_lacks() {
    let text = r#"(component (import "acme:mail/send@1.0.0" (instance (export "send" (func)))))"#;
    let error = refused(&host(), "mail.wasm", &component(text));
    assert!(error.contains("acme:mail/send"), "{error}");
}

#[test]
fn a_describe_that_traps_loops_asks_or_answers_nonsense() {
    let host = host();
    let error = refused(&host, "traps.wasm", &guest("describe-traps"));
    assert!(error.contains("describe"), "{error}");
    let error = refused(&host, "loops.wasm", &guest("describe-loops"));
    assert!(error.contains("ran out of time"), "{error}");
    let error = refused(&host, "asks.wasm", &guest("describe-asks"));
    assert!(error.contains("must be pure"), "{error}");
    let error = refused(&host, "liar.wasm", &guest("liar"));
    assert!(error.contains("../../etc") && error.contains("lower-case"), "{error}");
}

#[test]
fn two_plugins_with_the_same_name_or_route() {
    let host = host();
    let error = refused(&host, "second.wasm", &guest("echo"));
    assert!(error.contains("`echo` is already loaded from echo.wasm"), "{error}");

    // Another plugin with the same route; only the parameter names differ.
    let mut bytes = guest("echo");
    for (from, to) in [(&b"/echo/{word}"[..], &b"/echo/{werd}"[..])] {
        let places: Vec<_> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    assert_ne!(bytes, guest("echo"));
    let error = refused(&host, "third.wasm", &bytes);
    assert!(error.contains("already"), "{error}");

    // Once the first plugin is gone, another one gets the route.
    std::fs::remove_file(host.file("echo.wasm")).unwrap();
    eventually("another takes its place", || (host.post("/echo/x", json!({})).status == 200).then_some(()));
}

#[test]
fn a_sidecar_with_an_unknown_key() {
    let host = host();
    put(&host.file("ledger.toml"), b"[limits]\nmemroy_bytes = 5\n");
    let error = refused(&host, "ledger.wasm", &guest("ledger"));
    assert!(error.contains("memroy_bytes") && error.contains("sidecar"), "{error}");
    put(&host.file("ledger.toml"), b"[subscriptions.entree]\nmax_attempts = 5\n");
    let error = eventually("the new complaint is there", || {
        let error = host.plugin("ledger.wasm")?["error"].as_str()?.to_owned();
        error.contains("entree").then_some(error)
    });
    assert!(error.contains("does not declare"), "{error}");
    put(&host.file("ledger.toml"), b"");
    host.wait_until_loaded("ledger", "ledger.wasm");
}

fn hostile() -> Host {
    // Small limits keep the test short; larger ones behave alike.
    Setup::new()
        .plugin("echo")
        .plugin("hostile")
        .sidecar("hostile", "[limits]\nmemory_bytes = 16777216\ntimeout = \"3s\"\n")
        .start()
}

#[test]
fn a_handler_that_misbehaves_costs_its_own_delivery_alone() {
    let host = hostile();
    for (deed, cause, reason) in [
        ("trap", "trap", "as ordered"),
        ("spin", "timeout", "ran out of time"),
        ("eat", "out-of-memory", "memory"),
        ("recurse", "trap", "recurse"),
        ("flood", "rejected", "publish events"),
        ("forbidden", "rejected", "may not publish `user.registered`"),
        ("misfit", "rejected", "the attribute `subject` is empty"),
        ("hoard", "rejected", "bytes"),
        ("unknown", "rejected", "unknown deed"),
    ] {
        assert_eq!(host.publish("hostile.order", deed, json!({ "deed": deed })).status, 202);
        let letter = eventually(&format!("`{deed}` is a dead letter"), || {
            host.dead_letters().into_iter().find(|letter| letter["logged"]["event"]["id"] == deed)
        });
        assert_eq!(letter["cause"], cause, "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
        echo_is_unharmed(&host);
    }
    let events = host.admin("/events?limit=1000");
    let flood = events["events"].as_array().unwrap().iter().filter(|logged| logged["event"]["type"] == "hostile.flood");
    assert_eq!(flood.count(), 0, "nothing of a failed invocation is published");
}

#[test]
fn an_event_with_data_that_does_not_fit_is_rejected() {
    let host = hostile();
    let headers = [("ce-id", "1"), ("ce-source", "/t"), ("ce-type", "hostile.order"), ("ce-specversion", "1.0")];
    assert_eq!(host.send("POST", &host.url("/events"), &headers, b"{garbage").status, 202);
    let letters = eventually("it is a dead letter", || Some(host.dead_letters()).filter(|all| all.len() == 1));
    assert_eq!((&letters[0]["cause"], &letters[0]["attempts"]), (&json!("rejected"), &json!(1)));
    assert!(letters[0]["reason"].as_str().unwrap().contains("is invalid"), "{}", letters[0]);
}

#[test]
fn a_route_that_misbehaves_costs_its_own_request_alone() {
    let host = hostile();
    let answer = |deed: &str| {
        let answer = host.send("POST", &host.url(&format!("/hostile/{deed}")), &[], b"");
        let problem = answer.problem();
        echo_is_unharmed(&host);
        (answer.status, problem)
    };
    assert_eq!(answer("trap"), (500, "handler-trapped".into()));
    assert_eq!(answer("spin"), (504, "handler-timeout".into()));
    assert_eq!(answer("eat"), (500, "handler-out-of-memory".into()));
    assert_eq!(answer("forbidden").0, 422);
    for path in ["/hostile/headers", "/hostile/status"] {
        let answer = host.get(path);
        assert_eq!((answer.status, answer.problem().as_str()), (502, "handler-response"), "{path}");
    }
    assert!(host.events_of("hostile.flood").is_empty(), "what cannot be answered is not committed");
    let line = host.wait_for_log(&["request failed", "as ordered"]);
    assert_eq!(line["plugin"], "hostile");
}

#[test]
fn a_flood_of_log_lines_is_cut_and_cannot_steer_a_terminal() {
    let host = hostile();
    assert_eq!(host.send("POST", &host.url("/hostile/chatter"), &[], b"").status, 204);
    let _ = host.wait_for_log(&["has reached its log limit"]);
    let log = host.log();
    assert!(log.matches("chatter ").count() < 3_000);
    assert!(!log.contains('\u{1b}') && !log.contains("\\u001b"));
}

#[test]
fn a_busy_port_and_a_data_directory_in_use() {
    let host = host();
    let address = host.url("").replace("http://", "");
    let said = host.start_second(&["--listen", &address, "--admin-listen", "127.0.0.1:0"]);
    assert!(said.contains("in use by another process") && said.contains("--listen"), "{said}");
    let said = host.start_second(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert!(said.contains("data directory") && said.contains("in use") && said.contains("--data"), "{said}");
    echo_is_unharmed(&host);
}

#[test]
fn a_data_directory_that_cannot_be_written() {
    let setup = Setup::new();
    // A file in place of the directory. Permissions would not do, since tests may run as root.
    std::fs::write(setup.path().join("data"), "").unwrap();
    let said = setup.start_refused();
    assert!(said.contains("cannot use the data directory") && said.contains("--data"), "{said}");

    // A file system that is read-only.
    let setup = Setup::new();
    let said = setup.config("data = \"/proc/sandbus\"").start_refused();
    assert!(said.contains("cannot use the data directory") && said.contains("--data"), "{said}");
}

#[test]
fn a_data_directory_from_a_newer_version() {
    let host = host();
    let database = host.path().join("data/bus.db");
    let setup = Setup::new();
    std::fs::create_dir(setup.path().join("data")).unwrap();
    // After a clean shutdown, all data is in this file.
    host.signal("-TERM");
    eventually("the log is folded into the file", || {
        let log = std::fs::metadata(database.with_extension("db-wal"));
        log.map_or(true, |log| log.len() == 0).then_some(())
    });
    let mut bytes = std::fs::read(&database).unwrap();
    // The database header's `user_version` (SQLite's file format, section 1.3): bytes 60 to 63.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(setup.path().join("data/bus.db"), bytes).unwrap();
    let said = setup.start_refused();
    assert!(said.contains("version 99") && said.contains("newer Sandbus"), "{said}");
    assert!(!said.contains("new data directory"), "{said}");
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let setup = Setup::new();
    std::fs::create_dir(setup.path().join("data")).unwrap();
    std::fs::write(setup.path().join("data/bus.db"), vec![7_u8; 8_192]).unwrap();
    let said = setup.start_refused();
    assert!(said.contains("bus.db") && said.contains("does not start like an SQLite database"), "{said}");
}

#[test]
fn a_configuration_with_an_unknown_key_or_an_open_admin_interface() {
    let said = Setup::new().config("[http]\nmax_bodies = 3").start_refused();
    assert!(said.contains("sandbus.toml") && said.contains("max_bodies"), "{said}");
    let host = host();
    let said = host.start_second(&["--admin-listen", "0.0.0.0:0", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("loopback"), "{said}");
}

#[test]
fn malformed_cloudevents() {
    let host = host();
    let send = |headers: &[(&str, &str)], body: &str| host.send("POST", &host.url("/events"), headers, body.as_bytes());
    let structured = [("content-type", "application/cloudevents+json")];
    let batched = [("content-type", "application/cloudevents-batch+json")];
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"echo.x"}"#;
    for body in [
        "",
        "{",
        "[]",
        "{}",
        &good.replace("1.0", "2.0"),
        &good.replace("\"id\":\"1\",", ""),
        &good.replace("/s", "a b"),
    ] {
        let answer = send(&structured, body);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-event"), "{body}");
    }
    let deep = good.replace('}', &format!(",\"data\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)));
    assert_eq!(send(&structured, &deep).status, 400);
    let answer = send(&batched, &format!("[{good},{{\"id\":1}}]"));
    assert_eq!(answer.status, 400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("event 1 of the batch"), "{}", answer.body);
    assert_eq!(send(&batched, "{}").problem(), "invalid-batch");
    assert_eq!(send(&[("content-type", "application/json")], "{}").problem(), "not-a-cloudevent");
    assert_eq!(send(&[("content-type", "application/cloudevents+xml")], "<a/>").status, 415);
    assert_eq!(
        send(&[("content-type", "application/cloudevents+json"), ("content-encoding", "gzip")], good).status,
        415
    );
    assert_eq!(send(&[("ce-id", "1"), ("ce-type", "t"), ("ce-specversion", "1.0")], "").status, 400);
    let events = host.admin("/events");
    assert_eq!(events["events"].as_array().unwrap().len(), 0, "nothing is stored: {events}");
}

/// The message names the kind of a file that cannot be a plugin, and the remedy.
#[test]
fn a_file_for_another_host_is_named_for_what_it_is() {
    let host = host();
    let command = "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))
        (func (export \"_start\")))";
    for (name, text, words) in [
        ("command", command, "command of WASI 0.1"),
        ("threads", "(module (memory 1 1 shared))", "threads"),
        ("memories", "(component (core module (memory 1) (memory 1)))", "several memories"),
        ("browser", "(module (import \"gojs\" \"f\" (func)))", "Go or TinyGo"),
        ("collected", "(component (core module (type (struct (field i32)))))", "garbage collection"),
        ("throws", "(component (core module (tag)))", "exceptions"),
    ] {
        let error = refused(&host, &format!("{name}.wasm"), &component(text));
        assert!(error.contains(words), "{name}: {error}");
    }
}

/// Sparse files of zeros, which use no disk space. Each is refused by its size or its first bytes.
#[test]
fn a_file_that_is_too_large_is_refused_without_being_read() {
    let host = host();
    for (name, bytes, words) in [("huge", 1_u64 << 40, "a plugin has at most"), ("zeros", 200 << 20, "not WebAssembly")]
    {
        let path = host.file(&format!("{name}.wasm"));
        std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        let error = host.wait_until_refused(&format!("{name}.wasm"));
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_mistake_in_a_sidecar_is_placed_and_its_secret_is_not_shown() {
    let host = host();
    put(&host.file("ledger.toml"), b"[config]\ntoken = \"s3cret-token\n");
    host.drop_in("ledger", "ledger.wasm");
    let error = host.wait_until_refused("ledger.wasm");
    assert!(error.contains("line 2, column"), "{error}");
    put(&host.file("ledger.toml"), b"[limits]\ntimeout = \"s3cret-token\"\n");
    let error = eventually("the other mistake is found", || {
        let plugin = host.plugin("ledger.wasm")?;
        plugin["error"].as_str().filter(|error| error.contains("`limits.timeout`")).map(str::to_owned)
    });
    assert!(error.contains("line 2, column 11"), "{error}");
    let listed = host.cli(&["plugins"]);
    let shown = [host.admin("/plugins").to_string(), host.log(), String::from_utf8_lossy(&listed.stdout).into_owned()];
    assert!(!shown.iter().any(|shown| shown.contains("s3cret")), "{shown:?}");
}

#[test]
fn accessible_data_files_are_made_private_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let host = host();
    host.drop_in("ledger", "ledger.wasm");
    host.wait_until_loaded("ledger", "ledger.wasm");
    let data = host.path().join("data");
    let create = ["token", "create", "--role", "view", "--data", data.to_str().unwrap()];
    assert!(host.cli(&create).status.success());
    let all = [
        "bus.db",
        "bus.db-wal",
        "bus.db-shm",
        "lock",
        "routes",
        "ledger.db",
        "ledger.db-wal",
        "generations/echo/record.json",
        "tokens.json",
        "tokens.lock",
    ];
    let check = || {
        assert_eq!((mode(&data), mode(&data.join("generations/echo"))), (0o700, 0o700));
        for name in all {
            assert_eq!(mode(&data.join(name)), 0o600, "{name}");
        }
    };
    check();
    open(&data, 0o755);
    all.iter().for_each(|name| open(&data.join(name), 0o644));
    let host = host.crash_and_restart();
    check();
    let _ = host.wait_for_log(&["restricted to the owner"]);
}

#[test]
fn a_second_host_is_kept_out_also_where_the_lock_was_deleted() {
    let host = host();
    std::fs::remove_file(host.path().join("data/lock")).unwrap();
    let said = host.start_second(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert!(said.contains("data"), "{said}");
    echo_is_unharmed(&host);
}
