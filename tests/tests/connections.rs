//! Connections at their limits: too many, without file descriptors, too slow, and during a shutdown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use sandbus_tests::{Answer, Host, Launch, Setup, Wire, eventually, with_open_ingress};
use serde_json::{Value, json};

/// Longer than any shutdown takes that does not wait for the grace period or for a client's timeout.
const SOON: Duration = Duration::from_secs(15);

fn ingress(host: &Host) -> String {
    host.address().to_string()
}

/// An event as a request in structured mode.
fn request(path: &str, id: &str, event_type: &str, data: &Value) -> String {
    let event = json!({ "specversion": "1.0", "id": id, "source": "/test", "type": event_type, "data": data });
    let body = event.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

/// Waits for the end of a host, which must not take longer than its work.
fn assert_ends_soon(host: Host, began: Instant) {
    let (ended_well, log) = host.wait_until_ended();
    assert!(ended_well, "{log}");
    assert!(!log.contains("the grace period is over"), "{log}");
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
}

#[test]
fn a_stop_tells_clients_that_wait_for_a_reply() {
    let host = Setup::new().plugin("asker").config("shutdown_grace_period = \"50s\"").start();
    let silent = json!({ "silent": true, "timeout_ms": 55_000 });
    let publish = request("/events?reply=question.answered&timeout=55s", "waiting-1", "question.asked", &silent);
    let operate = request("/v1/events?reply=question.answered&timeout=55s", "waiting-2", "question.asked", &silent);
    let body = silent.to_string();
    let ask = format!(
        "POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let admin = host.admin_url("").replace("http://", "");
    let waiting = [Wire::with(&ingress(&host), publish), Wire::with(&admin, operate), Wire::with(&ingress(&host), ask)];
    let asked = eventually("all three wait", || {
        let asked = host.events_of("question.asked");
        (asked.len() == 3).then_some(asked)
    });
    let began = Instant::now();
    host.signal("-TERM");
    let answers: Vec<_> = waiting.into_iter().map(|mut wire| wire.answer().unwrap()).collect();
    for answer in &answers {
        assert_eq!(refusal(answer), (503, "stopping".to_owned()));
        assert!(answer.body.contains("is stored"), "{}", answer.body);
        let id = asked.iter().find(|event| answer.body.contains(event["id"].as_str().unwrap()));
        assert!(id.is_some(), "{}", answer.body);
    }
    assert_ends_soon(host, began);
}

#[test]
fn a_stop_waits_for_no_client() {
    let config = "shutdown_grace_period = \"50s\"\n[http]\nheader_timeout = \"55s\"\nbody_timeout = \"55s\"";
    let host = Setup::new().plugin("echo").plugin("service").sidecar("service", SERVICE).config(config).start();
    let get = "GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n";
    let address = ingress(&host);
    let mut idle = Wire::with(&address, get);
    assert_eq!(idle.answer().unwrap().status, 404);
    let mut fresh = Wire::open(&address);
    let mut head = Wire::with(&address, "GET /nothing HTTP/1.1\r\nhost:");
    let mut body = Wire::with(&address, "POST /echo/x HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc");
    let mut chunks =
        Wire::with(&address, "POST /echo/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut flowing =
        Wire::with(&address, "POST /service/swallow HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc");
    // Connections that came earlier on the same listener are accepted.
    assert_eq!(Wire::with(&address, get).answer().unwrap().status, 404);
    let began = Instant::now();
    host.signal("-TERM");
    assert_eq!((idle.answer().map(|answer| answer.status), fresh.answer().map(|answer| answer.status)), (None, None));
    for wire in [&mut head, &mut body, &mut chunks] {
        let answer = wire.answer().unwrap();
        assert_eq!(refusal(&answer), (503, "stopping".to_owned()));
        assert_eq!(answer.headers["connection"], "close");
        assert_eq!(wire.rest(), "");
    }
    assert!(flowing.answer().is_some(), "a handler that reads is told that the body broke off, and answers");
    assert_ends_soon(host, began);
}

const SERVICE: &str = "routes = [\"* /service/{*path}\"]\n[limits]\ntimeout = \"60s\"\n";

#[test]
fn connections_beyond_the_limit_are_told_at_once() {
    let host = Setup::new().plugin("echo").config("[http]\nmax_connections = 4\nheader_timeout = \"60s\"").start();
    let get = "GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n";
    let address = ingress(&host);
    let mut open: Vec<_> = (0..4).map(|_| Wire::with(&address, get)).collect();
    assert!(open.iter_mut().all(|wire| wire.answer().unwrap().status == 404));
    for bytes in [get, "", "GET /nothing HTTP/1.1\r\n"] {
        let mut refused = Wire::with(&address, bytes);
        let answer = refused.answer().unwrap();
        assert_eq!(refusal(&answer), (503, "too-many-connections".to_owned()), "{bytes:?}");
        assert_eq!((answer.headers["retry-after"].as_str(), answer.headers["connection"].as_str()), ("1", "close"));
    }
    // Clients that neither read nor close do not delay the shutdown.
    let refused: Vec<_> = (0..200).map(|_| Wire::with(&address, get)).collect();
    assert_eq!(open[0].answer_to(get).status, 404, "those that are open are served");
    // Connections are accepted in order, so all of these were refused before there is room.
    assert_eq!(Wire::with(&address, get).answer().unwrap().status, 503);
    drop(open);
    eventually("there is room again", || {
        let answer = Wire::with(&address, get).answer();
        answer.is_some_and(|answer| answer.status == 404).then_some(())
    });
    drop(refused);
}

/// With any descriptor limit, the store works and clients get a response.
#[test]
fn a_host_without_descriptors_loses_nothing_and_recovers() {
    let directory = Setup::new().plugin("echo").config(&with_open_ingress("")).into_directory();
    let mut process = Launch::serve(directory.path()).spawn().wait().unwrap();
    let mut wire = Wire::open(&process.address);
    let publish = |wire: &mut Wire, id: &str| wire.answer_to(&request("/events", id, "a.b", &json!("x".repeat(2_000))));
    assert_eq!(publish(&mut wire, "before").status, 202);
    let mut acknowledged = vec!["before".to_owned()];
    // Opens connections until one is refused.
    process.limit_descriptors(Some(process.highest_descriptor() + 1));
    let mut open = Vec::new();
    eventually("no descriptor is left", || {
        let mut beside = Wire::open(&process.address);
        let answer = beside.answer_to("GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n");
        open.push(beside);
        (refusal(&answer) == (503, "too-many-connections".to_owned())).then_some(())
    });
    for number in 0..100 {
        let id = format!("during-{number}");
        match publish(&mut wire, &id) {
            answer if answer.status == 202 => acknowledged.push(id),
            answer => assert_eq!(answer.status / 100, 5, "{}", answer.body),
        }
    }
    assert_eq!(process.ended(), None, "{}", process.log());
    process.limit_descriptors(None);
    drop(open);
    eventually("connections are accepted again", || {
        let answer = Wire::open(&process.address).answer_to(&request("/events", "after", "a.b", &json!(1)));
        (answer.status == 202).then_some(())
    });
    acknowledged.push("after".to_owned());
    process.kill();
    let process = Launch::serve(directory.path()).spawn().wait().unwrap();
    let mut admin = Wire::open(&process.admin);
    for id in acknowledged {
        let answer = admin.answer_to(&format!("GET /v1/events/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
    }
}

/// The event is stored once, and its reply belongs to the first request.
#[test]
fn a_repeated_event_does_not_get_the_reply_to_the_first() {
    let host = Setup::new().plugin("asker").start();
    let ask = |id: &str| {
        let asked = json!({ "question": "who?" });
        Wire::open(&ingress(&host)).answer_to(&request(
            "/events?reply=question.answered&timeout=20s",
            id,
            "question.asked",
            &asked,
        ))
    };
    assert_eq!(ask("1").status, 200);
    let again = ask("1");
    assert_eq!(refusal(&again), (409, "already-published".to_owned()));
    assert!(again.body.contains("`1`"), "{}", again.body);
    assert_eq!(host.events_of("question.asked").len(), 1);
    let plain = Wire::open(&ingress(&host)).answer_to(&request("/events", "1", "question.asked", &json!({})));
    assert_eq!((plain.status, &plain.json()["accepted"][0]["duplicate"]), (202, &json!(true)));
}

/// A client that sends a large body and reads only the start of the response.
fn read_nothing(address: &str, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut sending = stream.try_clone().unwrap();
    thread::spawn(move || {
        let head = format!("POST /service/echo HTTP/1.1\r\nhost: h\r\ncontent-length: {bytes}\r\n\r\n");
        drop(sending.write_all(head.as_bytes()));
        drop(sending.write_all(&vec![b'a'; bytes]));
    });
    stream.read_exact(&mut [0; 12]).unwrap();
    stream
}

#[test]
fn clients_that_read_slowly_leave_places_to_others() {
    let config = "[http]\nmax_body_bytes = 100000000\nwrite_timeout = \"50s\"\n[sandbox]\nconcurrency = 4\nplugin_concurrency = 4\nadmission_timeout = \"30s\"";
    let host = Setup::new().plugin("echo").plugin("service").sidecar("service", SERVICE).config(config).start();
    let slow: Vec<_> = (0..4).map(|_| read_nothing(&ingress(&host), 60_000_000)).collect();
    for _ in 0..20 {
        let answer = host.get("/echo/last/nothing");
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    drop(slow);
}

/// RFC 9112, sections 9.3 and 9.6: a connection persists unless a response says `close`. The requests are refused before
/// their bodies are read.
#[test]
fn a_response_before_the_body_tells_whether_the_connection_closes() {
    let host = Setup::new().plugin("echo").start();
    let large = "x".repeat(100_000);
    let cases = [
        ("content-length: 5", "hello", false),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", false),
        ("content-length: 100000", large.as_str(), true),
        ("content-length: 5", "", true),
        ("content-length: 5", "hell", true),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", true),
        ("expect: 100-continue\r\ncontent-length: 5", "", true),
    ];
    let admin = host.admin_url("").replace("http://", "");
    let targets = [
        (ingress(&host), "POST /events?later=1s", 400),
        (ingress(&host), "POST /no/such/route", 404),
        (ingress(&host), "PATCH /echo/x", 405),
        (admin.clone(), "POST /no/such/route", 404),
        (admin, "POST /v1/subscriptions/a/b/replay?later=1s", 400),
    ];
    for (address, target, status) in targets {
        for (headers, body, closes) in cases {
            let context = format!("{target}, {headers}, {} bytes", body.len());
            let head =
                format!("{target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n\r\n");
            let mut wire = Wire::with(&address, head + body);
            let answer = wire.answer().unwrap_or_else(|| panic!("no answer: {context}"));
            assert_eq!(answer.status, status, "{context}: {}", answer.body);
            let says_close = answer.headers.get("connection").is_some_and(|value| value == "close");
            assert_eq!(says_close, closes, "{context}");
            wire.send("GET /no/such/page HTTP/1.1\r\nhost: localhost\r\n\r\n");
            assert_eq!(wire.answer().is_some(), !closes, "{context}");
        }
    }
}
