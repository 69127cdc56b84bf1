//! Deleting old events.

use super::*;
use crate::bus::Retention;

pub(super) async fn old_events_are_deleted_unless_they_are_needed(fixture: &dyn BusFixture) {
    let retention = Retention { max_age: Some(Duration::from_hours(1)), ..Retention::default() };
    let harness = open(fixture, Settings { retention, ..Settings::default() }).await;
    let subscription_before = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, ["handled", "dead", "waiting", "open"].into_iter().map(event)).await;
    let mut handled = claim(&subscription_before).await;
    ack(&mut handled, Effects::default()).await.unwrap();
    let mut dead = claim(&subscription_before).await;
    reject(&mut dead).await;
    let mut waiting = claim(&subscription_before).await;
    retry(&mut waiting).await;
    compact(&harness).await;
    assert_eq!(
        harness.bus().events_with_id("handled".to_owned()).await.unwrap().len(),
        1,
        "the event is not old enough"
    );
    harness.clock().advance(Duration::from_hours(2));
    compact(&harness).await;
    assert_eq!(logged_ids(&harness).await, ["dead", "waiting", "open"]);
    drop((handled, dead, waiting, subscription_before));

    let harness = harness.crash().await;
    let subscription = subscription(&harness, "s");
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
    let mut ids = handle_all(&subscription).await;
    ids.sort();
    assert_eq!(ids, ["dead", "open", "waiting"]);
    compact(&harness).await;
    assert!(logged_ids(&harness).await.is_empty(), "no delivery needs them any more");
    assert!(!publish(&harness, event("handled")).await.duplicate, "a deleted event is not a duplicate");
}

pub(super) async fn unhandled_events_are_deleted_only_if_configured(fixture: &dyn BusFixture) {
    for delete_unhandled in [false, true] {
        let retention = Retention { max_bytes: Some(5_000), delete_unhandled, ..Retention::default() };
        let harness = open(fixture, Settings { retention, ..Settings::default() }).await;
        let subscription = declare(&harness, "s", definition("a.b", 5)).await;
        let large = |number: usize| Event { data: Some(Data::binary(vec![0; 1_000])), ..event(&number.to_string()) };
        publish_all(&harness, (0..1_000).map(large)).await;
        compact(&harness).await;
        let left = handle_all(&subscription).await;
        if delete_unhandled {
            assert!((1..=5).contains(&left.len()), "{left:?}");
            assert_eq!(subscription.overview().expired, 1_000 - left.len() as u64);
        } else {
            assert_eq!(left.len(), 1_000);
        }
        compact(&harness).await;
        assert!(logged_ids(&harness).await.len() <= 5);
    }
}
