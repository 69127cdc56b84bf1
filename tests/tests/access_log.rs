//! The access log of the ingress, and the proxies that tell who a client is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::{Answer, Host, Setup, Wire, eventually, with_open_ingress};
use serde_json::{Value, json};

const ON: &str = "[ingress]\naccess_log = true\nevents = { types = [\">\"], sources = [\"*\"] }\n";

/// The lines of the access log for a path, once there are so many.
fn lines(host: &Host, path: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} lines for {path}"), || {
        let log = host.log();
        let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<_> =
            records.filter(|record| record["target"] == "sandbus::access" && record["path"] == path).collect();
        (found.len() >= count).then_some(found)
    })
}

/// Sends a request to the echo with further headers.
fn echo(host: &Host, word: &str, headers: &[(&str, &str)]) -> Answer {
    host.send("POST", &host.url(&format!("/echo/{word}")), headers, b"hello")
}

#[test]
fn a_request_is_one_line() {
    let routes = "routes = [\"* /service/{*path}\"]\n";
    let host = Setup::new().plugin("echo").plugin("service").sidecar("service", routes).config(ON).start();
    let answer = host.send("POST", &host.url("/echo/hi?token=secret"), &[], b"hello");
    let found = lines(&host, "/echo/hi", 1);
    let line = &found[0];
    let expected = json!({
        "level": "INFO", "target": "sandbus::access", "message": "request", "timestamp": line["timestamp"],
        "client": "127.0.0.1", "method": "POST", "path": "/echo/hi", "status": 200, "bytes": answer.body.len(),
        "took_ms": line["took_ms"], "request_id": answer.headers["x-request-id"], "plugin": "echo",
    });
    assert_eq!((line, found.len()), (&expected, 1));
    assert!(line["took_ms"].as_f64().is_some_and(|took| took > 0.0), "{line}");
    assert!(!line.to_string().contains("secret"), "{line}");

    let streamed = host.send("POST", &host.url("/service/echo"), &[], &[b'a'; 100_000]);
    assert_eq!((streamed.status, streamed.body.len()), (200, 100_000));
    let line = &lines(&host, "/service/echo", 1)[0];
    assert_eq!((&line["bytes"], &line["plugin"]), (&json!(100_000), &json!("service")), "{line}");
}

#[test]
fn requests_that_reach_no_plugin_are_lines_too() {
    let host = Setup::new().plugin("echo").config(ON).start();
    assert_eq!(host.get("/nowhere").status, 404);
    let line = &lines(&host, "/nowhere", 1)[0];
    assert_eq!((&line["status"], &line["plugin"], &line["request_id"]), (&json!(404), &Value::Null, &Value::Null));
    assert_eq!(host.publish("a.b", "1", json!(1)).status, 202);
    assert_eq!(lines(&host, "/events", 1)[0]["status"], 202);
    let refused = Wire::open(&host.address().to_string()).answer_to("GET /hostless HTTP/1.1\r\n\r\n");
    assert_eq!(refused.problem(), "host-missing");
    assert_eq!(lines(&host, "/hostless", 1)[0]["status"], 400);
    // A path cannot forge a line.
    let forged = host.get("/a%0A%7B%22target%22%3A1%7D");
    assert_eq!((forged.status, lines(&host, "/a%0A%7B%22target%22%3A1%7D", 1).len()), (404, 1));
}

#[test]
fn the_log_is_off_by_default_and_has_a_target_of_its_own() {
    let host = Setup::new().plugin("echo").start();
    assert_eq!(echo(&host, "quiet", &[]).status, 200);
    let (ended_well, log) = host.terminate();
    assert!(ended_well && !log.contains("sandbus::access"), "{log}");

    let filter = "log = \"info,sandbus::access=off\"";
    let host = Setup::new().plugin("echo").config(filter).config(ON).start_measured();
    assert_eq!(echo(&host, "hidden", &[]).status, 200);
    let (ended_well, log) = host.terminate();
    assert!(ended_well && log.contains("listening") && !log.contains("sandbus::access"), "{log}");
}

#[test]
fn only_trusted_proxies_tell_who_the_client_is() {
    let chain = [("x-forwarded-for", "192.0.2.9, 192.0.2.1, 127.0.0.9")];
    let client = |host: &Host, word: &str, headers: &[(&str, &str)]| {
        assert_eq!(echo(host, word, headers).status, 200);
        lines(host, &format!("/echo/{word}"), 1)[0]["client"].as_str().unwrap().to_owned()
    };
    let alone = Setup::new().plugin("echo").config(ON).start();
    assert_eq!(client(&alone, "a", &chain), "127.0.0.1");
    let trusting = Setup::new().plugin("echo").config(ON).config("trusted_proxies = [\"127.0.0.0/8\"]").start();
    assert_eq!(client(&trusting, "a", &chain), "192.0.2.1");
    assert_eq!(client(&trusting, "b", &[("forwarded", "for=192.0.2.2;proto=https")]), "192.0.2.2");
    assert_eq!(client(&trusting, "c", &[("x-forwarded-for", "192.0.2.1, unknown")]), "127.0.0.1");
    assert_eq!(client(&trusting, "d", &[]), "127.0.0.1");
}

#[test]
fn a_proxy_that_is_no_address_is_an_error_at_the_start() {
    for entry in ["proxy.example", "10.0.0.0/33", ""] {
        let config = with_open_ingress(&format!("[ingress]\ntrusted_proxies = [\"{entry}\"]\n"));
        let log = Setup::new().config(&config).start_refused();
        assert!(log.contains("trusted_proxies") && log.contains("10.0.0.0/8"), "{log}");
    }
}
