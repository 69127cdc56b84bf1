//! Backups of a running and of a stopped host, and what is restored from them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sandbus_tests::command_line::{expect_code, run, text};
use sandbus_tests::release::{done, publish, values};
use sandbus_tests::{Host, Setup, agent, binary, eventually, send};
use serde_json::{Value, json};

/// Publishes entries until it is told to stop, and notes the ids of those that were acknowledged.
fn load(host: &Host, client: usize, stop: &AtomicBool, acknowledged: &Mutex<Vec<String>>) {
    let agent = agent();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("{client}-{number}");
        let event =
            json!({ "specversion": "1.0", "id": id, "source": "/load", "type": "ledger.entry", "data": number });
        let headers = [("content-type", "application/cloudevents+json")];
        let answer = send(&agent, "POST", &host.url("/events"), &headers, event.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
        acknowledged.lock().unwrap().push(id);
    }
}

/// The files in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Kills the host, and waits until it is gone.
fn kill(host: &Host) {
    host.signal("-KILL");
    eventually("the host is gone", || {
        host.try_send("GET", &host.admin_url("/healthz"), &[], b"").is_err().then_some(())
    });
}

fn lose_data(host: &Host) {
    kill(host);
    fs::remove_dir_all(host.path().join("data")).unwrap();
}

#[test]
fn a_host_under_load_is_restored_after_the_loss_of_its_data() {
    let host = Setup::new().plugin("ledger").plugin("keeper").start();
    done(&host.send("PUT", &host.url("/keeper/text"), &[], json!("für später").to_string().as_bytes()));
    publish(&host, "", "keeper.bad", "bad-1", json!({ "id": "bad-1" }));
    publish(&host, "", "keeper.job", "job-1", json!({}));
    publish(&host, "?delay=1h", "keeper.later", "later-1", json!("later"));
    done(&host.operate("POST", "/subscriptions/keeper/entry/pause"));
    eventually("a dead letter", || (host.dead_letters().len() == 1).then_some(()));
    eventually("the job waits for another attempt", || {
        host.subscription("keeper/job").filter(|subscription| subscription["next_attempt"].is_string())
    });
    let created = run(&host, &["token", "create", "--role", "view", "--json"]);
    let created: Value = serde_json::from_str(&created).unwrap();
    let schedules = host.admin("/schedules");

    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (before, after) = thread::scope(|scope| {
        for client in 0..3 {
            let (host, stop, acknowledged) = (&host, &stop, &acknowledged);
            scope.spawn(move || load(host, client, stop, acknowledged));
        }
        let count = || acknowledged.lock().unwrap().len();
        eventually("there is load", || (count() > 60).then_some(()));
        let before = acknowledged.lock().unwrap().clone();
        let made = run(&host, &["backup", "backup.tar", "--ledger"]);
        assert!(made.contains("is complete") && made.contains("2 of them in the plugin folder"), "{made}");
        let made = count();
        eventually("the load goes on", || (count() > made + 20).then_some(()));
        stop.store(true, Ordering::Relaxed);
        (before, made)
    });
    assert!(after > before.len(), "publishers did not wait for the backup: {} {after}", before.len());
    let backup = host.path().join("backup.tar");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!names(&host.path().join("data")).iter().any(|name| name.contains("partial")), "no copy is left");
    let audit = host.admin("/audit?limit=1000");
    let recorded = |audit: &Value, operation: &str| {
        let entries = audit["entries"].as_array().unwrap();
        entries.iter().filter(|entry| entry["operation"] == operation).count()
    };
    assert_eq!(recorded(&audit, "create_backup"), 2, "its beginning and its end: {audit}");

    lose_data(&host);
    fs::remove_dir_all(host.path().join("plugins")).unwrap();
    assert!(run(&host, &["backup", "verify", "backup.tar"]).contains("is complete"));
    let restored = run(&host, &["restore", "backup.tar", "--data", "data", "--plugins", "plugins"]);
    assert!(restored.contains("restored 2 files to plugins"), "{restored}");
    assert_eq!(names(&host.path().join("plugins")), ["keeper.wasm", "ledger.wasm"]);
    assert_eq!(fs::metadata(host.path().join("data")).unwrap().permissions().mode() & 0o777, 0o700);
    let host = host.crash_and_restart();

    for id in &before {
        let answer = host.send("GET", &host.api_url(&format!("/events/{id}")), &[], b"");
        assert_eq!(answer.status, 200, "{id} was acknowledged before the backup: {}", answer.body);
    }
    let booked = eventually("all entries are handled", || {
        let balance = host.get("/ledger").json();
        let is_idle =
            ["ledger/entry", "ledger/rewrite"].iter().all(|id| host.subscription(id).unwrap()["backlog"] == 0);
        let booked = balance["booked"].as_u64().unwrap();
        (is_idle && booked as usize >= before.len() && balance["merged"] == booked).then_some(balance)
    });
    assert_eq!(booked["repeated"], 0, "no effect is there twice: {booked}");
    assert_eq!(values(&host)["text"], "für später");
    let letters = host.dead_letters();
    assert_eq!((letters.len(), &letters[0]["logged"]["event"]["id"]), (1, &json!("bad-1")), "{letters:?}");
    assert!(host.subscription("keeper/job").unwrap()["next_attempt"].is_string(), "the retry is there");
    assert_eq!(host.subscription("keeper/entry").unwrap()["status"], "paused");
    assert_eq!(host.admin("/schedules"), schedules);
    assert!(host.admin("/scheduled").to_string().contains("later-1"));
    let secret = format!("Bearer {}", created["secret"].as_str().unwrap());
    let access = host.send("GET", &host.api_url("/access"), &[("authorization", &secret)], b"");
    assert_eq!(access.json()["role"], "view", "{}", access.body);
    let _ = run(&host, &["audit", "verify", "--data", "data"]);
    assert_eq!(recorded(&host.admin("/audit?limit=1000"), "create_token"), 2);
    let attempts = host.admin("/attempts?subscription=keeper/bad");
    assert!(attempts.to_string().contains("bad-1"), "the ledger is there: {attempts}");
    // The restored host goes on.
    let more = booked["booked"].as_u64().unwrap();
    publish(&host, "", "ledger.entry", "new", json!(1));
    eventually("a new entry is handled", || (host.get("/ledger").json()["booked"] == more + 1).then_some(()));
}

#[test]
fn a_stopped_host_is_backed_up_and_restored_elsewhere() {
    let host = Setup::new().plugin("keeper").start();
    done(&host.send("PUT", &host.url("/keeper/k"), &[], b"1"));
    let offline = ["backup", ".", "--data", "data", "--plugins", "plugins", "--json"];
    let refused = expect_code(&host, 1, &offline);
    assert!(refused.contains("in use by a running host; omit --data"), "{refused}");
    // The write-ahead log of a host that was killed belongs to the store.
    kill(&host);
    let made: Value = serde_json::from_str(&run(&host, &offline)).unwrap();
    let file = made["file"].as_str().unwrap();
    assert!(file.starts_with("./sandbus-") && file.ends_with(".tar"), "{made}");
    let restored = run(&host, &["restore", file, "--data", "other"]);
    assert!(restored.contains("left out 1 files of the plugin folder"), "{restored}");
    let original = fs::read_dir(host.path().join("data/generations")).unwrap().count();
    assert_eq!(fs::read_dir(host.path().join("other/generations")).unwrap().count(), original);
    fs::remove_dir_all(host.path().join("data")).unwrap();
    fs::rename(host.path().join("other"), host.path().join("data")).unwrap();
    let host = host.crash_and_restart();
    assert_eq!(values(&host)["k"], 1);

    for (arguments, expected) in [
        (&["backup", "x.tar", "--data", "nothing", "--plugins", "plugins"][..], "has no store"),
        (&["backup", file], "already exists; choose another name"),
        (&["backup", "missing/x.tar"], "No such file"),
        (&["restore", "x.tar", "--data", "new"], "No such file"),
    ] {
        let refused = expect_code(&host, 1, arguments);
        assert!(refused.contains(expected), "{arguments:?}: {refused}");
    }
    let _ = expect_code(&host, 2, &["backup"]);
    let _ = expect_code(&host, 2, &["backup", "x.tar", "--data", "data"]);
    assert!(!host.path().join("x.tar").exists() && !host.path().join("new").exists());
}

#[test]
fn a_restore_overwrites_nothing() {
    let host = Setup::new().plugin("keeper").start();
    let _ = run(&host, &["backup", "backup.tar"]);
    done(&host.send("PUT", &host.url("/keeper/later"), &[], b"2"));
    for replace in [&[][..], &["--replace"]] {
        let refused = expect_code(&host, 1, &[&["restore", "backup.tar", "--data", "data"], replace].concat());
        assert!(refused.contains("data is in use by a running host; stop the host"), "{refused}");
    }
    assert_eq!(values(&host)["later"], 2);
    kill(&host);
    let refused = expect_code(&host, 1, &["restore", "backup.tar", "--data", "data"]);
    assert!(refused.contains("already exists") && refused.contains("--replace"), "{refused}");

    // A restore that was killed leaves its temporary directory, which the next one deletes.
    let left = host.path().join("data.restoring");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("bus.db"), "half").unwrap();
    // The plugin folder already has the files of the backup.
    let arguments = ["restore", "backup.tar", "--data", "data", "--plugins", "plugins", "--replace", "--json"];
    let restored: Value = serde_json::from_str(&run(&host, &arguments)).unwrap();
    let moved = restored["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 1, "{restored}");
    let moved = PathBuf::from(moved[0].as_str().unwrap());
    assert!(moved.join("bus.db").exists() && !left.exists(), "{restored}");
    let host = host.crash_and_restart();
    assert_eq!(values(&host)["later"], Value::Null, "it is the state of the backup");
}

/// Restores a backup that must be refused, and returns the message.
fn refused(host: &Host, file: &str) -> String {
    let verified = expect_code(host, 1, &["backup", "verify", file]);
    let message = expect_code(host, 1, &["restore", file, "--data", "restored"]);
    assert!(message.contains("cannot be restored") && message.contains("use another backup"), "{message}");
    assert!(verified.contains("cannot be restored"), "{verified}");
    assert!(!names(host.path()).iter().any(|name| name.starts_with("restored")), "nothing was written");
    message
}

#[test]
fn a_damaged_backup_is_refused() {
    let host = Setup::new().plugin("keeper").start();
    done(&host.send("PUT", &host.url("/keeper/k"), &[], b"1"));
    let _ = run(&host, &["backup", "backup.tar"]);
    let whole = fs::read(host.path().join("backup.tar")).unwrap();
    let with = |bytes: &[u8]| {
        fs::write(host.path().join("damaged.tar"), bytes).unwrap();
        refused(&host, "damaged.tar")
    };
    let manifest = whole.windows(13).rposition(|window| window == b"manifest.json").unwrap();
    // The first member begins after its header.
    for at in [0, 30, 512, 512 + 20, 512 + 5_000, whole.len() / 2, manifest, manifest + 512, manifest + 700] {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        let _ = with(&flipped);
    }
    let mut flipped = whole.clone();
    flipped[512 + 5_000] ^= 1;
    assert!(with(&flipped).contains("`data/bus.db` does not match its hash"));
    for length in [0, 1, 512, 5_000, whole.len() / 2, manifest - 1, manifest, manifest + 512, manifest + 700] {
        let message = with(&whole[..length]);
        assert!(message.contains("incomplete") || message.contains("manifest is damaged"), "{length}: {message}");
    }
    assert!(with(&whole[..manifest]).contains("no manifest at its end"));
    assert!(with(b"This is a text, and has nothing to do with backups.").contains("not a backup"));
    // Nothing may follow the manifest.
    let mut longer = whole[..whole.len() - 1_024].to_vec();
    longer.extend_from_slice(&whole);
    assert!(with(&longer).contains("continues after its manifest"));
}

/// Answers one request with the first half of a response. Then closes the connection, or waits for the other side.
fn half_a_host(bytes: Vec<u8>, closes: bool) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-tar\r\ncontent-length: {}\r\n\r\n", bytes.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
        if !closes {
            // Until the client is killed.
            drop(stream.read(&mut [0]));
        }
    });
    (url, thread)
}

#[test]
fn an_interrupted_backup_leaves_nothing_that_is_accepted() {
    let host = Setup::new().plugin("keeper").start();
    let _ = run(&host, &["backup", "backup.tar"]);
    let whole = fs::read(host.path().join("backup.tar")).unwrap();

    // The host is killed.
    let (url, thread) = half_a_host(whole.clone(), true);
    let failed = expect_code(&host, 1, &["backup", "first.tar", "--admin", &url]);
    thread.join().unwrap();
    assert!(failed.contains("closed in the middle"), "{failed}");
    assert!(!names(host.path()).iter().any(|name| name.starts_with("first")), "{:?}", names(host.path()));

    // The client is killed.
    let (url, thread) = half_a_host(whole.clone(), false);
    let mut client = Command::new(binary())
        .args(["backup", "second.tar", "--admin", &url])
        .current_dir(host.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let partial = format!("second.tar.partial-{}", client.id());
    eventually("half of the backup has arrived", || {
        let length = fs::metadata(host.path().join(&partial)).ok()?.len();
        (length >= (whole.len() / 2) as u64).then_some(())
    });
    client.kill().unwrap();
    client.wait().unwrap();
    thread.join().unwrap();
    assert!(!host.path().join("second.tar").exists());
    assert!(refused(&host, &partial).contains("incomplete"));
}

#[test]
fn a_host_that_is_killed_while_it_sends_a_backup_starts_again() {
    let host = Setup::new().plugin("echo").start();
    // More than the buffers of a connection hold.
    for number in 0..40 {
        publish(&host, "", "nobody.listens", &number.to_string(), json!("x".repeat(500_000)));
    }
    let address = host.admin_url("").replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "POST /v1/backup HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let second = host.operate("POST", "/backup");
    assert_eq!((second.status, second.problem().as_str()), (409, "backup-in-progress"), "{}", second.body);
    kill(&host);
    // As if it had been killed while it copied the store.
    let copy = host.path().join("data/backup-x1.partial");
    fs::write(&copy, "half").unwrap();
    let host = host.crash_and_restart();
    assert!(!copy.exists());
    assert!(!names(&host.path().join("data")).iter().any(|name| name.contains("partial")));
    // A client that goes away does not block the next backup.
    let address = host.admin_url("").replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "POST /v1/backup HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    stream.read_exact(&mut head).unwrap();
    drop(stream);
    let made = eventually("the next backup is made", || {
        let output = host.cli(&["backup", "backup.tar"]);
        (output.status.success() || !text(&output).contains("backup-in-progress")).then_some(output)
    });
    assert!(made.status.success(), "{}", text(&made));
    let _ = host.wait_for_log(&["a backup was not sent completely"]);
}

/// Runs a command that may write files of a few blocks only, as on a disk that is almost full.
fn with_little_space(host: &Host, arguments: &[&str]) -> Output {
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    Command::new("sh")
        .args(["-c", script])
        .arg(binary())
        .args(arguments)
        .env("SANDBUS_ADMIN", host.admin_url(""))
        .current_dir(host.path())
        .output()
        .unwrap()
}

#[test]
fn a_backup_without_space_leaves_nothing() {
    let host = Setup::new().plugin("keeper").start();
    let before = names(host.path());
    let failed = with_little_space(&host, &["backup", "backup.tar"]);
    assert!(!failed.status.success() && text(&failed).contains("cannot write backup.tar"), "{}", text(&failed));
    assert_eq!(names(host.path()), before);
    let _ = run(&host, &["backup", "backup.tar"]);
    let failed = with_little_space(&host, &["restore", "backup.tar", "--data", "restored"]);
    assert!(!failed.status.success(), "{}", text(&failed));
    assert!(!names(host.path()).iter().any(|name| name.starts_with("restored")), "{:?}", names(host.path()));
    kill(&host);
    let failed = with_little_space(&host, &["backup", "offline.tar", "--data", "data", "--plugins", "plugins"]);
    assert!(!failed.status.success(), "{}", text(&failed));
    assert!(!names(host.path()).iter().any(|name| name.contains("partial") || name.starts_with("offline")));
}
