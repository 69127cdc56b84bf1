//! Load on hosts with the plugin `ledger` on a database, and the proof that nothing is lost or done twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::{Host, PostgresServer, agent, eventually, send};

/// Publishes entries with ids of their own until it is told to stop, to each of the hosts in turn. Returns the
/// acknowledged ids.
fn publish(hosts: &[&Host], stop: &AtomicBool, client: usize, sent: &AtomicUsize) -> BTreeSet<String> {
    let agent = agent();
    let mut acknowledged = BTreeSet::new();
    let mut dead = BTreeSet::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) || dead.len() == hosts.len() {
            break;
        }
        let (id, target) = (format!("{client}-{number}"), (client + number) % hosts.len());
        if dead.contains(&target) {
            continue;
        }
        let event =
            json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "ledger.entry", "data": number });
        let headers = [("content-type", "application/cloudevents+json")];
        sent.fetch_add(1, Ordering::Relaxed);
        match send(&agent, "POST", &hosts[target].url("/events"), &headers, event.to_string().as_bytes()) {
            Ok(answer) if answer.status == 202 => drop(acknowledged.insert(id)),
            // Refused: the store cannot be reached. The event may be sent again, and need not be there.
            Ok(answer) if answer.status == 503 => {}
            // The host that was to store it has died.
            Ok(answer) => assert_eq!((answer.status, answer.problem().as_str()), (504, "in-doubt"), "{}", answer.body),
            Err(_) => drop(dead.insert(target)),
        }
    }
    acknowledged
}

/// Publishes with four clients while `disturb` runs, and returns the acknowledged ids and the number of attempts.
pub fn publish_while(hosts: &[&Host], disturb: impl FnOnce(&AtomicUsize)) -> (BTreeSet<String>, usize) {
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn({
                    let (stop, sent) = (&stop, &sent);
                    move || publish(hosts, stop, client, sent)
                })
            })
            .collect();
        disturb(&sent);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    (acknowledged, sent.load(Ordering::Relaxed))
}

/// Waits until a number of events was sent.
pub fn wait_for_load(sent: &AtomicUsize, more: usize) {
    let before = sent.load(Ordering::Relaxed);
    eventually("load", || (sent.load(Ordering::Relaxed) >= before + more).then_some(()));
}

/// Checks that every acknowledged event is in the log and has had its effects exactly once.
pub fn assert_nothing_lost(
    host: &Host,
    server: &PostgresServer,
    schema: &str,
    acknowledged: &BTreeSet<String>,
    sent: usize,
) {
    host.wait_until_idle();
    let logged = server.execute(&format!("SELECT id FROM {schema}.events WHERE source = '/test'"));
    let logged: Vec<&str> = logged.lines().collect();
    let distinct: BTreeSet<String> = logged.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(logged.len(), distinct.len(), "an event is stored twice");
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged and are gone");
    assert!(distinct.len() <= sent);
    let booked = distinct.len();
    let expected = json!({ "booked": booked, "merged": booked, "rewritten": booked, "repeated": 0 });
    // Of several hosts, one may see the backlog of a moment ago.
    eventually(&format!("effects are there exactly once: {expected}"), || {
        let balance = host.get("/ledger").json();
        assert_eq!(balance["repeated"], 0, "{balance}");
        (balance == expected).then_some(())
    });
    assert!(host.dead_letters().is_empty());
}
