//! Ordering keys: one delivery at a time and in order within a key, independent of other keys.

use super::*;
use crate::subscription::DeadLetterPolicy;

fn keyed(name: &str) -> Event {
    about(name, &name[..1])
}

pub(super) async fn a_failing_event_holds_back_its_own_key_only(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", ordered_by("subject")).await;
    publish_all(&harness, ["a1", "a2", "b1", "b2"].into_iter().map(keyed)).await;
    publish(&harness, event("none")).await;
    let mut first = claim(&subscription).await;
    let other = claim(&subscription).await;
    let none = claim(&subscription).await;
    assert_eq!([&first, &other, &none].map(|it| it.event().id.as_str()), ["a1", "b1", "none"]);
    assert_idle(&subscription).await;
    retry(&mut first).await;
    assert_idle(&subscription).await;
    drop(other);
    assert_eq!(claim(&subscription).await.event().id, "b1");
    let mut other = claim(&subscription).await;
    ack(&mut other, Effects::default()).await.unwrap();
    assert_eq!(claim(&subscription).await.event().id, "b2");
    harness.clock().advance(Duration::from_secs(1));
    let mut again = claim(&subscription).await;
    assert_eq!((again.event().id.as_str(), again.delivery().attempt), ("a1", 2));
    assert!(subscription.overview().in_flight >= 2);
    ack(&mut again, Effects::default()).await.unwrap();
    assert_eq!(claim(&subscription).await.event().id, "a2");
}

/// The key that fails has more events than any window of memory holds, in front of all others.
pub(super) async fn a_key_with_a_long_backlog_holds_back_no_other(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription_before = declare(&harness, "s", ordered_by("subject")).await;
    publish_all(&harness, (0..2_000).map(|number| about(&format!("a{number}"), "a"))).await;
    publish_all(&harness, ["b1", "b2"].into_iter().map(keyed)).await;
    let mut first = claim(&subscription_before).await;
    retry(&mut first).await;
    for expected in ["b1", "b2"] {
        let mut other = claim(&subscription_before).await;
        assert_eq!(other.event().id, expected);
        ack(&mut other, Effects::default()).await.unwrap();
    }
    assert_eq!(subscription_before.overview().backlog, 2_000);
    drop((first, subscription_before));

    let harness = harness.crash().await;
    let subscription = subscription(&harness, "s");
    assert_idle(&subscription).await;
    harness.clock().advance(Duration::from_secs(1));
    let ids = handle_all(&subscription).await;
    assert_eq!(ids.len(), 2_000);
    assert!(ids.iter().enumerate().all(|(number, id)| *id == format!("a{number}")), "{ids:?}");
}

pub(super) async fn keys_are_found_in_the_data(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", ordered_by("/customer/id")).await;
    let bought = |id: &str, customer: u32| {
        let data = format!(r#"{{"customer":{{"id":{customer}}}}}"#);
        Event { data: Some(Data::json(data)), ..event(id) }
    };
    publish_all(&harness, [bought("1", 7), bought("2", 7), bought("3", 8)].into_iter()).await;
    let (first, other) = (claim(&subscription).await, claim(&subscription).await);
    assert_eq!([&first, &other].map(|it| it.event().id.as_str()), ["1", "3"]);
    assert_idle(&subscription).await;
}

pub(super) async fn order_is_kept_across_a_crash(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let before = declare(&harness, "s", ordered_by("subject")).await;
    publish_all(&harness, ["a1", "a2", "b1", "a3", "b2"].into_iter().map(keyed)).await;
    // Handling b1 moves the cursor past a1, which is in flight, and a2, which waits behind it.
    let held = claim(&before).await;
    let mut other = claim(&before).await;
    ack(&mut other, Effects::default()).await.unwrap();
    drop((other, before));
    let harness = harness.crash().await;
    drop(held);
    let after = subscription(&harness, "s");
    let (first, second) = (claim(&after).await, claim(&after).await);
    assert_eq!([&first, &second].map(|it| it.event().id.as_str()), ["a1", "b2"]);
    assert_idle(&after).await;
    drop((first, second));
    assert_eq!(
        handle_all(&after).await.into_iter().filter(|id| id.starts_with('a')).collect::<Vec<_>>(),
        ["a1", "a2", "a3"]
    );
}

pub(super) async fn a_dead_letter_releases_its_key(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", ordered_by("subject")).await;
    publish_all(&harness, ["a1", "a2"].into_iter().map(keyed)).await;
    reject(&mut claim(&subscription).await).await;
    assert_eq!(handle_all(&subscription).await, ["a2"]);
}

fn parking() -> Definition {
    Definition { dead_letter_policy: DeadLetterPolicy::Park, ..ordered_by("subject") }
}

pub(super) async fn a_dead_letter_parks_its_key_if_the_policy_says_so(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let before = declare(&harness, "s", parking()).await;
    publish_all(&harness, ["a1", "a2", "b1"].into_iter().map(keyed)).await;
    reject(&mut claim(&before).await).await;
    ack(&mut claim(&before).await, Effects::default()).await.unwrap();
    assert_idle(&before).await;
    assert_eq!(before.overview().parked_keys, 1);
    drop(before);
    let harness = harness.crash().await;
    let after = subscription(&harness, "s");
    publish(&harness, keyed("a3")).await;
    assert_idle(&after).await;
    let letter = harness.bus().dead_letters(DeadLetterFilter::default(), None, 1).await.unwrap().remove(0);
    assert_eq!(letter.parks.as_deref(), Some("a"));
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
    assert_eq!(handle_all(&after).await, ["a1", "a2", "a3"]);
    assert_eq!(after.overview().parked_keys, 0);
}

pub(super) async fn a_dropped_dead_letter_releases_its_key(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", parking()).await;
    publish_all(&harness, ["a1", "a2"].into_iter().map(keyed)).await;
    reject(&mut claim(&subscription).await).await;
    assert_idle(&subscription).await;
    assert_eq!(harness.bus().drop_dead_letters(DeadLetterFilter::default(), 10).await, Ok(1));
    assert_eq!(handle_all(&subscription).await, ["a2"]);
}

pub(super) async fn keys_are_released_when_the_policy_no_longer_parks_them(fixture: &dyn BusFixture) {
    for crash in [false, true] {
        let mut harness = open(fixture, Settings::default()).await;
        let before = declare(&harness, "s", parking()).await;
        publish_all(&harness, ["a1", "b1", "a2", "b2", "c1"].into_iter().map(keyed)).await;
        reject(&mut claim(&before).await).await;
        reject(&mut claim(&before).await).await;
        ack(&mut claim(&before).await, Effects::default()).await.unwrap();
        assert_idle(&before).await;
        drop(before);
        if crash {
            harness = harness.crash().await;
        }
        let releasing = Definition { dead_letter_policy: DeadLetterPolicy::Release, ..parking() };
        let after = declare(&harness, "s", releasing).await;
        assert_eq!(after.overview().parked_keys, 0);
        assert_eq!(handle_all(&after).await, ["a2", "b2"], "crash: {crash}");
        let letters = harness.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
        assert_eq!(letters.len(), 2, "the dead letters stay");
        assert!(letters.iter().all(|letter| letter.parks.is_none()));
        drop(after);
        let harness = harness.crash().await;
        assert_eq!(subscription(&harness, "s").overview().parked_keys, 0);
    }
}

pub(super) async fn a_changed_key_reorders_deliveries(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", ordered_by("subject")).await;
    let region = |id: &str, subject: &str, region: &str| Event {
        extensions: BTreeMap::from([("region".to_owned(), region.to_owned())]),
        ..about(id, subject)
    };
    publish_all(&harness, [region("1", "a", "x"), region("2", "a", "y"), region("3", "b", "x")].into_iter()).await;
    let mut first = claim(&subscription).await;
    declare(&harness, "s", ordered_by("region")).await;
    let second = claim(&subscription).await;
    assert_eq!(second.event().id, "2", "it shares no region with what is in flight");
    assert_idle(&subscription).await;
    ack(&mut first, Effects::default()).await.unwrap();
    assert_eq!(claim(&subscription).await.event().id, "3");
}
