//! The command line in circumstances that it has no control over.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sandbus_tests::command_line::{expect_code, text};
use sandbus_tests::{Setup, binary, put};
use serde_json::{Value, json};

/// A server that answers each connection with a function, on a thread.
fn serve(answer: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4_096]);
            answer(&mut stream);
        }
    });
    address
}

fn ask(address: SocketAddr, scheme: &str, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .args(["--admin", &format!("{scheme}://{address}")])
        .env("SANDBUS_ADMIN_TIMEOUT", "1s")
        .output()
        .unwrap()
}

/// Runs a command, and ends it after a while if it does not end.
fn ask_for_at_most(time: Duration, address: SocketAddr, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(binary())
        .args(arguments)
        .args(["--admin", &format!("http://{address}")])
        .env("SANDBUS_ADMIN_TIMEOUT", "1s")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while started.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            return Some(said);
        }
        sandbus_tests::pause_for(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn a_silent_host_is_given_up() {
    let (hold, held) = std::sync::mpsc::channel();
    let silent = serve(move |stream| hold.send(stream.try_clone().unwrap()).unwrap());
    let said = ask_for_at_most(Duration::from_secs(20), silent, &["plugins"]).expect("it ends");
    assert!(said.contains("no response") && said.contains("1s"), "{said}");
    drop(held);

    // The beginning of an answer is not an answer.
    let (hold, held) = std::sync::mpsc::channel();
    let stalled = serve(move |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").unwrap();
        hold.send(stream.try_clone().unwrap()).unwrap();
    });
    let said = ask_for_at_most(Duration::from_secs(20), stalled, &["plugins"]).expect("it ends");
    assert!(said.contains("no response"), "{said}");
    drop(held);
}

#[test]
fn an_endless_answer_is_cut() {
    let endless = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        while stream.write_all(&[b' '; 65_536]).is_ok() {}
    });
    let said = ask_for_at_most(Duration::from_secs(60), endless, &["plugins"]).expect("it ends");
    assert!(said.contains("larger than"), "{said}");
}

#[test]
fn tls_and_plain_ports_are_told_apart() {
    let plain = serve(|stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")));
    let said = text(&ask(plain, "https", &["plugins"]));
    assert!(said.contains("does not speak TLS") && said.contains("http://"), "{said}");
    // The beginning of a TLS alert (RFC 8446, section 5.1).
    let tls = serve(|stream| drop(stream.write_all(&[21, 3, 1, 0, 2, 2, 70])));
    let said = text(&ask(tls, "http", &["plugins"]));
    assert!(said.contains("does not speak plain HTTP") && said.contains("https://"), "{said}");
}

/// `/dev/full` refuses each write (full(4)).
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    for arguments in [&["--help"][..], &["--version"], &["help"], &["help", "publish"], &["events", "export", "--help"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(binary()).args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output));
        let plain = Command::new(binary()).args(arguments).output().unwrap();
        assert!(plain.status.success() && !plain.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn former_names_are_errors_that_name_the_new_ones() {
    for (arguments, new) in [
        (&["compact"][..], "events compact"),
        (&["compact", "--json"], "events compact"),
        (&["subscriptions", "stop-replays", "a/b"], "replay --stop"),
        (&["canary", "a.wasm", "--last", "5"], "--events"),
    ] {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(new), "{arguments:?}: {}", text(&output));
    }
}

/// More events than one page has, of several sizes.
#[test]
fn an_export_has_all_events() {
    const COUNT: usize = 1_250;
    let host = Setup::new().start();
    let batched = [("content-type", "application/cloudevents-batch+json")];
    for first in (0..COUNT).step_by(50) {
        let event = |id: usize| {
            let event_type = if id.is_multiple_of(2) { "even" } else { "odd" };
            json!({ "specversion": "1.0", "id": id.to_string(), "source": "/test", "type": event_type, "data": id })
        };
        let batch: Vec<_> = (first..first + 50).map(event).collect();
        let answer = host.send("POST", &host.url("/events"), &batched, json!(batch).to_string().as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let export = |arguments: &[&str]| -> Vec<usize> {
        let output = host.cli(&[&["events", "export"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["data"].as_u64().unwrap();
        lines.lines().map(|line| usize::try_from(id(line)).unwrap()).collect()
    };
    assert_eq!(export(&[]), (0..COUNT).collect::<Vec<_>>());
    assert_eq!(export(&["--last", "3"]), [COUNT - 3, COUNT - 2, COUNT - 1]);
    assert_eq!(export(&["--last", "1100"]), (COUNT - 1_100..COUNT).collect::<Vec<_>>());
    assert_eq!(export(&["--type", "odd"]), (0..COUNT).filter(|id| !id.is_multiple_of(2)).collect::<Vec<_>>());
    assert_eq!(export(&["--type", "odd", "--last", "510"]).len(), 510);
    assert_eq!(export(&["--since", "1201"]), (1_200..COUNT).collect::<Vec<_>>());
    let refused = expect_code(&host, 2, &["events", "export", "--last", "0"]);
    assert!(refused.contains("--last"), "{refused}");
}

#[test]
fn a_published_event_without_a_subscription_is_noticed() {
    let host = Setup::new().plugin("echo").start();
    let said = expect_code(&host, 0, &["publish", "nobody.cares"]);
    assert!(said.contains("no subscription matches the type `nobody.cares`"), "{said}");
    let said = expect_code(&host, 0, &["publish", "echo.hello"]);
    assert!(!said.contains("no subscription"), "{said}");
    let json = host.cli(&["publish", "nobody.cares", "--json"]);
    assert!(serde_json::from_slice::<Value>(&json.stdout).is_ok(), "the hint is not part of the answer");
}

#[test]
fn refusals_of_the_host_are_shown_with_their_reasons() {
    let host = Setup::new().plugin("echo").start();
    for (code, arguments, words) in [
        (2, &["dead-letters", "list", "--cause", "nosuch"][..], "out-of-memory"),
        (2, &["dead-letters", "drop"], "--all"),
        (2, &["dead-letters", "redrive"], "--all"),
        (1, &["plugins", "resume", "nosuch"], "echo"),
        (1, &["rollback", "nosuch"], "echo"),
        (1, &["subscriptions", "replay", "echo/remember", "--position", "99"], "99"),
        (1, &["subscriptions", "replay", "echo/remember", "--since", "2999-01-01T00:00:00Z"], "2999"),
    ] {
        let said = expect_code(&host, code, arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn a_long_address_is_cut_in_the_middle() {
    let host = Setup::new().start();
    let url = format!("http://127.0.0.1:9/{}/end", "segment/".repeat(100));
    let create = ["subscriptions", "create", "hook", "--pattern", "a.b", "--webhook", &url];
    let _ = expect_code(&host, 0, &create);
    let shown = expect_code(&host, 0, &["subscriptions"]);
    assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
    assert!(shown.contains("http://127.0.0.1:9/") && shown.contains('…') && shown.contains("/end"), "{shown}");
}

#[test]
fn a_scenario_that_is_nested_too_deeply_is_rejected() {
    let home = tempfile::tempdir().unwrap();
    let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
    let wasm = sandbus_tests::guest_path("echo");
    for step in [
        format!(r#""event":"a.b","data":{deep}"#),
        format!(r#""request":"POST /x","json":{deep}"#),
        format!(r#""event":"a.b","then":{{"state":{{"k":{deep}}}}}"#),
    ] {
        let file = home.path().join("deep.json");
        put(&file, format!(r#"{{"scenario":[{{"name":"x","step":[{{{step}}}]}}]}}"#).as_bytes());
        let output = Command::new(binary()).arg("test").arg(&wasm).arg("--scenarios").arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("nested deeper than 100 levels"), "{}", text(&output));
    }
}
