//! Requests to routes through the admin interface, and the samples of scenario files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::command_line::run;
use sandbus_tests::{Answer, Host, Setup, eventually};
use serde_json::{Value, json};

/// Asks the admin interface to send a request.
fn ask(host: &Host, method: &str, path: &str, rest: Value) -> Answer {
    let path = path.replace('&', "%26").replace('?', "%3F");
    host.admin_post(&format!("/requests?method={method}&path={path}"), rest)
}

/// The response of a route.
fn response(host: &Host, method: &str, path: &str, rest: Value) -> Value {
    let answer = ask(host, method, path, rest);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn body(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().unwrap()).unwrap()
}

#[test]
fn a_request_takes_the_way_of_a_client_request() {
    let config = "[ingress]\naccess_log = true\ntrusted_proxies = [\"127.0.0.0/8\"]\nevents = \"off\"\n";
    let host = Setup::new().plugin("echo").plugin("keeper").plugin("hostile").config(config).start();
    let headers = json!([{ "name": "User-Agent", "value": "me" }]);
    let sent = response(&host, "POST", "/echo/hi?a=b&c=d", json!({ "headers": headers, "body": "hello" }));
    let direct = host.send("POST", &host.url("/echo/hi?a=b&c=d"), &[("user-agent", "me")], b"hello");
    assert_eq!((&sent["status"], &sent["body_end"]), (&json!(200), &json!("complete")), "{sent}");
    assert_eq!(body(&sent), direct.json());
    let names = |name: &str| sent["headers"].as_array().unwrap().iter().any(|header| header["name"] == name);
    assert!(names("content-type") && names("x-request-id"), "{sent}");
    assert!(sent["took_us"].as_u64().unwrap() > 0, "{sent}");

    // The ledger knows it, and no proxy has told who the client is.
    let id = sent["request"].as_str().unwrap().to_owned();
    let tree = eventually("the request is recorded", || {
        let answer = host.send("GET", &host.api_url(&format!("/cause-trees/{id}")), &[], b"");
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!((&tree["requests"][0]["id"], &tree["requests"][0]["route"]), (&json!(id), &json!("/echo/{word}")));
    let line = host.wait_for_log(&["sandbus::access", &id]);
    assert_eq!((&line["client"], &line["plugin"]), (&Value::Null, &json!("echo")), "{line}");

    // The effects are committed before the response.
    let put = response(&host, "PUT", "/keeper/answer", json!({ "body": "42" }));
    assert_eq!(put["status"], 204, "{put}");
    assert_eq!(host.get("/keeper").json()["values"]["answer"], 42);

    // What the ingress refuses, and what fails, is a response like others.
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "not-found"),
        ("DELETE", "/keeper", 405, "method-not-allowed"),
        ("POST", "/hostile/trap", 500, "handler-trapped"),
        ("POST", "/events", 403, "ingress-off"),
    ] {
        let refused = response(&host, method, path, json!({}));
        let direct = host.send(method, &host.url(path), &[], b"");
        assert_eq!((&refused["status"], body(&refused)["code"].clone()), (&json!(status), json!(code)), "{refused}");
        assert_eq!((direct.status, direct.problem()), (status, code.to_owned()), "{path}");
    }
    assert_eq!(host.operate("POST", "/plugins/keeper/drain").status, 200);
    assert_eq!(body(&response(&host, "GET", "/keeper", json!({})))["code"], "plugin-drained");
}

#[test]
fn a_request_is_bounded_and_recorded_in_the_audit_log() {
    let host = Setup::new().plugin("echo").plugin("hostile").config("[http]\nmax_body_bytes = 1000\n").start();
    let refused = |method: &str, path: &str, rest: Value| {
        let answer = ask(&host, method, path, rest);
        (answer.status, answer.problem())
    };
    let code = |status, code: &str| (status, code.to_owned());
    assert_eq!(refused("GET", "echo", json!({})), code(400, "invalid-query"));
    assert_eq!(refused("POST", "/echo/x", json!({ "body": "x".repeat(1001) })), code(413, "body-too-large"));
    let length = json!({ "headers": [{ "name": "content-length", "value": "5" }] });
    assert_eq!(refused("POST", "/echo/x", length), code(422, "invalid-body"));
    let slow = host.admin_post("/requests?method=POST&path=/hostile/spin&timeout=50ms", json!({}));
    assert_eq!((slow.status, slow.problem()), code(504, "no-response"));
    let long = host.admin_post("/requests?method=GET&path=/&timeout=61s", json!({}));
    assert_eq!((long.status, long.problem()), code(400, "invalid-query"));

    assert_eq!(response(&host, "POST", "/echo/x?y=z", json!({ "body": "secret" }))["status"], 200);
    let audit = run(&host, &["audit"]);
    assert!(audit.contains("send_request") && audit.contains("method=POST&path=/echo/x%3Fy=z"), "{audit}");
    assert!(!audit.contains("secret"), "{audit}");
}

#[test]
fn a_token_that_hides_payloads_sees_neither_responses_nor_the_data_of_samples() {
    let host = Setup::new().plugin("echo").config("[access]\nrequire_tokens = true\n");
    std::fs::create_dir_all(host.path().join("plugins/tests")).unwrap();
    std::fs::write(host.path().join("plugins/tests/echo.toml"), SCENARIOS).unwrap();
    let host = host.start();
    let data = host.path().join("data");
    let create = ["token", "create", "--json", "--role", "operate", "--data", data.to_str().unwrap()];
    let token = |more: &[&str]| {
        let created: Value = serde_json::from_str(&run(&host, &[&create, more].concat())).unwrap();
        format!("Bearer {}", created["secret"].as_str().unwrap())
    };
    let (shown, hidden) = (token(&[]), token(&["--hide-payloads"]));
    for (method, path, request) in
        [("POST", "/requests?method=POST&path=/echo/x", "{\"body\":\"treasure\"}"), ("GET", "/samples", "")]
    {
        let see = |token: &str| {
            let headers = [("authorization", token), ("content-type", "application/json")];
            let answer = host.send(method, &host.api_url(path), &headers, request.as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body
        };
        assert!(see(&shown).contains("treasure"), "{path}");
        assert!(!see(&hidden).contains("treasure"), "{path}");
    }
}

const SCENARIOS: &str = r#"
[[scenario]]
name = "what is found is remembered"
[[scenario.step]]
event = "echo.found"
data = { what = "treasure" }
[[scenario.step]]
request = "POST /echo/hi"
body = "treasure"
"#;

#[test]
fn samples_come_from_the_scenarios_in_the_plugin_folder() {
    let setup = Setup::new().plugin("echo");
    let tests = setup.path().join("plugins/tests");
    std::fs::create_dir_all(&tests).unwrap();
    std::fs::write(tests.join("echo.toml"), SCENARIOS).unwrap();
    std::fs::write(tests.join("typo.toml"), "[[scenario]]\nnames = \"x\"\n").unwrap();
    let host = setup.start();
    let list = host.admin("/samples");
    let samples = list["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 2, "{list}");
    assert_eq!((&samples[0]["file"], &samples[0]["step"]), (&json!("tests/echo.toml"), &json!(1)), "{list}");
    assert_eq!(
        (&samples[0]["event"]["type"], &samples[0]["event"]["data"]["what"]),
        (&json!("echo.found"), &json!("treasure"))
    );
    let request = &samples[1]["request"];
    assert_eq!(
        (&request["method"], &request["path"], &request["body"]),
        (&json!("POST"), &json!("/echo/hi"), &json!("treasure"))
    );
    assert_eq!(list["faults"][0]["file"], "tests/typo.toml", "{list}");
    assert!(!list.to_string().contains(host.path().to_str().unwrap()), "no path of the machine is shown: {list}");

    // A saved file is read at the next request.
    std::fs::remove_file(tests.join("typo.toml")).unwrap();
    std::fs::write(tests.join("echo.toml"), "").unwrap();
    assert_eq!(host.admin("/samples"), json!({ "samples": [], "faults": [], "omitted": 0 }));
}
