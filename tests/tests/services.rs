//! Components that serve `wasi:http` and do not know Sandbus, added with their routes in a sidecar.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use sandbus_tests::{Host, Setup, Webhook, eventually, put};
use serde_json::json;

const SIDECAR: &str = "routes = [\"* /service\", \"* /service/{*path}\"]\n\
    [limits]\ntimeout = \"700ms\"\n[grants]\npublish = [\"service.>\"]\n";

/// The same service, built for WASI 0.2 and 0.3.
const SERVICES: [&str; 2] = ["service", "service-0-3"];

/// A host with each of the services.
fn hosts() -> impl Iterator<Item = Host> {
    SERVICES.into_iter().map(host)
}

#[allow(clippy::print_stderr, reason = "shows which service a test failed for")]
fn host(service: &str) -> Host {
    eprintln!("the service is `{service}`");
    Setup::new().plugin(service).sidecar(service, SIDECAR).config("[http]\nmax_body_bytes = 100000").start()
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
    for service in ["bench-wasi-http", "bench-wasi-http-0-3"] {
        let sidecar = "name = \"answers\"\nroutes = [\"GET /answers\"]";
        let host = Setup::new().plugin(service).sidecar(service, sidecar).start();
        let answer = host.get("/answers");
        assert_eq!((answer.status, &answer.json()["number"]), (200, &json!(42)));
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(host.send("POST", &host.url("/answers"), &[], b"").problem(), "method-not-allowed");
        assert_eq!(host.plugin(&format!("{service}.wasm")).unwrap()["name"], "answers");
    }
}

#[test]
fn a_star_takes_every_method() {
    for host in hosts() {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let answer = host.send(method, &host.url("/service/any/where?a=b"), &[], b"");
            assert_eq!((answer.status, answer.headers["x-path"].as_str()), (200, "/service/any/where?a=b"), "{method}");
        }
        assert_eq!(host.get("/service").status, 200);
    }
}

#[test]
fn bodies_flow_both_ways_and_trailers_with_them() {
    for host in hosts() {
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
}

#[test]
fn a_service_that_fails_before_it_responds_gives_a_problem() {
    for host in hosts() {
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
}

#[test]
fn a_response_is_cut_off_if_its_service_fails() {
    for host in hosts() {
        let answer = raw(&host, "/service/late-trap");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("half"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "nobody takes it for whole: {answer:?}");
        let _ = host.wait_for_log(&["a response was cut off after it had started"]);
        assert!(host.events_of("service.done").is_empty());
    }
}

#[test]
fn a_whole_response_means_that_effects_are_durable() {
    for host in hosts() {
        for (path, body, when) in [("/service/publish", "published", "before"), ("/service/late", "late", "after")] {
            let answer = host.get(path);
            assert_eq!((answer.status, answer.body.as_str()), (200, body));
            let events = host.events_of("service.done");
            assert_eq!(events.last().unwrap()["subject"], when, "{events:?}");
        }
    }
}

/// A client cannot tell that such a response was cut off, so it does not start before the handler has ended.
#[test]
fn a_response_without_an_end_of_its_own_comes_after_its_effects() {
    for host in hosts() {
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
        for (count, (request, status)) in [
            ("GET /service/gone HTTP/1.1", 204),
            ("HEAD /service/late HTTP/1.1", 200),
            ("GET /service/late HTTP/1.0", 200),
        ]
        .into_iter()
        .enumerate()
        {
            let answer = ask(request);
            assert!(answer.contains(&format!(" {status} ")), "{request}: {answer}");
            assert_eq!(host.events_of("service.done").len(), count + 1, "{request}");
            assert_eq!(answer.ends_with("late"), request.contains("/late HTTP/1.0"), "{request}: {answer}");
        }
    }
}

#[test]
fn memory_for_requests_is_bounded() {
    for host in hosts() {
        let answer = host.get("/service/hoard");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let bytes: u64 = answer.body.parse().unwrap();
        assert!(bytes <= 500 * (16 << 10), "{bytes} bytes for 500 requests");
    }
}

#[test]
fn error_codes_that_nobody_receives_are_bounded() {
    let host = host("service-0-3");
    let before = host.resident_bytes();
    let answer = host.get("/service/results");
    assert_eq!((answer.status, answer.body.as_str()), (200, "30"));
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 60 << 20, "the host grew by {grown} bytes for 30 codes of 4 MiB");
}

#[test]
fn a_body_that_is_too_large_ends_the_call_of_a_handler_that_ignores_it() {
    let host = host("service-0-3");
    let mut stream = TcpStream::connect(host.address()).unwrap();
    let head = "POST /service/swallow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 10_000, "x".repeat(10_000));
    for _ in 0..11 {
        // The host may close the connection first.
        let _ = stream.write_all(chunk.as_bytes());
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    let _ = host.wait_for_log(&["a response was cut off after it had started"]);
}

#[test]
fn a_client_need_not_name_the_host() {
    for host in hosts() {
        let mut stream = TcpStream::connect(host.address()).unwrap();
        write!(stream, "GET /service/any HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
    }
}

/// RFC 9110, section 9.3.2: the response to `HEAD` has the headers of the response to `GET`.
#[test]
fn a_head_alone_has_no_length_of_a_body_that_was_not_made() {
    for host in hosts() {
        let mut stream = TcpStream::connect(host.address()).unwrap();
        write!(stream, "HEAD /service/late HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("content-length: 0"), "{answer}");
    }
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
    for host in hosts() {
        let url = host.url("/service/swallow");
        assert_eq!(host.send("POST", &url, &[], &[b'x'; 100_000]).body, "100000");
        let answer = host.send("POST", &url, &[], &[b'x'; 100_001]);
        assert_eq!((answer.status, answer.problem()), (413, "body-too-large".to_owned()));
    }
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

#[test]
fn tasks_of_a_handler_wait_at_the_same_time() {
    let host = host("service-0-3");
    let answer = host.get("/service/crowd");
    let took: u64 = answer.body.parse().unwrap();
    assert!((50..700).contains(&took), "50 tasks waited for 50 ms each, and took {took} ms together");
}

#[test]
fn a_body_passes_through_a_handler_that_has_ended() {
    let host = host("service-0-3");
    let body = b"0123456789".repeat(10_000);
    let answer = host.send("POST", &host.url("/service/pass"), &[], &body);
    assert_eq!((answer.status, answer.body.as_bytes() == body), (200, true));
}

#[test]
fn output_through_a_stream_becomes_log_lines() {
    let host = host("service-0-3");
    assert_eq!(host.get("/service/print").body, "printed");
    let _ = host.wait_for_log(&["out of a stream"]);
}

#[test]
fn a_request_streams_to_a_granted_host_only() {
    let upstream = Webhook::start_echoing();
    let sidecar = format!("{SIDECAR}http = [\"{}\"]\n", upstream.address);
    let host = Setup::new().plugin("service-0-3").sidecar("service-0-3", &sidecar).start();
    let fetch = |authority: &str| {
        let headers = [("x-authority", authority), ("x-target-path", "/path?query=1")];
        host.send("GET", &host.url("/service/fetch"), &headers, b"")
    };
    let answer = fetch(&upstream.address);
    assert_eq!((answer.status, answer.body.len()), (200, 100_000), "{}\n{}", answer.body, host.log());
    let received = &upstream.received()[0];
    assert_eq!((received.method.as_str(), received.header("x-caller")), ("POST", Some("a guest")));
    assert_eq!((received.body.len(), received.header("host")), (100_000, Some(upstream.address.as_str())));
    let denied = fetch("127.0.0.1:9");
    assert_eq!((denied.status, denied.problem()), (502, "handler-response".to_owned()));
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_passed_on_response_without_an_end_is_cut_at_the_timeout() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    // Sends parts until the host disconnects.
    let endless = std::thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        let mut reader = stream.try_clone().unwrap();
        // A response before the request would be an error.
        read_until(&mut reader, "\r\n\r\n");
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        while stream.write_all(b"5\r\nagain\r\n").is_ok() {
            sandbus_tests::pause_for(std::time::Duration::from_millis(20));
        }
    });
    let sidecar = format!("{SIDECAR}http = [\"{address}\"]\n");
    let host = Setup::new().plugin("service-0-3").sidecar("service-0-3", &sidecar).start();
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    write!(stream, "GET /service/fetch HTTP/1.1\r\nhost: x\r\nx-authority: {address}\r\nx-target-path: /\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("again"), "{read:?}: {answer}");
    assert!(!answer.ends_with("\r\n0\r\n\r\n"), "it is truncated: {answer}");
    endless.join().unwrap();
}

#[test]
fn a_response_that_is_shorter_than_it_says_has_no_effects() {
    for host in hosts() {
        let answer = host.get("/service/short");
        assert_eq!((answer.status, answer.problem()), (502, "handler-response".to_owned()));
        assert!(host.events_of("service.done").is_empty());
    }
}

#[test]
fn a_handler_that_never_ends_costs_only_its_own_request() {
    let host = host("service-0-3");
    let wait = host.get("/service/wait");
    assert_eq!((wait.status, wait.problem()), (504, "handler-timeout".to_owned()));
    // The response has begun before the time is up.
    let linger = raw(&host, "/service/linger");
    assert!(linger.starts_with("HTTP/1.1 200") && !linger.ends_with("0\r\n\r\n"), "{linger:?}");
    for path in ["/service/tasks", "/service/streams"] {
        let answer = host.get(path);
        assert!(matches!(answer.status, 500 | 504), "{path}: {} {}", answer.status, answer.body);
    }
    assert_eq!(host.get("/service/publish").status, 200);
}

#[test]
fn a_component_for_spin_4_uses_the_state_and_the_configuration() {
    let sidecar = "routes = [\"GET /visits\"]\n[config]\ngreeting = \"Hello\"\n";
    let host = Setup::new().plugin("spin-4").sidecar("spin-4", sidecar).start();
    for visit in 1..=2 {
        let answer = host.get("/visits");
        let expected = format!("Hello {visit} [\"visits\"] true");
        assert_eq!((answer.status, answer.body), (200, expected), "{}", host.log());
    }
}

/// The host calls all exports of such a component concurrently: `describe`, and the handlers of events and requests.
#[test]
fn a_plugin_built_with_the_sdk_may_use_wasi_0_3() {
    let sidecar = "[limits]\ncalls_per_instance = 100\n[subscriptions.roll]\ndeliveries_per_instance = 100\n";
    let host = Setup::new().plugin("dice-0-3").sidecar("dice-0-3", sidecar).start();
    for id in 0..20 {
        assert_eq!(host.publish("dice.wanted", &id.to_string(), json!({})).status, 202);
    }
    let rolled = eventually("each event is handled", || {
        let rolled = host.events_of("dice.rolled");
        (rolled.len() == 20).then_some(rolled)
    });
    let chances: BTreeSet<_> = rolled.iter().map(|event| event["data"]["chance"].to_string()).collect();
    assert_eq!(chances.len(), 20, "{chances:?}");
    assert_eq!(host.get("/rolled").body, "20");
    assert!(host.get("/dice").json()["nanoseconds"].is_u64());
}

#[test]
fn an_operator_may_switch_wasi_0_3_off() {
    let config = "[sandbox]\nwasi_0_3 = false";
    let host = Setup::new().plugin("service").plugin("service-0-3").sidecar("service", SIDECAR).config(config).start();
    let error = host.wait_until_refused("service-0-3.wasm");
    assert!(error.contains("set `[sandbox] wasi_0_3 = true`, or build it for WASI 0.2"), "{error}");
    assert_eq!(host.get("/service/publish").status, 200);
}
