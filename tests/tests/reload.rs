//! Plugins are added, changed and removed while the host runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sandbus_tests::{Host, Setup, digest, eventually, guest, put};
use serde_json::json;

#[test]
fn a_plugin_dropped_in_is_there_and_a_removed_one_keeps_its_backlog() {
    let host = Setup::new().start();
    assert_eq!(host.get("/ledger").status, 404);
    host.drop_in("ledger", "ledger.wasm");
    host.wait_until_loaded("ledger", "ledger.wasm");
    assert_eq!(host.publish("ledger.entry", "1", json!({})).status, 202);
    host.wait_until_idle();

    std::fs::remove_file(host.file("ledger.wasm")).unwrap();
    let absent = eventually("its routes say so", || Some(host.get("/ledger")).filter(|answer| answer.status == 503));
    assert_eq!(absent.problem(), "plugin-absent");
    assert!(absent.headers.contains_key("retry-after"));
    assert_eq!(host.publish("ledger.entry", "2", json!({})).status, 202);
    let subscription = host.subscription("ledger/entry").unwrap();
    assert_eq!((&subscription["status"], &subscription["backlog"]), (&json!("paused"), &json!(1)));
    assert!(subscription["waits_for"].as_str().unwrap().contains("not loaded"));
    // A restart changes nothing: no other plugin gets its requests.
    let host = host.crash_and_restart();
    assert_eq!(host.get("/ledger").problem(), "plugin-absent");

    host.drop_in("ledger", "ledger.wasm");
    host.wait_until_loaded("ledger", "ledger.wasm");
    host.wait_until_idle();
    assert_eq!(host.get("/ledger").json()["merged"], 2);
}

/// Whether both plugins of the next test run, and every path to an operator tells of the folder.
fn runs_despite(host: &Host, words: &str, id: u32) {
    let refused = eventually("the host is not ready", || {
        let answer = host.send("GET", &host.admin_url("/readyz"), &[], b"");
        (answer.status == 503 && answer.body.contains(words)).then_some(answer)
    });
    assert_eq!(refused.problem(), "not-ready");
    assert!(host.admin("/plugins")["folder_error"].as_str().unwrap().contains(words));
    let shown = host.cli(&["plugins"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(words), "{shown:?}");
    assert_eq!(host.get("/ledger").status, 200);
    assert_eq!(host.publish("ledger.entry", &id.to_string(), json!({})).status, 202);
    host.wait_until_idle();
}

#[test]
fn a_plugin_folder_that_is_gone_or_unreadable_stops_no_plugin() {
    let host = Setup::new().plugin("ledger").plugin("echo").start();
    let folder = host.file("ledger.wasm").parent().unwrap().to_owned();
    let away = folder.with_file_name("away");
    let ready = |what: &str| {
        eventually(what, || (host.send("GET", &host.admin_url("/readyz"), &[], b"").status == 200).then_some(()));
    };
    let handled = |count: usize| assert_eq!(host.get("/ledger").json()["merged"], count);
    ready("it is ready at first");

    // Renamed away, and back.
    std::fs::rename(&folder, &away).unwrap();
    runs_despite(&host, "cannot be read", 1);
    std::fs::rename(&away, &folder).unwrap();
    ready("the folder is back");
    handled(1);

    // A file in its place.
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "").unwrap();
    runs_despite(&host, "Not a directory", 2);
    std::fs::remove_file(&folder).unwrap();

    // An empty folder in its place, like a mount point that is left by what was mounted on it.
    std::fs::create_dir(&folder).unwrap();
    runs_despite(&host, "replaced by an empty folder", 3);
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    ready("the folder is back once more");
    handled(3);

    // The folder is watched again: a removed file still removes its plugin.
    std::fs::remove_file(host.file("ledger.wasm")).unwrap();
    eventually("the plugin is removed", || (host.get("/ledger").status == 503).then_some(()));
    assert!(host.plugin("echo.wasm").is_some());

    // Another folder with plugins takes the place: it is what the operator wants to run.
    std::fs::create_dir(&away).unwrap();
    std::fs::copy(host.file("echo.wasm"), away.join("echo.wasm")).unwrap();
    std::fs::rename(&folder, folder.with_file_name("former")).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    host.drop_in("ledger", "ledger.wasm");
    host.wait_until_loaded("ledger", "ledger.wasm");
    ready("another folder is accepted");
    handled(3);
    // Two faults, and perhaps the two moments in which there is nothing in the folder's place.
    let logged = host.log().matches("cannot be read: ").count();
    assert!((2..=4).contains(&logged), "each fault is logged once, and not {logged} times: {}", host.log());
}

#[test]
fn names_of_files_that_could_harm_are_reported_and_make_no_directories() {
    let host = Setup::new().plugin("echo").start();
    for name in ["line\nbreak.wasm", "\u{1b}[2J.wasm", "-rf.wasm", "ECHO.wasm"] {
        put(&host.file(name), &guest("ledger"));
    }
    for (shown, words) in [
        ("line\\nbreak.wasm", "control character"),
        ("\\u{1b}[2J.wasm", "control character"),
        ("-rf.wasm", "option"),
        ("ECHO.wasm", "differs from echo.wasm only in case"),
    ] {
        let plugin = eventually("the file is reported", || host.plugin(shown));
        assert_eq!(plugin["status"], "ignored", "{plugin}");
        assert!(plugin["error"].as_str().unwrap().contains(words), "{plugin}");
    }
    let archived: Vec<_> = std::fs::read_dir(host.path().join("data/generations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(archived, ["echo"]);
    assert!(!host.log().contains('\u{1b}'), "{}", host.log());
}

#[test]
fn a_swap_under_load_refuses_no_request_and_handles_every_event_once() {
    const SWAPS: usize = 20;
    let host = Setup::new().plugin("ledger").start();
    let original = guest("ledger");
    let (stop, posted) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = host.post("/ledger", json!({ "entry": 1 }));
                    assert_eq!(answer.status, 201, "{}", answer.body);
                    posted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for swap in 0..SWAPS {
            // The same code with another custom section at its end: a new digest, and a new generation.
            let mut changed = original.clone();
            changed.extend([0, 3, 1, b'v', u8::try_from(swap).unwrap()]);
            put(&host.file("ledger.wasm"), &changed);
            let digest = sandbus_tests::digest(&changed);
            eventually("the swap is done", || {
                host.plugin("ledger.wasm").filter(|plugin| plugin["digest"] == digest.as_str())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    host.wait_until_idle();
    let posted = posted.load(Ordering::Relaxed);
    assert!(posted > SWAPS, "there was load: {posted}");
    let expected = json!({ "booked": posted, "merged": posted, "rewritten": posted, "repeated": 0 });
    assert_eq!(host.get("/ledger").json(), expected);
    assert!(host.dead_letters().is_empty());
}

#[test]
fn a_broken_file_changes_nothing_but_the_error() {
    let host = Setup::new().plugin("echo").start();
    for (content, complaint) in [
        (b"not wasm at all".to_vec(), "not WebAssembly"),
        (guest("echo")[..50_000].to_vec(), ""),
        (Vec::new(), "not WebAssembly"),
    ] {
        put(&host.file("echo.wasm"), &content);
        let error = eventually("the file is refused", || {
            let plugin = host.plugin("echo.wasm")?;
            plugin["error"].as_str().filter(|error| error.contains(complaint)).map(str::to_owned)
        });
        assert!(!error.is_empty());
        assert_eq!(host.plugin("echo.wasm").unwrap()["status"], "running an older file");
        assert_eq!(host.post("/echo/x", json!({})).status, 200, "the former generation goes on");
    }
    host.drop_in("echo", "echo.wasm");
    host.wait_until_loaded("echo", "echo.wasm");
}

#[test]
fn a_file_that_is_written_slowly_is_loaded_when_it_is_whole() {
    use std::io::Write as _;
    let host = Setup::new().start();
    let bytes = guest("echo");
    let mut file = std::fs::File::create(host.file("echo.wasm")).unwrap();
    for part in bytes.chunks(bytes.len() / 8) {
        file.write_all(part).unwrap();
        file.sync_all().unwrap();
        // Requests between the parts give the host time to notice the half-written file.
        for _ in 0..20 {
            assert_eq!(host.get("/echo").status, 404);
        }
    }
    drop(file);
    host.wait_until_loaded("echo", "echo.wasm");
    assert_eq!(host.post("/echo/x", json!({})).status, 200);
}

#[test]
fn a_subscription_that_is_no_longer_declared_is_paused_and_kept() {
    let host = Setup::new().plugin("poison").start();
    // Another plugin's code in the same file: the first plugin is gone, and so is its handler.
    host.drop_in("echo", "poison.wasm");
    host.wait_until_loaded("echo", "poison.wasm");
    assert_eq!(host.subscription("poison/swallow").unwrap()["status"], "paused");
    let refused = host.cli(&["subscriptions", "delete", "echo/remember"]);
    assert!(!refused.status.success(), "one that is declared stays");
    assert!(host.cli(&["subscriptions", "delete", "poison/swallow"]).status.success());
    assert!(host.subscription("poison/swallow").is_none());
}

#[test]
fn the_sidecar_is_the_operators_word() {
    let sidecar =
        "[config]\ngreeting = \"Good day\"\n[subscriptions.user_registered]\nmax_attempts = 2\nconcurrency = 3\n";
    let host = Setup::new()
        .plugin("registration")
        .plugin("registration-handler")
        .sidecar("registration-handler", sidecar)
        .start();
    let subscription = host.subscription("registration-handler/user_registered").unwrap();
    assert_eq!((&subscription["retry"]["max_attempts"], &subscription["concurrency"]), (&json!(2), &json!(3)));
    assert_eq!(host.post("/register", json!({ "name": "Ada", "email": "a@b.c" })).status, 201);
    let _ = host.wait_for_log(&["Good day, Ada!"]);

    put(&host.file("registration-handler.toml"), b"enabled = false\n");
    eventually("it is switched off", || {
        host.plugin("registration-handler.wasm").filter(|plugin| plugin["status"] == "disabled")
    });
    assert_eq!(host.post("/handle_user_registration", json!({})).status, 503);
    std::fs::remove_file(host.file("registration-handler.toml")).unwrap();
    host.wait_until_loaded("registration-handler", "registration-handler.wasm");
    assert_eq!(host.subscription("registration-handler/user_registered").unwrap()["retry"]["max_attempts"], 10);
}

#[test]
fn a_sidecar_that_is_away_for_a_moment_is_no_change() {
    // A wait that is long because the machine is busy proves nothing.
    let was_quick = (0..5).any(|_| {
        let host = Setup::new().plugin("echo").sidecar("echo", "[limits]\ntimeout = \"2s\"\n").start();
        let (away, started) = (host.file("echo.away"), Instant::now());
        std::fs::rename(host.file("echo.toml"), &away).unwrap();
        // Requests give the host time to notice the folder's change.
        for _ in 0..10 {
            assert_eq!(host.post("/echo/x", json!({})).status, 200);
        }
        std::fs::rename(&away, host.file("echo.toml")).unwrap();
        if started.elapsed() > Duration::from_millis(200) {
            return false;
        }
        // When this file is loaded, the host has handled everything that it noticed before.
        host.drop_in("ledger", "ledger.wasm");
        host.wait_until_loaded("ledger", "ledger.wasm");
        let _ = host.wait_for_log(&["plugin loaded", "\"plugin\":\"ledger\""]);
        let log = host.log();
        let loads = log.lines().filter(|line| line.contains("plugin loaded") && line.contains("\"plugin\":\"echo\""));
        assert_eq!(loads.count(), 1, "{log}");
        assert_eq!(host.plugin("echo.wasm").unwrap()["limits"]["timeout"], "2s");
        true
    });
    assert!(was_quick, "the sidecar was never away for only a moment");
}

#[test]
fn a_link_in_the_place_of_a_sidecar_is_refused() {
    let host = Setup::new().plugin("echo").start();
    let target = host.path().join("elsewhere.toml");
    std::fs::write(&target, "[limits]\ntimeout = \"2s\"\n").unwrap();
    std::os::unix::fs::symlink(&target, host.file("echo.toml")).unwrap();
    let refusal = host.wait_until_refused("echo.wasm");
    assert!(refusal.contains("sidecar") && refusal.contains("link"), "{refusal}");
    assert_eq!(host.post("/echo/x", json!({})).status, 200, "what ran goes on");
    std::fs::remove_file(host.file("echo.toml")).unwrap();
    host.wait_until_loaded("echo", "echo.wasm");
}

#[test]
fn a_plugin_that_is_renamed_keeps_its_routes() {
    let sidecar = |name: &str| format!("name = \"{name}\"\nroutes = [\"GET /answers\"]\n");
    let host = Setup::new().plugin("bench-wasi-http").sidecar("bench-wasi-http", &sidecar("former")).start();
    assert_eq!(host.get("/answers").status, 200);
    put(&host.file("bench-wasi-http.toml"), sidecar("later").as_bytes());
    eventually("it has its new name", || {
        host.plugin("bench-wasi-http.wasm").filter(|plugin| plugin["name"] == "later" && plugin["error"].is_null())
    });
    assert_eq!(host.get("/answers").status, 200);
}

#[test]
fn compiled_code_is_cached_and_damage_to_it_is_a_miss() {
    let host = Setup::new().plugin("echo").own_code().start();
    let cache = host.path().join("data/cache");
    let code = || {
        let entries = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "code")).collect::<Vec<_>>()
    };
    let files = code();
    assert_eq!(files.len(), 1);
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], &bytes).unwrap();
    let host = host.crash_and_restart();
    assert_eq!(host.post("/echo/x", json!({})).status, 200);
    let _ = host.wait_for_log(&["cached code is damaged"]);
    assert_ne!(std::fs::read(&files[0]).unwrap(), bytes, "it was compiled again");
}

#[test]
fn a_file_that_is_not_a_plugin_is_listed_with_the_reason() {
    let host = Setup::new().plugin("echo").start();
    // A link within the folder would be followed.
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), host.file("linked.wasm")).unwrap();
    std::fs::create_dir(host.file("folder.wasm")).unwrap();
    put(&host.file("LOUD.WASM"), b"");
    let made = std::process::Command::new("mkfifo").arg(host.file("pipe.wasm")).status().unwrap();
    assert!(made.success());
    for (file, reason) in [
        ("linked.wasm", "symbolic link"),
        ("folder.wasm", "directory"),
        ("LOUD.WASM", "lower case"),
        ("pipe.wasm", "named pipe"),
    ] {
        let plugin = eventually("it has a row", || host.plugin(file));
        assert_eq!(plugin["status"], "ignored", "{plugin}");
        assert!(plugin["error"].as_str().unwrap().contains(reason), "{plugin}");
        let _ = host.wait_for_log(&["ignored a file in the plugin folder", file]);
        let listed = host.cli(&["plugins"]);
        assert!(String::from_utf8_lossy(&listed.stdout).contains(reason));
    }
    assert_eq!(host.post("/echo/x", json!({})).status, 200, "nothing waits for a pipe");
    std::fs::remove_file(host.file("linked.wasm")).unwrap();
    eventually("the row is gone", || host.plugin("linked.wasm").is_none().then_some(()));
}

#[test]
fn an_overwrite_in_place_is_noticed_although_length_and_time_are_the_same() {
    let host = Setup::new().start();
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let overwrite = |number: u8| {
        let mut bytes = guest("echo");
        // A custom section named `v`.
        bytes.extend([0, 3, 1, b'v', number]);
        std::fs::write(host.file("echo.wasm"), &bytes).unwrap();
        std::fs::File::options().write(true).open(host.file("echo.wasm")).unwrap().set_modified(old).unwrap();
        let digest = digest(&bytes);
        eventually("it runs", || host.plugin("echo.wasm").filter(|plugin| plugin["digest"] == digest.as_str()));
    };
    overwrite(1);
    overwrite(2);
}

#[test]
fn a_new_route_takes_no_requests_from_another_plugin_unless_that_is_granted() {
    // The newcomer's file name sorts first.
    let sidecar = "name = \"answers\"\nroutes = [\"POST /echo/fixed\"]\n";
    let host = Setup::new().plugin("echo").start();
    put(&host.file("a.toml"), sidecar.as_bytes());
    put(&host.file("a.wasm"), &guest("bench-wasi-http"));
    let refused = |host: &sandbus_tests::Host| {
        let refusal = host.wait_until_refused("a.wasm");
        assert!(refusal.contains("`POST /echo/fixed`") && refusal.contains("`POST /echo/{word}`"), "{refusal}");
        assert!(refusal.contains("`echo`") && refusal.contains("[grants] routes"), "{refusal}");
        assert_eq!(host.post("/echo/fixed", json!({})).json()["word"], "fixed");
    };
    refused(&host);
    let host = host.crash_and_restart();
    refused(&host);

    put(&host.file("a.toml"), format!("{sidecar}[grants]\nroutes = [\"POST /echo/fixed\"]\n").as_bytes());
    host.wait_until_loaded("bench-wasi-http", "a.wasm");
    assert!(host.post("/echo/fixed", json!({})).body.find("\"word\"").is_none());
    let plugin = host.plugin("a.wasm").unwrap();
    let overlap =
        json!({ "route": "POST /echo/fixed", "plugin": "echo", "theirs": "POST /echo/{word}", "goes_first": true });
    assert_eq!(plugin["overlaps"], json!([overlap]));
    let listed = String::from_utf8_lossy(&host.cli(&["plugins"]).stdout).into_owned();
    assert!(
        listed.contains("answers: requests that match POST /echo/fixed also match POST /echo/{word} of echo"),
        "{listed}"
    );

    // Revoking the grant ends the claim, and a removed plugin holds no routes.
    put(&host.file("a.toml"), sidecar.as_bytes());
    let _ = host.wait_until_refused("a.wasm");
    let host = host.crash_and_restart();
    refused(&host);
    std::fs::remove_file(host.file("echo.wasm")).unwrap();
    host.wait_until_loaded("bench-wasi-http", "a.wasm");
    host.drop_in("echo", "echo.wasm");
    host.wait_until_loaded("echo", "echo.wasm");
    let host = host.crash_and_restart();
    assert!(host.plugin("a.wasm").unwrap()["error"].is_null(), "whoever has it keeps it");
}
