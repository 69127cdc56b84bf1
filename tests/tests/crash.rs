//! A killed host loses nothing that it acknowledged, and does nothing twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use sandbus_tests::{Host, Setup, agent, send};
use serde_json::json;

/// Posts entries until the host is gone. Returns the number of acknowledged entries.
fn load(host: &Host, stop: &AtomicBool, client: usize, round: usize, sent: &AtomicUsize) -> usize {
    let agent = agent();
    let mut acknowledged = 0;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{round}-{client}-{number}");
        let event =
            json!({ "specversion": "1.0", "id": id, "source": "/crash", "type": "ledger.entry", "data": number });
        let headers = [("content-type", "application/cloudevents+json")];
        sent.fetch_add(1, Ordering::Relaxed);
        let Ok(answer) = send(&agent, "POST", &host.url("/events"), &headers, event.to_string().as_bytes()) else {
            break;
        };
        assert_eq!(answer.status, 202, "{}", answer.body);
        acknowledged += 1;
    }
    acknowledged
}

#[test]
fn every_acknowledged_event_is_handled_once_across_kills() {
    const ROUNDS: usize = 5;
    let mut host = Setup::new().plugin("ledger").start();
    let mut acknowledged = 0;
    let sent = AtomicUsize::new(0);
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let before = sent.load(Ordering::Relaxed);
        acknowledged += thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    scope.spawn({
                        let (host, stop, sent) = (&host, &stop, &sent);
                        move || load(host, stop, client, round, sent)
                    })
                })
                .collect();
            // Killed while requests, handlers and commits are running.
            while sent.load(Ordering::Relaxed) < before + 150 * (round + 1) {
                thread::yield_now();
            }
            host.signal("-KILL");
            let acknowledged = clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>();
            stop.store(true, Ordering::Relaxed);
            acknowledged
        });
        host = host.crash_and_restart();
    }
    host.wait_until_idle();
    let balance = host.get("/ledger").json();
    let booked = usize::try_from(balance["booked"].as_u64().unwrap()).unwrap();
    // An entry that was stored but not acknowledged before the kill may also be there; at most one per client.
    assert!(booked >= acknowledged, "{acknowledged} acknowledged, {balance}");
    assert!(booked <= sent.load(Ordering::Relaxed), "{balance}");
    assert!(acknowledged > ROUNDS * 50, "there was load: {acknowledged}");
    let expected = json!({ "booked": booked, "merged": booked, "rewritten": booked, "repeated": 0 });
    assert_eq!(balance, expected, "effects are there exactly once");
    let published = host.admin("/events?limit=1000")["events"].as_array().unwrap().len();
    assert!(published > 0);
    assert!(host.dead_letters().is_empty());
}

#[test]
fn a_kill_during_the_first_start_leaves_something_that_starts() {
    for _ in 0..5 {
        let setup = Setup::new().plugin("echo");
        let mut child = std::process::Command::new(sandbus_tests::binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .current_dir(setup.path())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // As soon as the file exists.
        while !setup.path().join("data/bus.db").exists() {
            thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let host = setup.start();
        assert_eq!(host.post("/echo/x", json!({})).status, 200);
    }
}
