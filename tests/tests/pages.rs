//! Lists of the admin API in pages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sandbus_tests::{Host, Setup, eventually};
use serde_json::{Value, json};

/// The lists: the path, and the member with the items.
const LISTS: [(&str, &str); 10] = [
    ("/plugins", "plugins"),
    ("/subscriptions", "subscriptions"),
    ("/schedules", "schedules"),
    ("/scheduled", "scheduled"),
    ("/events", "events"),
    ("/dead-letters", "dead_letters"),
    ("/dead-letters/groups", "groups"),
    ("/deliveries", "deliveries"),
    ("/attempts", "attempts"),
    ("/plugins/keeper/state", "keys"),
];

/// A host with at least two items in each list.
fn host() -> Host {
    let setup = ["keeper", "poison", "ticker", "echo"].iter().fold(Setup::new(), |setup, name| setup.plugin(name));
    let host = setup.start();
    std::fs::copy(host.file("ticker.wasm"), host.file("link.partial")).unwrap();
    for key in ["a", "b", "c"] {
        let put = [("content-type", "application/json")];
        let url = host.api_url(&format!("/plugins/keeper/state/{key}"));
        assert_eq!(host.send("PUT", &url, &put, br#"{"value":"1"}"#).status, 200);
    }
    for name in ["one", "two", "three"] {
        let wanted = json!({ "name": name, "pattern": "nothing.>", "target": { "plugin": "echo" } });
        assert_eq!(host.admin_post("/subscriptions", wanted).status, 201);
    }
    assert_eq!(host.operate("POST", "/subscriptions/operator/one/pause").status, 204);
    for id in ["1", "2", "3"] {
        assert_eq!(host.publish("poison.pill", id, json!({})).status, 202);
        assert_eq!(host.publish("nothing.here", &format!("nothing {id}"), json!({})).status, 202);
        let later = json!({ "id": format!("later {id}"), "type": "a.b", "data": {} });
        assert_eq!(host.publish_event("/events?delay=1h", later).status, 202);
    }
    // The poison, and the events of the two subscriptions for which `echo` has no handler.
    eventually("there are dead letters", || (host.dead_letters().len() == 9).then_some(()));
    let failures = || host.admin("/attempts?failed=true")["attempts"].as_array().map_or(0, Vec::len);
    eventually("the failures are recorded", || (failures() >= 3).then_some(()));
    host
}

fn page(host: &Host, path: &str, query: &str) -> Value {
    host.admin(&format!("{path}?{query}"))
}

#[test]
fn every_list_is_read_page_by_page() {
    let host = host();
    for (path, name) in LISTS {
        // A log that a schedule extends, its attempts, and the times of deliveries, differ from one page to the next.
        let identity = |item: &Value| match name {
            "deliveries" => json!([item["subscription"], item["logged"]["position"]]),
            "events" => item["position"].clone(),
            "plugins" => json!([item["file"], item["name"]]),
            "subscriptions" | "schedules" => item["id"].clone(),
            "dead_letters" => item["number"].clone(),
            _ => item.clone(),
        };
        // The delivery of a tick is pending for a moment only.
        let is_lasting = |item: &&Value| name != "deliveries" || item["subscription"] != "ticker/each_second";
        let items =
            |page: &Value| page[name].as_array().unwrap().iter().filter(is_lasting).map(identity).collect::<Vec<_>>();
        let all = items(&page(&host, path, "limit=1000"));
        let (mut found, mut query) = (Vec::new(), "limit=1".to_owned());
        loop {
            let page = page(&host, path, &query);
            let part = items(&page);
            assert!(part.len() <= 1, "{path}: {page}");
            found.extend(part);
            let Some(next) = page["next"].as_str() else { break };
            query = format!("limit=1&after={next}");
        }
        if ["/events", "/attempts"].contains(&path) {
            assert!(found.ends_with(&all[all.len() - 3..]), "{path}: {found:?} {all:?}");
        } else {
            assert_eq!(found, all, "{path}");
        }
        assert!(found.len() > usize::from(path != "/schedules"), "{path}: {found:?}");
    }
}

#[test]
fn a_cursor_of_another_list_or_store_is_rejected() {
    let (host, other) = (host(), Setup::new().plugin("echo").plugin("keeper").start());
    let next = |path: &str| page(&host, path, "limit=1")["next"].as_str().map(str::to_owned);
    let cursors: Vec<_> = LISTS.iter().filter_map(|(path, _)| Some((*path, next(path)?))).collect();
    assert!(cursors.len() >= 8, "{cursors:?}");
    for (of, cursor) in &cursors {
        for (path, _) in LISTS {
            let answer = host.operate("GET", &format!("{path}?after={cursor}"));
            if *of == path {
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                let answer = other.operate("GET", &format!("{path}?after={cursor}"));
                assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-cursor"), "{path}");
                assert!(answer.body.contains("another store"), "{}", answer.body);
            } else {
                assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-cursor"), "{of} at {path}");
                assert!(answer.body.contains("another list"), "{}", answer.body);
            }
        }
    }
    let (_, keys) = cursors.last().unwrap();
    let answer = host.operate("GET", &format!("/plugins/echo/state?after={keys}"));
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-cursor"), "{}", answer.body);
    // A store keeps its cursors across a restart.
    let host = host.crash_and_restart();
    for (path, cursor) in cursors {
        assert_eq!(host.operate("GET", &format!("{path}?after={cursor}")).status, 200, "{path}");
    }
}

#[test]
fn a_malformed_cursor_or_limit_is_rejected() {
    let host = Setup::new().plugin("keeper").start();
    for (path, _) in LISTS.into_iter().chain([("/requests", "requests")]) {
        for cursor in ["x", "1", "1-", "AAAA", "%00", "AQAAAAAAAAAAAAAAAA", "=", "%F0%9F%9A%8C"] {
            let answer = host.operate("GET", &format!("{path}?after={cursor}"));
            assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-cursor"), "{path} {cursor}");
        }
        for limit in ["0", "1001", "-1", "1.5", "many", "99999999999999999999", ""] {
            let answer = host.operate("GET", &format!("{path}?limit={limit}"));
            assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-query"), "{path} {limit}");
        }
    }
}
