//! The records of the ledger, by the command line.

use sandbus_tests::command_line::{expect_code, run};
use sandbus_tests::{Setup, eventually};
use serde_json::{Value, json};

use super::{publish, read};

/// The values of a member of all items in a list.
fn column(list: &Value, items: &str, member: &str) -> Vec<String> {
    let items = list[items].as_array().unwrap();
    items.iter().map(|item| item[member].as_str().map_or_else(|| item[member].to_string(), str::to_owned)).collect()
}

#[test]
fn attempts_and_requests_of_the_past_are_listed() {
    let host = Setup::new().plugin("flaky").plugin("poison").config("[ledger]\nrecord = \"all\"\n").start();
    publish(&host, "flaky.job", "j1", &json!({}));
    publish(&host, "poison.pill", "p1", &json!({}));
    assert_eq!(host.get("/flaky").status, 200);
    let attempts = |filter: &[&str]| column(&read(&host, &[&["attempts"], filter].concat()), "attempts", "event");
    eventually("all attempts are recorded", || (attempts(&[]).len() == 5).then_some(()));
    assert_eq!(attempts(&["--event", "j1", "--since", "1h"]), ["j1"; 3]);
    assert_eq!(attempts(&["--until", "1h"]), [""; 0]);
    assert_eq!(attempts(&["--since", "2100-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(attempts(&["--until", "2100-01-01T00:00:00Z", "--plugin", "poison"]), ["p1"; 2]);
    assert_eq!(attempts(&["--failed", "--subscription", "flaky/job"]), ["j1"; 2]);
    assert_eq!(attempts(&["--cause", "trap"]), ["p1"; 2]);
    assert_eq!(attempts(&["--slower-than", "1h"]), [""; 0]);
    let shown = run(&host, &["attempts", "--limit", "2"]);
    assert!(shown.contains("VERDICT") && shown.contains("There are more. Continue with --after"), "{shown}");

    let requests = |filter: &[&str]| column(&read(&host, &[&["requests"], filter].concat()), "requests", "status");
    eventually("the request is recorded", || (requests(&["--since", "1h"]) == ["200"]).then_some(()));
    assert_eq!(requests(&["--plugin", "flaky", "--until", "1ms"]), ["200"]);
    assert_eq!(requests(&["--failed"]), [""; 0]);
    assert_eq!(requests(&["--until", "1h"]), [""; 0]);
    assert!(run(&host, &["requests"]).contains("/flaky"));

    for command in ["attempts", "requests", "minutes"] {
        let refused = expect_code(&host, 2, &[command, "--since", "yesterday"]);
        assert!(refused.contains("or how long ago it was, such as 15m"), "{refused}");
    }
}

#[test]
fn past_minutes_are_listed() {
    let host = Setup::new().plugin("flaky").start();
    for id in ["1", "2"] {
        publish(&host, "flaky.job", id, &json!({}));
    }
    assert_eq!(host.get("/flaky").status, 200);
    host.wait_until_idle();
    // A stop ends the minute.
    let host = host.stop_and_restart();
    let sum = |filter: &[&str], member: &str| -> u64 {
        let list = read(&host, &[&["minutes"], filter].concat());
        column(&list, "minutes", member).iter().map(|count| count.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum(&["--subscription", "flaky/job"], "succeeded"), 2);
    assert_eq!(sum(&["--subscription", "flaky/job"], "retried"), 4);
    assert_eq!(sum(&["--plugin", "flaky"], "succeeded"), 3, "and the request");
    assert_eq!(sum(&["--plugin", "other"], "succeeded"), 0);
    assert_eq!(sum(&["--since", "3h", "--until", "2h"], "succeeded"), 0);
    let shown = run(&host, &["minutes"]);
    assert!(shown.contains("flaky/job") && shown.contains("flaky (routes)"), "{shown}");
    let refused = expect_code(&host, 1, &["minutes", "--since", "1h", "--until", "2h"]);
    assert!(refused.contains("is later than"), "{refused}");
    let refused = expect_code(&host, 1, &["minutes", "--plugin", "a b"]);
    assert!(refused.contains("is not a name"), "{refused}");
}
