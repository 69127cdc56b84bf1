//! HTTP/2: what a request is like, and what a client may not do to others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, StatusCode};
use h2::client::{ResponseFuture, SendRequest};
use sandbus_tests::{Host, Setup, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A connection of a well-behaved client.
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A response.
#[derive(Debug)]
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["code"].as_str().unwrap().to_owned())
    }
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Starts a request, with the first part of its body.
    async fn start(
        &mut self,
        request: Request<()>,
        body: &[u8],
        ends: bool,
    ) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, mut stream) = requests.send_request(request, ends && body.is_empty()).unwrap();
        if !body.is_empty() {
            // The host may refuse the request before it has read the body.
            drop(stream.send_data(Bytes::copy_from_slice(body), ends));
        }
        (response, stream)
    }

    async fn send(&mut self, request: Request<()>, body: &[u8]) -> Received {
        let (response, _stream) = self.start(request, body, true).await;
        receive(response).await
    }

    async fn get(&mut self, path: &str) -> Received {
        self.send(Request::get(format!("http://localhost{path}")).body(()).unwrap(), b"").await
    }
}

async fn receive(response: ResponseFuture) -> Received {
    let (head, mut stream) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part.unwrap();
        stream.flow_control().release_capacity(part.len()).unwrap();
        body.extend_from_slice(&part);
    }
    Received { status: head.status, headers: head.headers, body }
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("http://localhost{path}")).header("content-type", "application/json").body(()).unwrap()
}

fn admin(host: &Host) -> SocketAddr {
    host.admin_url("").replace("http://", "").parse().unwrap()
}

#[test]
fn a_request_is_what_it_is_in_http_1() {
    let host = Setup::new().plugin("echo").start();
    runtime().block_on(async {
        let mut client = Client::connect(host.address()).await;
        let echoed = client.send(post("/echo/Z%C3%BCrich%2F1?a=b%20c"), b"body").await;
        assert_eq!((echoed.status.as_u16(), &echoed.json()["path"]), (200, &json!("/echo/Z%C3%BCrich%2F1")));
        assert_eq!((&echoed.json()["query"], &echoed.json()["body"]), (&json!("a=b%20c"), &json!("body")));
        let event = r#"{"specversion":"1.0","id":"1","source":"/test","type":"a.b"}"#;
        let request = Request::post("http://localhost/events").header("content-type", "application/cloudevents+json");
        let published = client.send(request.body(()).unwrap(), event.as_bytes()).await;
        assert_eq!(published.status, 202);
        assert_eq!(client.get("/nothing").await.refusal(), (404, "not-found".to_owned()));
        // Many at a time, of which none waits for another.
        let mut waiting = Vec::new();
        for number in 0..50 {
            waiting.push((number, client.start(post(&format!("/echo/{number}")), b"{}", true).await));
        }
        for (number, (response, _stream)) in waiting {
            assert_eq!(receive(response).await.json()["word"], number.to_string());
        }
        let mut operator = Client::connect(admin(&host)).await;
        assert_eq!(operator.get("/v1/events/1").await.status, 200);
        assert_eq!(operator.send(Request::head("http://localhost/readyz").body(()).unwrap(), b"").await.body, b"");
    });
}

#[test]
fn the_checks_of_http_1_apply() {
    let config = "[http]\nmax_body_bytes = 100000\nbody_timeout = \"700ms\"";
    let host = Setup::new().plugin("echo").config(config).start();
    runtime().block_on(async {
        let mut client = Client::connect(host.address()).await;
        let with =
            |name: &str, value: &str| Request::get("http://localhost/nothing").header(name, value).body(()).unwrap();
        let mut many = Request::get("http://localhost/nothing");
        for number in 0..150 {
            many = many.header(format!("x-{number}"), "1");
        }
        for (request, body, refusal) in [
            (post("/echo/x"), 100_001, (413, "body-too-large")),
            (with("host", "elsewhere"), 0, (400, "host-malformed")),
            (with("expect", "200-maybe"), 0, (417, "expectation")),
            (with("x", &"a".repeat(40_000)), 0, (431, "head-too-large")),
            (many.body(()).unwrap(), 0, (431, "head-too-large")),
            (Request::get("http://user@localhost/").body(()).unwrap(), 0, (400, "host-malformed")),
            (
                Request::get(format!("http://localhost/{}", "a".repeat(40_000))).body(()).unwrap(),
                0,
                (414, "target-too-long"),
            ),
            (Request::delete("http://localhost/echo/x").body(()).unwrap(), 0, (405, "method-not-allowed")),
        ] {
            let refused = client.send(request, &vec![b'a'; body]).await;
            assert_eq!(refused.refusal(), (refusal.0, refusal.1.to_owned()));
            assert!(!refused.headers.contains_key("connection"), "{refused:?}");
        }
        let (response, _open) = client.start(post("/echo/x"), b"{", false).await;
        assert_eq!(receive(response).await.refusal(), (408, "body-too-slow".to_owned()));
        // The connection continues after each refusal.
        assert_eq!(client.send(post("/echo/x"), b"{}").await.status, 200);
        let foreign = Request::get("http://example.com/v1/plugins").body(()).unwrap();
        let mut operator = Client::connect(admin(&host)).await;
        assert_eq!(operator.send(foreign, b"").await.refusal(), (403, "foreign-caller".to_owned()));
    });
}

#[test]
fn streams_count_against_the_limit_of_connections() {
    let host = Setup::new().plugin("echo").config("[http]\nmax_connections = 4").start();
    runtime().block_on(async {
        let (mut one, mut other) = (Client::connect(host.address()).await, Client::connect(host.address()).await);
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(one.start(post("/echo/x"), b"{", false).await);
        }
        // The host reads the frames of a connection in order.
        let refused = one.get("/nothing").await;
        assert_eq!(refused.refusal(), (503, "too-many-connections".to_owned()));
        assert_eq!(
            (refused.headers["retry-after"].to_str().unwrap(), other.get("/nothing").await.status.as_u16()),
            ("1", 503)
        );
        for (response, mut stream) in open {
            stream.send_data(Bytes::from_static(b"}"), true).unwrap();
            assert_eq!(receive(response).await.status, 200);
        }
        assert_eq!(other.get("/nothing").await.status, 404);
    });
}

#[test]
fn a_stop_answers_open_streams_and_ends_connections() {
    let sidecar = "routes = [\"* /service/{*path}\"]\n[limits]\ntimeout = \"3s\"\n";
    let config = "shutdown_grace_period = \"50s\"\n[http]\nheader_timeout = \"55s\"\n[sandbox]\nplugin_concurrency = 1\nadmission_timeout = \"300ms\"";
    let host = Setup::new().plugin("service").sidecar("service", sidecar).config(config).start();
    let began = Instant::now();
    runtime().block_on(async {
        let mut idle = Client::connect(host.address()).await;
        assert_eq!(idle.get("/nothing").await.status, 404);
        let mut client = Client::connect(host.address()).await;
        let (running, _stream) = client.start(Request::get("http://h/service/spin").body(()).unwrap(), b"", true).await;
        while idle.get("/service/other").await.status != 503 {}
        host.signal("-TERM");
        assert_eq!(receive(running).await.status, 504, "the handler runs until its time is over");
        for connection in [client.connection, idle.connection] {
            assert!(connection.await.unwrap().is_ok(), "the host says that it goes away");
        }
    });
    let (ended_well, log) = host.wait_until_ended();
    assert!(ended_well && began.elapsed() < SOON, "{log}");
}

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET http://h/`, as indices of the static table and a literal (RFC 7541, appendix A).
const GET: &[u8] = b"\x82\x86\x84\x01\x01h";

/// A connection on which the test controls every frame.
fn raw(address: SocketAddr, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).unwrap();
    stream
}

/// Reads until the host closes the connection. Returns the kinds of the frames.
fn kinds(mut stream: &TcpStream) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        kinds.push(head[3]);
        std::io::copy(&mut stream.take(length.into()), &mut std::io::sink()).ok();
    }
    kinds
}

const GOAWAY: u8 = 7;

#[test]
fn clients_that_ask_or_read_nothing_are_closed() {
    let config = "[http]\nheader_timeout = \"700ms\"\nwrite_timeout = \"700ms\"\nmax_body_bytes = 2000000";
    let sidecar = "routes = [\"* /service/{*path}\"]\n[limits]\ntimeout = \"60s\"\n";
    let host = Setup::new().plugin("service").sidecar("service", sidecar).config(config).start();
    let silent = raw(host.address(), b"");
    let began = Instant::now();
    assert!(kinds(&silent).contains(&GOAWAY));
    // A head that does not end, and the first half of a preface.
    let mut half = raw(host.address(), b"");
    half.write_all(&frame(HEADERS, END_STREAM, 1, GET)).unwrap();
    kinds(&half);
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&PREFACE[..10]).unwrap();
    assert_eq!(stream.read(&mut [0; 100]).unwrap_or(0), 0);
    // A client that gives no window for the response. It sends a body that comes back.
    let mut greedy = raw(host.address(), b"\x00\x04\x00\x00\x00\x00");
    let post = b"\x83\x86\x04\x0d/service/echo\x01\x01h";
    greedy.write_all(&frame(HEADERS, END_HEADERS, 1, post)).unwrap();
    greedy.write_all(&frame(DATA, END_STREAM, 1, &[b'a'; 10_000])).unwrap();
    kinds(&greedy);
    assert!(began.elapsed() < SOON);
    assert_eq!(host.get("/nothing").status, 404);
}

/// Sends frames until the host closes the connection, while it reads the answers. Another client is served throughout.
fn flood(host: &Host, first: &[u8], mut frames: impl FnMut(u32) -> Vec<u8>) {
    let before = host.resident_bytes();
    let mut stream = raw(host.address(), b"");
    let answers = std::thread::spawn({
        let stream = stream.try_clone().unwrap();
        move || kinds(&stream)
    });
    stream.write_all(first).unwrap();
    let began = Instant::now();
    let mut number = 0;
    loop {
        let batch: Vec<u8> = (0..200).flat_map(|index| frames(number + index)).collect();
        number += 200;
        if stream.write_all(&batch).is_err() {
            break;
        }
        if number % 2_000 == 0 {
            assert_eq!(host.get("/nothing").status, 404);
        }
        assert!(began.elapsed() < SOON, "the connection is not closed after {number} frames");
    }
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the host has grown by {grown} bytes");
    assert_eq!(host.get("/nothing").status, 404);
    answers.join().unwrap();
}

fn flooded(header_timeout: &str) -> Host {
    let config = format!("[http]\nheader_timeout = \"{header_timeout}\"\nwrite_timeout = \"2s\"");
    Setup::new().plugin("echo").config(&config).start()
}

/// CVE-2023-44487.
#[test]
fn streams_that_are_reset_at_once_end_the_connection() {
    let host = flooded("60s");
    flood(&host, b"", |number| {
        let stream = 2 * number + 1;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        [head, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
}

/// CVE-2024-27316 and others.
#[test]
fn a_head_without_end_ends_the_connection() {
    let host = flooded("60s");
    // Fields that are not indexed: `a: bbb…`.
    let mut field = b"\x00\x01a\x7f\x81\x7c".to_vec();
    field.extend([b'b'; 16_000]);
    flood(&host, &frame(HEADERS, 0, 1, GET), |_| frame(CONTINUATION, 0, 1, &field));
    let host = flooded("60s");
    flood(&host, &frame(HEADERS, 0, 1, GET), |_| frame(CONTINUATION, 0, 1, b""));
}

/// CVE-2019-9512 and CVE-2019-9515: frames that the host must confirm.
#[test]
fn frames_without_requests_end_the_connection() {
    for frames in
        [frame(SETTINGS, 0, 0, b""), frame(PING, 0, 0, b"12345678"), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])]
    {
        let host = flooded("2s");
        flood(&host, b"", |_| frames.clone());
    }
}

/// A client that does not read the confirmations either.
#[test]
fn confirmations_that_nobody_reads_end_the_connection() {
    let host = flooded("2s");
    let before = host.resident_bytes();
    let mut stream = raw(host.address(), b"");
    let pings = frame(PING, 0, 0, b"12345678").repeat(1_000);
    let began = Instant::now();
    while stream.write_all(&pings).is_ok() {
        assert!(began.elapsed() < SOON, "the connection is not closed");
    }
    assert!(host.resident_bytes().saturating_sub(before) < 64 << 20);
    assert_eq!(host.get("/nothing").status, 404);
}

/// Frames that break the protocol (RFC 9113, sections 4 to 6) end the connection, and other clients are served.
#[test]
fn malformed_frames_end_the_connection() {
    let host = flooded("2s");
    for bytes in [
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS, 2, GET),
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        frame(CONTINUATION, END_HEADERS, 1, GET),
        frame(SETTINGS, 0, 0, b"12345"),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(PING, 0, 0, b"1"),
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01".to_vec(),
    ] {
        let mut stream = raw(host.address(), b"");
        stream.write_all(&bytes).unwrap();
        assert!(kinds(&stream).contains(&GOAWAY), "{bytes:?}");
    }
    eventually("others are served", || (host.get("/nothing").status == 404).then_some(()));
}
