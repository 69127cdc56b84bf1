//! Generations of a plugin: canaries with recent events, and rollbacks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::{Host, Setup, digest, eventually, guest, guest_path, put};
use serde_json::{Value, json};

fn swallow(host: &Host, ids: std::ops::Range<u32>) {
    for id in ids {
        assert_eq!(host.publish("poison.pill", &id.to_string(), json!({})).status, 202);
    }
}

fn runs(host: &Host, guest_name: &str) -> bool {
    host.plugin("poison.wasm").is_some_and(|plugin| plugin["digest"] == digest(&guest(guest_name)).as_str())
}

fn dead_letters(host: &Host, count: usize) {
    eventually("the dead letters are there", || (host.dead_letters().len() == count).then_some(()));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A host that runs the fixed plugin.
fn host(sidecar: &str) -> Host {
    let host = Setup::new().sidecar("poison", sidecar).start();
    host.drop_in("poison-fixed", "poison.wasm");
    host.wait_until_loaded("poison-fixed", "poison.wasm");
    host
}

#[test]
fn an_operator_goes_back_and_it_stays_so_until_another_file_comes() {
    let host = host("");
    host.drop_in("poison", "poison.wasm");
    host.wait_until_loaded("poison", "poison.wasm");
    swallow(&host, 0..1);
    dead_letters(&host, 1);

    let output = host.cli(&["rollback", "poison"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("until the file in the folder changes"), "{}", text(&output.stdout));
    assert!(runs(&host, "poison-fixed"));
    assert_eq!(host.operate("POST", "/dead-letters/redrive?all=true").status, 200);
    eventually("the plugin swallows it", || (host.get("/poison").json() == 1).then_some(()));

    let host = host.crash_and_restart();
    let plugin = host.plugin("poison.wasm").unwrap();
    assert!(runs(&host, "poison-fixed"), "{plugin}");
    assert_eq!((&plugin["status"], &plugin["rolled_back"]["reason"]), (&json!("rolled back"), &json!("by hand")));
    assert_eq!(plugin["generations"].as_array().unwrap().len(), 2);
    assert_eq!(host.operate("POST", "/plugins/poison/rollback").problem(), "no-generation");
    assert_eq!(host.operate("POST", "/plugins/poison/rollback?to=zz").problem(), "no-generation");
    assert_eq!(host.operate("POST", "/plugins/nobody/rollback").problem(), "not-found");

    // A rollback ends by name, or with another file.
    let bad = digest(&guest("poison"));
    let answer = host.operate("POST", &format!("/plugins/poison/rollback?to={}", &bad[..12])).json();
    assert_eq!((&answer["to"], &answer["is_file"]), (&json!(bad), &json!(true)));
    assert!(runs(&host, "poison"));
    assert_eq!(host.operate("POST", "/plugins/poison/rollback").status, 200);
    let mut changed = guest("poison");
    changed.extend([0, 3, 1, b'v', 1]);
    put(&host.file("poison.wasm"), &changed);
    let plugin =
        eventually("the other file runs", || host.plugin("poison.wasm").filter(|plugin| plugin["status"] == "running"));
    assert_eq!(plugin["digest"], digest(&changed).as_str());
}

#[test]
fn a_generation_that_fails_is_rolled_back_where_its_sidecar_says_so() {
    let host = host("[rollback]\nfailures_percent = 50\nmin_invocations = 4\n");
    host.drop_in("poison", "poison.wasm");
    host.wait_until_loaded("poison", "poison.wasm");
    swallow(&host, 0..3);
    let plugin = eventually("it is rolled back", || {
        host.plugin("poison.wasm").filter(|plugin| plugin["status"] == "rolled back")
    });
    assert!(runs(&host, "poison-fixed"), "{plugin}");
    assert!(plugin["rolled_back"]["reason"].as_str().unwrap().contains("invocations failed"), "{plugin}");
    assert_eq!(host.operate("POST", "/dead-letters/redrive?all=true").status, 200);
    eventually("nothing is lost", || (host.get("/poison").json() == 3).then_some(()));
}

/// The same plugin in another file, with another digest.
fn variant(guest_name: &str, number: u8) -> Vec<u8> {
    let mut bytes = guest(guest_name);
    // A custom section named `v`.
    bytes.extend([0, 3, 1, b'v', number]);
    bytes
}

#[test]
fn a_rollback_skips_generations_that_were_rolled_back_from() {
    let host = host("[rollback]\nfailures_percent = 50\nmin_invocations = 4\n");
    let good = digest(&guest("poison-fixed"));
    for (number, ids) in [(1, 0..3), (2, 3..6)] {
        let bad = variant("poison", number);
        put(&host.file("poison.wasm"), &bad);
        let bad = digest(&bad);
        // It runs until it has failed often enough.
        eventually("it runs", || host.plugin("poison.wasm").filter(|plugin| plugin["digest"] == bad.as_str()));
        swallow(&host, ids);
        let plugin = eventually("it is rolled back", || {
            host.plugin("poison.wasm").filter(|plugin| plugin["status"] == "rolled back")
        });
        assert_eq!(plugin["digest"], good.as_str(), "{plugin}");
        assert_eq!(plugin["rolled_back"]["passed_over"], bad.as_str(), "{plugin}");
        let kept = plugin["generations"].as_array().unwrap();
        let marked: Vec<_> = kept.iter().filter(|kept| kept["rolled_back_from"] == true).collect();
        assert_eq!(marked.len(), usize::from(number), "{plugin}");
        assert_eq!(kept.last().unwrap()["digest"], good.as_str(), "what runs is the last one");
    }

    // A restart keeps the rollback, and another good file ends it.
    let host = host.crash_and_restart();
    assert!(runs(&host, "poison-fixed"));
    assert_eq!(host.operate("POST", "/plugins/poison/rollback").problem(), "no-generation");
    let mended = variant("poison-fixed", 3);
    put(&host.file("poison.wasm"), &mended);
    let mended = digest(&mended);
    eventually("it runs", || host.plugin("poison.wasm").filter(|plugin| plugin["digest"] == mended.as_str()));
    let answer = host.operate("POST", "/plugins/poison/rollback").json();
    assert_eq!(answer["to"], good.as_str(), "not the one that failed");
}

#[test]
fn a_canary_is_asked_of_no_more_events_than_there_is_time_for() {
    let host = host("");
    put(&host.file("poison.toml"), b"[canary]\nevents = 10001\n");
    let refusal = host.wait_until_refused("poison.wasm");
    assert!(refusal.contains("canary.events is 10001") && refusal.contains("10000"), "{refusal}");
    assert!(runs(&host, "poison-fixed"));
}

#[test]
fn a_canary_shows_what_a_new_generation_would_do_and_does_nothing() {
    let host = host("");
    swallow(&host, 0..5);
    host.wait_until_idle();
    let canary = |name: &str, more: &[&str]| {
        let file = guest_path(name);
        let arguments = [&["canary", file.to_str().unwrap()], more].concat();
        host.cli(&arguments)
    };

    let output = canary("poison", &["--json"]);
    assert!(!output.status.success(), "what differs is a failure");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["handled"], &report["different"]), (&json!(5), &json!(5)));
    let differs = report["differences"][0]["differs"].as_array().unwrap();
    let outcome = differs.iter().find(|difference| difference["path"] == "outcome").unwrap();
    assert_eq!((&outcome["running"], &outcome["new"]), (&json!("ack"), &json!("retry")));
    assert!(differs.iter().any(|difference| difference["path"] == "state"), "{report}");
    let shown = text(&canary("poison", &["--events", "2"]).stdout);
    assert!(shown.contains("outcome: \"ack\" → \"retry\"") && shown.contains("2 deliveries: 0 equal"), "{shown}");

    let output = canary("poison-fixed", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("5 deliveries: 5 equal, 0 different"), "{}", text(&output.stdout));

    assert_eq!(host.get("/poison").json(), 5, "nothing was written");
    assert!(host.dead_letters().is_empty());
    assert!(runs(&host, "poison-fixed"));
    let stranger = canary("echo", &["--plugin", "poison"]);
    assert!(text(&stranger.stderr).contains("the component is the plugin `echo`"), "{}", text(&stranger.stderr));
    let broken = host.send("POST", &host.api_url("/plugins/poison/canary"), &[], b"not wasm");
    assert_eq!((broken.status, broken.problem().as_str()), (422, "unloadable"));
}

#[test]
fn an_event_is_run_against_an_archived_generation() {
    let host = host("");
    swallow(&host, 0..3);
    host.wait_until_idle();
    host.drop_in("poison", "poison.wasm");
    host.wait_until_loaded("poison", "poison.wasm");
    swallow(&host, 3..4);
    dead_letters(&host, 1);
    let (good, bad) = (digest(&guest("poison-fixed")), digest(&guest("poison")));

    let canary = |query: &str, body: &[u8]| {
        host.send("POST", &host.api_url(&format!("/plugins/poison/canary{query}")), &[], body)
    };
    let report = canary(&format!("?event=3&generation={good}"), b"").json();
    assert_eq!((&report["running"], &report["new"]), (&json!(bad), &json!(good)), "{report}");
    assert_eq!((&report["handled"], &report["different"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(report["differences"][0]["event"], "3", "{report}");
    let report = canary(&format!("?generation={}", &good[..12]), b"").json();
    assert_eq!(report["handled"], 4, "{report}");
    let report = canary("?event=1", &guest("poison")).json();
    assert_eq!((&report["handled"], &report["different"]), (&json!(1), &json!(0)), "{report}");

    let arguments = ["canary", "--plugin", "poison", "--generation", &good[..12], "--event", "3"];
    let output = host.cli(&arguments);
    assert!(!output.status.success(), "what differs is a failure");
    assert!(text(&output.stdout).contains("outcome: \"retry\" → \"ack\""), "{}", text(&output.stdout));
    assert!(
        text(&output.stderr).contains(&format!("generation {} of poison", &good[..12])),
        "{}",
        text(&output.stderr)
    );

    // An event of another source may have the same id.
    let again = json!({ "id": "1", "type": "poison.pill", "source": "/other", "data": 1 });
    assert_eq!(host.publish_event("/events", again).status, 202);
    let report = canary(&format!("?event=1&source=/other&generation={good}"), b"").json();
    assert_eq!(report["handled"], 1, "{report}");
    for (query, body, status, code) in [
        ("?source=/test", b"".as_slice(), 400, "invalid-query"),
        (&format!("?event=1&generation={good}"), b"", 400, "ambiguous-id"),
        ("", b"", 400, "component-required"),
        ("?event=1", b"", 400, "component-required"),
        (&format!("?generation={good}"), b"a component", 400, "invalid-query"),
        ("?generation=", b"", 400, "invalid-query"),
        (&format!("?event=1&events=2&generation={good}"), b"", 400, "invalid-query"),
        ("?generation=zz", b"", 409, "no-generation"),
        (&format!("?event=gone&generation={good}"), b"", 404, "not-found"),
    ] {
        let refused = canary(query, body);
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{query}: {}", refused.body);
    }
    std::fs::remove_file(host.path().join(format!("data/generations/poison/{good}.wasm"))).unwrap();
    assert_eq!(canary(&format!("?generation={good}"), b"").problem(), "generation-unloadable");
    let state = host.admin("/plugins/poison/state/swallowed");
    assert_eq!(state["value"], "3", "nothing was written: {state}");
    dead_letters(&host, 2);
}

#[test]
fn a_running_plugin_tells_its_size_and_how_long_it_took_to_load() {
    let host = Setup::new().plugin("poison").sidecar("poison", "").start();
    let plugin = host.plugin("poison.wasm").unwrap();
    assert_eq!(plugin["size_bytes"], guest("poison").len(), "{plugin}");
    assert!(plugin["load_us"].as_u64().unwrap() > 0, "{plugin}");
    put(&host.file("poison.toml"), b"enabled = false\n");
    eventually("it is disabled", || {
        let plugin = host.plugin("poison.wasm").filter(|plugin| plugin["status"] == "disabled")?;
        assert_eq!((&plugin["size_bytes"], &plugin["load_us"]), (&Value::Null, &Value::Null), "{plugin}");
        Some(())
    });
}

#[test]
fn both_generations_of_a_canary_live_in_the_same_world() {
    let host = Setup::new().plugin("dice").start();
    for id in 0..10 {
        assert_eq!(host.publish("dice.wanted", &id.to_string(), json!({})).status, 202);
    }
    eventually("the dice are rolled", || (host.events_of("dice.rolled").len() == 10).then_some(()));
    host.wait_until_idle();
    let output = host.cli(&["canary", guest_path("dice").to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["handled"], &report["different"]), (&json!(10), &json!(0)), "{report:#}");
    assert_eq!(host.events_of("dice.rolled").len(), 10);
}

#[test]
fn a_sidecar_may_demand_a_canary_before_a_swap() {
    let host = host("[canary]\nevents = 10\n");
    swallow(&host, 0..3);
    host.wait_until_idle();
    host.drop_in("poison", "poison.wasm");
    let refusal = host.wait_until_refused("poison.wasm");
    assert!(refusal.contains("3 of the last 3 events differently") && refusal.contains("[canary]"), "{refusal}");
    swallow(&host, 3..4);
    eventually("what ran goes on", || (host.get("/poison").json() == 4).then_some(()));
    put(&host.file("poison.toml"), b"[canary]\nevents = 10\nmax_differences = 10\n");
    host.wait_until_loaded("poison", "poison.wasm");
}

/// Two entries, each recorded once under its own key.
fn ledger(sidecar: &str) -> Host {
    let host = Setup::new().plugin("ledger").sidecar("ledger", sidecar).start();
    for id in ["1", "2"] {
        assert_eq!(host.publish("ledger.entry", id, json!({})).status, 202);
    }
    host.wait_until_idle();
    host
}

#[test]
fn a_canary_says_what_proves_nothing_where_handlers_meet_their_own_writes() {
    let host = ledger("");
    // The new file has seen these, whatever it did with a new entry.
    let file = guest_path("ledger");
    let output = host.cli(&["canary", file.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["handled"], &report["different"], &report["inconclusive"]), (&json!(4), &json!(0), &json!(4)));
    assert!(!output.status.success(), "nothing is proven");
    let output = host.cli(&["canary", file.to_str().unwrap()]);
    assert!(text(&output.stdout).contains("0 equal, 0 different, 4 inconclusive"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("no delivery is conclusive"), "{}", text(&output.stderr));
}

#[test]
fn a_gate_does_not_count_what_proves_nothing() {
    let host = ledger("[canary]\nevents = 10\n");
    put(&host.file("ledger.wasm"), &variant("ledger", 1));
    let refusal = host.wait_until_refused("ledger.wasm");
    assert!(refusal.contains("only 0 of the last 4 events are conclusive"), "{refusal}");
    assert!(refusal.contains("`min_conclusive`"), "{refusal}");
    put(&host.file("ledger.toml"), b"[canary]\nevents = 10\nmin_conclusive = 0\n");
    let changed = digest(&variant("ledger", 1));
    eventually("it runs", || host.plugin("ledger.wasm").filter(|plugin| plugin["digest"] == changed.as_str()));
}

#[test]
fn a_damaged_record_is_named_and_what_was_rolled_back_from_stays_away() {
    let host = host("");
    host.drop_in("poison", "poison.wasm");
    host.wait_until_loaded("poison", "poison.wasm");
    assert_eq!(host.operate("POST", "/plugins/poison/rollback").status, 200);
    let home = host.path().join("data/generations/poison");
    let files = [home.join("record.json"), home.join(format!("{}.wasm", digest(&guest("poison-fixed"))))];
    let mut host = host;
    for path in files {
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 4;
        std::fs::write(&path, damaged).unwrap();
        host = host.crash_and_restart();
        let refusal = host.wait_until_refused("poison.wasm");
        assert!(refusal.contains("rolled back from"), "{refusal}");
        assert_eq!(host.plugin("poison.wasm").unwrap()["status"], "broken");
        // The fixed file is loaded automatically.
        std::fs::write(&path, whole).unwrap();
        eventually("what was rolled back to runs", || runs(&host, "poison-fixed").then_some(()));
    }
}

#[test]
fn each_generation_has_what_it_asked_for_and_was_granted() {
    let host = host("");
    let generation = |index: usize| host.plugin("poison.wasm").unwrap()["generations"][index].clone();
    assert_eq!(generation(0)["granted"]["http"], json!([]));
    // The sidecar of the running generation changes what it is granted.
    put(&host.file("poison.toml"), b"[grants]\nhttp = [\"a.example\"]\n");
    eventually("the grant is recorded", || (generation(0)["granted"]["http"] == json!(["a.example"])).then_some(()));
    host.drop_in("poison", "poison.wasm");
    host.wait_until_loaded("poison", "poison.wasm");
    put(&host.file("poison.toml"), b"[grants]\nhttp = [\"b.example\"]\n");
    eventually("the grant is recorded", || (generation(1)["granted"]["http"] == json!(["b.example"])).then_some(()));
    assert_eq!(generation(0)["granted"]["http"], json!(["a.example"]), "the earlier generation keeps its own");
    assert_eq!(generation(0)["asks_for"], json!({ "publish": [], "subscribe": [] }));

    // A rollback applies the sidecar of now. A restart changes nothing.
    assert_eq!(host.operate("POST", "/plugins/poison/rollback").status, 200);
    assert_eq!(generation(1)["granted"]["http"], json!(["b.example"]));
    let before = host.plugin("poison.wasm").unwrap()["generations"].clone();
    let host = host.crash_and_restart();
    assert_eq!(host.plugin("poison.wasm").unwrap()["generations"], before);
}
