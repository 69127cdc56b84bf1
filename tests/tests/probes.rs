//! The probe listener: what it answers from the start of a host to its end, and what a flood of probes can do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::thread;

use sandbus_tests::{Answer, DatabaseLock, Host, Launch, Setup, Wire, eventually};
use serde_json::Value;

const PROBE: &str = "[probe]\nlisten = \"0.0.0.0:0\"\n";

/// The port of the probe listener, if the host has bound it.
fn port(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("the probe listener answers"))?;
    let record: Value = serde_json::from_str(line).unwrap();
    record["address"].as_str()?.rsplit_once(':')?.1.parse().ok()
}

fn probe(host: &Host) -> String {
    format!("127.0.0.1:{}", port(&host.log()).unwrap())
}

fn send(address: &str, method: &str, path: &str) -> Answer {
    Wire::open(address).answer_to(&format!("{method} {path} HTTP/1.1\r\nhost: probed.example\r\n\r\n"))
}

fn get(address: &str, path: &str) -> Answer {
    send(address, "GET", path)
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

/// An address of this machine that is not a loopback address, if it has one.
fn outer_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // No packet is sent. The system only chooses a route.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn health_and_metrics_are_answered_on_every_address() {
    let host = Setup::new().plugin("echo").config(PROBE).start();
    let port = port(&host.log()).unwrap();
    let loopback = "127.0.0.1".parse().unwrap();
    for address in [Some(loopback), outer_address()].into_iter().flatten() {
        let address = format!("{address}:{port}");
        assert_eq!((get(&address, "/livez").status, get(&address, "/livez").body.as_str()), (200, "ok\n"));
        assert_eq!((get(&address, "/readyz").status, get(&address, "/readyz").body.as_str()), (200, "ready\n"));
        let metrics = get(&address, "/metrics");
        assert!(metrics.status == 200 && metrics.body.contains("\nsandbus_plugins 1\n"), "{}", metrics.body);
        for path in ["/livez", "/readyz", "/metrics"] {
            let head = format!("HEAD {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
            let answer = Wire::with(&address, head).rest();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
}

#[test]
fn nothing_else_is_there() {
    let host = Setup::new().plugin("echo").config(PROBE).start();
    let address = probe(&host);
    for path in ["/", "/healthz", "/readyz/", "/livez/x", "//livez", "/v1/plugins", "/v1/events", "/events", "/echo/x"]
    {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(refusal(&send(&address, method, path)), (404, "not-found".to_owned()), "{method} {path}");
        }
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = send(&address, method, "/readyz");
        assert_eq!(refusal(&answer), (405, "method-not-allowed".to_owned()), "{method}");
        assert_eq!(answer.headers["allow"].replace(' ', ""), "GET,HEAD", "{method}");
    }
    let malformed = Wire::with(&address, "nonsense\r\n\r\n").answer().unwrap();
    assert_eq!(refusal(&malformed), (400, "malformed-request".to_owned()));
    let large = format!("GET /livez HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    assert_eq!(refusal(&Wire::with(&address, large).answer().unwrap()), (431, "head-too-large".to_owned()));
    assert_eq!(get(&host.address().to_string(), "/livez").status, 404, "clients have no probes");
}

#[test]
fn anybody_may_know_that_a_host_is_not_ready_but_not_where_its_files_are() {
    let host = Setup::new().plugin("echo").config(PROBE).start();
    std::fs::rename(host.path().join("plugins"), host.path().join("elsewhere")).unwrap();
    let path = host.path().to_str().unwrap();
    eventually("the host cannot read its plugins", || {
        let answer = host.send("GET", &host.admin_url("/readyz"), &[], b"");
        (answer.status == 503).then_some(())
    });
    let answer = get(&probe(&host), "/readyz");
    assert_eq!(refusal(&answer), (503, "not-ready".to_owned()));
    assert!(answer.body.contains("the plugin folder cannot be read"), "{}", answer.body);
    assert!(!answer.body.contains(path) && !answer.body.contains("os error"), "{}", answer.body);
    assert_eq!(get(&probe(&host), "/livez").status, 200);
    std::fs::rename(host.path().join("elsewhere"), host.path().join("plugins")).unwrap();
    eventually("the host is ready again", || (get(&probe(&host), "/readyz").status == 200).then_some(()));
}

#[test]
fn a_host_that_starts_is_alive_and_not_ready() {
    let directory = Setup::new().config(PROBE).into_directory();
    drop(Launch::serve(directory.path()).spawn().wait().unwrap());
    // The host waits for a program that has locked the store.
    let lock = DatabaseLock::take(&directory.path().join("data/bus.db"));
    let starting = Launch::serve(directory.path()).spawn();
    let port = eventually("the probe listener is bound", || port(&starting.log()));
    let address = format!("127.0.0.1:{port}");
    assert_eq!(get(&address, "/livez").status, 200);
    for path in ["/readyz", "/metrics"] {
        assert_eq!(refusal(&get(&address, path)), (503, "starting".to_owned()), "{path}");
    }
    drop(lock);
    let process = starting.wait().unwrap();
    eventually("the host is ready", || (get(&address, "/readyz").status == 200).then_some(()));
    drop(process);
}

#[test]
fn a_host_that_stops_is_alive_and_not_ready() {
    let sidecar = "routes = [\"* /service/{*path}\"]\n[limits]\ntimeout = \"3s\"\n";
    let host = Setup::new().plugin("service").sidecar("service", sidecar).config(PROBE).start();
    let (address, ingress) = (probe(&host), host.address().to_string());
    let mut running = Wire::with(&ingress, "GET /service/spin HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the handler runs", || {
        let answer = host.send("GET", &host.admin_url("/metrics"), &[], b"");
        let is_busy =
            answer.body.lines().any(|line| line.starts_with("sandbus_permits_in_use") && line.ends_with(" 1"));
        (is_busy || !answer.body.contains("sandbus_permits_in_use")).then_some(())
    });
    host.signal("-TERM");
    eventually("it is not ready", || {
        // The signal may not have arrived yet.
        let answer = get(&address, "/readyz");
        (answer.status == 503 && answer.problem() == "not-ready").then_some(())
    });
    assert_eq!(get(&address, "/livez").status, 200);
    assert_eq!(running.answer().map(|answer| answer.status), Some(504), "the handler runs until its time is over");
    let (ended_well, log) = host.wait_until_ended();
    assert!(ended_well, "{log}");
}

/// The host has 256 descriptors, and its probe listener 16 connections.
#[test]
fn a_flood_of_probes_takes_no_connection_from_others() {
    let directory = Setup::new().plugin("echo").config(PROBE).config(sandbus_tests::OPEN_INGRESS).into_directory();
    let process = Launch::serve(directory.path()).descriptors(256).spawn().wait().unwrap();
    let address = format!("127.0.0.1:{}", port(&process.log()).unwrap());
    let held: Vec<_> = (0..16).map(|_| Wire::with(&address, "GET /livez HTTP/1.1\r\n")).collect();
    let flood = thread::spawn({
        let address = address.clone();
        move || {
            let answers = (0..2_000).filter_map(|_| Wire::with(&address, "GET /livez HTTP/1.1\r\n").answer());
            answers.filter(|answer| answer.problem() == "too-many-connections").count()
        }
    });
    let event = "{\"specversion\":\"1.0\",\"id\":\"ID\",\"source\":\"/test\",\"type\":\"a.b\"}";
    let mut published = 0;
    while !flood.is_finished() {
        let body = event.replace("ID", &published.to_string());
        let head = "POST /events HTTP/1.1\r\nhost: h\r\ncontent-type: application/cloudevents+json\r\n";
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(Wire::open(&process.address).answer_to(&request).status, 202);
        assert_eq!(Wire::open(&process.admin).answer_to("GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").status, 200);
        published += 1;
    }
    assert!(published > 10 && flood.join().unwrap() > 1_000, "{published}");
    drop(held);
    eventually("probes are answered again", || {
        let answer = Wire::with(&address, "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n").answer();
        answer.is_some_and(|answer| answer.status == 200).then_some(())
    });
    assert!(!process.log().contains("cannot accept connections"), "{}", process.log());
}
