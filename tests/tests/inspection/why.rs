//! `sandbus why`: what is known of an event, how much of a large tree is shown, and what operators did.

use sandbus_tests::command_line::{expect_code, run};
use sandbus_tests::{DatabaseLock, Host, Setup, Webhook, digest, eventually, guest, put};
use serde_json::{Value, json};

use super::{publish, read};

/// Records everything.
const ALL: &str = "[ledger]\nrecord = \"all\"\n";
/// Records nothing.
const OFF: &str = "[ledger]\nrecord = \"off\"\n";

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The only delivery of an event in its tree.
fn delivery(host: &Host, id: &str) -> Value {
    let tree = host.admin(&format!("/cause-trees/{id}"));
    let event = items(&tree["events"]).iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("{tree}"));
    let [delivery] = items(&event["deliveries"]) else { panic!("{event}") };
    delivery.clone()
}

/// Waits until so many attempts at the only delivery of an event are recorded.
fn wait_for_attempts(host: &Host, id: &str, count: usize) -> Value {
    eventually(&format!("{count} attempts at {id}"), || {
        let delivery = delivery(host, id);
        (items(&delivery["attempts"]).len() == count).then_some(delivery)
    })
}

/// The number of the only dead letter.
fn dead_letter(host: &Host) -> String {
    eventually("there is a dead letter", || match &host.dead_letters()[..] {
        [letter] => Some(letter["number"].to_string()),
        _ => None,
    })
}

/// The lines of `sandbus why` about the deliveries of `keeper/bad`.
fn lines_of_bad(host: &Host) -> Vec<String> {
    let shown = run(host, &["why", "b1"]);
    shown.lines().map(str::trim).filter(|line| line.contains("keeper/bad")).map(str::to_owned).collect()
}

#[test]
fn a_large_tree_shows_the_asked_event_and_what_led_to_it() {
    // 1 + 3 + 9 + 27 + 81 + 243 + 729 events, of which the last ones are too deep.
    let host = Setup::new().plugin("breeder").config("[bus]\nhop_limit = 5").start();
    publish(&host, "breeder.cell", "first", &json!({}));
    eventually("the deepest events are dead letters", || {
        (items(&read(&host, &["dead-letters", "list", "--all"])["dead_letters"]).len() == 729).then_some(())
    });
    let last = host.admin("/events?limit=1")["events"][0]["event"].clone();
    let (last, cause) = (last["id"].as_str().unwrap(), last["causationid"].as_str().unwrap());
    for (arguments, shown, omitted) in [
        (&[][..], 200, 893),
        (&["--limit", "1"], 7, 1086),
        (&["--limit", "500"], 500, 593),
        (&["--limit", "1093"], 1093, 0),
        (&["--limit", "10000"], 1093, 0),
    ] {
        let tree = read(&host, &[&["why", last], arguments].concat());
        let events = items(&tree["events"]);
        assert_eq!((events.len(), &tree["omitted"]), (shown, &json!(omitted)), "{arguments:?}");
        assert_eq!(tree["partly_read"], false);
        let below: u64 = events.iter().map(|event| event["omitted"].as_u64().unwrap()).sum();
        assert_eq!(below, omitted, "each is counted below the event that led to it");
        // The path from the first event to the asked one.
        let (mut id, mut depth) = (last.to_owned(), 0);
        while id != "first" {
            let event = events.iter().find(|event| event["id"] == id.as_str());
            id = event.unwrap_or_else(|| panic!("{id} is not shown"))["causation"].as_str().unwrap().to_owned();
            depth += 1;
        }
        assert_eq!(depth, 6);
        let text = run(&host, &[&["why", last], arguments].concat());
        assert!(text.contains(last), "{text}");
        assert_eq!(text.contains("of 1093 events are shown; --limit N shows more"), omitted > 0, "{text}");
        assert_eq!(text.contains(" more events are omitted here"), omitted > 0, "{text}");
    }
    // What the asked event led to comes before the rest.
    let tree = read(&host, &["why", cause, "--limit", "9"]);
    let below = items(&tree["events"]).iter().filter(|event| event["causation"] == cause).count();
    assert_eq!((below, items(&tree["events"]).len()), (3, 9));
    for limit in ["0", "10001", "x"] {
        let _ = expect_code(&host, 2, &["why", last, "--limit", limit]);
        let answer = host.operate("GET", &format!("/cause-trees/{last}?limit={limit}"));
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"), "{limit}");
    }
}

#[test]
fn a_dropped_dead_letter_is_no_success() {
    for (config, attempts, before, after) in [
        (
            ALL,
            1,
            ": rejected: it is not mended; dead letter",
            "✗ keeper/bad: dead letter dropped; no later attempt is recorded",
        ),
        (OFF, 0, ": rejected: it is not mended", "? keeper/bad: handled, or its dead letter was dropped; not recorded"),
    ] {
        let host = Setup::new().plugin("keeper").config(config).start();
        publish(&host, "keeper.bad", "b1", &json!({}));
        let number = dead_letter(&host);
        let before_drop = wait_for_attempts(&host, "b1", attempts);
        assert_eq!(before_drop["outcome"], "dead-letter");
        assert_eq!(before_drop["dead_letter"]["number"].to_string(), number);
        assert_eq!(
            (&before_drop["dead_letter"]["cause"], &before_drop["dead_letter"]["reason"]),
            (&json!("rejected"), &json!("it is not mended"))
        );
        let shown = lines_of_bad(&host);
        assert!(shown[0].contains(before), "{config}: {shown:?}");
        assert!(shown.last().unwrap().starts_with(&format!("✗ keeper/bad: dead letter {number}")), "{shown:?}");

        let _ = run(&host, &["dead-letters", "drop", &number]);
        let shown = lines_of_bad(&host);
        assert!(!shown.iter().any(|line| line.starts_with('✓')), "{config}: {shown:?}");
        assert_eq!(shown.last().map(String::as_str), Some(after), "{config}");
        let expected = if attempts > 0 { "dropped" } else { "not-recorded" };
        assert_eq!(delivery(&host, "b1")["outcome"], expected);
    }
}

#[test]
fn redrives_edited_data_and_replays_are_marked() {
    let host = Setup::new().plugin("keeper").config(ALL).start();
    publish(&host, "keeper.bad", "b1", &json!({ "data": { "wrong": 1 } }));
    let number = dead_letter(&host);
    /// Whether each recorded attempt follows a redrive, has edited data, and belongs to a replay.
    fn marks(delivery: &Value) -> Vec<[bool; 3]> {
        let attempts = items(&delivery["attempts"]).iter();
        let is = |value: &Value| value.as_bool().unwrap_or(!value.is_null());
        attempts.map(|attempt| ["redriven_at", "edited", "replayed"].map(|name| is(&attempt[name]))).collect()
    }
    let first = wait_for_attempts(&host, "b1", 1);
    assert_eq!(marks(&first), [[false, false, false]]);
    assert_eq!((&first["redriven_at"], &first["edited"]), (&Value::Null, &json!(false)));

    // A dead letter that is redriven and cannot run says so.
    let _ = run(&host, &["subscriptions", "pause", "keeper/bad"]);
    let _ = run(&host, &["dead-letters", "redrive", &number]);
    let waiting = delivery(&host, "b1");
    assert_eq!(waiting["waits_for"][0]["code"], "paused");
    let at = waiting["redriven_at"].as_str().unwrap().to_owned();
    assert!(at.as_str() >= first["attempts"][0]["at"].as_str().unwrap(), "{waiting}");
    let expected = format!("… keeper/bad (redriven at {at}): the subscription is paused");
    assert!(lines_of_bad(&host)[1].starts_with(&expected), "{:?}", lines_of_bad(&host));
    // It is known after a crash, too.
    let host = host.crash_and_restart();
    let _ = run(&host, &["subscriptions", "resume", "keeper/bad"]);
    let second = wait_for_attempts(&host, "b1", 2);
    assert_eq!((marks(&second)[1], &second["attempts"][1]["redriven_at"]), ([true, false, false], &json!(at)));
    assert!(lines_of_bad(&host)[1].starts_with(&format!("✗ keeper/bad (redriven at {at}) attempt 1 in ")));

    let file = host.path().join("data.json");
    std::fs::write(&file, r#"{ "right": 1 }"#).unwrap();
    let _ = run(&host, &["state", "set", "keeper", "mended", "true"]);
    let _ = run(&host, &["subscriptions", "pause", "keeper/bad"]);
    let _ = run(&host, &["dead-letters", "redrive", &dead_letter(&host), "--data", file.to_str().unwrap()]);
    let waiting = delivery(&host, "b1");
    let again = waiting["redriven_at"].as_str().unwrap().to_owned();
    assert!(again > at && waiting["edited"] == true, "{waiting}");
    let _ = run(&host, &["subscriptions", "resume", "keeper/bad"]);
    let third = wait_for_attempts(&host, "b1", 3);
    assert_eq!((marks(&third)[2], &third["outcome"]), ([true, true, false], &json!("handled")));
    let shown = lines_of_bad(&host);
    let expected = format!("✓ keeper/bad (redriven at {again}, with edited data) attempt 1 in ");
    assert!(shown[2].starts_with(&expected), "{shown:?}");

    // A replay delivers the original data.
    let _ = run(&host, &["subscriptions", "replay", "keeper/bad", "--from-beginning"]);
    let replayed = eventually("the replay is recorded", || {
        lines_of_bad(&host).into_iter().find(|line| line.starts_with("✓ keeper/bad (replay "))
    });
    assert!(replayed.contains(") attempt 1 in "), "{replayed}");
    let attempts = host.admin("/attempts?event=b1");
    let newest = &attempts["attempts"][0];
    assert_eq!((&newest["replayed"], &newest["edited"]), (&json!(true), &json!(false)), "{newest}");
    assert_eq!(newest["redriven_at"], Value::Null);
}

#[test]
fn the_success_after_a_redrive_is_recorded_even_if_successes_are_not() {
    let host = Setup::new().plugin("keeper").config("[ledger]\nfull_rate = 0\none_in = 1000000").start();
    publish(&host, "keeper.bad", "b1", &json!({}));
    let number = dead_letter(&host);
    let _ = run(&host, &["state", "set", "keeper", "mended", "true"]);
    publish(&host, "keeper.bad", "b2", &json!({}));
    host.wait_until_idle();
    let _ = run(&host, &["dead-letters", "redrive", &number]);
    let delivery = wait_for_attempts(&host, "b1", 2);
    assert_eq!((&delivery["outcome"], &delivery["attempts"][1]["verdict"]), (&json!("handled"), &json!("handled")));
    assert_eq!(self::delivery(&host, "b2")["outcome"], "not-recorded");
}

#[test]
fn an_event_and_a_request_with_one_id_are_both_shown() {
    let host = Setup::new().plugin("keeper").plugin("echo").config(ALL).start();
    let answer = host.post("/keeper/later", json!({ "a": 1 }));
    let id = answer.headers["x-request-id"].clone();
    let recorded = || host.send("GET", &host.api_url(&format!("/cause-trees/{id}")), &[], b"");
    eventually("the request is recorded", || (recorded().status == 200).then_some(()));
    publish(&host, "echo.ping", &id, &json!({}));
    for asked in [id.clone(), id.to_ascii_uppercase()] {
        let tree = host.admin(&format!("/cause-trees/{asked}"));
        assert_eq!(tree["requests"][0]["id"], id.as_str(), "{asked}");
        assert_eq!(tree["delayed"][0]["event_type"], "keeper.later", "{asked}");
    }
    let tree = host.admin(&format!("/cause-trees/{id}"));
    assert_eq!(tree["events"][0]["id"], id.as_str());
    let shown = run(&host, &["why", &id]);
    assert!(shown.starts_with("POST /keeper/later → 200 by keeper in "), "{shown}");
    assert!(shown.contains(&format!("\necho.ping {id} from /test at ")), "{shown}");
    assert!(shown.contains("\n  keeper.later "), "{shown}");

    let long = "x".repeat(65_537);
    let refused = expect_code(&host, 1, &["why", &long]);
    assert!(refused.contains("the id has 65537 bytes, and no id has more than 65536"), "{refused}");
}

/// The file of the bus.
fn store(host: &Host) -> std::path::PathBuf {
    let entries = std::fs::read_dir(host.path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let mut databases = entries.filter(|path| path.extension().is_some_and(|end| end == "db"));
    databases.find(|path| !path.ends_with("ledger.db")).unwrap()
}

/// The codes of the reasons why the only delivery of an event waits.
fn reasons(host: &Host, id: &str) -> Vec<String> {
    items(&delivery(host, id)["waits_for"]).iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_delivery_waits_for_a_version_that_declares_its_subscription() {
    let host = Setup::new().plugin("ping").start();
    let _ = run(&host, &["subscriptions", "pause", "ping/pinged"]);
    publish(&host, "pong.sent", "p1", &json!({}));
    assert_eq!(reasons(&host, "p1"), ["paused"]);
    // A version whose handler has another name.
    let mut renamed = guest("ping");
    let is_name = |index: &usize| renamed[*index..].starts_with(b"pinged");
    let names: Vec<_> = (0..renamed.len()).filter(is_name).collect();
    assert!(!names.is_empty(), "the component has the name of its handler");
    names.into_iter().for_each(|index| renamed[index..][..6].copy_from_slice(b"PINGED"));
    put(&host.file("ping.wasm"), &renamed);
    let renamed = digest(&renamed);
    eventually("the version runs", || {
        host.plugin("ping.wasm").filter(|plugin| plugin["digest"] == renamed.as_str() && plugin["status"] == "running")
    });
    let _ = run(&host, &["subscriptions", "resume", "ping/pinged"]);
    eventually("it waits for another version", || (reasons(&host, "p1") == ["not-declared"]).then_some(()));
    let shown = run(&host, &["why", "p1"]);
    let expected = "… ping/pinged: the running version of `ping` does not declare the subscription `pinged`; load a version \
        that does, or run `sandbus subscriptions delete ping/pinged`";
    assert!(shown.contains(expected), "{shown}");
    host.drop_in("ping", "ping.wasm");
    eventually("it is delivered", || reasons(&host, "p1").is_empty().then_some(()));
}

#[test]
fn a_delivery_waits_for_the_store() {
    let webhook = Webhook::start(&[500]);
    let host = Setup::new().start();
    let rules = json!({ "initial_delay": "1h", "max_delay": "1h" });
    let target = json!({ "webhook": { "url": format!("http://{}/", webhook.address) } });
    let answer = host
        .admin_post("/subscriptions", json!({ "name": "hook", "pattern": "a.>", "target": target, "rules": rules }));
    assert_eq!(answer.status, 201, "{}", answer.body);
    publish(&host, "a.b", "s1", &json!({}));
    eventually("it waits for another attempt", || (reasons(&host, "s1") == ["retry"]).then_some(()));
    let lock = DatabaseLock::take(&store(&host));
    let refused = host.publish("a.b", "s2", json!({}));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store-unavailable"));
    assert_eq!(reasons(&host, "s1"), ["store-unreachable", "retry"]);
    let shown = run(&host, &["why", "s1"]);
    assert!(shown.contains("… operator/hook: the store is unreachable: "), "{shown}");
    drop(lock);
    eventually("the store is back", || (reasons(&host, "s1") == ["retry"]).then_some(()));
}
