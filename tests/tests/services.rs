//! Components that serve `wasi:http` and do not know Sandbus, added with their routes in a sidecar.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sandbus_tests::{Host, Setup, eventually, put};
use serde_json::json;

const SIDECAR: &str = "routes = [\"* /service\", \"* /service/{*path}\"]\n\
    [limits]\ntimeout = \"700ms\"\n[grants]\npublish = [\"service.>\"]\n";

fn host() -> Host {
    Setup::new().plugin("service").sidecar("service", SIDECAR).config("[http]\nmax_body_bytes = 100000").start()
}

/// The complete response to a request without a body.
fn raw(host: &Host, path: &str) -> String {
    let mut stream = TcpStream::connect(host.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until the given text has arrived.
fn read_until(stream: &mut TcpStream, words: &str) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&read).contains(words) {
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn a_service_that_nobody_here_wrote_for_sandbus_is_served() {
    let host = Setup::new()
        .plugin("bench-wasi-http")
        .sidecar("bench-wasi-http", "name = \"answers\"\nroutes = [\"GET /answers\"]")
        .start();
    let answer = host.get("/answers");
    assert_eq!((answer.status, &answer.json()["number"]), (200, &json!(42)));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(host.send("POST", &host.url("/answers"), &[], b"").problem(), "method-not-allowed");
    assert_eq!(host.plugin("bench-wasi-http.wasm").unwrap()["name"], "answers");
}

#[test]
fn a_star_takes_every_method() {
    let host = host();
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let answer = host.send(method, &host.url("/service/any/where?a=b"), &[], b"");
        assert_eq!((answer.status, answer.headers["x-path"].as_str()), (200, "/service/any/where?a=b"), "{method}");
    }
    assert_eq!(host.get("/service").status, 200);
}

#[test]
fn bodies_flow_both_ways_and_trailers_with_them() {
    let host = host();
    let mut stream = TcpStream::connect(host.address()).unwrap();
    let head = "POST /service/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nte: trailers\r\n";
    write!(stream, "{head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
    // The response has started, and its first part has arrived, before the request is complete.
    let begun = read_until(&mut stream, "first");
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    write!(stream, "6\r\nsecond\r\n0\r\nx-sum: 7\r\n\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("second") && rest.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{rest:?}");
}

#[test]
fn a_service_that_fails_before_it_responds_gives_a_problem() {
    let host = host();
    let problem = |path: &str| {
        let answer = host.get(path);
        (answer.status, answer.problem())
    };
    assert_eq!(problem("/service/trap"), (500, "handler-trapped".to_owned()));
    assert_eq!(problem("/service/publish-and-trap"), (500, "handler-trapped".to_owned()));
    assert_eq!(problem("/service/spin"), (504, "handler-timeout".to_owned()));
    assert_eq!(problem("/service/silent"), (502, "handler-response".to_owned()));
    assert!(host.events_of("service.done").is_empty());
}

#[test]
fn a_response_is_cut_off_if_its_service_fails() {
    let host = host();
    let answer = raw(&host, "/service/late-trap");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("half"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "nobody takes it for whole: {answer:?}");
    let _ = host.wait_for_log(&["a response was cut off after it had started"]);
    assert!(host.events_of("service.done").is_empty());
}

#[test]
fn a_whole_response_means_that_effects_are_durable() {
    let host = host();
    for (path, body, when) in [("/service/publish", "published", "before"), ("/service/late", "late", "after")] {
        let answer = host.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        let events = host.events_of("service.done");
        assert_eq!(events.last().unwrap()["subject"], when, "{events:?}");
    }
}

/// A client cannot tell that such a response was cut off, so it does not start before the handler has ended.
#[test]
fn a_response_without_an_end_of_its_own_comes_after_its_effects() {
    let host = host();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(host.address()).unwrap();
        write!(stream, "{request}\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for request in [
        "GET /service/gone-trap HTTP/1.1",
        "HEAD /service/gone-trap HTTP/1.1",
        "HEAD /service/late-trap HTTP/1.1",
        "GET /service/late-trap HTTP/1.0",
    ] {
        let answer = ask(request);
        assert!(answer.contains(" 500 "), "{request}: {answer}");
    }
    assert!(host.events_of("service.done").is_empty());
    for (count, (request, status)) in
        [("GET /service/gone HTTP/1.1", 204), ("HEAD /service/late HTTP/1.1", 200), ("GET /service/late HTTP/1.0", 200)]
            .into_iter()
            .enumerate()
    {
        let answer = ask(request);
        assert!(answer.contains(&format!(" {status} ")), "{request}: {answer}");
        assert_eq!(host.events_of("service.done").len(), count + 1, "{request}");
        assert_eq!(answer.ends_with("late"), request.contains("/late HTTP/1.0"), "{request}: {answer}");
    }
}

#[test]
fn memory_for_requests_is_bounded() {
    let host = host();
    let answer = host.get("/service/hoard");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let bytes: u64 = answer.body.parse().unwrap();
    assert!(bytes <= 500 * (16 << 10), "{bytes} bytes for 500 requests");
}

/// RFC 9110, section 9.3.2: the response to `HEAD` has the headers of the response to `GET`.
#[test]
fn a_head_alone_has_no_length_of_a_body_that_was_not_made() {
    let host = host();
    let mut stream = TcpStream::connect(host.address()).unwrap();
    write!(stream, "HEAD /service/late HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("content-length: 0"), "{answer}");
}

/// Handlers that wait for clients use a small part of the shared permits.
#[test]
fn clients_that_send_slowly_keep_no_other_plugin_waiting() {
    let (streams, swallows) = ("/service/echo", "/service/swallow");
    let sidecar = |name: &str, path: &str| {
        format!("name = \"{name}\"\nroutes = [\"POST {path}\"]\n[limits]\ntimeout = \"30s\"\n")
    };
    let setup = Setup::new().plugin("service").sidecar("service", &sidecar("service", streams)).plugin("echo");
    let (from, to) = ("plugins/service.wasm", "plugins/other.wasm");
    std::fs::copy(setup.path().join(from), setup.path().join(to)).unwrap();
    let config = "[sandbox]\nconcurrency = 8\nplugin_concurrency = 8\nadmission_timeout = \"500ms\"";
    let host = setup.sidecar("other", &sidecar("other", swallows)).config(config).start();
    let slow: Vec<_> = (0..70)
        .map(|number| {
            let path = if number % 2 == 0 { streams } else { swallows };
            let mut stream = TcpStream::connect(host.address()).unwrap();
            write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\na").unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(host.post("/echo/x", json!({})).status, 200);
    }
    for mut stream in slow {
        stream.write_all(b"bcdefghi").unwrap();
        let answer = read_until(&mut stream, "\r\n");
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_or_breaks_off() {
    let host = host();
    let url = host.url("/service/swallow");
    assert_eq!(host.send("POST", &url, &[], &[b'x'; 100_000]).body, "100000");
    let answer = host.send("POST", &url, &[], &[b'x'; 100_001]);
    assert_eq!((answer.status, answer.problem()), (413, "body-too-large".to_owned()));
}

#[test]
fn routes_belong_to_the_one_who_knows_them() {
    let host = Setup::new().plugin("service").plugin("echo").sidecar("echo", "routes = [\"GET /e\"]").start();
    let error = host.wait_until_refused("service.wasm");
    assert!(error.contains("needs routes in a sidecar"), "{error}");
    let error = host.wait_until_refused("echo.wasm");
    assert!(error.contains("has `routes`, which the plugin declares itself"), "{error}");
    put(&host.file("service.toml"), SIDECAR.as_bytes());
    eventually("it is served", || (host.get("/service").status == 200).then_some(()));
}
