//! The text of cause trees.

use super::*;
use crate::api::{GapView, LogLineView, PublishedView, TreeDeadLetterView, WaitReasonView};

fn event(id: &str, causation: Option<&str>, deliveries: Vec<TreeDeliveryView>) -> TreeEventView {
    TreeEventView {
        position: Some(1),
        stored_at: "2030-01-01T00:00:00.000Z".to_owned(),
        id: id.to_owned(),
        source: "/s".to_owned(),
        event_type: format!("t.{id}"),
        causation: causation.map(str::to_owned),
        causation_source: causation.map(|_| "/s".to_owned()),
        deliveries,
        ..TreeEventView::default()
    }
}

fn attempt(number: u32, verdict: VerdictView, published: &[&str]) -> RecordedAttemptView {
    let is_failure = verdict != VerdictView::Handled;
    let published = published.iter().map(|id| PublishedView { id: (*id).to_owned(), ..PublishedView::default() });
    RecordedAttemptView {
        at: "T".to_owned(),
        attempt: number,
        verdict,
        retry_at: (verdict == VerdictView::Retried).then(|| "U".to_owned()),
        cause: is_failure.then(|| "exception".to_owned()),
        reason: is_failure.then(|| "no server\nat x".to_owned()),
        usage: InvocationUsageView { took_us: 1_500, published: published.collect(), ..InvocationUsageView::default() },
        ..RecordedAttemptView::default()
    }
}

fn delivery(state: &str, attempts: Vec<RecordedAttemptView>, waits_for: &[&str]) -> TreeDeliveryView {
    let reason = |detail: &&str| WaitReasonView { detail: (*detail).to_owned(), ..WaitReasonView::default() };
    TreeDeliveryView {
        subscription: "p/s".to_owned(),
        state: Some(state.to_owned().into()),
        waits_for: waits_for.iter().map(reason).collect(),
        attempts,
        ..TreeDeliveryView::default()
    }
}

fn ended(outcome: DeliveryOutcomeView, attempts: Vec<RecordedAttemptView>) -> TreeDeliveryView {
    TreeDeliveryView { outcome: Some(outcome), attempts, ..delivery("handled", vec![], &[]) }
}

#[test]
fn a_tree_shows_what_each_attempt_led_to_and_what_waits() {
    let attempts = vec![attempt(1, VerdictView::Retried, &[]), attempt(2, VerdictView::Handled, &["b"])];
    let handled = ended(DeliveryOutcomeView::Handled, attempts);
    let tree = CauseTreeView {
        events: vec![
            event("a", None, vec![handled]),
            event("b", Some("a"), vec![delivery("ready", vec![], &["the subscription is paused"])]),
            event("c", Some("a"), vec![ended(DeliveryOutcomeView::NotRecorded, vec![])]),
        ],
        delayed: vec![DelayedEventView {
            due: "D".to_owned(),
            id: "d".to_owned(),
            event_type: "t.d".to_owned(),
            causation: Some("b".to_owned()),
            ..DelayedEventView::default()
        }],
        gaps: vec![GapView { lost: Some(3), from: "F".to_owned(), until: "G".to_owned(), reason: "full".to_owned() }],
        ..CauseTreeView::default()
    };
    let expected = [
        "t.a a from /s at 2030-01-01T00:00:00.000Z",
        "  ✗ p/s attempt 1 in 1.5 ms at T: exception: no server; next at U",
        "  ✓ p/s attempt 2 in 1.5 ms at T",
        "      t.b b from /s at 2030-01-01T00:00:00.000Z",
        "        … p/s: the subscription is paused",
        "        t.d d enters the log at D",
        "  t.c c from /s at 2030-01-01T00:00:00.000Z",
        "    ? p/s: handled, or its dead letter was dropped; not recorded",
        "the ledger lost 3 records from F to G: full",
    ];
    assert_eq!(render(&tree, false).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_delivery_says_how_it_ended_and_what_an_operator_did() {
    let dead = |cause: &str, reason: &str| RecordedAttemptView {
        cause: Some(cause.to_owned()),
        reason: Some(reason.to_owned()),
        ..attempt(1, VerdictView::Dead, &[])
    };
    let letter =
        |reason: &str| Some(TreeDeadLetterView { number: 7, cause: "trap".to_owned(), reason: reason.to_owned() });
    let at = || Some("R".to_owned());
    let redriven = RecordedAttemptView { redriven_at: at(), edited: true, ..attempt(1, VerdictView::Handled, &[]) };
    let replayed = RecordedAttemptView { replay: Some(4), replayed: true, ..attempt(1, VerdictView::Handled, &[]) };
    let dead_letter = DeliveryOutcomeView::DeadLetter;
    for (delivery, expected) in [
        (
            ended(DeliveryOutcomeView::Handled, vec![dead("trap", "no stack"), redriven]),
            &[
                "✗ p/s attempt 1 in 1.5 ms at T: trap: no stack; dead letter",
                "✓ p/s (redriven at R, with edited data) attempt 1 in 1.5 ms at T",
            ][..],
        ),
        (ended(DeliveryOutcomeView::Handled, vec![replayed]), &["✓ p/s (replay 4) attempt 1 in 1.5 ms at T"]),
        (
            ended(DeliveryOutcomeView::Dropped, vec![dead("trap", "")]),
            &[
                "✗ p/s attempt 1 in 1.5 ms at T: trap; dead letter",
                "✗ p/s: dead letter dropped; no later attempt is recorded",
            ],
        ),
        // Its attempts are not recorded, so the dead letter itself must say why.
        (
            TreeDeliveryView { dead_letter: letter("no stack"), ..ended(dead_letter.clone(), vec![]) },
            &["✗ p/s: dead letter 7: trap: no stack"],
        ),
        (
            TreeDeliveryView {
                dead_letter: letter(""),
                edited: true,
                replayed: true,
                ..ended(dead_letter.clone(), vec![])
            },
            &["✗ p/s (with edited data, replay): dead letter 7: trap"],
        ),
        (
            TreeDeliveryView { dead_letter: letter("no stack"), ..ended(dead_letter, vec![dead("trap", "no stack")]) },
            &["✗ p/s attempt 1 in 1.5 ms at T: trap: no stack; dead letter", "✗ p/s: dead letter 7"],
        ),
        (
            TreeDeliveryView { redriven_at: at(), ..delivery("ready", vec![], &["the plugin is drained"]) },
            &["… p/s (redriven at R): the plugin is drained"],
        ),
    ] {
        let tree = CauseTreeView { events: vec![event("a", None, vec![delivery])], ..CauseTreeView::default() };
        let shown = render(&tree, false);
        assert_eq!(shown.lines().skip(1).map(str::trim_start).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_is_left_out_is_counted_where_it_is_left_out() {
    let nobody = "    no subscription matches it";
    for (counts, partly_read, expected) in [
        ([0, 0], false, &[nobody][..]),
        (
            [0, 1],
            false,
            &[nobody, "    + 1 more event is omitted here", "2 of 3 events are shown; --limit N shows more"],
        ),
        (
            [4, 2],
            true,
            &[
                nobody,
                "    + 2 more events are omitted here",
                "  + 4 more events are omitted here",
                "2 of 8 or more events are shown; --limit N shows more",
            ],
        ),
    ] {
        let [first, second] = counts;
        let events = vec![
            TreeEventView { omitted: first, ..event("a", None, vec![]) },
            TreeEventView { omitted: second, ..event("b", Some("a"), vec![]) },
        ];
        let tree = CauseTreeView { events, omitted: first + second, partly_read, ..CauseTreeView::default() };
        let shown = render(&tree, false);
        assert_eq!(shown.lines().skip(3).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn each_event_is_below_the_request_that_published_it() {
    let of =
        |id: &str, correlation: &str| TreeEventView { correlation: correlation.to_owned(), ..event(id, None, vec![]) };
    let request = |id: &str, correlation: &str| RecordedRequestView {
        id: id.to_owned(),
        method: "GET".to_owned(),
        correlations: vec![correlation.to_owned()],
        ..RecordedRequestView::default()
    };
    let tree = CauseTreeView {
        requests: vec![request("r1", "a"), request("r2", "b")],
        events: vec![of("c", "c"), of("b", "b"), of("a", "a")],
        ..CauseTreeView::default()
    };
    let shown = render(&tree, false);
    let lines: Vec<_> = shown.lines().filter(|line| !line.contains("no subscription")).collect();
    let ends = ["request r1", "  t.a a from /s", "request r2", "  t.b b from /s", "t.c c from /s"];
    assert_eq!(lines.len(), ends.len(), "{shown}");
    for (line, expected) in lines.iter().zip(ends) {
        assert!(line.contains(expected) && line.starts_with("  ") == expected.starts_with("  "), "{shown}");
    }
}

#[test]
fn nothing_that_a_terminal_would_obey_is_shown() {
    let tree = CauseTreeView { events: vec![event("a\u{1b}[2J\n", None, vec![])], ..CauseTreeView::default() };
    assert_eq!(render(&tree, false).lines().count(), 2);
    assert!(!render(&tree, false).contains('\u{1b}'));
}

#[test]
fn durations_have_a_fitting_unit() {
    let shown = [0, 999, 1_000, 999_949, 61_000_000].map(format_micros);
    assert_eq!(shown, ["0 µs", "999 µs", "1.0 ms", "999.9 ms", "61.0 s"]);
}

#[test]
fn log_lines_are_shown_below_their_attempt_if_asked_for() {
    let line = |message: &str| LogLineView { level: "info".to_owned(), message: message.to_owned() };
    let mut first = attempt(1, VerdictView::Retried, &[]);
    first.usage.log = vec![line("a\nb"), line("c")];
    first.usage.log_lines_omitted = 2;
    let second = attempt(2, VerdictView::Handled, &[]);
    let handled = ended(DeliveryOutcomeView::Handled, vec![first, second]);
    let tree = CauseTreeView { events: vec![event("a", None, vec![handled])], ..CauseTreeView::default() };
    let shown = render(&tree, true);
    let lines: Vec<_> = shown.lines().map(str::trim_start).collect();
    assert_eq!(lines[2..5], ["info: a\\nb", "info: c", "2 more log lines are not recorded"], "{shown}");
    assert_eq!(render(&tree, false).lines().count() + 3, lines.len());
}
