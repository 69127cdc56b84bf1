//! Publishing events, and waiting for replies.

use std::collections::BTreeSet;

use super::*;
use crate::bus::{EventPlace, Retention, StoreExtent};
use crate::event::Kind;

pub(super) async fn published_events_survive_a_crash_and_are_stored_once(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    assert!(!publish(&harness, event("1")).await.duplicate);
    let harness = harness.crash().await;
    assert!(publish(&harness, event("1")).await.duplicate);
    assert!(!publish(&harness, event("2")).await.duplicate);
    assert_eq!(logged_ids(&harness).await, ["1", "2"]);
}

pub(super) async fn a_large_batch_is_stored_in_its_order_and_refused_as_a_whole(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let limited = Definition { max_backlog: Some(1), ..definition("a.b", 5) };
    let _subscription = declare(&harness, "s", limited).await;
    let ids: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    let batch = || ids.iter().map(|id| Publish { event: event(id), due: None }).collect();
    let accepted = harness.bus().publish(batch()).await.unwrap();
    assert_eq!(accepted.iter().map(|one| &one.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    assert!(!accepted.iter().any(|one| one.duplicate));
    // The backlog exceeds its limit now.
    let full = CommitError::BacklogFull("p/s".to_owned());
    assert_eq!(harness.bus().publish(batch()).await.unwrap_err(), full);
    // The first event matches no subscription. It is not stored either.
    let mut mixed: Vec<Publish> = batch();
    mixed.iter_mut().for_each(|publish| publish.event.event_type = "c.d".to_owned());
    mixed.push(Publish { event: event("last"), due: None });
    assert_eq!(harness.bus().publish(mixed).await.unwrap_err(), full);
    assert_eq!(logged_ids(&harness.crash().await).await, ids);
}

pub(super) async fn a_reply_reaches_its_waiter(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let pattern = |text| Pattern::parse(text).unwrap();
    let reply = harness.bus().expect_reply(&event("q"), pattern("a.reply")).unwrap();
    let first = harness.bus().expect_reply(&event("q"), pattern("a.*")).unwrap();
    let other = harness.bus().expect_reply(&event("other"), pattern("a.reply")).unwrap();
    let answer = |id: &str, event_type: &str| Event {
        event_type: event_type.to_owned(),
        extensions: event("q").inherited(),
        ..event(id)
    };
    publish(&harness, event("q")).await;
    publish(&harness, answer("1", "a.progress")).await;
    publish(&harness, answer("2", "a.reply")).await;
    publish(&harness, answer("3", "a.reply")).await;
    assert_eq!(reply.wait().await.unwrap().event.id, "2");
    assert_eq!(first.wait().await.unwrap().event.id, "1", "an event is not a reply to itself");
    assert!(
        tokio::time::timeout(Duration::from_millis(20), other.wait()).await.is_err(),
        "the reply belongs to another cause tree"
    );
}

/// Events with data of each kind, with and without the media type that declares it.
fn of_every_kind() -> Vec<Event> {
    let (none, json, text) = (None, Some("application/json"), Some("text/plain"));
    let all = [
        (none, None),
        (none, Some(Data::json(*b"null"))),
        (none, Some(Data::binary(*b"{}"))),
        (json, Some(Data::json(*br#"{"wei":123456789012345678901, "a":0.10,"a":1}"#))),
        (json, Some(Data::binary(*b"{}"))),
        (text, Some(Data::new(Kind::Text, Vec::new()))),
        (text, Some(Data::binary(*b"x"))),
        (Some("application/x-protobuf"), Some(Data::new(Kind::Text, *b"x"))),
    ];
    let number = |(number, (media_type, data)): (usize, (Option<&str>, Option<Data>))| Event {
        datacontenttype: media_type.map(str::to_owned),
        extensions: [("tenant", "acme"), ("count", "5"), ("paid", "true")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into(),
        typed: if data.is_some() { ["count".to_owned(), "paid".to_owned()].into() } else { BTreeSet::new() },
        data,
        ..event(&number.to_string())
    };
    all.into_iter().enumerate().map(number).collect()
}

pub(super) async fn events_are_stored_unchanged_now_and_later(fixture: &dyn BusFixture) {
    let events = of_every_kind();
    let later = |event: &Event| Event { source: "/later".to_owned(), ..event.clone() };
    let harness = open(fixture, Settings::default()).await;
    publish_all(&harness, events.iter().cloned()).await;
    let due = Some(harness.clock().now().after(Duration::from_hours(1)));
    harness.bus().publish(events.iter().map(|event| Publish { event: later(event), due }).collect()).await.unwrap();

    let harness = harness.crash().await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    harness.clock().advance(Duration::from_hours(1));
    // They are due at the same time, so they enter the log together.
    drop(claim(&subscription).await);
    for event in &events {
        let logged = harness.bus().events_with_id(event.id.clone()).await.unwrap();
        let found: Vec<_> = logged.iter().map(|logged| Event::clone(&logged.event)).collect();
        assert_eq!(found, [event.clone(), later(event)]);
    }
}

/// The host generates these ids, so another event with one of them cannot be a repetition.
pub(super) async fn a_generated_id_that_is_taken_is_an_error_and_leaves_no_trace(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    let due = Some(harness.clock().now().after(Duration::from_hours(1)));
    publish(&harness, of_plugin("taken")).await;
    harness.bus().publish(vec![Publish { event: of_plugin("taken later"), due }]).await.unwrap();
    let mut claimed = claim(&subscription).await;
    for (id, its_due) in [("taken", None), ("taken", due), ("taken later", None), ("taken later", due)] {
        let mut effects = publishes(["new 1", "new 2"].map(of_plugin));
        effects.publishes.push(Publish { event: of_plugin("new later"), due });
        effects.publishes.push(Publish { event: of_plugin(id), due: its_due });
        effects.writes = set("k", b"v").writes;
        let refused = ack(&mut claimed, effects).await.unwrap_err();
        assert_eq!(refused, CommitError::Collision { publisher: "/plugins/p".to_owned(), id: id.to_owned() });
        assert_eq!(refused.cause(), Some(Cause::Collision));
        assert_eq!(logged_ids(&harness).await, ["taken"]);
        assert_eq!(harness.bus().scheduled(None, 10).await.unwrap().len(), 1);
        assert_eq!(value(&harness, "k"), None);
    }
    assert_eq!(ack(&mut claimed, publishes(["new 1", "new 2"].map(of_plugin))).await, Ok(SettledStatus::Handled));
    assert_eq!(logged_ids(&harness.crash().await).await, ["taken", "new 1", "new 2"]);
}

/// An id is unique only within its source (CloudEvents 1.0, section 3.1.1).
pub(super) async fn a_reply_reaches_nobody_else(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let wait = |event: &Event| harness.bus().expect_reply(event, Pattern::parse("a.reply").unwrap()).unwrap();
    let of = |source: &str| Event { source: source.to_owned(), ..event("1") };
    let in_tree = |id: &str| {
        let mut event = of("/alice");
        event.start_cause_tree(id.to_owned());
        event
    };
    let answer =
        |id: &str, to: &Event| Event { event_type: "a.reply".to_owned(), extensions: to.inherited(), ..event(id) };
    let (alice, bob, second) = (wait(&of("/alice")), wait(&of("/bob")), wait(&in_tree("second")));
    // Too late for the first client, which has given up.
    drop(wait(&in_tree("first")));
    publish(&harness, answer("late", &in_tree("first"))).await;
    // With the id alone, as an attacker would guess it.
    let mut forged = answer("forged", &of("/alice"));
    forged.extensions.remove(crate::event::CORRELATION_SOURCE);
    publish(&harness, forged).await;
    publish(&harness, answer("b", &of("/bob"))).await;
    publish(&harness, answer("a", &of("/alice"))).await;
    publish(&harness, answer("s", &in_tree("second"))).await;
    for (reply, id) in [(alice, "a"), (bob, "b"), (second, "s")] {
        assert_eq!(reply.wait().await.unwrap().event.id, id);
    }
}

pub(super) async fn the_log_tells_how_far_it_reaches(fixture: &dyn BusFixture) {
    let retention = Retention { max_age: Some(Duration::from_hours(1)), ..Retention::default() };
    let harness = open(fixture, Settings { retention, ..Settings::default() }).await;
    let empty = harness.bus().extent().await.unwrap();
    assert_eq!((empty.oldest, empty.newest), (None, None));
    publish(&harness, event("1")).await;
    harness.clock().advance(Duration::from_mins(50));
    publish(&harness, event("2")).await;
    let place =
        |position: u64, after: Duration| EventPlace { position: Position(position), stored_at: START.after(after) };
    let ends = async |harness: &Harness| {
        let StoreExtent { bytes, oldest, newest } = harness.bus().extent().await.unwrap();
        assert!(bytes > 0, "a store with events takes space");
        [oldest.unwrap(), newest.unwrap()]
    };
    let second = place(2, Duration::from_mins(50));
    assert_eq!(ends(&harness).await, [place(1, Duration::ZERO), second]);
    let harness = harness.crash().await;
    assert_eq!(ends(&harness).await, [place(1, Duration::ZERO), second]);
    harness.clock().advance(Duration::from_mins(30));
    compact(&harness).await;
    assert_eq!(ends(&harness).await, [second, second]);
}
