//! The age of a subscription's oldest pending event.

use super::*;
use crate::filter::Filters;
use crate::subscription::DeadLetterPolicy;

/// How long ago the oldest pending event was stored, in seconds.
async fn lag(harness: &Harness) -> Option<u64> {
    let oldest = harness.bus().oldest_unhandled().await.unwrap();
    let stored_at = *oldest.get(&subscription(harness, "s").feed_id())?;
    Some(harness.clock().now().since(stored_at).as_secs())
}

async fn publish_at_once(harness: &Harness, ids: &[&str]) {
    for id in ids {
        publish(harness, about(id, &id[..1])).await;
        harness.clock().advance(Duration::from_secs(10));
    }
}

pub(super) async fn the_oldest_unhandled_event_counts_whatever_it_waits_for(fixture: &dyn BusFixture) {
    let parking = Definition { dead_letter_policy: DeadLetterPolicy::Park, ..ordered_by("subject") };
    let harness = open(fixture, Settings::default()).await;
    let feed = declare(&harness, "s", parking).await;
    assert_eq!(lag(&harness).await, None, "nothing is pending");
    publish_at_once(&harness, &["a1", "b1", "a2", "b2", "c1"]).await;
    assert_eq!(lag(&harness).await, Some(50), "it is ready");
    let mut first = claim(&feed).await;
    assert_eq!(lag(&harness).await, Some(50), "it runs");
    retry(&mut first).await;
    drop(first);
    assert_eq!(lag(&harness).await, Some(50), "it waits for its second attempt");
    harness.clock().advance(Duration::from_secs(1));
    let mut second = claim(&feed).await;
    assert_eq!(second.event().id, "a1");
    reject(&mut second).await;
    assert_eq!(lag(&harness).await, Some(41), "b1 is next; a dead letter is not pending");
    for expected in ["b1", "b2", "c1"] {
        let mut claimed = claim(&feed).await;
        assert_eq!(claimed.event().id, expected);
        ack(&mut claimed, Effects::default()).await.unwrap();
    }
    assert_eq!(lag(&harness).await, Some(31), "a2 waits for a parked key");
    drop(feed);
    let harness = harness.crash().await;
    assert_eq!(lag(&harness).await, Some(31), "the lag is the same after a crash");
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
    assert_eq!(lag(&harness).await, Some(51), "a1 is pending again");
    assert_eq!(handle_all(&subscription(&harness, "s")).await, ["a1", "a2"]);
    assert_eq!(lag(&harness).await, None);
}

pub(super) async fn the_oldest_event_is_known_after_a_crash_and_behind_a_long_backlog(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    declare(&harness, "s", definition("a.b", 5)).await;
    harness.bus().pause(id("s"), true).await.unwrap();
    publish_at_once(&harness, &["1"]).await;
    publish_all(&harness, (0..1_000).map(|number| event(&format!("n{number}")))).await;
    assert_eq!(lag(&harness).await, Some(10), "it is paused");
    let harness = harness.crash().await;
    assert_eq!(lag(&harness).await, Some(10), "the log has not been read yet");
    harness.bus().pause(id("s"), false).await.unwrap();
    let feed = subscription(&harness, "s");
    let mut first = claim(&feed).await;
    harness.clock().advance(Duration::from_secs(5));
    ack(&mut first, Effects::default()).await.unwrap();
    assert_eq!(lag(&harness).await, Some(5), "the backlog was stored 5 seconds ago");
    assert_eq!(handle_all(&feed).await.len(), 1_000, "measuring the lag lost and repeated nothing");
}

pub(super) async fn filtered_events_do_not_count(fixture: &dyn BusFixture) {
    let filters = Filters::parse(r#"[{"prefix":{"subject":"b"}}]"#).unwrap();
    let harness = open(fixture, Settings::default()).await;
    declare(&harness, "s", Definition { filters, ..definition("a.b", 5) }).await;
    harness.bus().pause(id("s"), true).await.unwrap();
    publish_at_once(&harness, &["a1"]).await;
    publish_all(&harness, (0..600).map(|number| about(&format!("n{number}"), "a"))).await;
    assert_eq!(lag(&harness).await, None);
    publish_at_once(&harness, &["b1"]).await;
    let harness = harness.crash().await;
    assert_eq!(lag(&harness).await, Some(10), "600 events before it are not taken");
    harness.bus().pause(id("s"), false).await.unwrap();
    assert_eq!(handle_all(&subscription(&harness, "s")).await, ["b1"]);
}
