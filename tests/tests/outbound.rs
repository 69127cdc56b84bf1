//! Requests that plugins send: only to granted hosts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use sandbus_tests::release::copy_below;
use sandbus_tests::{Host, Setup, TlsProxy, Webhook, binary, eventually, guest_path, put};
use sandbus_toolchain::Project;
use serde_json::{Value, json};

fn host(grants: &[&str]) -> Host {
    host_of(&guest_path("caller"), "2s", grants)
}

/// A host with a guest that sends the request in `call.wanted`.
fn host_of(caller: &Path, timeout: &str, grants: &[&str]) -> Host {
    let sidecar = format!("[limits]\ntimeout = \"{timeout}\"\n[grants]\nhttp = {grants:?}\n");
    let setup = Setup::new().sidecar("caller", &sidecar);
    std::fs::copy(caller, setup.path().join("plugins/caller.wasm")).unwrap();
    setup.start()
}

/// Runs a guest's scenarios, as a user does.
fn play(wasm: &Path, scenarios: &str) {
    let setup = Setup::new();
    let file = setup.path().join("scenarios.toml");
    put(&file, scenarios.as_bytes());
    let output = Command::new(binary()).arg("test").arg(wasm).arg("--scenarios").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The result of a request: its response, or the reason why there is none.
fn call(host: &Host, id: &str, wanted: Value) -> Result<Value, String> {
    assert_eq!(host.publish("call.wanted", id, wanted).status, 202);
    eventually("the request is answered or given up", || {
        let answered = host.events_of("call.answered").into_iter().find(|event| event["causationid"] == id);
        let dead = host.dead_letters().into_iter().find(|dead| dead["logged"]["event"]["id"] == id);
        let reason = dead.map(|dead| dead["reason"].as_str().unwrap_or_default().to_owned());
        answered.map(|event| Ok(event["data"].clone())).or(reason.map(Err))
    })
}

#[test]
fn a_request_goes_to_a_granted_host_with_its_body_and_headers() {
    let upstream = Webhook::start_echoing();
    let host = host(&[&upstream.address]);
    let url = format!("http://{}/path?query=1", upstream.address);
    let body = "0123456789".repeat(10_000);
    let answer = call(&host, "1", json!({ "method": "POST", "url": url, "body": body })).unwrap();
    assert_eq!((&answer["status"], &answer["length"]), (&json!(200), &json!(100_000)));
    assert_eq!(answer["beginning"], "01234567890123456789");
    let received = &upstream.received()[0];
    assert_eq!((received.method.as_str(), received.header("x-caller")), ("POST", Some("a guest")));
    assert_eq!((received.body.len(), received.header("host")), (100_000, Some(upstream.address.as_str())));

    let answer = call(&host, "2", json!({ "method": "GET", "url": url })).unwrap();
    assert_eq!((&answer["status"], &answer["length"]), (&json!(200), &json!(0)));
}

#[test]
fn a_server_with_a_private_certificate_is_trusted_with_ca_file() {
    let upstream = Webhook::start_echoing();
    let proxy = TlsProxy::start(&upstream.address);
    let wanted = || json!({ "method": "GET", "url": format!("https://{}/", proxy.address) });
    let sidecar = format!("[grants]\nhttp = [\"{}\"]\n", proxy.address);
    let setup = || Setup::new().plugin("caller").sidecar("caller", &sidecar);
    let answered = call(&setup().start(), "1", wanted());
    assert!(answered.as_ref().is_err_and(|reason| reason.contains("certificate")), "{answered:?}");
    assert_eq!(upstream.received().len(), 0);

    let setup = setup();
    let authority = setup.path().join("authority.pem");
    put(&authority, proxy.certificate.as_bytes());
    let host = setup.config(&format!("[outbound]\nca_file = {authority:?}\n")).start();
    assert_eq!(call(&host, "1", wanted()).unwrap()["status"], 200);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_request_to_any_other_host_is_refused_and_never_sent() {
    let (granted, other) = (Webhook::start(&[302]), Webhook::start(&[200]));
    let host = host(&[&granted.address, "localhost.example"]);
    let refused = |id: &str, url: String| call(&host, id, json!({ "method": "GET", "url": url })).unwrap_err();
    let reason = refused("1", format!("http://{}/", other.address));
    assert!(reason.contains("not granted") && reason.contains(&other.address), "{reason}");
    let _ = host.wait_for_log(&["are not granted", &other.address]);
    // A name that contains a granted one but leads elsewhere.
    let disguised = refused("2", format!("http://{}@{}/", granted.address, other.address));
    assert!(!disguised.is_empty());
    // A redirect of a granted host is the guest's to follow, with a request that needs its own grant.
    let redirected = call(&host, "3", json!({ "method": "GET", "url": format!("http://{}/", granted.address) }));
    assert_eq!(redirected.unwrap()["status"], 302);
    assert!(other.received().is_empty());
}

/// The admin interface would take the host's own request for the operator's.
#[test]
fn no_grant_leads_to_the_host_itself() {
    let host = host(&["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:7f00:1]"]);
    let ports = [host.url("/"), host.admin_url("/plugins")].map(|url| url.rsplit_once(':').unwrap().1.to_owned());
    for (number, port) in ports.iter().enumerate() {
        for name in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"] {
            let wanted = json!({ "method": "GET", "url": format!("http://{name}:{port}") });
            assert!(call(&host, &format!("{number} {name}"), wanted).is_err(), "{name}:{port}");
        }
        let port = port.split('/').next().unwrap();
        let _ = host.wait_for_log(&[&format!("localhost:{port}"), "is a listener of this Sandbus host"]);
    }
}

#[test]
fn a_host_that_does_not_answer_costs_the_guest_its_own_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let host = host(&[&address]);
    let url = format!("http://{address}/");
    let reason = call(&host, "1", json!({ "method": "GET", "url": url, "timeout_ms": 100 })).unwrap_err();
    assert!(reason.contains("not answered in time"), "{reason}");
    let reason = call(&host, "2", json!({ "method": "GET", "url": url })).unwrap_err();
    assert!(reason.contains("ran out of time after 2s"), "{reason}");
    drop(silent);
    let reason = call(&host, "3", json!({ "method": "GET", "url": url })).unwrap_err();
    assert!(reason.contains("no answer"), "{reason}");
}

const SCENARIO: &str = r#"
[[scenario]]
name = "a request is answered by the scenario"
given.http = [
    { request = "POST https://api.example.com/orders", status = 201, json = { number = 7 } },
    { request = "GET https://api.example.com/*", status = 404, body = "no such order" },
]

[[scenario.step]]
event = "call.wanted"
data = { method = "POST", url = "https://api.example.com/orders", body = "{\"what\":\"bread\"}" }
then.outcome = "ack"
then.requests = [{ request = "POST https://api.example.com/orders", json = { what = "bread" } }]
then.published = [{ type = "call.answered", data = { status = 201, beginning = "{\"number\":7}" } }]

[[scenario.step]]
event = "call.wanted"
data = { method = "GET", url = "https://api.example.com/orders/8" }
then.published = [{ data = { status = 404, beginning = "no such order" } }]

[[scenario.step]]
event = "call.wanted"
data = { method = "GET", url = "https://elsewhere.example.com/" }
then.outcome = "reject"
then.dead_letters = [{ reason = "not granted" }]
then.requests = []
"#;

/// The handler has one attempt, so it fails if the service does not answer its repeated request as before.
const CRASH_SCENARIO: &str = r#"
[[scenario]]
name = "a request is repeated after a crash"
given.http = [{ request = "POST https://api.example.com/orders", times = 1, status = 201, body = "done" }]

[[scenario.step]]
event = "call.wanted"
data = { method = "POST", url = "https://api.example.com/orders" }
then.published = [{ type = "call.answered", data = { status = 201, beginning = "done" } }]
"#;

#[test]
fn a_stub_answers_a_repeated_request_after_a_crash_as_before() {
    let setup = Setup::new();
    let file = setup.path().join("scenarios.toml");
    put(&file, CRASH_SCENARIO.as_bytes());
    let mut command = Command::new(binary());
    command.args(["test", "--crash"]).arg(guest_path("caller")).arg("--scenarios").arg(&file);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("crash"), "{text}");
}

#[test]
fn a_scenario_answers_in_the_place_of_the_network() {
    play(&guest_path("caller"), SCENARIO);
}

/// A host of `sandbus dev` with a guest that is a script. It runs the guest as a program on a prepared runtime.
fn host_of_program(project: &Path, grants: &[&str]) -> Host {
    let setup = Setup::new();
    let copy = setup.path().join("caller");
    copy_below(project, &copy);
    put(&copy.join("caller.toml"), format!("[grants]\nhttp = {grants:?}\n").as_bytes());
    let host = setup.develop_with(Path::new("caller"), &["--plugins", "plugins", "--data", "data"]);
    let _ = host.wait_for_log(&["built for the prepared runtime", "caller"]);
    host
}

/// Sends requests from a guest in another language, with the same commands as the Rust guest: as a component, and as a
/// program.
fn sends_from(language: &str) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/callers").join(language);
    let report = Project::find(&project).unwrap().build(false, &mut |_| {}).unwrap();
    assert!(report.succeeded, "{:?}", report.messages);
    let caller = &report.artifacts[0].path;
    sends(|grants| host_of(caller, "60s", grants));
    play(caller, SCENARIO);
    sends(|grants| host_of_program(&project, grants));
    play(&project, SCENARIO);
}

/// Sends requests from the guest of hosts with grants.
fn sends(start: impl Fn(&[&str]) -> Host) {
    let (upstream, other) = (Webhook::start_echoing(), Webhook::start(&[200]));
    let host = start(&[&upstream.address]);
    let (url, body) = (format!("http://{}/path?query=1", upstream.address), "0123456789".repeat(10_000));
    let answer = call(&host, "1", json!({ "method": "POST", "url": url, "body": body })).unwrap();
    assert_eq!(answer, json!({ "status": 200, "length": 100_000, "beginning": "01234567890123456789" }));
    let received = &upstream.received()[0];
    assert_eq!((received.method.as_str(), received.header("x-caller")), ("POST", Some("a guest")));
    assert_eq!((received.body.len(), received.header("host")), (100_000, Some(upstream.address.as_str())));

    let refused = |id: &str, url: String| call(&host, id, json!({ "method": "GET", "url": url })).unwrap_err();
    let reason = refused("2", format!("http://{}/", other.address));
    assert!(reason.contains(&format!("[grants] http = [\"{}\"]", other.address)), "{reason}");
    assert!(refused("3", "ftp://example.com/".to_owned()).contains("http or https"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(other.received().is_empty());
    drop(host);

    let address = silent.local_addr().unwrap().to_string();
    let host = start(&[&address]);
    let wanted = json!({ "method": "GET", "url": format!("http://{address}/"), "timeout_ms": 100 });
    assert!(call(&host, "4", wanted).unwrap_err().contains("not answered in time"));
}

#[test]
fn a_plugin_in_javascript_sends_requests() {
    sends_from("js");
}

#[test]
fn a_plugin_in_python_sends_requests() {
    sends_from("python");
}

const SERVICE: &str = r#"
[[scenario]]
name = "a wasi:http service answers and publishes"
given.sidecar = { routes = ["* /service/{*path}"], grants = { publish = ["service.>"] } }

[[scenario.step]]
request = "GET /service/publish"
then.response = { status = 200, body = "published" }
then.published = [{ type = "service.done" }]

[[scenario.step]]
request = "POST /service/echo"
body = "hello"
then.response = { status = 200, body = "hello" }

[[scenario.step]]
request = "GET /service/trap"
then.response = { status = 500, json = { code = "handler-trapped" } }
then.logs = ["request failed (trap)"]
"#;

#[test]
fn a_scenario_asks_a_service_that_does_not_know_sandbus() {
    play(&guest_path("service"), SERVICE);
}
