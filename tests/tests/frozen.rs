//! Data directories, components and contracts of earlier releases in `tests/frozen`, as those releases wrote them. This
//! program opens a copy of each and checks that everything in it still works. `cargo xtask freeze` adds a release; a
//! released directory never changes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use sandbus_tests::languages::root;
use sandbus_tests::release::{
    PLUGINS, ROLLED_BACK_FROM, copy_below, done, files_below, frozen, publish, put_new, values,
};
use sandbus_tests::{Host, Setup, Webhook, digest, eventually, guest, put};
use serde_json::{Value, json};

fn releases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(frozen()).unwrap().map(|entry| entry.unwrap().path());
    let releases: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    assert!(!releases.is_empty());
    releases
}

fn backlog(host: &Host, subscription: &str, count: u64) -> Value {
    eventually(&format!("{count} wait for {subscription}"), || {
        host.subscription(subscription).filter(|subscription| subscription["backlog"] == count)
    })
}

/// Copies a release's data and components to a host's directory. Archived generations are the same components, and so
/// are frozen only once.
fn thaw(release: &Path, setup: &Setup) {
    copy_below(&release.join("data"), &setup.path().join("data"));
    for name in PLUGINS.into_iter().chain([ROLLED_BACK_FROM]) {
        let bytes = std::fs::read(release.join(format!("components/{name}.wasm"))).unwrap();
        let stem = if name == ROLLED_BACK_FROM { "poison" } else { name };
        // The file in the folder is the one that was rolled back from.
        if name != "poison" {
            put(&setup.path().join(format!("plugins/{stem}.wasm")), &bytes);
        }
        put_new(&setup.path().join(format!("data/generations/{stem}/{}.wasm", digest(&bytes))), &bytes);
    }
}

#[test]
fn the_data_of_every_release_is_opened_and_goes_on() {
    for release in releases() {
        let expected: Value = serde_json::from_slice(&std::fs::read(release.join("expected.json")).unwrap()).unwrap();
        let setup = Setup::new();
        thaw(&release, &setup);
        let host = setup.start();
        all_is_there(&host, &release, &expected);
        all_goes_on(&host, &expected);
        // A migrated store is opened without another migration.
        let host = host.crash_and_restart();
        assert_eq!(backups(&host), 1, "{}", release.display());
        host.wait_until_idle();
        assert!(host.dead_letters().is_empty());
    }
}

fn backups(host: &Host) -> usize {
    let files = files_below(&host.path().join("data"));
    files.iter().filter(|file| file.to_string_lossy().starts_with("backup-2-")).count()
}

/// The data as the release wrote it, before the host continues.
fn all_is_there(host: &Host, release: &Path, expected: &Value) {
    assert!(backups(host) > 0, "the data is backed up before it is brought up to date");
    for (key, value) in expected["values"].as_object().unwrap().iter().filter(|(key, _)| *key != "ticks") {
        assert_eq!(&values(host)[key], value, "{key}");
    }
    let events = host.admin("/events?limit=1000")["events"].clone();
    for logged in expected["events"].as_array().unwrap() {
        assert!(
            events.as_array().unwrap().iter().any(|event| event["event"]["id"] == logged["event"]["id"]),
            "{logged}"
        );
    }
    let letters = host.dead_letters();
    let reasons: Vec<_> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["it is not mended"; 2]);
    assert_eq!(backlog(host, "keeper/entry", 8)["status"], "paused");
    let hook = backlog(host, "operator/hook", 1);
    assert_eq!(hook["status"], "paused");
    assert_eq!(
        (&hook["target"]["webhook"], &hook["target"]["signed"]),
        (&json!("http://127.0.0.1:9/hook"), &json!(true))
    );
    assert_eq!(backlog(host, "counter-c/all", 1)["status"], "paused");
    let poison = host.plugin("poison.wasm").unwrap();
    let runs = digest(&std::fs::read(release.join("components/poison.wasm")).unwrap());
    assert_eq!((&poison["status"], &poison["digest"]), (&json!("rolled back"), &json!(runs)));
    assert_eq!(poison["generations"].as_array().unwrap().len(), 2);
}

/// Backlogs are handled in order, retries and delayed events come due, dead letters can be redriven, numbering
/// continues.
fn all_goes_on(host: &Host, expected: &Value) {
    let count = expected["values"]["count"].as_i64().unwrap();
    assert_eq!(host.post("/keeper/count", json!({})).json(), count + 1);
    done(&host.send("PUT", &host.url("/keeper/mended"), &[], b"true"));
    done(&host.operate("POST", "/dead-letters/redrive?all=true"));
    done(&host.operate("POST", "/subscriptions/keeper/entry/resume"));
    done(&host.operate("POST", "/plugins/counter-c/resume"));
    eventually("everything has gone on", || {
        let values = values(host);
        let entries = [&values["entry/a"], &values["entry/b"]].iter().all(|numbers| **numbers == json!([1, 2, 3, 4]));
        let redriven = values["bad/bad-1"].is_object() && values["bad/bad-2"].is_object();
        let later = values.as_object()?.iter().filter(|(key, _)| key.starts_with("later/"));
        let later: Vec<_> = later.map(|(_, value)| value).collect();
        let came =
            later.len() == 2 && later.contains(&&json!("by a request")) && later.contains(&&json!("by a handler"));
        let ticked = values["ticks"].as_i64() > expected["values"]["ticks"].as_i64();
        (entries && redriven && came && ticked && values["job/job-1"].as_u64() >= Some(2)).then_some(())
    });
    assert!(host.dead_letters().is_empty());
    // The fourth of its kind: the release had counted the number.
    let _ = host.wait_for_log(&["user.registered: 4", "counter-c"]);
    publish(host, "", "user.registered", "user-5", json!({ "name": "Grace" }));
    let _ = host.wait_for_log(&["user.registered: 5", "counter-c"]);
    // A later release logs all data.
    let _ = host.wait_for_log(&["handling", "Grace", "counter-js"]);

    let webhook = Webhook::start(&[204]);
    let target = json!({ "webhook": { "url": format!("http://{}/hook", webhook.address) } });
    done(&host.admin_post("/subscriptions", json!({ "name": "hook", "pattern": "order.>", "target": target })));
    done(&host.operate("POST", "/subscriptions/operator/hook/resume"));
    let hook = eventually("the webhook is called", || webhook.received().pop());
    assert!(hook.body.contains("\"total\":9") || hook.body.contains("\"total\": 9"), "{}", hook.body);
}

/// A process killed during its first start on older data leaves data that opens.
#[test]
fn a_start_on_older_data_may_be_killed_at_any_time() {
    for release in releases() {
        let expected: Value = serde_json::from_slice(&std::fs::read(release.join("expected.json")).unwrap()).unwrap();
        let setup = Setup::new();
        thaw(&release, &setup);
        let data = setup.path().join("data");
        // Killed as soon as each step shows: a partial backup, a complete backup, a transaction.
        for sign in [".partial", ".db", "-wal"] {
            let starting = sandbus_tests::Launch::serve(setup.path()).spawn();
            eventually("the step has begun", || {
                let has_it = |file: &PathBuf| file.to_string_lossy().ends_with(sign);
                let past = |file: &PathBuf| file.to_string_lossy().starts_with("backup-2-");
                files_below(&data).iter().any(|file| has_it(file) || past(file)).then_some(())
            });
            starting.kill();
        }
        let host = setup.start();
        all_is_there(&host, &release, &expected);
    }
}

/// A released contract never changes, since components were built for it.
#[test]
fn the_contract_of_every_release_is_what_it_was() {
    for release in releases() {
        let contract = release.join("wit");
        for file in files_below(&contract) {
            let then = std::fs::read_to_string(contract.join(&file)).unwrap();
            let now = std::fs::read_to_string(root().join("wit").join(&file)).unwrap_or_default();
            assert_eq!(
                declarations(&then),
                declarations(&now),
                "wit/{} is part of a released contract; add a package beside it",
                file.display()
            );
        }
    }
}

/// The declarations of a contract without its comments, which may be improved.
fn declarations(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
}

/// A component of each contract runs, and a component of the second is rolled back to one of the first.
#[test]
fn components_of_every_contract_run_and_are_rolled_back() {
    let first = std::fs::read(frozen().join("0.1.0/components/poison-fixed.wasm")).unwrap();
    let second = guest("poison-fixed");
    let is_of_second = |bytes: &[u8]| bytes.windows(28).any(|part| part == b"sandbus:plugin/numbers@0.2.0");
    assert_eq!((is_of_second(&first), is_of_second(&second)), (false, true));
    let setup = Setup::new();
    put(&setup.path().join("plugins/poison.wasm"), &first);
    let host = setup.start();
    let swallowed = |host: &Host, id: &str, count: u64| {
        publish(host, "", "poison.pill", id, json!({}));
        eventually("it is swallowed", || (host.get("/poison").json() == count).then_some(()));
    };
    swallowed(&host, "1", 1);
    host.drop_in("poison-fixed", "poison.wasm");
    host.wait_until_loaded("poison-fixed", "poison.wasm");
    swallowed(&host, "2", 2);
    done(&host.operate("POST", "/plugins/poison/rollback"));
    assert_eq!(host.plugin("poison.wasm").unwrap()["digest"], digest(&first).as_str());
    swallowed(&host, "3", 3);
    let host = host.crash_and_restart();
    swallowed(&host, "4", 4);
}

/// A component for an unknown contract version is refused; the message names the version and the remedy.
#[test]
fn a_contract_that_is_not_known_is_named() {
    let host = Setup::new().start();
    for (file, component, name) in [
        ("imports", r#"(component (import "sandbus:plugin/bus@0.3.0" (instance (export "x" (func)))))"#, "bus@0.3.0"),
        (
            "exports",
            r#"(component (instance $nothing) (export "sandbus:plugin/descriptor@0.3.0" (instance $nothing)))"#,
            "descriptor@0.3.0",
        ),
    ] {
        put(&host.file(&format!("{file}.wasm")), &wat::parse_str(component).unwrap());
        let refused = host.wait_until_refused(&format!("{file}.wasm"));
        for words in [name, "0.1.0 and 0.2.0", "upgrade the host"] {
            assert!(refused.contains(words), "{refused}");
        }
    }
}
