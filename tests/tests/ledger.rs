//! The ledger: what an event or a request led to, why deliveries wait, the live stream and the statistics.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbus_tests::{Answer, DatabaseLock, Host, Setup, Webhook, eventually};
use serde_json::{Value, json};

/// Records everything.
const ALL: &str = "[ledger]\nrecord = \"all\"\n";

fn why(host: &Host, id: &str) -> Value {
    host.admin(&format!("/cause-trees/{id}"))
}

/// Runs `sandbus why`.
fn explain(host: &Host, id: &str) -> String {
    let output = host.cli(&["why", id]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metrics(host: &Host) -> String {
    let answer = host.send("GET", &host.admin_url("/metrics"), &[], b"");
    assert_eq!(answer.status, 200);
    answer.body
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The codes of the reasons why the deliveries of an event to a subscription wait.
fn reasons(host: &Host, id: &str, subscription: &str) -> Vec<String> {
    let tree = why(host, id);
    let event = items(&tree["events"]).iter().find(|event| event["id"] == id).unwrap().clone();
    let delivery =
        items(&event["deliveries"]).iter().find(|delivery| delivery["subscription"] == subscription).cloned();
    let delivery = delivery.unwrap_or_else(|| panic!("{subscription} has no delivery of {id}: {tree}"));
    items(&delivery["waits_for"]).iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}

/// Waits until an event waits for exactly these reasons, and returns the details of the last one.
fn wait_for_reasons(host: &Host, id: &str, subscription: &str, expected: &[&str]) -> String {
    eventually(&format!("{id} waits for {expected:?}"), || (reasons(host, id, subscription) == expected).then_some(()));
    let shown = explain(host, id);
    let line = shown.lines().rfind(|line| line.contains(&format!("… {subscription}")));
    line.unwrap_or_else(|| panic!("{shown}")).trim().to_owned()
}

fn webhook_subscription(host: &Host, name: &str, url: &str, rules: &Value) {
    let mut request = json!({ "name": name, "pattern": format!("{name}.>"), "target": { "webhook": { "url": url } } });
    request.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    let answer = host.admin_post("/subscriptions", request);
    assert_eq!(answer.status, 201, "{}", answer.body);
}

fn publish(host: &Host, event_type: &str, id: &str, subject: &str) {
    let answer = host.publish_event("/events", json!({ "type": event_type, "id": id, "subject": subject, "data": {} }));
    assert_eq!(answer.status, 202, "{}", answer.body);
}

fn request_id(answer: &Answer) -> String {
    answer.headers["x-request-id"].clone()
}

#[test]
fn an_event_shows_its_attempts_and_what_they_published() {
    let host = Setup::new().plugin("flaky").config(ALL).start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    let tree = eventually("three attempts", || {
        let tree = why(&host, "j1");
        (items(&tree["events"][0]["deliveries"][0]["attempts"]).len() == 3).then_some(tree)
    });
    let [job, done] = items(&tree["events"]) else { panic!("{tree}") };
    let delivery = &job["deliveries"][0];
    assert_eq!((&delivery["subscription"], &delivery["state"]), (&json!("flaky/job"), &json!("handled")));
    let verdicts: Vec<_> = items(&delivery["attempts"]).iter().map(|attempt| &attempt["verdict"]).collect();
    assert_eq!(verdicts, ["retried", "retried", "handled"]);
    let [first, _, last] = items(&delivery["attempts"]) else { panic!("{tree}") };
    assert_eq!((&first["cause"], &first["attempt"]), (&json!("retry"), &json!(1)));
    assert!(first["retry_at"].is_string() && items(&first["published"]).is_empty(), "{first}");
    assert_eq!(last["published"], json!([{ "id": done["id"], "event_type": "flaky.done", "due": null }]));
    assert_eq!(last["state_keys"], json!(["effects"]));
    assert!(last["cpu_us"].as_u64() > Some(0) && last["memory_bytes"].as_u64() > Some(0), "{last}");
    assert!(last["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{last}");
    assert_eq!((&done["causation"], &done["event_type"]), (&json!("j1"), &json!("flaky.done")));
    assert_eq!(items(&tree["gaps"]), [] as [Value; 0]);

    let shown = explain(&host, done["id"].as_str().unwrap());
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("flaky.job j1 from /test at "), "{shown}");
    assert!(
        lines[1].starts_with("  ✗ flaky/job attempt 1 in ") && lines[1].contains("attempt 1 is not good"),
        "{shown}"
    );
    assert!(lines[3].starts_with("  ✓ flaky/job attempt 3 in ") && lines[3].contains(", wrote effects at "), "{shown}");
    assert!(lines[4].starts_with("      flaky.done ") && lines[5] == "        no subscription matches it", "{shown}");

    let page = host.admin("/attempts?subscription=flaky/job&failed=true&limit=1");
    assert_eq!((items(&page["attempts"]).len(), &page["attempts"][0]["attempt"]), (1, &json!(2)));
    let next = page["next"].as_str().unwrap();
    let page = host.admin(&format!("/attempts?subscription=flaky/job&failed=true&limit=1&after={next}"));
    assert_eq!(page["attempts"][0]["attempt"], 1);
}

#[test]
fn the_first_log_lines_of_an_attempt_are_recorded() {
    let host = Setup::new().plugin("hostile").plugin("poison-fixed").config(ALL).start();
    let mut follower = Follower::connect(&host, "?plugin=hostile", None);
    assert_eq!(host.publish("hostile.order", "h1", json!({ "deed": "chatter" })).status, 202);
    assert_eq!(host.publish("poison.pill", "p1", json!({})).status, 202);
    host.wait_until_idle();
    let attempt = |event: &str| host.admin(&format!("/attempts?event={event}"))["attempts"][0].clone();
    let quiet = attempt("p1");
    assert_eq!(quiet["log"], json!([{ "level": "info", "message": "swallowed p1" }]), "{quiet}");
    assert_eq!(quiet["log_lines_omitted"], 0);
    let noisy = attempt("h1");
    let lines = items(&noisy["log"]);
    assert_eq!(lines.len(), 20, "{noisy}");
    assert!(lines[19]["message"].as_str().unwrap().starts_with("chatter 19 \u{1b}"), "{noisy}");
    assert!(noisy["log_lines_omitted"].as_u64().unwrap() > 1_000, "{noisy}");
    assert_eq!(items(&follower.next().1["log"]).len(), 20);

    let shown = String::from_utf8(host.cli(&["why", "h1", "--log"]).stdout).unwrap();
    assert!(shown.contains("      info: chatter 19 \\u{1b}") && !shown.contains("chatter 20"), "{shown}");
    assert!(shown.contains(" more log lines are not recorded"), "{shown}");
    assert!(!explain(&host, "h1").contains("chatter"));
}

#[test]
fn a_request_is_found_by_the_id_in_its_response() {
    let host = Setup::new().plugin("keeper").plugin("hostile").config(ALL).start();
    let answer = host.post("/keeper/later", json!({ "a": 1 }));
    let id = request_id(&answer);
    let tree = eventually("the request", || {
        let answer = host.send("GET", &host.api_url(&format!("/cause-trees/{id}")), &[], b"");
        (answer.status == 200).then(|| answer.json())
    });
    let request = &tree["requests"][0];
    assert_eq!((&request["method"], &request["path"]), (&json!("POST"), &json!("/keeper/later")));
    assert_eq!((&request["status"], &request["plugin"]), (&json!(200), &json!("keeper")));
    assert_eq!(tree["delayed"][0]["event_type"], "keeper.later", "{tree}");
    let shown = explain(&host, &id);
    assert!(
        shown.starts_with("POST /keeper/later → 200 by keeper in ") && shown.contains("enters the log at"),
        "{shown}"
    );
    // The delayed event leads to its request.
    let event = tree["delayed"][0]["id"].as_str().unwrap();
    assert_eq!(why(&host, event)["requests"][0]["id"], id.as_str());

    let failed = host.send("POST", &host.url("/hostile/trap"), &[], b"");
    let failed_id = request_id(&failed);
    assert_eq!(failed.status, 500);
    assert_ne!(failed_id, id);
    let _ = host.wait_for_log(&["request failed", &failed_id]);
    let found = eventually("the failed request", || {
        let page = host.admin("/requests?plugin=hostile");
        items(&page["requests"]).first().cloned()
    });
    assert_eq!((&found["id"], &found["cause"], &found["status"]), (&json!(failed_id), &json!("trap"), &json!(500)));
}

#[test]
fn a_failed_request_has_its_cause_and_its_reason() {
    let host = Setup::new().plugin("hostile").plugin("numbers").config(ALL).start();
    assert_eq!(host.send("PUT", &host.url("/numbers/total"), &[], b"many").status, 204);
    for (method, path, status, cause, reason) in [
        // The handler returned an error.
        ("POST", "/numbers/add/x", 500, json!("exception"), "invalid digit"),
        ("POST", "/numbers/add/1", 500, json!("exception"), "`total` is not a number"),
        ("POST", "/hostile/trap", 500, json!("trap"), "as ordered"),
        // The host refused the response.
        ("GET", "/hostile/status", 502, json!("handler-response"), "malformed"),
        // The client is to blame.
        ("POST", "/hostile/nothing", 422, Value::Null, ""),
    ] {
        let answer = host.send(method, &host.url(path), &[], b"");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let shown = eventually("the request", || {
            let page = host.admin("/requests?limit=1");
            let last = items(&page["requests"]).first().cloned()?;
            (last["id"] == request_id(&answer).as_str()).then_some(last)
        });
        assert_eq!((&shown["cause"], &shown["status"]), (&cause, &json!(status)), "{shown}");
        assert!(shown["reason"].as_str().unwrap_or_default().contains(reason), "{shown}");
        assert_eq!(shown["reason"].is_null(), cause.is_null(), "{shown}");
    }
}

#[test]
fn every_reason_to_wait_is_named() {
    let failing = Webhook::start(&[500]);
    let busy = Webhook::start_answering(&["503 Busy\r\nretry-after: 3600"], "");
    let hostile = "[subscriptions.obey]\nconcurrency = 1\n";
    let host = Setup::new().plugin("echo").plugin("hostile").plugin("poison").sidecar("hostile", hostile);
    let host = host.config(ALL).start();
    let url = format!("http://{}/", failing.address);
    let slow_retry =
        json!({ "ordering_key": "subject", "rules": { "initial_delay": "1h", "max_delay": "1h", "concurrency": 4 } });
    webhook_subscription(&host, "slow", &url, &slow_retry);
    let parking = json!({ "ordering_key": "subject", "rules": { "max_attempts": 1, "dead_letter_policy": "park" } });
    webhook_subscription(&host, "parking", &url, &parking);
    webhook_subscription(&host, "held", &format!("http://{}/", busy.address), &json!({}));

    publish(&host, "slow.a", "s1", "k");
    let shown = wait_for_reasons(&host, "s1", "operator/slow", &["retry"]);
    assert!(shown.contains("attempt 1 failed: ") && shown.contains("; attempt 2 is due at "), "{shown}");
    publish(&host, "slow.a", "s2", "k");
    let shown = wait_for_reasons(&host, "s2", "operator/slow", &["ordering-key"]);
    assert!(shown.contains("the ordering key `k` is held by slow.a s1, whose attempt 2 is due at "), "{shown}");

    publish(&host, "parking.a", "p1", "k");
    publish(&host, "parking.a", "p2", "k");
    let shown = wait_for_reasons(&host, "p2", "operator/parking", &["parked-key"]);
    assert!(shown.contains("parks the ordering key `k`") && shown.contains("sandbus dead-letters redrive"), "{shown}");
    assert!(explain(&host, "p1").contains("✗ operator/parking: dead letter "), "{}", explain(&host, "p1"));

    publish(&host, "held.a", "h1", "k");
    eventually("the endpoint is on hold", || {
        reasons(&host, "h1", "operator/held").contains(&"endpoint-hold".to_owned()).then_some(())
    });

    assert!(host.operate("POST", "/subscriptions/echo/remember/pause").status < 300);
    publish(&host, "echo.a", "e1", "x");
    let _ = wait_for_reasons(&host, "e1", "echo/remember", &["paused"]);
    assert!(host.operate("POST", "/subscriptions/echo/remember/resume").status < 300);
    assert_eq!(host.operate("POST", "/plugins/echo/drain").status, 200);
    publish(&host, "echo.a", "e2", "x");
    let shown = wait_for_reasons(&host, "e2", "echo/remember", &["drained"]);
    assert!(shown.contains("run `sandbus plugins resume echo`"), "{shown}");
    // More than the window of a subscription holds.
    for first in (0..4_000).step_by(500) {
        let event =
            |id: usize| json!({ "specversion": "1.0", "id": format!("b{id}"), "source": "/test", "type": "echo.a" });
        let batch = Value::from((first..first + 500).map(event).collect::<Vec<_>>());
        let headers = [("content-type", "application/cloudevents-batch+json")];
        assert_eq!(host.send("POST", &host.url("/events"), &headers, batch.to_string().as_bytes()).status, 202);
    }
    let shown = wait_for_reasons(&host, "b3999", "echo/remember", &["drained", "backlog"]);
    assert!(shown.contains("earlier events are delivered first"), "{shown}");

    for number in 0..30 {
        let id = format!("spin{number}");
        assert_eq!(host.publish("hostile.order", &id, json!({ "deed": "spin" })).status, 202);
    }
    let shown = wait_for_reasons(&host, "spin29", "hostile/obey", &["no-permit"]);
    assert!(shown.contains("all permits of the subscription are in use"), "{shown}");
    eventually("one runs", || {
        (0..30).any(|number| reasons(&host, &format!("spin{number}"), "hostile/obey") == ["running"]).then_some(())
    });

    std::fs::remove_file(host.file("poison.wasm")).unwrap();
    eventually("the plugin is gone", || host.plugin("poison.wasm").is_none().then_some(()));
    publish(&host, "poison.pill", "np", "x");
    let shown = wait_for_reasons(&host, "np", "poison/swallow", &["no-plugin"]);
    assert!(shown.contains("the plugin `poison` is not loaded; put poison.wasm into the plugin folder"), "{shown}");
}

#[test]
fn an_unknown_id_is_not_found_and_bad_queries_are_refused() {
    let host = Setup::new().plugin("echo").start();
    for (path, status, code) in [
        ("/cause-trees/nobody", 404, "not-found"),
        ("/attempts?limit=0", 400, "invalid-query"),
        ("/attempts?after=x", 400, "invalid-cursor"),
        ("/attempts?subscription=none", 400, "invalid-query"),
        ("/attempts?plugin=a&subscription=b/c", 400, "invalid-query"),
        ("/attempts?slower_than=soon", 400, "invalid-query"),
        ("/attempts?cause=none", 400, "invalid-query"),
        ("/attempts?nonsense=1", 400, "invalid-query"),
        ("/requests?after=1&after=2", 400, "invalid-query"),
        ("/statistics?x=1", 400, "invalid-query"),
        ("/statistics/minutes?since=yesterday", 400, "invalid-query"),
        ("/statistics/minutes?after=x", 400, "invalid-cursor"),
        ("/statistics/minutes?limit=0", 400, "invalid-query"),
        ("/statistics/minutes?since=2030-01-02T00:00:00Z&until=2030-01-01T00:00:00Z", 400, "invalid-query"),
        ("/attempts?plugin=", 400, "invalid-query"),
        ("/attempts?event=", 400, "invalid-query"),
        ("/attempts?source=%00", 400, "invalid-query"),
        ("/attempts?correlation=%0a", 400, "invalid-query"),
        ("/attempts?digest=12", 400, "invalid-query"),
        ("/requests?plugin=a%20b", 400, "invalid-query"),
        ("/cause-trees/a%00b", 400, "invalid-query"),
        ("/cause-trees/a?source=", 400, "invalid-query"),
        ("/stream?type=a..b", 400, "invalid-query"),
        ("/stream?type=", 400, "invalid-query"),
        ("/stream?nonsense=1", 400, "invalid-query"),
        ("/stream?failed=perhaps", 400, "invalid-query"),
        ("/stream?failed=", 400, "invalid-query"),
        ("/stream?plugin=", 400, "invalid-query"),
        ("/stream?plugin=a/b", 400, "invalid-query"),
        ("/stream?subscription=none", 400, "invalid-query"),
        ("/stream?subscription=a/b/c", 400, "invalid-query"),
        ("/stream?plugin=a&subscription=b/c", 400, "invalid-query"),
        ("/stream?plugin=a&plugin=a", 400, "invalid-query"),
    ] {
        let answer = host.operate("GET", path);
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{path}: {}", answer.body);
    }
    let answer = host.send("GET", &host.api_url("/stream"), &[("last-event-id", "seven")], b"");
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-event-id"));
    let output = host.cli(&["why", "nobody"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no event and no recorded request"), "{output:?}");
}

/// A client of the live stream.
struct Follower(BufReader<TcpStream>);

impl Follower {
    fn connect(host: &Host, query: &str, last_id: Option<&str>) -> Self {
        let address = host.admin_url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let last = last_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        write!(stream, "GET /v1/stream{query} HTTP/1.1\r\nhost: {address}\r\n{last}\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Self(reader)
    }

    /// The id and the data of the next message.
    fn next(&mut self) -> (String, Value) {
        let (mut id, mut data) = (String::new(), None);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
            let line = line.trim_end();
            if let Some(value) = line.strip_prefix("id: ") {
                id = value.to_owned();
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(value).unwrap());
            } else if let (true, Some(data)) = (line.is_empty(), data.take()) {
                return (id, data);
            }
        }
    }
}

#[test]
fn the_stream_is_followed_filtered_and_resumed() {
    let host = Setup::new().plugin("flaky").plugin("echo").config("[ledger]\nrecord = \"off\"\n").start();
    let mut follower = Follower::connect(&host, "?plugin=flaky&failed=true", None);
    assert_eq!(host.publish("echo.ping", "other", json!({})).status, 202);
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    let (first, attempt) = follower.next();
    assert_eq!(
        (&attempt["kind"], &attempt["event"], &attempt["attempt"]),
        (&json!("attempt"), &json!("j1"), &json!(1))
    );
    let (_, attempt) = follower.next();
    assert_eq!((&attempt["attempt"], &attempt["verdict"]), (&json!(2), &json!("retried")));
    drop(follower);
    let mut resumed = Follower::connect(&host, "?plugin=flaky", Some(&first));
    assert_eq!(resumed.next().1["attempt"], 2);
    assert_eq!(resumed.next().1["verdict"], "handled");
    let host = host.crash_and_restart();
    let mut resumed = Follower::connect(&host, "", Some(&first));
    assert_eq!(resumed.next().1, json!({ "kind": "lost", "count": null }), "the ids of an earlier run are unknown");
}

#[test]
fn a_client_that_does_not_read_the_stream_stops_nothing() {
    let host = Setup::new().plugin("ledger").config(ALL).start();
    let address = host.admin_url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut idle = TcpStream::connect(&address).unwrap();
    write!(idle, "GET /v1/stream HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();
    for first in (0..10_000).step_by(500) {
        let event = |id: usize| json!({ "specversion": "1.0", "id": format!("{id}"), "source": "/test", "type": "ledger.entry", "data": 1 });
        let batch = Value::from((first..first + 500).map(event).collect::<Vec<_>>());
        let headers = [("content-type", "application/cloudevents-batch+json")];
        assert_eq!(host.send("POST", &host.url("/events"), &headers, batch.to_string().as_bytes()).status, 202);
    }
    host.wait_until_idle();
    assert_eq!(host.get("/ledger").json()["booked"], 10_000);
}

#[test]
fn tail_prints_a_line_for_each_attempt() {
    let host = Setup::new().plugin("flaky").start();
    let mut tail = Command::new(sandbus_tests::binary())
        .args(["tail", "--type", "flaky.>", "--admin", &host.admin_url("")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let (sender, line) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(lines.next().unwrap().unwrap()));
    // It follows from the moment when it is connected.
    let mut ids = 0..;
    let first = eventually("a line", || {
        assert_eq!(host.publish("flaky.job", &format!("j{}", ids.next()?), json!({})).status, 202);
        line.recv_timeout(Duration::from_millis(200)).ok()
    });
    assert!(first.contains(" flaky.job j") && first.contains(" flaky/job attempt "), "{first}");
    tail.kill().unwrap();
    let _ = tail.wait().unwrap();
}

#[test]
fn statistics_count_what_is_not_recorded() {
    let host = Setup::new().plugin("flaky").config("[ledger]\nrecord = \"off\"\n").start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    host.wait_until_idle();
    assert_eq!(host.get("/flaky").status, 200);
    let subjects = eventually("the request is counted", || {
        let statistics = host.admin("/statistics");
        (items(&statistics["subjects"]).len() == 2).then(|| items(&statistics["subjects"]).to_vec())
    });
    let job = subjects.iter().find(|subject| subject["subscription"] == "flaky/job").unwrap();
    assert_eq!((&job["succeeded"], &job["retried"], &job["failed"]), (&json!(1), &json!(2), &json!(0)));
    assert_eq!((&job["backlog"], &job["lag_seconds"]), (&json!(0), &Value::Null));
    assert!(job["run"]["p50_us"].as_u64() > Some(0) && job["cpu_us"].as_u64() > Some(0), "{job}");
    let routes = subjects.iter().find(|subject| subject["subscription"].is_null()).unwrap();
    assert_eq!((&routes["plugin"], &routes["succeeded"]), (&json!("flaky"), &json!(1)));
    let top = String::from_utf8(host.cli(&["top"]).stdout).unwrap();
    assert!(
        top.contains("flaky/job") && top.contains("flaky (routes)") && top.contains("the ledger can be written"),
        "{top}"
    );
    assert!(items(&host.admin("/attempts")["attempts"]).is_empty(), "nothing is recorded");
}

#[test]
fn a_damaged_ledger_costs_only_its_records() {
    let host = Setup::new().plugin("flaky").config(ALL).start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    eventually("its attempts are recorded", || (items(&host.admin("/attempts")["attempts"]).len() == 3).then_some(()));
    for file in ["ledger.db", "ledger.db-wal"] {
        std::fs::write(host.path().join("data").join(file), [0x5a; 40_000]).unwrap();
    }
    let host = host.crash_and_restart();
    let _ = host.wait_for_log(&["the ledger", "is damaged", "a new ledger is created"]);
    assert_eq!(host.publish("flaky.job", "j2", json!({})).status, 202);
    eventually("attempts are recorded again", || {
        (items(&host.admin("/attempts")["attempts"]).len() == 3).then_some(())
    });
    host.wait_until_idle();
    assert_eq!(host.get("/flaky").json(), 2, "both events are handled once");
    let tree = why(&host, "j1");
    assert_eq!(tree["events"][0]["deliveries"][0]["state"], "handled", "the bus still knows: {tree}");
}

/// The successes in the stored minutes.
fn succeeded(host: &Host) -> u64 {
    let minutes = host.admin("/statistics/minutes");
    items(&minutes["minutes"]).iter().filter_map(|minute| minute["succeeded"].as_u64()).sum()
}

#[test]
fn a_stop_keeps_the_aggregates_of_the_current_minute() {
    let mut host = Setup::new().plugin("flaky").config("[ledger]\nrecord = \"off\"\n").start();
    for run in 1..=2 {
        for number in 1..=5 {
            assert_eq!(host.publish("flaky.job", &format!("{run}-{number}"), json!({})).status, 202);
        }
        host.wait_until_idle();
        host = host.stop_and_restart();
        assert_eq!(succeeded(&host), run * 5);
        assert!(!host.log().contains("without closing the ledger"), "{}", host.log());
    }
    let minutes = host.admin("/statistics/minutes");
    let mut beginnings: Vec<_> = items(&minutes["minutes"]).iter().map(|minute| minute["at"].as_str()).collect();
    assert!(beginnings.iter().all(|at| at.unwrap().ends_with(":00.000Z")), "{minutes}");
    beginnings.dedup();
    assert_eq!(beginnings.len(), items(&minutes["minutes"]).len(), "one row for each minute: {minutes}");
    let (mut pages, mut query) = (Vec::new(), "limit=1".to_owned());
    loop {
        let page = host.admin(&format!("/statistics/minutes?{query}"));
        pages.extend(items(&page["minutes"]).to_vec());
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=1&after={next}");
    }
    assert_eq!(pages, items(&minutes["minutes"]), "page by page");
}

#[test]
fn a_crash_leaves_a_gap() {
    let host = Setup::new().plugin("flaky").config(ALL).start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    eventually("its attempts are recorded", || (items(&host.admin("/attempts")["attempts"]).len() == 3).then_some(()));
    let host = host.crash_and_restart();
    let _ = host.wait_for_log(&["the host stopped without closing the ledger", "may lack records from"]);
    let gaps = &why(&host, "j1")["gaps"];
    let reason = json!("the host stopped without closing the ledger");
    assert_eq!((items(gaps).len(), &gaps[0]["reason"], &gaps[0]["lost"]), (1, &reason, &Value::Null), "{gaps}");
    let shown = explain(&host, "j1");
    assert!(shown.contains("the ledger may lack records from ") && shown.contains("without closing"), "{shown}");
    let host = host.stop_and_restart();
    assert_eq!(items(&why(&host, "j1")["gaps"]).len(), 1, "a stop leaves none");
}

#[test]
fn a_deleted_ledger_is_noticed() {
    let host = Setup::new().plugin("flaky").config(ALL).start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    eventually("its attempts are recorded", || (items(&host.admin("/attempts")["attempts"]).len() == 3).then_some(()));
    std::fs::remove_file(host.path().join("data/ledger.db")).unwrap();
    let _ = host.wait_for_log(&["the ledger", "was deleted or replaced while the host ran"]);
    assert_eq!(host.publish("flaky.job", "j2", json!({})).status, 202);
    eventually("attempts are recorded again", || {
        (items(&host.admin("/attempts")["attempts"]).len() == 3).then_some(())
    });
    let shown = explain(&host, "j1");
    assert!(shown.contains("was deleted or replaced while the host ran") && !shown.contains("attempt 1"), "{shown}");
    assert_eq!(host.log().matches("was deleted or replaced").count(), 1, "it is reported once");
}

#[test]
fn a_locked_ledger_is_one_outage() {
    let host = Setup::new().plugin("flaky").config(ALL).start();
    assert_eq!(host.publish("flaky.job", "j1", json!({})).status, 202);
    eventually("its attempts are recorded", || (items(&host.admin("/attempts")["attempts"]).len() == 3).then_some(()));
    assert!(metrics(&host).contains("sandbus_ledger_available 1"), "{}", metrics(&host));
    let lock = DatabaseLock::take(&host.path().join("data/ledger.db"));
    assert_eq!(host.publish("flaky.job", "j2", json!({})).status, 202);
    let _ = host.wait_for_log(&["the ledger", "cannot be written: another process has locked it"]);
    let shown = explain(&host, "j2");
    assert!(shown.contains("the ledger cannot be written since ") && shown.contains("has locked it"), "{shown}");
    assert!(why(&host, "j2")["ledger_error"].as_str().unwrap().contains("has locked it"));
    let ledger = &host.admin("/statistics")["ledger"];
    assert_eq!((&ledger["available"], &ledger["lost"]), (&json!(false), &json!(0)), "{ledger}");
    assert!(ledger["unavailable_since"].is_string(), "{ledger}");
    let top = String::from_utf8(host.cli(&["top"]).stdout).unwrap();
    assert!(top.contains("the ledger cannot be written since "), "{top}");
    assert!(metrics(&host).contains("sandbus_ledger_available 0"));
    drop(lock);
    let _ = host.wait_for_log(&["the ledger", "can be written again", "0 records were lost"]);
    assert_eq!(items(&why(&host, "j2")["events"][0]["deliveries"][0]["attempts"]).len(), 3, "they have waited");
    assert_eq!(why(&host, "j2")["ledger_error"], Value::Null);
    let log = host.log();
    assert_eq!((log.matches("cannot be written: ").count(), log.matches("can be written again").count()), (1, 1));
}

#[test]
fn attempts_are_shown_as_soon_as_they_end() {
    let host = Setup::new().plugin("echo").config(ALL).start();
    for number in 0..20 {
        let answer = host.post("/echo/x", json!(number));
        let id = request_id(&answer);
        let page = host.admin("/requests?limit=1");
        assert_eq!(page["requests"][0]["id"], id.as_str(), "request {number}: {page}");
    }
}

#[test]
fn metrics_show_stuck_deliveries_and_losses_from_the_start() {
    let failing = Webhook::start(&[500]);
    let host = Setup::new().plugin("echo").config(ALL).start();
    let start = metrics(&host);
    for counter in ["sandbus_ledger_lost_total 0", "sandbus_ledger_records_total 0", "sandbus_lost_log_lines_total 0"] {
        assert!(start.contains(counter), "{counter}: {start}");
    }
    let url = format!("http://{}/", failing.address);
    let retrying = json!({ "rules": { "initial_delay": "1h", "max_delay": "1h" } });
    webhook_subscription(&host, "retrying", &url, &retrying);
    let parking = json!({ "ordering_key": "subject", "rules": { "max_attempts": 1, "dead_letter_policy": "park" } });
    webhook_subscription(&host, "parking", &url, &parking);
    publish(&host, "retrying.a", "r1", "k");
    publish(&host, "parking.a", "p1", "k");
    publish(&host, "parking.a", "p2", "k");
    let _ = wait_for_reasons(&host, "r1", "operator/retrying", &["retry"]);
    let _ = wait_for_reasons(&host, "p2", "operator/parking", &["parked-key"]);
    let lag = |name: &str| {
        let shown = metrics(&host);
        let label = format!("sandbus_subscription_lag_seconds{{subscription=\"operator/{name}\"}} ");
        let value = shown.lines().find_map(|line| line.strip_prefix(&label).map(str::to_owned));
        value.unwrap_or_else(|| panic!("{name}: {shown}")).parse::<f64>().unwrap()
    };
    for name in ["retrying", "parking"] {
        let before = lag(name);
        eventually("the lag grows", || (lag(name) > before).then_some(()));
    }
    assert!(host.operate("DELETE", "/subscriptions/operator/retrying").status < 300);
    eventually("the lag of a deleted subscription is 0", || (lag("retrying") == 0.0).then_some(()));
}
