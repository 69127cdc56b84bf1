//! The set of subscriptions, and their definitions.

use super::*;
use crate::bus::Catalogue;
use crate::filter::Filters;
use crate::outcome::SubscriptionChange;
use crate::subscription::Webhook;

pub(super) async fn a_plugin_creates_and_deletes_its_own_subscriptions(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    publish(&harness, event("before")).await;
    let change = |change| Effects { subscriptions: vec![change], ..Effects::default() };
    let webhook = Webhook::new("http://example.com/");
    let definition = Definition { target: Target::Webhook(webhook), ..definition("a.>", 5) };
    let subscribe =
        SubscriptionChange::Subscribe { name: "own".to_owned(), definition: Box::new(definition), start: Start::Now };
    harness.bus().commit("p", change(subscribe)).await.unwrap();
    publish(&harness, event("after")).await;
    let harness = harness.crash().await;
    let own = subscription(&harness, "own");
    assert!(own.overview().dynamic);
    assert_eq!(claim(&own).await.event().id, "after");
    let unsubscribe = SubscriptionChange::Unsubscribe { name: "own".to_owned() };
    harness.bus().commit("p", change(unsubscribe)).await.unwrap();
    assert!(own.is_deleted());
    assert!(feeds(&harness).is_empty());
}

pub(super) async fn a_subscription_that_is_no_longer_declared_is_paused_until_it_is_declared_again(
    fixture: &dyn BusFixture,
) {
    let harness = open(fixture, Settings::default()).await;
    declare(&harness, "s", definition("a.b", 5)).await;
    let orphans = harness.bus().declare("p", Declaration::default()).await.unwrap();
    assert_eq!(orphans, [id("s")]);
    publish(&harness, event("1")).await;
    let harness = harness.crash().await;
    let orphan = subscription(&harness, "s");
    assert!(orphan.overview().paused.is_some());
    assert_idle(&orphan).await;
    assert_eq!(handle_all(&declare(&harness, "s", definition("a.b", 5)).await).await, ["1"]);
}

pub(super) async fn a_subscription_starts_where_its_definition_says(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    for number in 0..20 {
        publish(&harness, event(&number.to_string())).await;
        harness.clock().advance(Duration::from_secs(1));
    }
    let cases = [
        ("now", Start::Now, 0),
        ("beginning", Start::Beginning, 20),
        ("time", Start::Time(START.after(Duration::from_secs(15))), 5),
        ("before", Start::Time(Timestamp(0)), 20),
        ("position", Start::Position(Position(18)), 3),
        ("next position", Start::Position(Position(21)), 0),
    ];
    for (name, start, expected) in cases {
        let subscriptions = vec![(name.to_owned(), definition("a.b", 5), start)];
        // Each by another plugin, so that all of them stay declared.
        harness.bus().declare(name, Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
        let begun = subscription(&harness, name);
        assert_eq!(begun.overview().backlog, expected, "{name}");
        let ids = handle_all(&begun).await;
        assert_eq!(ids.len() as u64, expected, "{name}");
        assert_eq!(ids.first().cloned(), (expected > 0).then(|| (20 - expected).to_string()), "{name}");
    }
    // The start of an existing subscription is ignored.
    let again = declare_from(&harness, "s", definition("a.b", 5), Start::Now).await;
    publish(&harness, event("new")).await;
    declare_from(&harness, "s", definition("a.b", 5), Start::Beginning).await;
    assert_eq!(handle_all(&again).await, ["new"]);
}

pub(super) async fn a_redefinition_applies_to_events_that_were_not_examined_yet(fixture: &dyn BusFixture) {
    for crash in [false, true] {
        let harness = open(fixture, Settings::default()).await;
        let before = declare(&harness, "s", definition("a.b", 5)).await;
        publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
        publish(&harness, Event { event_type: "a.c".to_owned(), ..event("passed") }).await;
        let in_flight = claim(&before).await;
        declare(&harness, "s", definition("a.*", 5)).await;
        publish(&harness, Event { event_type: "a.c".to_owned(), ..event("taken") }).await;
        drop((in_flight, before));
        let harness = if crash { harness.crash().await } else { harness };
        let after = subscription(&harness, "s");
        assert_eq!(after.overview().backlog, 3, "crash: {crash}");
        let mut ids = handle_all(&after).await;
        ids.sort();
        assert_eq!(ids, ["1", "2", "taken"], "crash: {crash}");
    }
}

pub(super) async fn a_redefinition_with_the_same_key_keeps_its_order(fixture: &dyn BusFixture) {
    for crash in [false, true] {
        let harness = open(fixture, Settings::default()).await;
        let before = declare(&harness, "s", ordered_by("subject")).await;
        publish_all(&harness, ["1", "2", "3"].into_iter().map(|id| about(id, "x"))).await;
        let mut in_flight = claim(&before).await;
        let pattern = Pattern::parse("a.*").unwrap();
        declare(&harness, "s", Definition { pattern, ..ordered_by("subject") }).await;
        publish(&harness, about("4", "x")).await;
        assert_idle(&before).await;
        ack(&mut in_flight, Effects::default()).await.unwrap();
        drop((in_flight, before));
        let harness = if crash { harness.crash().await } else { harness };
        assert_eq!(handle_all(&subscription(&harness, "s")).await, ["2", "3", "4"], "crash: {crash}");
    }
}

pub(super) async fn a_returned_delivery_that_no_longer_matches_passes_its_turn_on(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", ordered_by("subject")).await;
    publish(&harness, about("1", "x")).await;
    drop(claim(&subscription).await);
    let filters = Filters::parse(r#"[{"exact":{"id":"2"}}]"#).unwrap();
    declare(&harness, "s", Definition { filters, ..ordered_by("subject") }).await;
    publish(&harness, about("2", "x")).await;
    assert_eq!(handle_all(&subscription).await, ["2"]);
}

/// A subscription that a plugin creates at run time.
fn subscribe(name: &str, pattern: &str) -> SubscriptionChange {
    let definition = Box::new(definition(pattern, 5));
    SubscriptionChange::Subscribe { name: name.to_owned(), definition, start: Start::Now }
}

fn changing(subscriptions: Vec<SubscriptionChange>) -> Effects {
    Effects { subscriptions, ..Effects::default() }
}

fn subscribing(pattern: &str) -> Effects {
    changing(vec![subscribe("s", pattern)])
}

pub(super) async fn subscriptions_are_limited_and_their_changes_are_not(fixture: &dyn BusFixture) {
    /// The maximum number of subscriptions per plugin.
    const LIMIT: usize = 1_000;
    let harness = open(fixture, Settings::default()).await;
    let names: Vec<_> = (0..LIMIT).map(|number| format!("s{number}")).collect();
    harness.bus().commit("p", changing(names.iter().map(|name| subscribe(name, "a.b")).collect())).await.unwrap();
    let refused = harness.bus().commit("p", changing(vec![subscribe("more", "a.b")])).await;
    assert_eq!(refused, Err(CommitError::TooManySubscriptions(LIMIT)));
    harness.bus().commit("p", changing(vec![subscribe("s0", "a.c")])).await.unwrap();
    let unsubscribe = |name: &str| SubscriptionChange::Unsubscribe { name: name.to_owned() };
    let exchanged = vec![unsubscribe("s0"), unsubscribe("s1"), subscribe("more", "a.b")];
    harness.bus().commit("p", changing(exchanged)).await.unwrap();
    assert_eq!(feeds(&harness).len(), LIMIT - 1);
}

pub(super) async fn a_redefinition_in_the_commit_of_events_counts_them_once(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    harness.bus().commit("p", subscribing("a.b")).await.unwrap();
    let subscription = subscription(&harness, "s");
    let publishes = ["1", "2"].into_iter().map(|id| Publish { event: event(id), due: None }).collect();
    harness.bus().commit("p", Effects { publishes, ..subscribing("a.*") }).await.unwrap();
    assert_eq!(subscription.overview().backlog, 2);
    assert_eq!(handle_all(&subscription).await, ["1", "2"]);
}

pub(super) async fn a_handler_can_redefine_its_own_subscription(fixture: &dyn BusFixture) {
    for crash in [false, true] {
        let harness = open(fixture, Settings::default()).await;
        harness.bus().commit("p", subscribing("a.b")).await.unwrap();
        let before = subscription(&harness, "s");
        publish_all(&harness, ["1", "2", "3"].into_iter().map(event)).await;
        let (mut first, mut second) = (claim(&before).await, claim(&before).await);
        ack(&mut second, subscribing("a.*")).await.unwrap();
        ack(&mut first, Effects::default()).await.unwrap();
        drop((first, second, before));
        let harness = if crash { harness.crash().await } else { harness };
        let after = subscription(&harness, "s");
        assert_eq!(after.overview().backlog, 1, "crash: {crash}");
        assert_eq!(handle_all(&after).await, ["3"], "crash: {crash}");
        assert_idle(&after).await;
    }
}

pub(super) async fn a_drained_plugin_stays_drained(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    harness.bus().drain("p", true).await.unwrap();
    let harness = harness.crash().await;
    assert!(harness.bus().is_drained("p"));
    let catalogue = harness.bus().catalogue();
    harness.bus().drain("p", false).await.unwrap();
    assert!(catalogue.has_changed().unwrap());
    assert!(catalogue.borrow().drained.is_empty());
}

/// A change is visible before the call that made it returns, and watchers are notified.
pub(super) async fn the_catalogue_shows_each_change_with_its_definition(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let bus = harness.bus();
    let mut catalogue = bus.catalogue();
    let mut next = || {
        assert!(catalogue.has_changed().unwrap(), "watchers are notified");
        Arc::clone(&catalogue.borrow_and_update())
    };
    let rules = |catalogue: &Catalogue| catalogue.subscription(&id("s")).map(|entry| (*entry.definition).clone());

    bus.subscribe(id("s"), definition("a.b", 3), Start::Now).await.unwrap();
    let first = next();
    assert_eq!(rules(&first), Some(definition("a.b", 3)));
    let feed = first.subscription(&id("s")).unwrap().feed;
    assert_eq!(bus.feed(feed).unwrap().feed_id(), feed);
    bus.subscribe(id("s"), definition("a.*", 4), Start::Now).await.unwrap();
    let second = next();
    assert_eq!(rules(&second), Some(definition("a.*", 4)));
    assert_eq!(second.subscription(&id("s")).unwrap().feed, feed, "it is the same subscription");
    assert_eq!(rules(&first), Some(definition("a.b", 3)), "an old catalogue does not change");

    publish(&harness, event("1")).await;
    ack(&mut claim(&bus.feed(feed).unwrap()).await, Effects::default()).await.unwrap();
    let replay = bus.replay(id("s"), ReplayScope::from_start(Start::Beginning)).await.unwrap().feed.unwrap();
    let third = next();
    let feeds: Vec<_> = third.feeds.iter().map(|entry| (entry.feed, entry.replay.map(|of| of.feed))).collect();
    assert_eq!(feeds, [(feed, None), (replay, Some(replay))]);
    assert_eq!(third.subscriptions().count(), 1);

    bus.delete_subscription(id("s")).await.unwrap();
    assert!(next().feeds.is_empty());
    assert!(bus.feed(feed).is_none() && bus.feed(replay).is_none());
}

pub(super) async fn a_thousand_subscriptions_get_each_event(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscriptions = (0..1_000).map(|number| (format!("s{number}"), definition("a.b", 5), Start::Now)).collect();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    publish(&harness, event("1")).await;
    let harness = harness.crash().await;
    publish(&harness, event("2")).await;
    for subscription in feeds(&harness) {
        assert_eq!(subscription.overview().backlog, 2);
    }
    assert_eq!(handle_all(&subscription(&harness, "s500")).await, ["1", "2"]);
}

pub(super) async fn a_start_in_the_future_is_refused(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    publish_all(&harness, ["1", "2", "3"].into_iter().map(event)).await;
    declare(&harness, "old", definition("a.b", 3)).await;
    let (bus, now) = (harness.bus(), harness.clock().now());
    for (start, is_future) in [
        (Start::Position(Position(3)), false),
        (Start::Position(Position(4)), false),
        (Start::Position(Position(5)), true),
        (Start::Position(Position(u64::MAX)), true),
        (Start::Time(now), false),
        (Start::Time(Timestamp(now.0 + 1)), true),
    ] {
        let is_refused = |error: Option<CommitError>| {
            let is_expected = |error: &CommitError| matches!(error, CommitError::StartInFuture { .. });
            assert!(error.as_ref().is_none_or(is_expected), "{start:?}: {error:?}");
            error.is_some()
        };
        let rules = || definition("a.b", 3);
        let subscribed = bus.subscribe(id("new"), rules(), start).await;
        assert_eq!(is_refused(subscribed.err()), is_future, "subscribe from {start:?}");
        assert_eq!(
            is_refused(bus.replay(id("old"), ReplayScope::from_start(start)).await.err()),
            is_future,
            "replay from {start:?}"
        );
        let subscription =
            SubscriptionChange::Subscribe { name: "dynamic".to_owned(), definition: rules().into(), start };
        let effects = Effects { subscriptions: vec![subscription], ..set("k", b"v") };
        assert_eq!(
            is_refused(bus.commit("p", effects).await.err()),
            is_future,
            "subscribe in a handler from {start:?}"
        );
        assert_eq!(value(&harness, "k").is_none(), is_future, "a refused subscription leaves no trace of its handler");
        let subscriptions = vec![("old".to_owned(), rules(), start), ("declared".to_owned(), rules(), start)];
        let declaration = Declaration { subscriptions, ..Declaration::default() };
        assert_eq!(is_refused(bus.declare("p", declaration).await.err()), is_future, "declare from {start:?}");
        let names: Vec<_> = feeds(&harness).iter().map(|feed| feed.id().name.clone()).collect();
        assert_eq!(names.contains(&"declared".to_owned()), !is_future, "{names:?}");

        let again = bus.subscribe(id("old"), rules(), start).await;
        assert_eq!(again, Ok(()), "the start of an existing subscription is ignored");
        bus.stop_replays(id("old")).await.unwrap();
        for name in ["new", "dynamic", "declared"].into_iter().filter(|_| !is_future) {
            bus.delete_subscription(id(name)).await.unwrap();
        }
        bus.commit("p", Effects { writes: [("k".to_owned(), Write::Delete)].into(), ..Effects::default() })
            .await
            .unwrap();
    }
}
