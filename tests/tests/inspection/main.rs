//! Pending deliveries, searches, selective replays, edited dead letters and plugin state, by the command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod records;
mod why;

use sandbus_tests::command_line::{expect_code, run};
use sandbus_tests::{Host, Setup, Webhook, eventually};
use serde_json::{Value, json};

/// The JSON of a command.
fn read(host: &Host, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(host, &[arguments, &["--json"]].concat())).unwrap()
}

fn publish(host: &Host, event_type: &str, id: &str, more: &Value) {
    let mut event = json!({ "type": event_type, "id": id, "data": {} });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = host.publish_event("/events", event);
    assert_eq!(answer.status, 202, "{}", answer.body);
}

fn position_of(host: &Host, id: &str) -> String {
    read(host, &["events", "show", id])["events"][0]["position"].to_string()
}

/// The pending deliveries, as `SUBSCRIPTION EVENT STATE`.
fn pending(host: &Host, filter: &[&str]) -> Vec<String> {
    let page = read(host, &[&["deliveries", "list"], filter].concat());
    let deliveries = page["deliveries"].as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    deliveries
        .map(|one| [&one["subscription"], &one["logged"]["event"]["id"], &one["state"]].map(word).join(" "))
        .collect()
}

#[test]
fn a_stuck_event_is_found_and_retried() {
    let host = Setup::new().plugin("keeper").start();
    publish(&host, "keeper.job", "j1", &json!({}));
    publish(&host, "keeper.job", "j2", &json!({}));
    eventually("both wait for a minute", || {
        (pending(&host, &[]) == ["keeper/job j1 retrying", "keeper/job j2 retrying"]).then_some(())
    });
    let shown = run(&host, &["deliveries"]);
    assert!(shown.contains("the first attempt is never good enough"), "{shown}");
    let first = position_of(&host, "j1");
    assert_eq!(pending(&host, &["--event", &first]), ["keeper/job j1 retrying"]);
    assert_eq!(pending(&host, &["--state", "ready"]), [""; 0]);
    assert_eq!(pending(&host, &["--type", "keeper.>", "--subscription", "keeper/job", "--limit", "1"]).len(), 1);
    let delivery = &read(&host, &["deliveries", "list", "--state", "retrying"])["deliveries"][0];
    assert_eq!((&delivery["attempts"], &delivery["cause"]), (&json!(1), &json!("retry")), "{delivery}");

    assert_eq!(run(&host, &["deliveries", "retry-now", "--event", &first]).trim(), "retried: 1");
    eventually("the first one is handled", || (pending(&host, &[]) == ["keeper/job j2 retrying"]).then_some(()));
    assert_eq!(run(&host, &["state", "get", "keeper", "job/j1"]).trim(), "2");
    assert_eq!(run(&host, &["deliveries", "retry-now", "--all"]).trim(), "retried: 1");
    eventually("the second one too", || pending(&host, &[]).is_empty().then_some(()));
    let _ = expect_code(&host, 2, &["deliveries", "retry-now"]);
    let _ = expect_code(&host, 2, &["deliveries", "list", "--state", "handled"]);
    assert!(expect_code(&host, 1, &["deliveries", "retry-now", "--subscription", "keeper/none"]).contains("not-found"));
    assert!(expect_code(&host, 1, &["deliveries", "list", "--after", "x"]).contains("it is not a cursor"));
}

#[test]
fn a_delivery_shows_what_holds_its_key() {
    let host = Setup::new().plugin("keeper").start();
    assert!(run(&host, &["subscriptions", "pause", "keeper/entry"]).contains("paused"));
    for (id, account) in [("1", "a"), ("2", "a"), ("3", "b")] {
        publish(&host, "keeper.entry", id, &json!({ "data": { "account": account, "number": 1 } }));
    }
    let shown = || pending(&host, &["--subscription", "keeper/entry"]);
    eventually("nothing is claimed", || {
        (shown() == ["keeper/entry 1 ready", "keeper/entry 2 ready", "keeper/entry 3 ready"]).then_some(())
    });
    assert_eq!(pending(&host, &["--key", "b"]), ["keeper/entry 3 ready"]);
    let listed = &read(&host, &["deliveries", "list"])["deliveries"];
    assert!(listed.as_array().unwrap().iter().all(|one| one["blocked_by"][0]["code"] == "paused"), "{listed}");
    assert!(run(&host, &["deliveries"]).contains("the subscription is paused"));
    assert!(run(&host, &["subscriptions", "resume", "keeper/entry"]).contains("resumed"));
    eventually("all are handled", || shown().is_empty().then_some(()));
}

#[test]
fn events_are_searched() {
    let host = Setup::new().plugin("echo").start();
    publish(&host, "echo.ping", "order-1", &json!({ "source": "/shop", "subject": "x" }));
    publish(&host, "other.thing", "order-2", &json!({ "subject": "x" }));
    eventually("the reply is there", || (host.events_of("echo.pong").len() == 1).then_some(()));
    let found = |filter: &[&str]| -> Vec<String> {
        let page = read(&host, &[&["events", "list"], filter].concat());
        page["events"].as_array().unwrap().iter().map(|one| one["event"]["type"].as_str().unwrap().to_owned()).collect()
    };
    for (filter, expected) in [
        (&["--type", "echo.*"][..], &["echo.pong", "echo.ping"][..]),
        (&["--type", "other.>", "--subject", "x"], &["other.thing"]),
        (&["--source", "/shop"], &["echo.ping"]),
        (&["--source", "/plugins/echo"], &["echo.pong"]),
        (&["--correlation", "order-1"], &["echo.pong", "echo.ping"]),
        (&["--id-prefix", "order-"], &["other.thing", "echo.ping"]),
        (&["--since", "2100-01-01T00:00:00Z"], &[]),
        (&["--until", "2100-01-01T00:00:00Z", "--id-prefix", "order-2"], &["other.thing"]),
    ] {
        let found = found(filter);
        // The reply and the other event have no fixed order.
        let sorted = |mut types: Vec<String>| {
            types.sort();
            types
        };
        assert_eq!(sorted(found), sorted(expected.iter().map(ToString::to_string).collect()), "{filter:?}");
    }
    let answer = host.send("GET", &host.api_url("/events?since=yesterday"), &[], b"");
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"));
}

#[test]
fn a_replay_delivers_one_event_or_a_selection() {
    let host = Setup::new().plugin("echo").start();
    for (id, event_type) in [("1", "echo.a"), ("2", "echo.b"), ("3", "echo.a"), ("4", "echo.b")] {
        publish(&host, event_type, id, &json!({ "subject": id }));
    }
    let count = |expected: &str| {
        eventually("the events are handled", || {
            (run(&host, &["state", "get", "echo", "count"]).trim() == expected).then_some(())
        });
        host.wait_until_idle();
    };
    count("4");
    let replay = |arguments: &[&str]| {
        let shown = run(&host, &[&["subscriptions", "replay", "echo/remember"], arguments].concat());
        shown.trim().trim_start_matches("replaying: ").to_owned()
    };
    let second = position_of(&host, "2");
    for (arguments, events, handled) in [
        (&["--event", &second][..], "1", "5"),
        (&["--from-beginning", "--until", &second], "2", "7"),
        (&["--from-beginning", "--type", "echo.a"], "2", "9"),
        (&["--from-beginning", "--subject", "4", "--rate", "100"], "1", "10"),
        (&["--from-beginning", "--until", "2020-01-01T00:00:00Z"], "0", "10"),
        (&["--position", &second, "--until", "2100-01-01T00:00:00Z", "--id-prefix", "3"], "1", "11"),
    ] {
        assert_eq!(replay(arguments), events, "{arguments:?}");
        count(handled);
    }
    let _ = expect_code(&host, 2, &["subscriptions", "replay", "echo/remember", "--event", "1", "--until", "2"]);
    let _ = expect_code(&host, 2, &["subscriptions", "replay", "echo/remember", "--type", "echo.a"]);
}

#[test]
fn the_storage_shows_what_is_stored_and_what_is_free() {
    let host = Setup::new().plugin("echo").start();
    let empty = host.admin("/storage");
    assert_eq!((&empty["first_position"], &empty["last_position"]), (&Value::Null, &Value::Null), "{empty}");
    assert_eq!(empty["oldest_event_at"], Value::Null, "{empty}");
    for id in ["1", "2"] {
        publish(&host, "echo.ping", id, &json!({}));
    }
    host.wait_until_idle();
    let storage = host.admin("/storage");
    let events = host.admin("/events");
    let positions: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["position"]).collect();
    assert_eq!(&storage["first_position"], *positions.last().unwrap(), "{storage}");
    assert_eq!(&storage["last_position"], positions[0], "{storage}");
    assert_eq!(
        storage["oldest_event_at"],
        events["events"].as_array().unwrap().last().unwrap()["stored_at"],
        "{storage}"
    );
    let data = host.path().join("data");
    assert_eq!(storage["directory"], data.to_str().unwrap());
    let size = |member: &str| storage[member].as_u64().unwrap();
    assert!(size("bus_bytes") >= std::fs::metadata(data.join("bus.db")).unwrap().len(), "{storage}");
    assert!(size("ledger_bytes") > 0, "{storage}");
    let component = std::fs::metadata(host.file("echo.wasm")).unwrap().len();
    assert!(size("archive_bytes") > component, "the archive has the component and its record: {storage}");
    assert!(0 < size("free_bytes") && size("free_bytes") <= size("total_bytes"), "{storage}");
}

#[test]
fn dead_letters_that_failed_alike_are_listed_as_one_group() {
    let host = Setup::new().plugin("poison").plugin("keeper").plugin("hostile").start();
    assert_eq!(run(&host, &["dead-letters", "groups"]).trim(), "none");
    for id in ["1", "2", "3"] {
        publish(&host, "poison.pill", id, &json!({}));
    }
    publish(&host, "keeper.bad", "4", &json!({}));
    publish(&host, "hostile.order", "5", &json!({ "data": { "deed": "spin" } }));
    eventually("there are five dead letters", || (host.dead_letters().len() == 5).then_some(()));
    let found = |arguments: &[&str]| -> Vec<String> {
        let list = read(&host, &[&["dead-letters", "groups"], arguments].concat());
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let show =
            |group: &Value| format!("{} {} {}", group["count"], word(&group["subscription"]), word(&group["cause"]));
        list["groups"].as_array().unwrap().iter().map(show).collect()
    };
    let mut all = found(&[]);
    assert_eq!(all.remove(0), "3 poison/swallow trap");
    all.sort();
    assert_eq!(all, ["1 hostile/obey timeout", "1 keeper/bad rejected"]);
    assert_eq!(found(&["--cause", "rejected"]), ["1 keeper/bad rejected"]);
    assert_eq!(found(&["--subscription", "hostile/obey", "--limit", "1"]), ["1 hostile/obey timeout"]);
    assert_eq!(found(&["--subscription", "hostile/obey", "--cause", "trap"]), [""; 0]);

    let first = &read(&host, &["dead-letters", "groups", "--limit", "1"]);
    assert!(first["next"].is_string(), "{first}");
    let group = &first["groups"][0];
    let letters = host.dead_letters();
    let of_group = letters.iter().filter(|letter| letter["subscription"] == "poison/swallow").collect::<Vec<_>>();
    assert_eq!(group["sample"], of_group[2]["number"]);
    assert_eq!(group["digest"], of_group[0]["history"][0]["digest"]);
    assert!(group["signature"].as_str().unwrap().contains("this handler cannot swallow"), "{group}");
    assert!(group["first_at"].as_str() <= group["last_at"].as_str(), "{group}");
    let shown = run(&host, &["dead-letters", "groups", "--limit", "1"]);
    assert!(shown.contains("cannot swallow") && shown.contains("There are more. Continue with --after"), "{shown}");
    assert_eq!(found(&["--subscription", "none/none"]), [""; 0]);
    for path in ["/dead-letters/groups?limit=0", "/dead-letters/groups?cause=none", "/dead-letters/groups?number=1"] {
        let answer = host.operate("GET", path);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"), "{path}");
    }
}

#[test]
fn a_group_is_resolved_until_it_recurs_and_ignored_until_it_is_opened() {
    let host = Setup::new().plugin("poison").plugin("keeper").start();
    for (event_type, id) in [("poison.pill", "1"), ("keeper.bad", "2")] {
        publish(&host, event_type, id, &json!({}));
    }
    let letters = eventually("there are two dead letters", || Some(host.dead_letters()).filter(|all| all.len() == 2));
    let number_of = |subscription: &str| {
        let letter = letters.iter().find(|letter| letter["subscription"] == subscription).unwrap();
        letter["number"].to_string()
    };
    let (poisoned, bad) = (number_of("poison/swallow"), number_of("keeper/bad"));
    let with = |host: &Host, status: &str| -> Vec<(String, Value)> {
        let groups = host.admin(&format!("/dead-letters/groups?status={status}"));
        let show = |group: &Value| (group["subscription"].as_str().unwrap().to_owned(), group["status_by"].clone());
        groups["groups"].as_array().unwrap().iter().map(show).collect()
    };
    assert_eq!(with(&host, "open").len(), 2);
    let put = |host: &Host, number: &str, body: &str| {
        let path = host.api_url(&format!("/dead-letters/groups/{number}/status"));
        host.send("PUT", &path, &[("content-type", "application/json")], body.as_bytes())
    };
    let resolved = put(&host, &poisoned, r#"{"status":"resolved"}"#).json();
    assert_eq!((&resolved["status"], &resolved["status_by"]), (&json!("resolved"), &json!("local")), "{resolved}");
    assert!(resolved["status_since"].is_string() && resolved["count"] == 1, "{resolved}");
    assert!(run(&host, &["dead-letters", "ignore", &bad]).starts_with("ignored: 1 of keeper/bad"));

    let host = host.crash_and_restart();
    assert_eq!(with(&host, "resolved"), [("poison/swallow".to_owned(), json!("local"))]);
    for (event_type, id) in [("poison.pill", "3"), ("keeper.bad", "4")] {
        publish(&host, event_type, id, &json!({}));
    }
    eventually("there are four dead letters", || (host.dead_letters().len() == 4).then_some(()));
    assert_eq!(with(&host, "open"), [("poison/swallow".to_owned(), Value::Null)]);
    assert_eq!(with(&host, "ignored"), [("keeper/bad".to_owned(), json!("local"))]);
    let shown = run(&host, &["dead-letters", "groups", "--status", "ignored"]);
    assert!(shown.contains("ignored") && shown.contains("keeper/bad") && !shown.contains("poison"), "{shown}");
    assert!(run(&host, &["dead-letters", "reopen", &bad]).starts_with("open: 2 of keeper/bad"));
    assert!(run(&host, &["dead-letters", "resolve", &poisoned]).starts_with("resolved: 2 of poison/swallow"));
    assert_eq!(with(&host, "open"), [("keeper/bad".to_owned(), json!("local"))]);

    for (number, body, status, code) in [
        ("999", r#"{"status":"resolved"}"#, 404, "not-found"),
        ("x", r#"{"status":"resolved"}"#, 400, "invalid-path"),
        (&poisoned, r#"{"status":"closed"}"#, 422, "invalid-body"),
        (&poisoned, "{}", 422, "invalid-body"),
    ] {
        let refused = put(&host, number, body);
        assert_eq!((refused.status, refused.problem().as_str()), (status, code), "{number} {body}");
    }
    let refused = host.operate("GET", "/dead-letters/groups?status=closed");
    assert_eq!((refused.status, refused.problem().as_str()), (400, "invalid-query"));
    assert!(run(&host, &["audit"]).contains("set_dead_letter_group_status"));
}

#[test]
fn a_group_of_dead_letters_is_redriven_and_dropped() {
    let host = Setup::new().plugin("poison").plugin("keeper").start();
    for (event_type, id) in [("poison.pill", "1"), ("keeper.bad", "2"), ("poison.pill", "3"), ("keeper.bad", "4")] {
        publish(&host, event_type, id, &json!({}));
    }
    let numbers = |subscription: &str| -> Vec<i64> {
        let letters = host.dead_letters();
        let of_subscription = letters.iter().filter(|letter| letter["subscription"] == subscription);
        of_subscription.map(|letter| letter["number"].as_i64().unwrap()).collect()
    };
    let all = || (numbers("poison/swallow"), numbers("keeper/bad"));
    let (poisoned, bad) =
        eventually("there are four dead letters", || Some(all()).filter(|(one, other)| one.len() + other.len() == 4));
    let sample = poisoned[0].to_string();
    let listed = read(&host, &["dead-letters", "list", "--like", &sample]);
    assert_eq!(listed["dead_letters"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(run(&host, &["dead-letters", "redrive", "--like", &sample]).trim(), "redriven: 2");
    let again = eventually("both failed again", || {
        let now = numbers("poison/swallow");
        (now.len() == 2 && now[0] > poisoned[1]).then_some(now)
    });
    assert_eq!(numbers("keeper/bad"), bad, "the other group was not redriven");
    assert_eq!(run(&host, &["dead-letters", "drop", "--like", &again[1].to_string()]).trim(), "dropped: 2");
    assert_eq!(all(), (vec![], bad));
    assert!(expect_code(&host, 1, &["dead-letters", "redrive", "--like", &sample]).contains("there is no dead letter"));
    for other in [&["--all"][..], &["--cause", "trap"], &["--subscription", "keeper/bad"], &["7"]] {
        let _ = expect_code(&host, 2, &[&["dead-letters", "redrive", "--like", "1"], other].concat());
    }
    let answer = host.operate("POST", "/dead-letters/redrive?like=1&cause=trap");
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"));
}

#[test]
fn a_dead_letter_is_redriven_with_edited_data() {
    let host = Setup::new().plugin("keeper").start();
    publish(&host, "keeper.bad", "b1", &json!({ "data": { "wrong": 1 } }));
    let letter = eventually("it is a dead letter", || host.dead_letters().into_iter().next());
    let number = letter["number"].to_string();
    let file = host.path().join("data.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "{ no json").unwrap();
    let refused = expect_code(&host, 1, &["dead-letters", "redrive", &number, "--data", path]);
    assert!(refused.contains("the new data is not"), "{refused}");
    std::fs::write(&file, r#"{ "right": 12345678901234567890.5 }"#).unwrap();
    assert_eq!(run(&host, &["dead-letters", "redrive", &number, "--data", path]).trim(), "redriven: 1");
    // It is not mended yet: the new dead letter has both the original and the edited data.
    let letter = eventually("it is a dead letter again", || host.dead_letters().into_iter().next());
    assert_eq!(letter["logged"]["event"]["data"], json!({ "wrong": 1 }));
    assert_eq!(letter["edited"]["sandbusedited"], true);
    assert!(letter["edited"]["data"]["right"].is_number(), "{letter}");
    let _ = run(&host, &["state", "set", "keeper", "mended", "true"]);
    assert_eq!(run(&host, &["dead-letters", "redrive", &letter["number"].to_string()]).trim(), "redriven: 1");
    eventually("it is handled with the edited data", || {
        let output = host.cli(&["state", "get", "keeper", "bad/b1"]);
        String::from_utf8_lossy(&output.stdout).contains("right").then_some(())
    });
    assert!(run(&host, &["events", "show", "b1"]).contains("wrong"), "the event in the log is the original");
    let _ = expect_code(&host, 2, &["dead-letters", "redrive", "--all", "--data", path]);
    assert!(
        expect_code(&host, 1, &["dead-letters", "redrive", "1000", "--data", path]).contains("no dead letter 1000")
    );
}

#[test]
fn the_state_of_a_plugin_is_shown_and_changed() {
    let host = Setup::new().plugin("keeper").start();
    assert_eq!(run(&host, &["state", "keys", "keeper"]).trim(), "none");
    for (key, value) in [("b", "2"), ("a/1", "1")] {
        let _ = run(&host, &["state", "set", "keeper", key, value]);
    }
    assert_eq!(run(&host, &["state", "keys", "keeper"]).trim(), "a/1\nb");
    let next = read(&host, &["state", "keys", "keeper", "--limit", "1"])["next"].as_str().unwrap().to_owned();
    assert_eq!(run(&host, &["state", "keys", "keeper", "--after", &next]).trim(), "b");
    assert_eq!(run(&host, &["state", "get", "keeper", "a/1"]).trim(), "1");
    let version = read(&host, &["state", "get", "keeper", "b"])["version"].to_string();
    let _ = run(&host, &["state", "set", "keeper", "b", "3", "--if-version", &version]);
    let stale = expect_code(&host, 1, &["state", "set", "keeper", "b", "4", "--if-version", &version]);
    assert!(stale.contains("state-changed"), "{stale}");
    assert!(
        expect_code(&host, 1, &["state", "set", "keeper", "b", "4", "--if-version", "0"]).contains("state-changed")
    );
    let _ = run(&host, &["state", "set", "keeper", "new", "--if-version", "0", "--", "-1"]);
    // The plugin sees what the operator wrote.
    let kept = host.get("/keeper").json();
    assert_eq!(kept["values"], json!({ "a/1": 1, "b": 3, "new": -1 }));
    let file = host.path().join("value");
    std::fs::write(&file, [0xff, 0x00]).unwrap();
    let _ = run(&host, &["state", "set", "keeper", "bytes", "--file", file.to_str().unwrap()]);
    assert_eq!(read(&host, &["state", "get", "keeper", "bytes"])["value_base64"], "/wA=");
    assert!(expect_code(&host, 1, &["state", "get", "keeper", "none"]).contains("no value for the key `none`"));
    assert!(expect_code(&host, 1, &["state", "set", "nobody", "a", "1"]).contains("no plugin `nobody`"));
}

#[test]
fn plugins_and_webhooks_receive_dead_letter_notifications() {
    let webhook = Webhook::start(&[204]);
    let host = Setup::new().plugin("poison").plugin("echo").start();
    let url = format!("http://{}/alerts", webhook.address);
    let alerts = ["subscriptions", "create", "alerts", "--pattern", "sandbus.dead-letter"];
    let _ = run(&host, &[&alerts[..], &["--webhook", &url]].concat());
    let handler = ["subscriptions", "create", "to-echo", "--pattern", "sandbus.*", "--plugin", "echo"];
    let _ = run(&host, &handler);
    publish(&host, "poison.pill", "p1", &json!({}));
    let hook = eventually("the webhook receives the notification", || webhook.received().into_iter().next());
    assert_eq!(hook.header("ce-type"), Some("sandbus.dead-letter"), "{hook:?}");
    assert_eq!(hook.header("ce-subject"), Some("poison/swallow"));
    let notification: Value = serde_json::from_str(&hook.body).unwrap();
    assert_eq!(
        (&notification["cause"], &notification["event"]["id"]),
        (&json!("trap"), &json!("p1")),
        "{notification}"
    );
    // The plugin gets it as well. It has no handler of this type, so its delivery becomes a dead letter, without another
    // notification.
    let letters =
        eventually("the plugin rejects it", || Some(host.dead_letters()).filter(|letters| letters.len() == 2));
    assert_eq!(letters[1]["subscription"], "operator/to-echo");
    let reason = letters[1]["reason"].as_str().unwrap();
    assert!(reason.contains("no handler takes events of type `sandbus.dead-letter`"), "{reason}");
    host.wait_until_idle();
    assert_eq!(host.events_of("sandbus.dead-letter").len(), 1);
    assert_eq!(webhook.received().len(), 1);
    let tree = read(&host, &["events", "list", "--correlation", "p1"]);
    assert_eq!(tree["events"].as_array().unwrap().len(), 2, "it belongs to the event's cause tree");
    // Only the host may publish notifications.
    let forged = host.publish("sandbus.dead-letter", "forged", json!({}));
    assert_eq!((forged.status, forged.problem().as_str()), (403, "reserved-type"));
}

#[test]
fn a_plugin_and_a_subscription_are_shown_with_their_rules() {
    let host = Setup::new().plugin("keeper").start();
    let shown = run(&host, &["subscriptions", "show", "keeper/entry"]);
    for line in [
        "keeper/entry",
        "status          active",
        "created         declared by its plugin",
        "backlog         0",
        "lag             -",
        "pattern         keeper.entry",
        "filters         -",
        "plugin          keeper",
        "concurrency     8",
        "ordering key    /account",
        "next attempt    -",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    publish(&host, "keeper.job", "j1", &json!({}));
    eventually("it says when the next attempt is due", || {
        let shown = run(&host, &["subscriptions", "show", "keeper/job"]);
        let due = shown.lines().find_map(|line| line.strip_prefix("next attempt    ")).unwrap().starts_with("20");
        (due && shown.contains("\nbacklog         1\n") && shown.contains("\nattempts        4\n")).then_some(())
    });
    let _ = run(&host, &["subscriptions", "pause", "keeper/job"]);
    let paused = run(&host, &["subscriptions", "show", "keeper/job"]);
    assert!(paused.contains("\nstatus          paused: an operator paused it\n"), "{paused}");
    let list = read(&host, &["subscriptions", "show", "keeper/job"]);
    let all = read(&host, &["subscriptions"]);
    let [one] = &list["subscriptions"].as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&one["id"], &one["retry"]["max_attempts"]), (&json!("keeper/job"), &json!(4)), "{list}");
    assert!(all["subscriptions"].as_array().unwrap().iter().any(|other| other["retry"] == one["retry"]), "{all}");
    let refused = expect_code(&host, 1, &["subscriptions", "show", "keeper/none"]);
    assert!(
        refused.contains("there is no subscription `keeper/none`; `sandbus subscriptions` lists them"),
        "{refused}"
    );
    let _ = expect_code(&host, 2, &["subscriptions", "show", "none"]);

    let plugin = run(&host, &["plugins", "show", "keeper"]);
    for part in [
        "keeper 0.1.0",
        "\nstatus        running\n",
        "\nfile          keeper.wasm\n",
        "\nrequests      publish keeper.later, schedule.keeper.each_year\n",
        "\nroute         POST /keeper/count\n",
        "\nsubscription  keeper/entry: keeper.entry, ordered by /account\n",
        "\nschedule      ",
        "\ngeneration    ",
    ] {
        assert!(plugin.contains(part), "{part:?}: {plugin}");
    }
}
