//! Components that use the standard interfaces, as language runtimes do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use sandbus_tests::{Host, Setup, eventually};
use serde_json::{Value, json};

fn host() -> Host {
    Setup::new().plugin("standard").start()
}

fn order(host: &Host, deed: &str) {
    assert_eq!(host.publish("standard.order", deed, json!({ "deed": deed })).status, 202);
}

fn dead_letter(host: &Host) -> Value {
    eventually("there is a dead letter", || host.dead_letters().pop())
}

#[test]
fn the_standard_context_is_empty_but_for_clocks_and_random_numbers() {
    let mut surroundings = host().get("/standard").json();
    let seconds = surroundings["seconds"].take().as_u64().unwrap();
    assert!(seconds > 1_700_000_000, "{seconds}");
    let expected = json!({ "variables": 0, "arguments": 0, "folders": 0, "seconds": null, "random_bytes": 16 });
    assert_eq!(surroundings, expected);
}

#[test]
fn printed_text_becomes_log_lines() {
    let host = host();
    order(&host, "print");
    for (level, context, line) in [
        ("INFO", "stdout", "first line"),
        ("INFO", "stdout", "second line"),
        ("WARN", "stderr", "a complaint without a line break"),
    ] {
        let found = host.wait_for_log(&[line, "\"plugin\":\"standard\""]);
        assert_eq!((&found["level"], &found["context"]), (&json!(level), &json!(context)), "{found}");
        assert_eq!(found["event"], "print", "{found}");
    }
    host.wait_until_idle();
    assert!(host.dead_letters().is_empty());
}

#[test]
fn printed_text_counts_as_log_lines() {
    let host = host();
    order(&host, "chatter");
    let _ = host.wait_for_log(&["has reached its log limit"]);
    host.wait_until_idle();
    let lines = host.log().lines().filter(|line| line.contains("\"stdout\"")).count();
    assert!((1..=16).contains(&lines), "{lines} lines of 4 KiB are within a limit of 64 KiB");
}

#[test]
fn the_end_of_the_standard_error_explains_a_trap() {
    let host = host();
    order(&host, "fail");
    let letter = dead_letter(&host);
    let reason = letter["reason"].as_str().unwrap();
    assert_eq!(letter["cause"], "trap");
    assert!(reason.contains("Traceback (most recent call last):\n\\u{1b}[31mValueError: seven"), "{reason}");
}

#[test]
fn a_guest_that_sleeps_is_waited_for_and_one_that_oversleeps_ends_with_its_time() {
    let host = host();
    order(&host, "doze");
    host.wait_until_idle();
    assert!(host.dead_letters().is_empty());

    let started = Instant::now();
    order(&host, "oversleep");
    let letter = dead_letter(&host);
    assert_eq!(letter["cause"], "timeout", "{letter}");
    // A handler that does not end is abandoned; here its thread and its permits are free again.
    assert!(letter["reason"].as_str().unwrap().contains("ran out of time after 500ms"), "{letter}");
    assert!(started.elapsed() < Duration::from_secs(10));
}
