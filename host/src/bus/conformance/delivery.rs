//! Deliveries are claimed, and settled or given back.

use std::collections::BTreeSet;

use super::*;
use crate::bus::DeliveryFilter;
use crate::filter::Filters;
use crate::retry::HELD_DELAY;

pub(super) async fn effects_are_committed_with_the_ack_or_not_at_all(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription_before = declare(&harness, "s", definition("a.b", 5)).await;
    publish(&harness, event("1")).await;
    let mut claimed = claim(&subscription_before).await;
    let settled = settle(&mut claimed, retry_after_a_second(), set("k", b"lost")).await.unwrap();
    assert_eq!(settled, SettledStatus::Waiting(START.after(Duration::from_secs(1))));
    assert_eq!(value(&harness, "k"), None);

    harness.clock().advance(Duration::from_secs(1));
    let mut claimed = claim(&subscription_before).await;
    assert_eq!(claimed.delivery().attempt, 2);
    let follow_up = Publish { event: Event { event_type: "a.c".to_owned(), ..event("2") }, due: None };
    let effects = Effects { publishes: vec![follow_up], ..set("k", b"kept") };
    assert_eq!(ack(&mut claimed, effects).await, Ok(SettledStatus::Handled));
    drop((claimed, subscription_before));

    let harness = harness.crash().await;
    assert_eq!(value(&harness, "k").as_deref(), Some(&b"kept"[..]));
    assert_eq!(logged_ids(&harness).await, ["1", "2"]);
    assert_eq!(subscription(&harness, "s").overview().backlog, 0);
}

fn of(name: &str) -> DeliveryFilter {
    DeliveryFilter { subscription: Some(id(name)), ..DeliveryFilter::default() }
}

pub(super) async fn a_waiting_delivery_is_retried_now(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let before = declare(&harness, "s", ordered_by("subject")).await;
    publish_all(&harness, ["1", "2"].into_iter().map(|id| about(id, "a"))).await;
    publish(&harness, about("3", "b")).await;
    for _ in ["1", "3"] {
        let verdict = Verdict::RetryAfter { delay: HELD_DELAY, failure: failure(Cause::Trap) };
        settle(&mut claim(&before).await, verdict, Effects::default()).await.unwrap();
    }
    assert!(matches!(harness.bus().retry_now(of("none")).await, Err(CommitError::NotFound(_))));
    drop(before);
    // Both survive a crash: the delivery that waits, and that it is to be retried now.
    let harness = harness.crash().await;
    assert_eq!(harness.bus().retry_now(of("s")).await, Ok(2), "event 2 waits for its turn");
    let harness = harness.crash().await;
    assert_eq!(harness.bus().retry_now(of("s")).await, Ok(0));
    let after = subscription(&harness, "s");
    let (mut first, third) = (claim(&after).await, claim(&after).await);
    let attempts = [&first, &third].map(|claim| (claim.event().id.clone(), claim.delivery().attempt));
    assert_eq!(attempts, [("1".to_owned(), 2), ("3".to_owned(), 2)]);
    ack(&mut first, Effects::default()).await.unwrap();
    assert_eq!(claim(&after).await.event().id, "2");
}

pub(super) async fn waiting_deliveries_are_retried_by_event_key_and_type(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let ordered =
        declare(&harness, "s", Definition { pattern: Pattern::parse("a.*").unwrap(), ..ordered_by("subject") }).await;
    let other = Event { event_type: "a.c".to_owned(), ..about("3", "c") };
    publish_all(&harness, [about("1", "a"), about("2", "b"), other].into_iter()).await;
    let mut positions = Vec::new();
    for _ in 0..3 {
        let mut claimed = claim(&ordered).await;
        positions.push(claimed.delivery().logged.position);
        retry(&mut claimed).await;
    }
    assert_idle(&ordered).await;
    let nothing = DeliveryFilter::default();
    for (filter, expected) in [
        (DeliveryFilter { event: Some(positions[1]), ..nothing.clone() }, "2"),
        (DeliveryFilter { key: Some("a".to_owned()), ..nothing.clone() }, "1"),
        (DeliveryFilter { pattern: Some(Pattern::parse("a.c").unwrap()), ..nothing.clone() }, "3"),
    ] {
        assert_eq!(harness.bus().retry_now(filter.clone()).await, Ok(1), "{filter:?}");
        let mut again = claim(&ordered).await;
        assert_eq!((again.event().id.as_str(), again.delivery().attempt), (expected, 2), "{filter:?}");
        assert_idle(&ordered).await;
        retry(&mut again).await;
    }
    let none = DeliveryFilter { pattern: Some(Pattern::parse("a.d").unwrap()), ..nothing.clone() };
    assert_eq!(harness.bus().retry_now(none).await, Ok(0));
    assert_eq!(harness.bus().retry_now(nothing).await, Ok(3), "those of all subscriptions");
}

pub(super) async fn a_claim_that_is_dropped_is_delivered_again_as_the_same_attempt(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    let first = claim(&subscription).await;
    let mut second = claim(&subscription).await;
    ack(&mut second, Effects::default()).await.unwrap();
    drop(first);
    let again = claim(&subscription).await;
    assert_eq!((again.event().id.as_str(), again.delivery().attempt), ("1", 1));
}

/// For example the outcome of an invocation that had timed out. Its writes must not be committed.
pub(super) async fn a_second_outcome_is_refused(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    publish(&harness, event("1")).await;
    let mut claimed = claim(&subscription).await;
    retry(&mut claimed).await;
    assert_eq!(ack(&mut claimed, set("k", b"late")).await, Err(CommitError::NotClaimed));
    drop(claimed);
    assert_eq!(value(&harness, "k"), None);
    harness.clock().advance(Duration::from_secs(1));
    assert_eq!(claim(&subscription).await.delivery().attempt, 2);
}

pub(super) async fn a_backlog_is_delivered_completely_and_in_order(fixture: &dyn BusFixture) {
    const EVENTS: usize = 3_000;
    let harness = open(fixture, Settings::default()).await;
    declare(&harness, "s", definition("a.>", 5)).await;
    let typed = |number: usize| Event { event_type: format!("a.t{}", number % 40), ..event(&number.to_string()) };
    publish_all(&harness, (0..EVENTS / 2).map(typed)).await;
    let harness = harness.crash().await;
    publish_all(&harness, (EVENTS / 2..EVENTS).map(typed)).await;
    let ids = handle_all(&subscription(&harness, "s")).await;
    assert!(ids.iter().enumerate().all(|(number, id)| *id == number.to_string()));
    assert_eq!(ids.len(), EVENTS);
}

/// A worker drops its wait when the catalogue changes. A read that is on its way is completed, and must not deliver
/// an event twice.
pub(super) async fn a_cancelled_wait_repeats_nothing(fixture: &dyn BusFixture) {
    const EVENTS: usize = 1_500;
    let harness = open(fixture, Settings::default()).await;
    declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, (0..EVENTS).map(|number| event(&number.to_string()))).await;
    let harness = harness.crash().await;
    let subscription = subscription(&harness, "s");
    let mut seen = BTreeSet::new();
    while seen.len() < EVENTS {
        for _ in 0..3 {
            let mut waiting = subscription.claim();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if let std::task::Poll::Ready(claimed) = waiting.as_mut().poll(&mut context) {
                handle_once(claimed.unwrap(), &mut seen).await;
            }
        }
        if seen.len() < EVENTS {
            handle_once(claim(&subscription).await, &mut seen).await;
        }
    }
    assert_idle(&subscription).await;
    assert_eq!(subscription.overview().backlog, 0);
}

async fn handle_once(mut claimed: Claim, seen: &mut BTreeSet<String>) {
    let id = claimed.event().id.clone();
    assert!(seen.insert(id.clone()), "{id} was delivered twice");
    ack(&mut claimed, Effects::default()).await.unwrap();
}

pub(super) async fn retries_follow_a_clock_that_is_set_back(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    declare(&harness, "s", definition("a.b", 5)).await;
    let set_back = |harness: &Harness| harness.clock().set(Timestamp(harness.clock().now().0 - 3_600_000));
    publish(&harness, event("1")).await;
    retry(&mut claim(&subscription(&harness, "s")).await).await;
    // The clock is set back while the bus runs. The next commit notices it.
    set_back(&harness);
    publish(&harness, event("2")).await;
    harness.clock().advance(Duration::from_secs(1));
    let ids = BTreeSet::from_iter(handle_all(&subscription(&harness, "s")).await);
    assert_eq!(ids, BTreeSet::from(["1".to_owned(), "2".to_owned()]));

    publish(&harness, event("3")).await;
    retry(&mut claim(&subscription(&harness, "s")).await).await;
    // The clock is set back while the bus does not run.
    set_back(&harness);
    let harness = harness.crash().await;
    publish(&harness, event("4")).await;
    harness.clock().advance(Duration::from_secs(1));
    let ids = BTreeSet::from_iter(handle_all(&subscription(&harness, "s")).await);
    assert_eq!(ids, BTreeSet::from(["3".to_owned(), "4".to_owned()]));
}

pub(super) async fn filters_select_by_attributes(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let filters = Filters::parse(r#"[{"prefix":{"subject":"eu/"}},{"not":{"exact":{"subject":"eu/2"}}}]"#).unwrap();
    let filtered = Definition { filters, ..definition("a.b", 5) };
    declare(&harness, "s", filtered.clone()).await;
    let events = || ["eu/1", "us/1", "eu/2", "eu/3"].into_iter();
    publish_all(&harness, events().map(|subject| about(subject, subject))).await;
    let before = subscription(&harness, "s");
    assert_eq!(before.overview().backlog, 2);
    let mut first = claim(&before).await;
    ack(&mut first, Effects::default()).await.unwrap();
    drop((first, before));
    let harness = harness.crash().await;
    let after = subscription(&harness, "s");
    assert_eq!(after.overview().backlog, 1, "filtered events are not part of the backlog after a crash either");
    assert_eq!(handle_all(&after).await, ["eu/3"]);
}

pub(super) async fn a_paused_subscription_delivers_nothing_until_it_is_resumed(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let before = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    let mut in_flight = claim(&before).await;
    harness.bus().pause(id("s"), true).await.unwrap();
    ack(&mut in_flight, Effects::default()).await.unwrap();
    assert_idle(&before).await;
    drop((in_flight, before));
    let harness = harness.crash().await;
    // A declaration does not resume a subscription that an operator paused.
    let after = declare(&harness, "s", definition("a.b", 5)).await;
    assert!(after.overview().paused.is_some());
    assert_idle(&after).await;
    harness.bus().pause(id("s"), false).await.unwrap();
    assert_eq!(handle_all(&after).await, ["2"]);
    let missing = harness.bus().pause(id("none"), true).await;
    assert!(matches!(missing, Err(CommitError::NotFound(_))));
}

pub(super) async fn a_slow_subscription_slows_no_other(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscriptions = ["slow", "quick"].map(|name| (name.to_owned(), definition("a.b", 5), Start::Now)).to_vec();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    let (slow, quick) = (subscription(&harness, "slow"), subscription(&harness, "quick"));
    publish_all(&harness, (0..1_000).map(|number| event(&number.to_string()))).await;
    let held = claim(&slow).await;
    assert_eq!(handle_all(&quick).await.len(), 1_000);
    assert_eq!(slow.overview().backlog, 1_000);
    drop(held);
}
