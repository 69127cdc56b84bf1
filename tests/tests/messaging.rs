//! The guarantees for handlers besides delivery: order within a key, filters, schedules, delayed events, replies, and
//! correlation attributes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use sandbus_tests::{Answer, Host, Setup, eventually, put};
use serde_json::{Value, json};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Publishes a ledger entry, with the members of `more`.
fn enter(host: &Host, event_type: &str, account: &str, number: u64, more: &Value) {
    let mut data = json!({ "account": account, "number": number });
    data.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    assert_eq!(host.publish(event_type, &format!("{account}-{number}"), data).status, 202);
}

/// The delayed events that are not yet due.
fn scheduled(host: &Host) -> Vec<Value> {
    host.admin("/scheduled")["scheduled"].as_array().unwrap().clone()
}

fn ticks(host: &Host) -> Value {
    host.get("/ticks").json()
}

/// The problem of a response, with its status.
fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

#[test]
fn entries_of_an_account_stay_in_order_whatever_fails() {
    let host = Setup::new().plugin("keyed").start();
    for number in 1..=20 {
        for account in ["ada", "bob", "eve"] {
            let fail_until = if number % 7 == 3 { 3 } else { 0 };
            enter(&host, "keyed.entry", account, number, &json!({ "fail_until": fail_until }));
        }
    }
    host.wait_until_idle();
    let expected = json!({ "handled": 60, "out_of_order": 0, "last": { "ada": 20, "bob": 20, "eve": 20 } });
    assert_eq!(host.get("/keyed").json(), expected);
    assert!(host.dead_letters().is_empty());
}

#[test]
fn a_dead_entry_lets_its_account_go_on_unless_it_parks_it() {
    let host = Setup::new().plugin("keyed").start();
    enter(&host, "keyed.entry", "ada", 1, &json!({ "poison": true }));
    enter(&host, "keyed.entry", "ada", 2, &json!({}));
    host.wait_until_idle();
    assert_eq!(host.get("/keyed").json()["last"], json!({ "ada": 2 }));
    let letters = host.dead_letters();
    assert_eq!((letters.len(), &letters[0]["parks"]), (1, &Value::Null), "{letters:?}");
}

#[test]
fn a_failing_account_holds_back_no_other_and_goes_on_when_it_is_redriven() {
    let host = Setup::new().plugin("keyed").start();
    enter(&host, "keyed.parked", "ada", 1, &json!({ "fail_until": 4 }));
    for number in 2..=5 {
        enter(&host, "keyed.parked", "ada", number, &json!({}));
    }
    for number in 1..=5 {
        enter(&host, "keyed.parked", "bob", number, &json!({}));
    }
    let letters = eventually("the entry is dead", || Some(host.dead_letters()).filter(|all| all.len() == 1));
    assert_eq!((&letters[0]["attempts"], &letters[0]["parks"]), (&json!(3), &json!("ada")));
    eventually("the others are handled", || {
        (host.get("/keyed/parked").json() == json!({ "handled": 5, "out_of_order": 0, "last": { "bob": 5 } }))
            .then_some(())
    });
    let parked = host.subscription("keyed/parked").unwrap();
    assert_eq!((&parked["backlog"], &parked["parked_keys"]), (&json!(4), &json!(1)), "{parked}");

    // The account stays parked across a restart.
    let host = host.crash_and_restart();
    assert_eq!(host.subscription("keyed/parked").unwrap()["parked_keys"], 1);
    put(&host.file("keyed.toml"), b"[subscriptions.parked]\nmax_attempts = 9\n");
    eventually("it may fail more often", || {
        (host.subscription("keyed/parked")?["retry"]["max_attempts"] == 9).then_some(())
    });
    assert_eq!(host.get("/keyed/parked").json()["handled"], 5);
    assert_eq!(host.operate("POST", "/dead-letters/redrive?all=true").json()["redriven"], 1);
    host.wait_until_idle();
    let expected = json!({ "handled": 10, "out_of_order": 0, "last": { "ada": 5, "bob": 5 } });
    assert_eq!(host.get("/keyed/parked").json(), expected);
    assert_eq!(host.subscription("keyed/parked").unwrap()["parked_keys"], 0);
}

#[test]
fn a_parked_account_goes_on_when_its_dead_entry_is_dropped() {
    let host = Setup::new().plugin("keyed").start();
    enter(&host, "keyed.parked", "ada", 1, &json!({ "poison": true }));
    enter(&host, "keyed.parked", "ada", 2, &json!({}));
    eventually("the entry is dead", || (host.dead_letters().len() == 1).then_some(()));
    assert_eq!(host.subscription("keyed/parked").unwrap()["backlog"], 1);
    assert_eq!(host.operate("DELETE", "/dead-letters?all=true").json()["dropped"], 1);
    host.wait_until_idle();
    assert_eq!(host.get("/keyed/parked").json()["last"], json!({ "ada": 2 }));
}

#[test]
fn a_filter_takes_what_it_names_from_the_oldest_event_on() {
    let host = Setup::new().start();
    let publish = |id: &str, event_type: &str, subject: &str| {
        let event = json!({ "id": id, "type": event_type, "subject": subject });
        assert_eq!(host.publish_event("/events", event).status, 202);
    };
    publish("1", "filtered.some", "order/1");
    publish("2", "filtered.some", "invoice/1");
    host.drop_in("filtered", "filtered.wasm");
    host.wait_until_loaded("filtered", "filtered.wasm");
    publish("3", "filtered.always", "invoice/2");
    publish("4", "filtered.always", "order/2.tmp");
    publish("5", "filtered.some", "order/3.tmp");
    publish("6", "filtered.some", "order/1");
    publish("7", "other.always", "order/1");
    host.wait_until_idle();
    assert_eq!(host.get("/filtered").json(), json!({ "order/1": 2, "invoice/2": 1 }));
}

#[test]
fn a_schedule_ticks_each_second_also_after_a_kill() {
    let host = Setup::new().plugin("ticker").start();
    eventually("it has ticked", || (ticks(&host)["ticks"].as_i64()? >= 2).then_some(()));
    let schedule = host.admin("/schedules")["schedules"][0].clone();
    assert_eq!((&schedule["id"], &schedule["cron"]), (&json!("ticker/each_second"), &json!("* * * * * *")));
    assert!(schedule["next"].is_string(), "{schedule}");

    let host = host.crash_and_restart();
    let before = ticks(&host)["ticks"].as_i64().unwrap();
    let seen = eventually("it goes on", || Some(ticks(&host)).filter(|seen| seen["ticks"].as_i64() > Some(before + 2)));
    let due: Vec<_> = seen["due"].as_array().unwrap().iter().map(|due| due.as_str().unwrap()).collect();
    let distinct: HashSet<_> = due.iter().collect();
    assert_eq!(distinct.len(), due.len(), "no due time comes twice: {due:?}");
}

#[test]
fn a_schedule_is_paused_while_its_plugin_is_switched_off() {
    let host = Setup::new().plugin("ticker").start();
    eventually("it has ticked", || (ticks(&host)["ticks"].as_i64()? >= 1).then_some(()));
    put(&host.file("ticker.toml"), b"enabled = false\n");
    eventually("it is switched off", || host.plugin("ticker.wasm").filter(|plugin| plugin["status"] == "disabled"));
    assert_eq!(host.admin("/schedules")["schedules"][0]["paused"], true);
    let assert_paused = |host: &Host, id: &str| {
        let events = || host.admin("/events?limit=1000")["events"].as_array().unwrap().clone();
        let before = events().len();
        let event = json!({ "id": id, "type": "time.passes", "data": {} });
        assert_eq!(host.publish_event("/events?delay=2500ms", event).status, 202);
        eventually("time has passed", || events().iter().any(|logged| logged["event"]["id"] == id).then_some(()));
        assert_eq!(events().len(), before + 1, "nothing else has come: {:?}", events());
    };
    assert_paused(&host, "1");
    let host = host.crash_and_restart();
    assert_paused(&host, "2");

    std::fs::remove_file(host.file("ticker.toml")).unwrap();
    host.wait_until_loaded("ticker", "ticker.wasm");
    let before = ticks(&host)["ticks"].as_i64().unwrap();
    eventually("it goes on", || (ticks(&host)["ticks"].as_i64()? > before).then_some(()));
}

#[test]
fn an_event_for_later_comes_once_and_one_that_is_taken_back_never() {
    let host = Setup::new().plugin("ticker").start();
    let later =
        |delay_ms: u64| host.post("/later", json!({ "delay_ms": delay_ms })).json().as_str().unwrap().to_owned();
    let (kept, taken_back) = (later(2_000), later(2_000));
    let far = later(600_000);
    assert_eq!(scheduled(&host).len(), 3);
    assert_eq!(host.send("DELETE", &host.url(&format!("/later/{taken_back}")), &[], b"").status / 100, 2);
    let ids = |host: &Host| scheduled(host).iter().map(|it| it["event"]["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&host), [kept.as_str(), far.as_str()], "the next one first");

    let host = host.crash_and_restart();
    eventually("it has come", || (ticks(&host)["later"] == 1).then_some(()));
    assert_eq!(ids(&host), [far.as_str()]);
    let came: Vec<_> = host.events_of("ticker.later").iter().map(|event| event["id"].clone()).collect();
    assert_eq!(came, [kept.as_str()]);
}

#[test]
fn a_publisher_delays_an_event_and_an_operator_takes_it_back() {
    let host = Setup::new().plugin("ledger").start();
    let publish = |query: &str, id: &str| {
        host.publish_event(&format!("/events?{query}"), json!({ "id": id, "type": "ledger.entry", "data": {} }))
    };
    assert_eq!(publish("delay=300ms", "soon").status, 202);
    assert_eq!(publish("at=2999-01-01T00:00:00Z", "far").status, 202);
    assert_eq!(publish("at=2001-01-01T00:00:00Z", "past").status, 202);
    host.wait_until_idle();
    assert!(host.events_of("ledger.entry").iter().any(|event| event["id"] == "past"), "what is due comes at once");
    eventually("the delayed event has come", || (host.events_of("ledger.entry").len() == 2).then_some(()));
    host.wait_until_idle();
    assert_eq!(host.get("/ledger").json()["booked"], 2);

    let far = scheduled(&host);
    assert_eq!((far.len(), &far[0]["event"]["id"]), (1, &json!("far")));
    assert_eq!(far[0]["due"], "2999-01-01T00:00:00.000Z");
    let again = publish("delay=1h", "far").json();
    assert_eq!(again["accepted"][0]["duplicate"], true, "it waits already");
    let cancel = || host.operate("DELETE", "/scheduled?source=/test&id=far");
    assert_eq!(cancel().status, 204);
    assert_eq!(refusal(&cancel()), (404, "not-found".to_owned()));
    assert!(scheduled(&host).is_empty());
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let host = Setup::new().start();
    let farthest = json!({ "id": "farthest", "type": "c.d" });
    assert_eq!(host.publish_event("/events?delay=100y", farthest).status, 202);
    for query in [
        "at=tomorrow",
        "delay=soon",
        "delay=101y",
        "delay=1s&at=2999-01-01T00:00:00Z",
        "reply=a.b&delay=1s",
        "later=1s",
        "timeout=1s",
        "delay=1s&delay=1s",
        "delay=1s&d%65lay=1s",
        "delay=%ff",
        "delay=1%",
        "reply=a.b&timeout=1%zz",
        "reply=%c3%28",
    ] {
        let answer = host.publish_event(&format!("/events?{query}"), json!({ "id": "1", "type": "a.b" }));
        assert_eq!(refusal(&answer), (400, "invalid-query".to_owned()), "{query}");
    }
    assert!(host.events_of("a.b").is_empty());
}

#[test]
fn a_route_answers_with_the_data_of_the_reply() {
    let host = Setup::new().plugin("asker").start();
    let answer = host.post("/ask", json!({ "question": "why?", "timeout_ms": 20_000 }));
    assert_eq!((answer.status / 100, answer.json()), (2, json!({ "answer": "WHY?" })));
    assert_eq!(answer.headers["content-type"], "application/json");
    let (asked, answered) = (host.events_of("question.asked"), host.events_of("question.answered"));
    assert_eq!(answered[0]["correlationid"], asked[0]["id"]);

    let silent = host.post("/ask", json!({ "silent": true, "timeout_ms": 200 }));
    assert_eq!(refusal(&silent), (504, "no-reply".to_owned()));
    assert_eq!(host.events_of("question.asked").len(), 2, "the question is stored all the same");
}

#[test]
fn a_publisher_waits_for_the_reply_to_its_event() {
    let host = Setup::new().plugin("asker").start();
    let ask = |query: &str, id: &str, data: Value| {
        host.publish_event(&format!("/events?{query}"), json!({ "id": id, "type": "question.asked", "data": data }))
    };
    let answer = ask("reply=question.answered&timeout=20s", "q1", json!({ "question": "who?" }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let reply = answer.json();
    assert_eq!((&reply["type"], &reply["data"]["answer"]), (&json!("question.answered"), &json!("WHO?")));
    assert_eq!(reply["causationid"], "q1");
    let silent = ask("reply=question.answered&timeout=200ms", "q2", json!({ "silent": true }));
    assert_eq!(refusal(&silent), (504, "no-reply".to_owned()));
    let too_long = ask("reply=question.answered&timeout=2h", "q3", json!({}));
    assert_eq!(refusal(&too_long), (400, "invalid-query".to_owned()));
}

/// Publishes a question that no plugin answers, and waits for its reply in a thread.
fn ask_in_thread<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    host: &'scope Host,
    source: &'static str,
    id: &'static str,
) -> std::thread::ScopedJoinHandle<'scope, Answer> {
    scope.spawn(move || {
        let event = json!({ "id": id, "source": source, "type": "question.asked", "data": { "silent": true } });
        host.publish_event("/events?reply=question.answered&timeout=20s", event)
    })
}

/// The question from a source, as a responder sees it.
fn question(host: &Host, source: &str) -> Value {
    eventually("the question is asked", || {
        host.events_of("question.asked").into_iter().find(|event| event["source"] == source)
    })
}

/// Answers a question as an external service.
fn answer(host: &Host, id: &str, attributes: &Value) {
    let mut event = json!({ "id": id, "source": "/answers", "type": "question.answered", "data": { "answer": id } });
    event.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
    assert_eq!(host.publish_event("/events", event).status, 202);
}

/// An id is unique only within its source (CloudEvents 1.0, section 3.1.1).
#[test]
fn clients_that_use_the_same_id_get_their_own_replies() {
    let host = Setup::new().plugin("asker").start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |source: &'static str| {
            let host = &host;
            scope.spawn(move || {
                let question = json!({ "question": source });
                let event = json!({ "id": "1", "source": source, "type": "question.asked", "data": question });
                host.publish_event("/events?reply=question.answered&timeout=20s", event).json()
            })
        };
        let asked = ["/alice", "/bob", "/carol", "/dave"].map(|source| (source, ask(source)));
        asked.into_iter().map(|(source, answer)| (source, answer.join().unwrap())).collect()
    });
    for (source, reply) in answers {
        assert_eq!(reply["data"]["answer"], source.to_uppercase(), "{reply}");
        assert_eq!((&reply["causationid"], &reply["causationsource"]), (&json!("1"), &json!(source)));
    }
}

#[test]
fn an_answer_from_outside_reaches_the_flow_that_it_names_and_no_other() {
    let host = Setup::new().start();
    std::thread::scope(|scope| {
        let (alice, bob) = (ask_in_thread(scope, &host, "/alice", "1"), ask_in_thread(scope, &host, "/bob", "1"));
        let ids = ["/alice", "/bob"].map(|source| question(&host, source)["correlationid"].clone());
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.as_str().unwrap().len() >= 22), "{ids:?}");
        // No client waits in a cause tree with a guessable id.
        answer(&host, "guessed", &json!({ "correlationid": "1" }));
        answer(&host, "for-bob", &json!({ "correlationid": ids[1] }));
        answer(&host, "for-alice", &json!({ "correlationid": ids[0] }));
        for (client, id) in [(alice, "for-alice"), (bob, "for-bob")] {
            let reply = client.join().unwrap();
            assert_eq!((reply.status, &reply.json()["id"]), (200, &json!(id)), "{}", reply.body);
        }
    });
    let own = json!({ "id": "2", "type": "question.asked", "correlationid": "1" });
    let refused = host.publish_event("/events?reply=question.answered", own);
    assert_eq!(refusal(&refused), (403, "reply-not-allowed".to_owned()), "nobody listens in a cause tree of others");
}

#[test]
fn a_reply_gives_the_status_and_the_headers_of_the_response() {
    let host = Setup::new().plugin("asker").start();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| host.post("/ask", json!({ "silent": true, "timeout_ms": 20_000 })));
        let asked = question(&host, "/plugins/asker");
        assert_eq!(asked["correlationid"], asked["id"]);
        let headers = json!({ "retry-after": "30" }).to_string();
        let id = asked["correlationid"].clone();
        answer(&host, "declined", &json!({ "correlationid": id, "httpstatus": "402", "httpheaders": headers }));
        let response = client.join().unwrap();
        assert_eq!((response.status, response.json()), (402, json!({ "answer": "declined" })));
        assert_eq!(response.headers["retry-after"], "30");
    });
}

#[test]
fn a_loop_of_plugins_ends_at_the_hop_limit() {
    let host = Setup::new().plugin("ping").plugin("pong").config("[bus]\nhop_limit = 5").start();
    assert_eq!(host.publish("pong.sent", "first", json!(0)).status, 202);
    let letters = eventually("the loop ends", || Some(host.dead_letters()).filter(|all| !all.is_empty()));
    host.wait_until_idle();
    assert_eq!((letters.len(), &letters[0]["cause"]), (1, &json!("hop-limit")));
    assert!(letters[0]["reason"].as_str().unwrap().contains("hop_limit"), "{letters:?}");
    let handled = |path: &str| host.get(path).json().as_i64().unwrap();
    assert_eq!((handled("/ping"), handled("/pong")), (3, 3), "the first event and five hops");
    let last = &letters[0]["logged"]["event"];
    assert_eq!((&last["hops"], &last["correlationid"]), (&json!("6"), &json!("first")));
}

#[test]
fn a_trace_goes_from_the_request_to_all_that_it_causes() {
    let host = Setup::new().plugin("ledger").start();
    let headers = [("content-type", "application/json"), ("traceparent", TRACE), ("tracestate", "vendor=1")];
    assert_eq!(host.send("POST", &host.url("/ledger"), &headers, b"{}").status, 201);
    host.wait_until_idle();
    let (entry, booked) = (host.events_of("ledger.entry").remove(0), host.events_of("ledger.booked").remove(0));
    for event in [&entry, &booked] {
        assert_eq!((&event["traceparent"], &event["tracestate"]), (&json!(TRACE), &json!("vendor=1")), "{event}");
    }
    assert!(entry["causationid"].is_null() && entry["hops"].is_null(), "a request is no event: {entry}");
    assert_eq!((&booked["causationid"], &booked["correlationid"]), (&entry["id"], &entry["id"]));
    assert_eq!(booked["hops"], "1");
}

#[test]
fn a_published_event_belongs_to_the_trace_of_its_request_unless_it_has_one() {
    let host = Setup::new().start();
    let publish = |traceparent: &str, event: Value| {
        let headers = [("content-type", "application/cloudevents+json"), ("traceparent", traceparent)];
        assert_eq!(host.send("POST", &host.url("/events"), &headers, event.to_string().as_bytes()).status, 202);
        host.admin("/events?limit=1")["events"][0]["event"]["traceparent"].clone()
    };
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "a.b" });
    assert_eq!(publish(TRACE, event("1")), TRACE);
    assert_eq!(publish("nonsense", event("2")), Value::Null);
    let mut own = event("3");
    own["traceparent"] = TRACE.replace("b7ad", "aaaa").into();
    assert_eq!(publish(TRACE, own.clone()), own["traceparent"]);
}

/// Sends a number of POST requests to a path with concurrent clients, and returns the numbers in the responses.
fn numbers(host: &Host, path: &str, count: usize, clients: usize) -> Vec<i64> {
    let numbers: Vec<_> = std::thread::scope(|scope| {
        let client = |_| scope.spawn(|| (0..count / clients).map(|_| host.post(path, json!({}))).collect::<Vec<_>>());
        let clients: Vec<_> = (0..clients).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    numbers
        .into_iter()
        .map(|answer| {
            assert_eq!(answer.status, 202, "{answer:?}");
            answer.json().as_i64().unwrap()
        })
        .collect()
}

#[test]
fn increment_returns_unique_numbers_to_concurrent_requests() {
    let host = Setup::new().plugin("numbers").start();
    let mut ids = numbers(&host, "/numbers/increment", 304, 16);
    ids.sort_unstable();
    assert_eq!(ids, (1..=304).collect::<Vec<_>>());
    assert_eq!(host.get("/numbers").json()[1], 304, "no order overwrote another");
    let metrics = host.send("GET", &host.admin_url("/metrics"), &[], b"").body;
    let conflicts = metrics.lines().find(|line| line.starts_with("sandbus_http_conflicts_total{plugin=\"numbers\"}"));
    assert!(conflicts.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[test]
fn a_sequence_gives_no_number_twice_whatever_happens() {
    let host = Setup::new().plugin("numbers").start();
    let mut ids = numbers(&host, "/numbers/sequence", 304, 16);
    let lost = host.post("/numbers/lost", json!({}));
    assert_eq!(lost.status, 409, "{lost:?}");
    ids.push(lost.json()["detail"].as_str().unwrap().parse().unwrap());
    let metrics = host.send("GET", &host.admin_url("/metrics"), &[], b"").body;
    assert!(!metrics.contains("sandbus_http_conflicts_total{"), "{metrics}");
    let host = host.crash_and_restart();
    ids.extend(numbers(&host, "/numbers/sequence", 16, 16));
    let distinct: HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 321, "{ids:?}");
}

#[test]
fn additions_merge_and_what_cannot_be_added_to_is_said() {
    let host = Setup::new().plugin("numbers").start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(host.post("/numbers/add/3", json!({})).status, 204)));
        }
    });
    assert_eq!(host.get("/numbers").json()[0], 240);
    for (value, delta, expected) in [
        ("9223372036854775807", "1", "range of i64"),
        ("-9223372036854775808", "-1", "range of i64"),
        ("9223372036854775808", "-1", "range of i64"),
        ("\"text\"", "1", "not a number"),
        ("1.5", "1", "not a number"),
    ] {
        let put = host.send("PUT", &host.url("/numbers/total"), &[], value.as_bytes());
        assert_eq!(put.status, 204, "{put:?}");
        let refused = host.post(&format!("/numbers/add/{delta}"), json!({}));
        assert_eq!(refused.status, 500, "{value}: {refused:?}");
        // An unexpected error of a handler is for the log, not for the client.
        assert_eq!(refused.json()["code"], "handler-failed");
        let _ = host.wait_for_log(&["the handler failed", expected]);
    }
}
