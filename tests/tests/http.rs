//! The ingress and the admin interface as HTTP servers: routing, limits, refusals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sandbus_tests::{Host, Launch, Setup, Wire};
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

/// Sends raw bytes and returns the complete response.
fn raw(host: &Host, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.url("").replace("http://", "")).unwrap();
    // The host may close the connection before all is written.
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
fn requests_that_match_no_route_say_so() {
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
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("head-too-large"), "{answer}");
    let long = format!("GET /echo HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let answer = raw(&host, long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("head-too-large"), "{answer}");

    // A head and a body that never end.
    let answer = raw(&host, b"GET /echo HTTP/1.1\r\nhost: h\r\n");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("head-too-slow"), "{answer}");
    assert_eq!(raw(&host, b""), "", "a client that asks nothing is answered nothing");
    let answer = raw(&host, b"POST /echo/x HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(host.post("/echo/x", json!({})).status, 200);
}

/// A request for a route, followed by another one that must not be answered when the first is refused.
fn with_next(fields: &str, body: &str) -> String {
    format!("POST /echo/x HTTP/1.1\r\n{fields}\r\n{body}GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n")
}

/// Sends bytes and checks that the only response is a problem that ends the connection.
fn assert_refused(host: &Host, bytes: &[u8], status: u16, code: &str) {
    let what = String::from_utf8_lossy(bytes);
    let what = &what[..what.len().min(200)];
    let mut wire = Wire::with(&host.address().to_string(), bytes);
    let answer = wire.answer();
    assert!(answer.is_some(), "{what:?} has no answer");
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{what:?}: {}", answer.body);
    assert_eq!(answer.headers.get("connection").map(String::as_str), Some("close"), "{what:?}");
    assert_eq!(wire.rest(), "", "{what:?}");
}

/// RFC 9112, sections 3.2, 5.1, 5.2, 6.1, 6.3 and 7.1: a request that a proxy might read differently is refused and
/// ends the connection.
#[test]
fn ambiguous_requests_are_refused() {
    let host = host();
    for (fields, body, status, code) in [
        ("", "", 400, "host-missing"),
        ("host: a\r\nhost: a\r\n", "", 400, "host-repeated"),
        ("host: a b\r\n", "", 400, "host-malformed"),
        ("host: a/b\r\n", "", 400, "host-malformed"),
        ("host: user@a\r\n", "", 400, "host-malformed"),
        ("host: [::1\r\n", "", 400, "host-malformed"),
        ("host: a:port\r\n", "", 400, "host-malformed"),
        (
            "host: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "0\r\n\r\n",
            400,
            "transfer-encoding",
        ),
        ("host: h\r\ntransfer-encoding: chunked, chunked\r\n", "0\r\n\r\n", 400, "transfer-encoding"),
        ("host: h\r\ntransfer-encoding: gzip, chunked\r\n", "0\r\n\r\n", 501, "transfer-encoding"),
        ("host: h\r\ntransfer-encoding: gzip\r\n", "", 400, MALFORMED),
        ("host: h\r\ntransfer-encoding: \x0bchunked\r\n", "0\r\n\r\n", 400, MALFORMED),
        ("host: h\r\ntransfer-encoding : chunked\r\n", "0\r\n\r\n", 400, MALFORMED),
        ("host: h\r\ncontent-length: 3\r\ncontent-length: 4\r\n", "abcd", 400, MALFORMED),
        ("host: h\r\ncontent-length: 3, 3\r\n", "abc", 400, MALFORMED),
        ("host: h\r\ncontent-length: +3\r\n", "abc", 400, MALFORMED),
        ("host: h\r\ncontent-length: 0x3\r\n", "abc", 400, MALFORMED),
        ("host: h\r\ncontent-length:\r\n", "abc", 400, MALFORMED),
        ("host: h\r\ncontent-length: 99999999999999999999\r\n", "abc", 400, MALFORMED),
        ("host: h\r\ncontent-length: 18446744073709551615\r\n", "abc", 413, "body-too-large"),
        ("host: h\r\nx: a\r\n folded\r\n", "", 400, MALFORMED),
        (" x: a\r\nhost: h\r\n", "", 400, MALFORMED),
        ("host: h\r\nx: a\0b\r\n", "", 400, MALFORMED),
        ("host: h\r\nx: a\rb\r\n", "", 400, MALFORMED),
        ("host: h\r\nx : a\r\n", "", 400, MALFORMED),
        ("host: h\r\nx y: a\r\n", "", 400, MALFORMED),
        ("host: h\r\n: a\r\n", "", 400, MALFORMED),
        ("host: h\r\nabc\r\n", "", 400, MALFORMED),
        (CHUNKED, "zz\r\nabc\r\n0\r\n\r\n", 400, "body-unreadable"),
        (CHUNKED, "-1\r\n", 400, "body-unreadable"),
        (CHUNKED, "0x3\r\nabc\r\n0\r\n\r\n", 400, "body-unreadable"),
        (CHUNKED, "ffffffffffffffffff\r\nabc", 400, "body-unreadable"),
        (CHUNKED, "3\nabc\n0\n\n", 400, "body-unreadable"),
        (CHUNKED, "3\r\nabcd\r\n0\r\n\r\n", 400, "body-unreadable"),
    ] {
        assert_refused(&host, with_next(fields, body).as_bytes(), status, code);
    }
}

const MALFORMED: &str = "malformed-request";
const CHUNKED: &str = "host: h\r\ntransfer-encoding: chunked\r\n";

/// Requests that RFC 9112 lets a server accept, and their results.
#[test]
fn unusual_requests_mean_what_the_standard_says() {
    let host = host();
    // Section 6.1: with both chunks and a length, the chunks count and the connection ends after them.
    for fields in [
        "host: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n",
        "host: h\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n",
    ] {
        let answer = raw(&host, with_next(fields, "1\r\na\r\n0\r\n\r\n").as_bytes());
        assert_eq!((answer.matches("\r\ndate: ").count(), answer.contains("\"body\":\"a\"")), (1, true), "{answer:?}");
    }
    // Sections 2.2, 5.1, 6.3, 7.1.1 and 7.1.2, and unusual field names that are valid tokens.
    for (fields, body) in [
        ("host: h:80\r\n", ""),
        ("host: [::1]:80\r\n", ""),
        ("host: 127.0.0.1\r\n", ""),
        ("host:\r\n", ""),
        ("host: h\r\ncontent-length: 3\r\ncontent-length: 3\r\n", "abc"),
        ("host: h\r\ncontent_length: 3\r\n", ""),
        ("host: h\nx: a\n", ""),
        (CHUNKED, "3;a=b\r\nabc\r\n0\r\n\r\n"),
        (CHUNKED, "3\r\nabc\r\n0\r\ncontent-length: 1\r\n\r\n"),
    ] {
        let mut wire = Wire::with(&host.address().to_string(), with_next(fields, body));
        let statuses = [wire.answer().unwrap().status, wire.answer().unwrap().status];
        assert_eq!(statuses, [200, 404], "{fields:?} {body:?}");
    }
}

/// RFC 9112, section 3, and RFC 9110, sections 7.1, 9.3.6 and 15.6.6.
#[test]
fn request_lines_are_refused_with_a_reason() {
    let host = host();
    let long = "a".repeat(40_000);
    for (line, status, code) in [
        ("GET /a>b HTTP/1.1", 400, MALFORMED),
        ("GET /a<b HTTP/1.1", 400, MALFORMED),
        ("GET /nothing?a\"b HTTP/1.1", 400, MALFORMED),
        ("GET /a b HTTP/1.1", 400, MALFORMED),
        ("GET /a\0b HTTP/1.1", 400, MALFORMED),
        ("GET /a\x7fb HTTP/1.1", 400, MALFORMED),
        ("GET /a\tb HTTP/1.1", 400, MALFORMED),
        ("GET  / HTTP/1.1", 400, MALFORMED),
        ("GET\t/ HTTP/1.1", 400, MALFORMED),
        (" GET / HTTP/1.1", 400, MALFORMED),
        ("GET / HTTP/1.1 ", 400, MALFORMED),
        ("G@T / HTTP/1.1", 400, MALFORMED),
        ("GET /", 400, MALFORMED),
        ("\x16\x03\x01\x02", 400, MALFORMED),
        ("GET / HTTP/2.0", 505, "http-version"),
        ("GET / HTTP/1.2", 505, "http-version"),
        ("PRI * HTTP/2.0", 505, "http-version"),
        ("GET * HTTP/1.1", 400, "target-malformed"),
        ("GET nothing HTTP/1.1", 400, "target-malformed"),
        ("GET ftp://h/ HTTP/1.1", 400, "target-malformed"),
        ("GET http://user@h/ HTTP/1.1", 400, "target-malformed"),
        ("CONNECT h:80 HTTP/1.1", 501, "method-not-implemented"),
        (&format!("GET /{long} HTTP/1.1"), 414, "target-too-long"),
        (&format!("GET /{} HTTP/1.1", &long[..32_760]), 414, "target-too-long"),
    ] {
        assert_refused(&host, format!("{line}\r\nhost: h\r\n\r\n").as_bytes(), status, code);
    }
    let bytes = b"GET /a\xffb HTTP/1.1\r\nhost: h\r\n\r\n".to_vec();
    assert_refused(&host, &bytes, 400, MALFORMED);
    // The preface of HTTP/2 after a request of HTTP/1.1.
    let request = "GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut wire = Wire::with(&host.address().to_string(), request);
    assert_eq!(wire.answer().unwrap().status, 404);
    assert_eq!(wire.answer_to("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").problem(), "http-version");
    let mut half = Wire::with(&host.address().to_string(), "GET / HTTP/1.1\r\nho");
    half.half_close();
    assert_eq!(half.answer().unwrap().problem(), "request-incomplete");
    let mut whole = Wire::with(&host.address().to_string(), "GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n");
    whole.half_close();
    assert_eq!(whole.answer().unwrap().status, 404, "it may close its half once it has asked");
    let mut nothing = Wire::open(&host.address().to_string());
    nothing.half_close();
    assert_eq!(nothing.rest(), "", "no request, no answer");
}

/// RFC 9112, section 3.2.2: the authority in the target overrides `Host`.
#[test]
fn an_absolute_target_leads_to_its_path() {
    let host = host();
    let line =
        |target: &str, name: &str| format!("POST {target} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    let address = host.address().to_string();
    let answer = Wire::with(&address, line("http://other:80/echo/x?a=b", "h")).answer().unwrap();
    assert_eq!((answer.status, &answer.json()["query"]), (200, &json!("a=b")));
    let admin = host.admin_url("").replace("http://", "");
    let foreign = line("http://example.com/v1/compaction", "localhost");
    assert_eq!(Wire::with(&admin, foreign).answer().unwrap().problem(), "foreign-caller");
}

/// A handler's response that looks like the parser's refusal is sent unchanged, and the connection continues.
#[test]
fn a_handlers_response_is_not_mistaken_for_a_refusal() {
    const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let setup = Setup::new().plugin("service").sidecar("service", "routes = [\"* /service/{*path}\"]\n");
    let host = setup.start();
    let length = REFUSAL.len();
    let request = format!("POST /service/echo HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{REFUSAL}");
    let mut wire = Wire::with(&host.address().to_string(), request.repeat(2) + "GET / HTTP/3\r\n\r\n");
    let rest = wire.rest();
    assert_eq!((rest.matches("HTTP/1.1 200 ").count(), rest.matches(REFUSAL).count()), (2, 2), "{rest}");
    assert_eq!(rest.matches("\"code\":\"http-version\"").count(), 1, "{rest}");
}

/// RFC 9110, section 10.1.1: a client that waits for `100 Continue` is not asked for a body that will be refused.
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
    // An unauthorized client is not asked for its body, and unknown expectations are refused.
    let with = |version: &str, expected: &str| {
        let head =
            format!("POST /echo/x HTTP/{version}\r\nhost: h\r\nexpect: {expected}\r\ncontent-length: 2\r\n\r\nab");
        let mut wire = Wire::with(&host.address().to_string(), head);
        (wire.answer().unwrap().status, wire.answer().map(|answer| answer.status))
    };
    assert_eq!(with("1.1", "100-Continue").0, 100);
    assert_eq!(with("1.1", "other"), (417, None));
    assert_eq!(with("1.0", "other"), (200, None), "HTTP/1.0 has no expectations");
}

/// A head may have as many fields as the limit, and no more.
#[test]
fn the_fields_of_a_head_are_counted() {
    let host = Setup::new().start();
    let event = "ce-id: 1\r\nce-source: /s\r\nce-type: a.b\r\nce-specversion: 1.0\r\n";
    let with = |count: usize| {
        let fields: String = (6..count).map(|number| format!("ce-x{number}: 1\r\n")).collect();
        format!("POST /events HTTP/1.1\r\nhost: h\r\n{event}content-length: 0\r\n{fields}\r\n")
    };
    let address = host.address().to_string();
    assert_eq!(Wire::with(&address, with(100)).answer().unwrap().status, 202);
    assert_refused(&host, with(101).as_bytes(), 431, "head-too-large");
    assert_refused(&host, with(110).as_bytes(), 431, "head-too-large");
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

/// Connections are limited by the available descriptors, and the host keeps working.
#[test]
fn idle_clients_leave_descriptors_to_the_host() {
    let setup = Setup::new().plugin("echo").config("[http]\nheader_timeout = \"2s\"");
    let directory = setup.into_directory();
    let mut process = Launch::serve(directory.path()).descriptors(256).spawn().wait().unwrap();
    let idle: Vec<_> = (0..600).filter_map(|_| TcpStream::connect(&process.address).ok()).collect();
    let also: Vec<_> = (0..60).filter_map(|_| TcpStream::connect(&process.admin).ok()).collect();
    assert!(idle.len() > 256 && also.len() > 32, "{} and {}", idle.len(), also.len());
    // Further clients get an immediate refusal.
    for (address, path) in [(&process.address, "/nothing"), (&process.admin, "/readyz")] {
        let answer = Wire::open(address).answer_to(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        assert_eq!((answer.status, answer.problem().as_str()), (503, "too-many-connections"), "{path}");
    }
    drop((idle, also));
    sandbus_tests::eventually("there is room again", || {
        let answer = Wire::with(&process.admin, "GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").answer();
        answer.is_some_and(|answer| answer.status == 200).then_some(())
    });
    assert_eq!(process.ended(), None, "{}", process.log());
}

#[test]
fn the_admin_interface_says_how_the_host_is() {
    let host = host();
    let get = |path: &str| host.send("GET", &host.admin_url(path), &[], b"");
    assert_eq!((get("/healthz").status, get("/readyz").status), (200, 200));
    assert_eq!(get("/nothing").problem(), "not-found");
    assert_eq!(host.send("DELETE", &host.api_url("/events"), &[], b"").problem(), "method-not-allowed");
    assert_eq!(host.publish("echo.ping", "1", json!("hi")).status, 202);
    host.wait_until_idle();
    let metrics = get("/metrics");
    assert!(metrics.headers["content-type"].starts_with("text/plain"));
    for line in [
        "sandbus_events_published_total 1",
        "sandbus_attempts_total{subscription=\"echo/remember\",outcome=\"handled\"} 2",
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
    // The host stops reading when it cannot write, and gives up after the timeout.
    let end = std::iter::repeat_with(|| stream.write_all(&requests)).find_map(Result::err).unwrap();
    let cut = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
    assert!(cut.contains(&end.kind()), "{end}");
}

#[test]
fn the_admin_interface_answers_no_web_page() {
    let host = host();
    let url = host.api_url("/plugins");
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

/// Ignoring an unknown parameter would change the meaning of a request, such as what it drops.
#[test]
fn the_admin_interface_ignores_no_parameter() {
    let host = Setup::new().start();
    for (method, path) in [
        ("GET", "/plugins?limits=1"),
        ("GET", "/subscriptions?limits=1"),
        ("GET", "/schedules?x"),
        ("POST", "/compaction?dry-run=true"),
        ("POST", "/plugins/p/resume?now=1"),
        ("GET", "/events?limits=1"),
        ("GET", "/events?limit=1&limit=2"),
        ("GET", "/events?limit=1&limi%74=2"),
        ("GET", "/events?before=%ff"),
        ("GET", "/scheduled?after=%"),
        ("DELETE", "/scheduled?source=%ff&id=1"),
        ("DELETE", "/dead-letters?after=1"),
        ("POST", "/dead-letters/redrive?after=1"),
        ("POST", "/dead-letters/redrive?subscription=a%zz"),
        ("POST", "/events?timeout=1s"),
        ("POST", "/plugins/p/drain?wait=1s&wait=2s"),
    ] {
        let answer = host.operate(method, path);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"), "{method} {path}");
    }
    let problem = host.operate("GET", "/events?limits=1").json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("unknown parameter `limits`; this path accepts `type`, "), "{detail}");
}
