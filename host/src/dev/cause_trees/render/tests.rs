use std::num::NonZeroU32;

use super::*;
use crate::bus::{AttemptRecord, Delivery, DeliveryKind};
use crate::clock::Timestamp;
use crate::event::{IdSeed, LoggedEvent, Position};
use crate::outcome::Cause;
use crate::subscription::SubscriptionId;
use crate::usage::Usage;

fn event(id: &str, event_type: &str, source: &str, cause: Option<&Arc<Event>>) -> Arc<Event> {
    let extensions = cause.map(|cause| cause.inherited()).unwrap_or_default();
    let (id, event_type, source) = (id.to_owned(), event_type.to_owned(), source.to_owned());
    Arc::new(Event { id, event_type, source, extensions, ..Event::default() })
}

fn logged(event: &Arc<Event>, hint: Option<&str>) -> TreeEvent {
    TreeEvent { event: Arc::clone(event), hint: hint.map(str::to_owned), is_printed: false }
}

fn attempt(event: &Arc<Event>, owner: &str, attempt: u32, verdict: Verdict) -> Attempt {
    let subscription = SubscriptionId { owner: owner.to_owned(), name: "it".to_owned() };
    let logged = LoggedEvent { position: Position(1), stored_at: Timestamp(0), event: Arc::clone(event) };
    let ids = IdSeed::unique();
    let delivery = Delivery {
        logged,
        subscription,
        is_dynamic: false,
        attempt,
        kind: DeliveryKind::Regular,
        redriven_at: None,
        ids,
    };
    let status = match verdict {
        Verdict::Ack => SettledStatus::Handled,
        Verdict::RetryAfter { .. } => SettledStatus::Waiting(Timestamp(0)),
        Verdict::DeadLetter { .. } => SettledStatus::Dead,
    };
    let took = Duration::from_micros(1_500);
    let failure = verdict.failure().map(format_failure);
    let record = AttemptRecord { delivery: Arc::new(delivery), verdict, digest: None, took, usage: Usage::default() };
    Attempt { record, status, failure, max_attempts: NonZeroU32::new(3), is_printed: false }
}

fn failure() -> Failure {
    Failure { cause: Cause::Trap, reason: "boom\n    (in greet (src/lib.rs:7))".to_owned() }
}

fn again(delay: Duration) -> Verdict {
    Verdict::RetryAfter { delay, failure: failure() }
}

fn dead(exhausted: bool) -> Verdict {
    Verdict::DeadLetter { failure: failure(), exhausted }
}

#[test]
fn hints_are_below_their_events() {
    let (misspelled, welcomed) = (event("1", "user.registred", "/dev", None), event("2", "user.welcomed", "/p", None));
    let hint = Some("no subscription matches the type user.registred; similar: user.registered (greeter/welcome)");
    let events = vec![logged(&misspelled, hint), logged(&welcomed, None)];
    let mut tree = CauseTree { events, ..CauseTree::default() };
    let expected = "user.registred 1\n└─ no subscription matches the type user.registred; similar: user.registered \
                    (greeter/welcome)\nuser.welcomed 2\n";
    assert_eq!(tree.render_new(), expected);
}

#[test]
fn a_cause_tree_is_drawn() {
    let registered = event("1", "user.registered", "/plugins/registration", None);
    let welcomed = event("2", "user.welcomed", "/plugins/handler", Some(&registered));
    let later = event("3", "user.reminded", "/plugins/elsewhere", Some(&registered));
    let mut tree = CauseTree {
        request: Some("POST /register → 201 in 2.0 ms".to_owned()),
        events: [&registered, &welcomed, &later].map(|event| logged(event, None)).into(),
        attempts: vec![
            attempt(&registered, "handler", 1, Verdict::Ack),
            attempt(&registered, "audit", 1, again(Duration::from_millis(900))),
            attempt(&welcomed, "mailer", 1, dead(false)),
        ],
        ..CauseTree::default()
    };
    let expected = "\
POST /register → 201 in 2.0 ms
└─ user.registered 1
   ├─ ✓ handler/it in 1.5 ms
   │  └─ user.welcomed 2
   │     └─ ✗ mailer/it: trap: boom (in greet (src/lib.rs:7)); dead letter
   ├─ ✗ audit/it attempt 1 of 3: trap: boom (in greet (src/lib.rs:7)); next in 0.9 s
   └─ user.reminded 3
";
    assert_eq!(tree.render_new(), expected);
}

/// What is printed when attempts end after the tree was printed.
#[test]
fn a_retry_is_one_line_and_not_the_whole_tree_again() {
    let registered = event("1", "user.registered", "/outside", None);
    let mut tree = CauseTree {
        events: vec![logged(&registered, None)],
        attempts: vec![attempt(&registered, "mailer", 1, again(Duration::from_secs(4)))],
        ..CauseTree::default()
    };
    let reason = "trap: boom (in greet (src/lib.rs:7))";
    let first = format!("user.registered 1\n└─ ✗ mailer/it attempt 1 of 3: {reason}; next in 4.0 s\n");
    assert_eq!(tree.render_new(), first);
    assert_eq!(tree.render_new(), "");

    // Attempts between two prints are folded into the last one.
    tree.attempts.push(attempt(&registered, "mailer", 2, again(Duration::from_secs(1))));
    tree.attempts.push(attempt(&registered, "mailer", 3, dead(true)));
    let folded = format!("└─ ✗ mailer/it attempt 3 of 3 at user.registered 1: {reason}; dead letter\n");
    assert_eq!(tree.render_new(), folded);

    // A recovery is shown with what it caused.
    let mailed = event("2", "mail.sent", "/plugins/mailer", Some(&registered));
    tree.attempts.push(attempt(&registered, "mailer", 2, Verdict::Ack));
    tree.events.push(logged(&mailed, None));
    let recovered = "└─ ✓ mailer/it attempt 2 of 3 at user.registered 1 in 1.5 ms\n   └─ mail.sent 2\n";
    assert_eq!(tree.render_new(), recovered);

    // A recovery between two prints has the failure before it.
    tree.attempts.push(attempt(&registered, "audit", 1, again(Duration::from_millis(300))));
    tree.attempts.push(attempt(&registered, "audit", 2, Verdict::Ack));
    let both = format!("└─ ✓ audit/it attempt 2 of 3 at user.registered 1 in 1.5 ms; attempt 1 failed: {reason}\n");
    assert_eq!(tree.render_new(), both);

    // A delayed event that comes later is no longer below its cause.
    tree.events.push(logged(&event("3", "mail.overdue", "/plugins/mailer", Some(&registered)), None));
    assert_eq!(tree.render_new(), "mail.overdue 3\n");
}

#[test]
fn held_deliveries_name_what_they_wait_for() {
    let registered = event("1", "user.registered", "/outside", None);
    // A tree that was forgotten: only the attempt is known.
    let mut tree =
        CauseTree { attempts: vec![attempt(&registered, "mailer", 1, again(HELD_DELAY))], ..CauseTree::default() };
    let reason = "trap: boom (in greet (src/lib.rs:7))";
    let expected = format!("└─ ✗ mailer/it at user.registered 1: {reason}; held until the next version of mailer\n");
    assert_eq!(tree.render_new(), expected);

    tree.attempts.push(attempt(&registered, "mailer", 4, Verdict::Ack));
    assert_eq!(tree.render_new(), "└─ ✓ mailer/it attempt 4 at user.registered 1 in 1.5 ms\n");
}

#[test]
fn delays_are_short() {
    for (millis, expected) in [(0, "0.0 s"), (950, "0.9 s"), (4_000, "4.0 s"), (12_345, "12s"), (130_000, "2m 10s")] {
        assert_eq!(format_delay(Duration::from_millis(millis)), expected);
    }
}
