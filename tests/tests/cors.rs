//! CORS rules of sidecars, as browsers use them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use sandbus_tests::{Answer, Host, Setup, eventually, put};

const SHOP: &str = "https://shop.example";

/// The CORS headers of a response, without their common prefix, and `vary`. All of them in lower case.
fn cors(answer: &Answer) -> BTreeMap<String, String> {
    let own = |(name, value): (&String, &String)| {
        let name = name.strip_prefix("access-control-").or((name == "vary").then_some("vary"))?;
        Some((name.to_owned(), value.to_lowercase()))
    };
    answer.headers.iter().filter_map(own).collect()
}

fn preflight(host: &Host, path: &str, origin: &str, method: &str) -> Answer {
    let headers =
        [("origin", origin), ("access-control-request-method", method), ("access-control-request-headers", "x-other")];
    host.send("OPTIONS", &host.url(path), &headers, b"")
}

fn from(host: &Host, origin: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    host.send(method, &host.url(path), &[("origin", origin)], body)
}

fn expect(answer: &Answer, status: u16, headers: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!((answer.status, cors(answer)), (status, expected), "{answer:?}");
}

const RULE: &str = r#"
[[cors]]
routes = ["POST /echo/{word}", "GET /echo/last/{type}"]
origins = ["https://shop.example", "http://localhost:3000"]
headers = ["content-type", "X-Trace"]
expose_headers = ["X-Request-Id"]
credentials = true
max_age = "10m"

[[cors]]
routes = ["GET /echo/subscriptions"]
origins = ["*"]
"#;

#[test]
fn a_preflight_request_gets_the_rule_of_the_route_without_a_run_of_the_plugin() {
    let host = Setup::new().plugin("echo").sidecar("echo", RULE).start();
    let allowed = [
        ("allow-credentials", "true"),
        ("allow-headers", "content-type,x-trace"),
        ("max-age", "600"),
        ("vary", "origin"),
    ];
    for origin in [SHOP, "http://localhost:3000"] {
        let answer = preflight(&host, "/echo/hello", origin, "POST");
        expect(&answer, 204, &[&allowed[..], &[("allow-methods", "post"), ("allow-origin", origin)]].concat());
        assert_eq!(answer.body, "");
    }
    // The response lists what is allowed, and the browser refuses the rest.
    for (origin, path, method, methods) in [
        ("https://evil.example", "/echo/hello", "POST", "post"),
        ("https://shop.example.evil.example", "/echo/hello", "POST", "post"),
        ("null", "/echo/hello", "POST", "post"),
        ("https://evil.example", "/echo/last/a", "GET", "get,head"),
    ] {
        let answer = preflight(&host, path, origin, method);
        expect(&answer, 204, &[&allowed[..], &[("allow-methods", methods)]].concat());
    }
    let answer = preflight(&host, "/echo/hello", SHOP, "DELETE");
    expect(&answer, 204, &[&allowed[..], &[("allow-methods", "post"), ("allow-origin", SHOP)]].concat());
    // Two rules apply to the methods of this path: `GET /echo/subscriptions` and `POST /echo/{word}`.
    let answer = preflight(&host, "/echo/subscriptions", "null", "GET");
    expect(&answer, 204, &[("allow-methods", "get,head"), ("allow-origin", "*")]);
    let answer = preflight(&host, "/echo/subscriptions", SHOP, "POST");
    expect(&answer, 204, &[&allowed[..], &[("allow-methods", "post"), ("allow-origin", SHOP)]].concat());

    // Requests that are no preflight requests, and paths without a rule, are answered as before.
    let without_method = host.send("OPTIONS", &host.url("/echo/hello"), &[("origin", SHOP)], b"");
    assert_eq!((without_method.status, without_method.problem().as_str()), (405, "method-not-allowed"));
    for path in ["/echo/later/5", "/nowhere", "/events"] {
        let answer = preflight(&host, path, SHOP, "POST");
        assert_eq!(cors(&answer), BTreeMap::new(), "{path}: {answer:?}");
        assert!([404, 405].contains(&answer.status), "{path}: {answer:?}");
    }
    assert_eq!(host.admin("/requests")["requests"], serde_json::json!([]), "no request ran the plugin");
}

#[test]
fn responses_and_errors_have_the_headers_of_the_rule() {
    let host = Setup::new().plugin("echo").sidecar("echo", RULE).config("[http]\nmax_body_bytes = 1000").start();
    let common = [("allow-credentials", "true"), ("expose-headers", "x-request-id"), ("vary", "origin")];
    let shop = [&common[..], &[("allow-origin", SHOP)]].concat();
    let from_shop = |method: &str, path: &str, body: &[u8]| from(&host, SHOP, method, path, body);
    expect(&from_shop("POST", "/echo/hello", b"hi"), 200, &shop);
    // An error of the plugin, and errors of the host.
    expect(&from_shop("GET", "/echo/last/none", b""), 404, &shop);
    expect(&from_shop("GET", "/echo/last/%ff", b""), 400, &shop);
    expect(&from(&host, "https://evil.example", "POST", "/echo/hello", b""), 200, &common);
    expect(&from(&host, "null", "POST", "/echo/hello", b""), 200, &common);
    expect(&host.get("/echo/last/none"), 404, &common);
    expect(&from_shop("GET", "/echo/subscriptions", b""), 200, &[("allow-origin", "*")]);
    // A route without a rule, and a path without a route.
    expect(&from_shop("POST", "/echo/later/5", b""), 200, &[]);
    expect(&from_shop("GET", "/nowhere", b""), 404, &[]);
    assert_eq!(host.operate("POST", "/plugins/echo/drain").status, 200);
    let drained = from_shop("POST", "/echo/hello", b"");
    expect(&drained, 503, &shop);
    assert_eq!(drained.problem(), "plugin-drained");
}

/// The routes of the sidecar stand for all methods, and one path has an `OPTIONS` route.
#[test]
fn a_plugin_keeps_its_own_options_route_and_wildcards_have_rules_too() {
    let sidecar = "routes = [\"* /service/{*path}\", \"GET /own\", \"OPTIONS /own\"]\n[[cors]]\norigins = [\"*\"]\n";
    let host = Setup::new().plugin("service").sidecar("service", sidecar).start();
    let answer = preflight(&host, "/service/a/b", SHOP, "PUT");
    let methods = "get,post,put,patch,delete,head";
    expect(&answer, 204, &[("allow-methods", methods), ("allow-origin", "*")]);
    expect(&from(&host, SHOP, "PUT", "/service/a/b", b""), 200, &[("allow-origin", "*")]);
    let own = preflight(&host, "/own", SHOP, "GET");
    expect(&own, 200, &[]);
    assert_eq!(own.headers["x-path"], "/own");
    expect(&from(&host, SHOP, "GET", "/own", b""), 200, &[("allow-origin", "*")]);
    // A handler that never responds.
    expect(&from(&host, SHOP, "GET", "/service/trap", b""), 500, &[("allow-origin", "*")]);
}

#[test]
fn a_rule_applies_when_its_sidecar_is_saved_and_a_bad_one_is_refused() {
    let host = Setup::new().plugin("echo").start();
    let allowed =
        |host: &Host| from(host, SHOP, "POST", "/echo/hello", b"").headers.get("access-control-allow-origin").cloned();
    assert_eq!(allowed(&host), None);
    put(&host.file("echo.toml"), b"[[cors]]\norigins = [\"https://shop.example\"]\n");
    eventually("the rule applies", || (allowed(&host).as_deref() == Some(SHOP)).then_some(()));
    let shown = host.plugin("echo.wasm").unwrap();
    assert_eq!(shown["cors"][0]["origins"], serde_json::json!([SHOP]), "{shown}");
    let text = String::from_utf8_lossy(&host.cli(&["plugins", "show", "echo"]).stdout).into_owned();
    assert!(text.contains("cors          POST /echo/{word}, "), "{text}");

    put(&host.file("echo.toml"), b"[[cors]]\norigins = [\"*\"]\ncredentials = true\n");
    let refused = host.wait_until_refused("echo.wasm");
    assert!(
        refused.contains("[[cors]], rule 1: browsers refuse `*` in `origins` together with credentials"),
        "{refused}"
    );
    assert_eq!(allowed(&host).as_deref(), Some(SHOP), "the plugin keeps its settings");
    let checked = String::from_utf8_lossy(&host.cli(&["check"]).stdout).into_owned();
    assert!(checked.contains("echo.toml") && checked.contains("browsers refuse `*`"), "{checked}");

    put(&host.file("echo.toml"), b"");
    eventually("the rule is gone", || allowed(&host).is_none().then_some(()));
}
