//! An outage of the store: changes are refused, nothing is lost, and the bus recovers.

use super::*;
use crate::bus::{DeadLetterId, EndpointHold, GroupStatus, Reachability};

/// How long a test waits for a state that must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn is_unavailable<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(CommitError::Unavailable { retry_after, .. }) if *retry_after > Duration::ZERO)
}

fn later(id: &str) -> Vec<Publish> {
    vec![Publish { event: event(id), due: None }]
}

/// Ends an outage, and waits until the bus has noticed. A change may still be refused together with one that was queued
/// during the outage.
async fn end<T>(outage: T, harness: &Harness) {
    let mut reachable = harness.bus().reachable();
    drop(outage);
    let over = reachable.wait_for(|now| *now == Reachability::Reachable);
    assert!(tokio::time::timeout(PATIENCE, over).await.is_ok(), "the bus notices that the outage is over");
}

pub(super) async fn changes_that_the_store_refuses_leave_no_trace(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let feed = declare(&harness, "s", definition("a.b", 3)).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    let (mut first, mut second) = (claim(&feed).await, claim(&feed).await);

    let outage = harness.make_unavailable();
    let effects = Effects { publishes: later("4"), ..set("k", b"v") };
    let (published, acked, retried) = tokio::join!(
        harness.bus().publish(later("3")),
        ack(&mut first, effects.clone()),
        settle(&mut second, retry_after_a_second(), Effects::default()),
    );
    assert!(is_unavailable(&published), "{published:?}");
    assert!(is_unavailable(&acked), "{acked:?}");
    assert!(is_unavailable(&retried), "{retried:?}");
    end(outage, &harness).await;
    assert_eq!((value(&harness, "k"), dead_letters(&harness).await), (None, 0));
    assert_eq!(logged_ids(&harness).await, ["1", "2"]);

    // The delivery is still in flight after the refusal. If the claim is dropped, the event is delivered again as the
    // same attempt.
    assert_eq!(ack(&mut first, effects).await, Ok(SettledStatus::Handled));
    drop(second);
    let mut second = claim(&feed).await;
    assert_eq!((second.event().id.as_str(), second.delivery().attempt), ("2", 1));
    assert_eq!(ack(&mut second, Effects::default()).await, Ok(SettledStatus::Handled));
    let accepted = harness.bus().publish(later("3")).await.unwrap();
    assert!(!accepted[0].duplicate, "the refused event was not stored");

    let harness = harness.crash().await;
    assert_eq!(value(&harness, "k").as_deref(), Some(&b"v"[..]));
    assert_eq!(logged_ids(&harness).await, ["1", "2", "4", "3"]);
    assert_eq!(handle_all(&subscription(&harness, "s")).await, ["4", "3"]);
}

pub(super) async fn every_change_is_refused_while_the_store_is_unavailable(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let feed = declare(&harness, "s", definition("a.b", 3)).await;
    publish(&harness, event("1")).await;
    let mut claimed = claim(&feed).await;
    let all = DeadLetterFilter::default;
    let hold = EndpointHold { until: START.after(Duration::from_hours(1)), reason: "busy".to_owned() };
    let bus = harness.bus();

    let outage = harness.make_unavailable();
    let refused = [
        ("publish", bus.publish(later("2")).await.map(drop)),
        ("settle", ack(&mut claimed, Effects::default()).await.map(drop)),
        ("commit", bus.commit("p", set("k", b"v")).await),
        ("cancel", bus.cancel("/t", "1").await.map(drop)),
        ("declare", bus.declare("p", Declaration::default()).await.map(drop)),
        ("withdraw", bus.withdraw("p").await),
        ("subscribe", bus.subscribe(id("t"), definition("a.b", 3), Start::Now).await),
        ("delete_subscription", bus.delete_subscription(id("s")).await),
        ("set_group_status", bus.set_group_status(DeadLetterId::new(1), GroupStatus::Ignored, "a".to_owned()).await),
        ("pause", bus.pause(id("s"), true).await),
        ("retire", bus.retire(id("s")).await),
        ("hold_endpoint", bus.hold_endpoint("https://x.test/".to_owned(), hold).await),
        ("replay", bus.replay(id("s"), ReplayScope::from_start(Start::Beginning)).await.map(drop)),
        ("stop_replays", bus.stop_replays(id("s")).await.map(drop)),
        ("drain", bus.drain("p", true).await),
        ("redrive", bus.redrive(all(), 10).await.map(drop)),
        ("drop_dead_letters", bus.drop_dead_letters(all(), 10).await.map(drop)),
        ("compact", bus.compact().await.map(drop)),
    ];
    assert!(bus.state("p").draw("numbers").await.is_err());
    end(outage, &harness).await;
    for (change, result) in &refused {
        assert!(is_unavailable(result), "{change}: {result:?}");
    }

    let feed = subscription(&harness, "s");
    assert!(feed.overview().paused.is_none() && !feed.is_deleted());
    assert_eq!(value(&harness, "k"), None);
    assert_eq!(ack(&mut claimed, Effects::default()).await, Ok(SettledStatus::Handled));
    let harness = harness.restart().await;
    assert_eq!(logged_ids(&harness).await, ["1"]);
    assert_eq!(subscription(&harness, "s").overview().backlog, 0);
}

pub(super) async fn an_outage_is_reported_and_ends_by_itself(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let mut reachable = harness.bus().reachable();
    assert_eq!(*reachable.borrow(), Reachability::Reachable);
    let outage = harness.make_unavailable();
    let refused = harness.bus().publish(later("1")).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    let shown = reachable.wait_for(|now| matches!(now, Reachability::Unreachable { .. }));
    assert!(tokio::time::timeout(PATIENCE, shown).await.is_ok(), "the outage shows");
    end(outage, &harness).await;
    publish(&harness, event("1")).await;
    let failed = tokio::time::timeout(Duration::ZERO, harness.bus().failed()).await;
    assert!(failed.is_err(), "an outage is not a failure: {failed:?}");
}
