//! Replays, in addition to live events.

use super::*;
use crate::bus::{DeliveryKind, EventFilter, ReplayEnd};

async fn handled(harness: &Harness, count: usize) -> Arc<dyn SubscriptionFeed> {
    let subscription = declare(harness, "s", definition("a.b", 2)).await;
    publish_all(harness, (0..count).map(|number| event(&number.to_string()))).await;
    handle_all(&subscription).await;
    subscription
}

pub(super) async fn history_is_delivered_in_addition_to_live_events(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let live = handled(&harness, 5).await;
    let replay = harness.bus().replay(id("s"), ReplayScope::from_start(Start::Position(Position(3)))).await.unwrap();
    assert_eq!(replay.events, 3);
    publish(&harness, event("new")).await;
    let feed = replay_of(&harness, "s").unwrap();
    let kind = DeliveryKind::Replay(replay.feed.unwrap());
    for expected in ["2", "3", "4"] {
        let mut claimed = claim(&feed).await;
        assert_eq!((claimed.event().id.as_str(), claimed.delivery().kind), (expected, kind));
        ack(&mut claimed, add("replayed", 1)).await.unwrap();
    }
    assert!(feed.is_deleted(), "the replay has ended");
    assert!(replay_of(&harness, "s").is_none());
    let mut new = claim(&live).await;
    assert_eq!((new.event().id.as_str(), new.delivery().kind), ("new", DeliveryKind::Regular));
    ack(&mut new, Effects::default()).await.unwrap();
    assert_eq!(value(&harness, "replayed").as_deref(), Some(&b"3"[..]));
    harness.clock().advance(Duration::from_secs(10));
    let nothing =
        harness.bus().replay(id("s"), ReplayScope::from_start(Start::Time(harness.clock().now()))).await.unwrap();
    assert_eq!((nothing.feed, nothing.events), (None, 0));
}

pub(super) async fn a_replay_continues_after_a_crash_and_ends(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    handled(&harness, 400).await;
    harness.bus().replay(id("s"), ReplayScope::from_start(Start::Beginning)).await.unwrap();
    let feed = replay_of(&harness, "s").unwrap();
    for _ in 0..150 {
        ack(&mut claim(&feed).await, Effects::default()).await.unwrap();
    }
    retry(&mut claim(&feed).await).await;
    drop(feed);
    let harness = harness.crash().await;
    harness.clock().advance(Duration::from_secs(5));
    let feed = replay_of(&harness, "s").unwrap();
    assert_eq!(handle_all(&feed).await.len(), 250);
    let harness = harness.crash().await;
    assert!(replay_of(&harness, "s").is_none());
    assert_eq!(subscription(&harness, "s").overview().backlog, 0);
}

pub(super) async fn a_replay_keeps_its_pace(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    handled(&harness, 10).await;
    harness
        .bus()
        .replay(id("s"), ReplayScope { per_second: NonZeroU32::new(2), ..ReplayScope::from_start(Start::Beginning) })
        .await
        .unwrap();
    let feed = replay_of(&harness, "s").unwrap();
    for _ in 0..3 {
        ack(&mut claim(&feed).await, Effects::default()).await.unwrap();
        assert_idle(&feed).await;
        harness.clock().advance(Duration::from_millis(600));
    }
    assert_eq!(feed.overview().backlog, 7);
}

pub(super) async fn dead_letters_of_a_replay_belong_to_the_subscription(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    handled(&harness, 1).await;
    harness.bus().replay(id("s"), ReplayScope::from_start(Start::Beginning)).await.unwrap();
    reject(&mut claim(&replay_of(&harness, "s").unwrap()).await).await;
    let harness = harness.crash().await;
    assert!(replay_of(&harness, "s").is_none(), "the replay has ended");
    let letter = harness.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap().remove(0);
    assert_eq!((letter.subscription, letter.replay), (id("s"), true));
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
    let redriven = claim(&subscription(&harness, "s")).await;
    assert_eq!(
        redriven.delivery().kind,
        DeliveryKind::RedrivenReplay(letter.number),
        "it is still a delivery of a replay"
    );
}

pub(super) async fn a_replay_is_stopped(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    handled(&harness, 3).await;
    harness.bus().replay(id("s"), ReplayScope::from_start(Start::Beginning)).await.unwrap();
    let feed = replay_of(&harness, "s").unwrap();
    let mut claimed = claim(&feed).await;
    assert!(tokio::time::timeout(Duration::ZERO, claimed.lost()).await.is_err(), "it is not lost");
    assert_eq!(harness.bus().stop_replays(id("s")).await, Ok(1));
    assert!(tokio::time::timeout(Duration::from_secs(20), claimed.lost()).await.is_ok(), "it is lost");
    assert_eq!(ack(&mut claimed, set("k", b"late")).await, Err(CommitError::NotClaimed));
    assert_eq!(value(&harness, "k"), None);
    assert_eq!(harness.bus().stop_replays(id("s")).await, Ok(0));
}

pub(super) async fn a_replay_has_an_end_and_a_filter(fixture: &dyn BusFixture) {
    let mut harness = open(fixture, Settings::default()).await;
    let wide = Definition { pattern: Pattern::parse("a.*").unwrap(), ..definition("a.*", 2) };
    let live = declare(&harness, "s", wide.clone()).await;
    publish_all(&harness, ["1", "2"].into_iter().map(|id| about(id, "x"))).await;
    harness.clock().advance(Duration::from_secs(10));
    publish_all(&harness, ["3", "4"].into_iter().map(event)).await;
    publish(&harness, Event { event_type: "a.c".to_owned(), ..about("5", "x") }).await;
    publish(&harness, Event { event_type: "other".to_owned(), ..about("6", "x") }).await;
    handle_all(&live).await;
    drop(live);
    let at = |position| ReplayEnd::Position(Position(position));
    let all = ReplayScope::from_start(Start::Beginning);
    let only = |filter| ReplayScope { filter, ..all.clone() };
    let subject = EventFilter { subject: Some("x".to_owned()), ..EventFilter::default() };
    let of_type = EventFilter { pattern: Some(Pattern::parse("a.c").unwrap()), ..EventFilter::default() };
    let later = START.after(Duration::from_secs(10));
    let recent = EventFilter { since: Some(later), ..subject.clone() };
    for (scope, expected) in [
        (ReplayScope { end: Some(at(3)), ..all.clone() }, &["1", "2", "3"][..]),
        (ReplayScope { end: Some(at(1_000)), ..all.clone() }, &["1", "2", "3", "4", "5"]),
        (ReplayScope { end: Some(at(2)), ..ReplayScope::from_start(Start::Position(Position(4))) }, &[]),
        (ReplayScope { end: Some(ReplayEnd::Time(later)), ..all.clone() }, &["1", "2"]),
        (ReplayScope::event(Position(4)), &["4"]),
        (ReplayScope::event(Position(6)), &[]),
        (only(subject), &["1", "2", "5"]),
        (only(of_type), &["5"]),
        (only(recent), &["5"]),
    ] {
        let replay = harness.bus().replay(id("s"), scope.clone()).await.unwrap();
        assert_eq!(replay.events, expected.len() as u64, "{scope:?}");
        assert_eq!(replay.feed.is_none(), expected.is_empty(), "{scope:?}");
        // What it delivers is still known after a crash, and after the definition has changed.
        harness = harness.crash().await;
        declare(&harness, "s", Definition { pattern: Pattern::parse("*.*").unwrap(), ..wide.clone() }).await;
        declare(&harness, "s", wide.clone()).await;
        let Some(feed) = replay_of(&harness, "s") else {
            assert!(expected.is_empty(), "{scope:?}");
            continue;
        };
        assert_eq!(feed.overview().backlog, expected.len() as u64, "{scope:?}");
        assert_eq!(handle_all(&feed).await, expected, "{scope:?}");
    }
}
