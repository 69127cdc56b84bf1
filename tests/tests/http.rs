//! The ingress and the admin interface as HTTP servers: routing, limits, refusals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sandbus_tests::{Host, Launch, Setup};
use serde_json::json;

fn host() -> Host {
    Setup::new()
        .plugin("echo")
        .config(
            "[http]\nmax_body_bytes = 100000\nheader_timeout = \"700ms\"\nbody_timeout = \"700ms\"\n\
             write_timeout = \"700ms\"",
        )
        .start()
}

/// Sends bytes as they are and returns all that comes back.
fn raw(host: &Host, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.url("").replace("http://", "")).unwrap();
    // The host may have closed before all is written.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_route_gets_the_request_as_it_was_sent() {
    let host = host();
    let headers = [("user-agent", "tester")];
    let answer = host.send("POST", &host.url("/echo/Z%C3%BCrich%2F1?a=b%20c"), &headers, b"body");
    assert_eq!(
        answer.json(),
        json!({
            "method": "POST", "path": "/echo/Z%C3%BCrich%2F1", "word": "Zürich/1",
            "query": "a=b%20c", "agent": "tester", "body": "body",
        })
    );
}

#[test]
fn what_leads_nowhere_is_said_so() {
    let host = host();
    let status = |method: &str, path: &str| {
        let answer = host.send(method, &host.url(path), &[], b"");
        (answer.status, answer.problem())
    };
    let nowhere = (404, "not-found".to_owned());
    for path in ["/", "/nothing", "/echo", "//echo/x", "/echo/x/y", "/echo/%00", "/echo/%2e%2e", "/../echo/x/../.."] {
        assert_eq!(status("POST", path), nowhere, "{path}");
    }
    assert_eq!(status("DELETE", "/echo/x"), (405, "method-not-allowed".into()));
    assert_eq!(host.send("DELETE", &host.url("/echo/x"), &[], b"").headers["allow"], "POST");
    assert_eq!(status("GET", "/events"), (405, "method-not-allowed".into()));
}

#[test]
fn bodies_heads_and_time_are_bounded() {
    let host = host();
    let large = vec![b'a'; 100_001];
    let answer = host.send("POST", &host.url("/echo/x"), &[], &large);
    assert_eq!((answer.status, answer.problem().as_str()), (413, "body-too-large"));
    let endless = format!(
        "POST /echo/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "2000\r\n".to_owned() + &"a".repeat(0x2000) + "\r\n"
    );
    let mut chunks = endless.into_bytes();
    for _ in 0..40 {
        chunks.extend(b"2000\r\n");
        chunks.extend([b'a'; 0x2000]);
        chunks.extend(b"\r\n");
    }
    assert!(raw(&host, &chunks).starts_with("HTTP/1.1 413"));

    let many: String = (0..1_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let answer = raw(&host, format!("GET /echo HTTP/1.1\r\nhost: h\r\n{many}\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("GET /echo HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let answer = raw(&host, long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");

    // A head and a body that never come to their end.
    let answer = raw(&host, b"GET /echo HTTP/1.1\r\nhost: h\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = raw(&host, b"POST /echo/x HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(host.post("/echo/x", json!({})).status, 200);
}

/// RFC 9112, sections 3.2, 6.1, 6.3 and 7.1: what a proxy on the way might read differently gets no further, and ends
/// the connection.
#[test]
fn ambiguous_requests_are_refused() {
    const NEXT: &str = "GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n";
    let host = host();
    let head = |fields: &str, body: &str| format!("POST /echo/x HTTP/1.1\r\n{fields}\r\n{body}{NEXT}");
    for (bytes, status) in [
        (head("", ""), 400),
        (head("host: a\r\nhost: a\r\n", ""), 400),
        (head("host: a b\r\n", ""), 400),
        (head("host: a/b\r\n", ""), 400),
        (head("host: user@a\r\n", ""), 400),
        (head("host: [::1\r\n", ""), 400),
        (head("host: a:port\r\n", ""), 400),
        (head("host: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (head("host: h\r\ntransfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        (head("host: h\r\ntransfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        (head("host: h\r\ntransfer-encoding: gzip\r\n", ""), 400),
        (head("host: h\r\ncontent-length: 3\r\ncontent-length: 4\r\n", "abcd"), 400),
        (head("host: h\r\ncontent-length: +3\r\n", "abc"), 400),
        (head("host: h\r\nx: a\r\n folded\r\n", ""), 400),
        (head("host: h\r\nx: a\0b\r\n", ""), 400),
    ] {
        let answer = raw(&host, bytes.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?} was answered {answer:?}");
        assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{bytes:?} was answered {answer:?}");
    }
    // Where chunks and a length are both given, the chunks count and the connection ends after them: there is no second
    // answer.
    let both = head("host: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n");
    let answer = raw(&host, both.as_bytes());
    assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{answer:?}");
    for plain in ["host: h:80\r\n", "host: [::1]:80\r\n", "host: 127.0.0.1\r\n", "host:\r\n"] {
        let request = format!("POST /echo/x HTTP/1.1\r\n{plain}connection: close\r\n\r\n");
        let answer = raw(&host, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{plain:?} was answered {answer:?}");
    }
}

/// RFC 9110, section 10.1.1: whoever asks first is not told to send what will be refused.
#[test]
fn a_body_that_is_too_large_is_not_asked_for() {
    let host = host();
    let ask = |bytes: usize| {
        let head =
            format!("POST /echo/x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n");
        raw(&host, head.as_bytes())
    };
    assert!(ask(100_001).starts_with("HTTP/1.1 413 "));
    assert!(ask(100_000).starts_with("HTTP/1.1 100 "));
}

#[test]
fn a_head_has_no_more_bytes_than_are_allowed() {
    let host = host();
    let with = |bytes: usize| {
        let head = format!("GET /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx: {}\r\n\r\n", "a".repeat(bytes));
        raw(&host, head.as_bytes())
    };
    assert!(with(32_000).starts_with("HTTP/1.1 404 "));
    for bytes in [32_768, 33_000, 40_000] {
        assert!(with(bytes).starts_with("HTTP/1.1 431 "), "{bytes}");
    }
}

/// Descriptors that clients take are bounded by those that there are, and the host goes on.
#[test]
fn idle_clients_leave_descriptors_to_the_host() {
    let setup = Setup::new().plugin("echo").config("[http]\nheader_timeout = \"2s\"");
    let directory = setup.into_directory();
    let mut process = Launch::serve(directory.path()).descriptors(256).spawn().wait().unwrap();
    let idle: Vec<_> = (0..600).filter_map(|_| TcpStream::connect(&process.address).ok()).collect();
    let also: Vec<_> = (0..60).filter_map(|_| TcpStream::connect(&process.admin).ok()).collect();
    assert!(idle.len() > 256 && also.len() > 32, "{} and {}", idle.len(), also.len());
    // They are idle until their time is up, and this one has its turn after them.
    for (address, path) in [(&process.address, "/nothing"), (&process.admin, "/readyz")] {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer:?}");
    }
    assert_eq!(process.ended(), None, "{}", process.log());
}

#[test]
fn the_admin_interface_says_how_the_host_is() {
    let host = host();
    let get = |path: &str| host.send("GET", &host.admin_url(path), &[], b"");
    assert_eq!((get("/healthz").status, get("/readyz").status), (200, 200));
    assert_eq!(get("/nothing").problem(), "not-found");
    assert_eq!(host.send("DELETE", &host.admin_url("/events"), &[], b"").problem(), "method-not-allowed");
    assert_eq!(host.publish("echo.ping", "1", json!("hi")).status, 202);
    host.wait_until_idle();
    let metrics = get("/metrics");
    assert!(metrics.headers["content-type"].starts_with("text/plain"));
    for line in [
        "sandbus_events_published_total 1",
        "sandbus_deliveries_total{subscription=\"echo/remember\",outcome=\"handled\"} 2",
        "sandbus_delivery_latency_seconds_count{subscription=\"echo/remember\"} 2",
        "sandbus_subscription_backlog{subscription=\"echo/remember\"} 0",
        "sandbus_plugins 1",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
}

#[test]
fn the_head_of_a_resource_is_had_without_a_handler_for_it() {
    let host = Setup::new().plugin("ledger").start();
    let whole = host.get("/ledger");
    let head = host.send("HEAD", &host.url("/ledger"), &[], b"");
    assert_eq!((whole.status, head.status, head.body.as_str()), (200, 200, ""));
    for header in ["content-type", "content-length"] {
        assert_eq!(head.headers[header], whole.headers[header], "{header}");
    }
}

#[test]
fn a_client_that_reads_nothing_loses_its_connection() {
    let host = host();
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.set_write_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let requests = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    // The host stops to read when it cannot write, and then it gives up.
    let end = std::iter::repeat_with(|| stream.write_all(&requests)).find_map(Result::err).unwrap();
    let cut = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
    assert!(cut.contains(&end.kind()), "{end}");
}

#[test]
fn the_admin_interface_answers_no_web_page() {
    let host = host();
    let url = host.admin_url("/plugins");
    let page_of_a_plugin = host.url("");
    for headers in [
        [("host", "example.com")],
        [("origin", "http://example.com")],
        [("origin", "http://203.0.113.5")],
        [("origin", page_of_a_plugin.trim_end_matches('/'))],
    ] {
        let answer = host.send("GET", &url, &headers, b"");
        assert_eq!((answer.status, answer.problem().as_str()), (403, "foreign-caller"), "{headers:?}");
    }
    assert_eq!(host.send("GET", &host.url("/plugins"), &[], b"").status, 404, "it is not on the ingress");
}
