//! Limits of the log, of backlogs, and of the usage of one holder.

use super::*;
use crate::bus::Retention;

pub(super) async fn publishers_are_refused_by_a_full_subscription_and_handlers_are_not(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings { max_backlog: Some(100), ..Settings::default() }).await;
    let small = Definition { max_backlog: Some(2), ..definition("a.b", 5) };
    let subscription = declare(&harness, "s", small).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    let more = || vec![Publish { event: event("3"), due: None }];
    let full = CommitError::BacklogFull("p/s".to_owned());
    assert_eq!(harness.bus().publish(more()).await, Err(full.clone()));
    let effects = || Effects { publishes: more(), ..Effects::default() };
    assert_eq!(harness.bus().commit("p", effects()).await, Err(full));
    let elsewhere = Event { event_type: "a.c".to_owned(), ..event("4") };
    assert!(!publish(&harness, elsewhere).await.duplicate, "other types are not affected");
    let mut claimed = claim(&subscription).await;
    assert_eq!(ack(&mut claimed, effects()).await, Ok(SettledStatus::Handled), "a handler can always commit");
    assert_eq!(subscription.overview().backlog, 2);
}

pub(super) async fn publishers_are_refused_by_a_full_log(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings { max_log_bytes: Some(1_000), ..Settings::default() }).await;
    let large = |id: &str| Event { data: Some(Data::binary(vec![0; 600])), ..event(id) };
    publish_all(&harness, ["1", "2"].into_iter().map(large)).await;
    let refused = harness.bus().publish(vec![Publish { event: event("3"), due: None }]).await;
    assert_eq!(refused, Err(CommitError::LogFull(1_000)));
    let harness = harness.crash().await;
    let refused = harness.bus().publish(vec![Publish { event: event("3"), due: None }]).await;
    assert_eq!(refused, Err(CommitError::LogFull(1_000)));
}

pub(super) async fn limits_and_retention_can_change(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    let publish_third = || harness.bus().publish(vec![Publish { event: event("3"), due: None }]);
    harness.set_limits(&Settings { max_backlog: Some(2), ..Settings::default() });
    assert_eq!(publish_third().await, Err(CommitError::BacklogFull("p/s".to_owned())));
    harness.set_limits(&Settings { max_log_bytes: Some(1), ..Settings::default() });
    assert_eq!(publish_third().await, Err(CommitError::LogFull(1)));
    let retention = Retention { max_age: Some(Duration::from_hours(1)), ..Retention::default() };
    harness.set_limits(&Settings { retention, ..Settings::default() });
    assert!(publish_third().await.is_ok());
    assert_eq!(handle_all(&subscription).await, ["1", "2", "3"]);
    harness.clock().advance(Duration::from_hours(2));
    compact(&harness).await;
    assert!(logged_ids(&harness).await.is_empty());
}

/// A plugin that publishes two events for each one of its own, with low limits.
pub(super) async fn a_plugins_events_are_limited_and_block_nobody_else(fixture: &dyn BusFixture) {
    let by_backlog = Settings { max_plugin_backlog: 20, max_backlog: Some(10), ..Settings::default() };
    let by_bytes = Settings { max_log_bytes: Some(80_000), ..Settings::default() };
    for (settings, limit) in [(by_backlog, "max_plugin_backlog"), (by_bytes, "max_plugin_log_bytes")] {
        let mut harness = open(fixture, settings).await;
        let mut subscription = declare(&harness, "s", definition("a.b", 5)).await;
        publish(&harness, of_plugin("first")).await;
        let (mut published, mut refused) = (0, 0);
        for round in 0..60 {
            if round == 30 {
                drop(subscription);
                harness = harness.crash().await;
                subscription = super::subscription(&harness, "s");
            }
            let Ok(claimed) = tokio::time::timeout(Duration::from_millis(200), subscription.claim()).await else {
                break;
            };
            let mut claimed = claimed.unwrap();
            let children = [format!("{round}-a"), format!("{round}-b")].map(|id| of_plugin(&id));
            match ack(&mut claimed, publishes(children)).await {
                Ok(_) => published += 1,
                Err(error) => {
                    assert!(error.to_string().contains(limit), "it names the limit: {error}");
                    assert_eq!(error.cause(), Some(Cause::Limit));
                    refused += 1;
                    reject(&mut claimed).await;
                }
            }
            // Publishers continue, even for the same subscription.
            publish(&harness, Event { event_type: "c.d".to_owned(), ..event(&format!("other-{round}")) }).await;
        }
        assert!((18..=25).contains(&published) && refused > 15, "{published} and {refused} of {limit}");
        publish(&harness, event("of somebody else, for the same subscription")).await;
        // Dead letters count until they are dropped.
        let more = || publishes([of_plugin("more")]);
        assert!(harness.bus().commit("p", more()).await.is_err());
        if limit == "max_plugin_backlog" {
            let all = DeadLetterFilter::default();
            while harness.bus().drop_dead_letters(all.clone(), 100).await.unwrap() > 0 {}
            assert_eq!(harness.bus().commit("p", more()).await, Ok(()));
        }
    }
}

pub(super) async fn a_plugins_delayed_events_count_as_its_own(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings { max_plugin_backlog: 5, ..Settings::default() }).await;
    let later = |id: &str| {
        let due = Some(harness.clock().now().after(Duration::from_hours(1)));
        Effects { publishes: vec![Publish { event: of_plugin(id), due }], ..Effects::default() }
    };
    for id in ["1", "2", "3", "4", "5"] {
        assert_eq!(harness.bus().commit("p", later(id)).await, Ok(()));
    }
    let full = CommitError::PluginBacklogFull("p".to_owned(), 5);
    assert_eq!(harness.bus().commit("p", later("6")).await, Err(full.clone()));
    let mut of_another = later("of another");
    of_another.publishes[0].event.source = "/plugins/q".to_owned();
    assert_eq!(harness.bus().commit("q", of_another).await, Ok(()));
    let again = later("7");
    let harness = harness.crash().await;
    assert_eq!(harness.bus().commit("p", again.clone()).await, Err(full));
    let cancels = Effects { cancels: vec!["1".to_owned()], ..Effects::default() };
    harness.bus().commit("p", cancels).await.unwrap();
    assert_eq!(harness.bus().commit("p", again).await, Ok(()));
}

/// A producer reaches its limits of delayed events, of bytes and of types. Others can still publish, even after a
/// crash. Events that are cancelled, appended or deleted make room again.
pub(super) async fn a_producers_events_are_limited_and_block_nobody_else(fixture: &dyn BusFixture) {
    let of = |producer: Option<&str>, id: &str| Event { producer: producer.map(str::to_owned), ..event(id) };
    let settings = Settings {
        max_producer_delayed: 3,
        max_log_bytes: Some(100_000),
        max_producer_log_bytes: Some(4_900),
        max_types: 8,
        retention: Retention { max_age: Some(Duration::from_hours(9)), ..Retention::default() },
        ..Settings::default()
    };
    let mut harness = open(fixture, settings).await;
    let due = harness.clock().now().after(Duration::from_hours(1));
    let later = |event: Event| vec![Publish { event, due: Some(due) }];
    let now = |event: Event| vec![Publish { event, due: None }];
    let delayed = Err(CommitError::ProducerFull(ProducerLimit::Delayed, 3));

    // Delayed events, one by one and as a batch.
    let four = ["1", "2", "3", "4"].into_iter().flat_map(|id| later(of(Some("a"), id))).collect();
    assert_eq!(harness.bus().publish(four).await, delayed);
    for id in ["1", "2", "3"] {
        harness.bus().publish(later(of(Some("a"), id))).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(harness.bus().publish(later(of(Some("a"), "4"))).await, delayed);
        harness.bus().publish(now(of(Some("a"), "4 now"))).await.unwrap();
        harness.bus().publish(later(of(Some("b"), "of b"))).await.unwrap();
        harness.bus().publish(later(of(None, "of the operator"))).await.unwrap();
        let effects = Effects { publishes: later(of_plugin("of a plugin")), ..Effects::default() };
        let _ = harness.bus().commit("p", effects).await;
        harness = harness.crash().await;
    }
    assert_eq!(harness.bus().cancel("/t", "1").await, Ok(true));
    harness.bus().publish(later(of(Some("a"), "4"))).await.unwrap();
    assert_eq!(harness.bus().publish(later(of(Some("a"), "5"))).await, delayed);
    harness.clock().advance(Duration::from_hours(2));
    let enough = async {
        while harness.bus().events_with_id("4".to_owned()).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), enough).await.expect("what is due enters the log");

    // Bytes, in the log.
    let big = |producer, id: &str| Event { data: Some(Data::binary(vec![0; 4_900])), ..of(producer, id) };
    let bytes = Err(CommitError::ProducerFull(ProducerLimit::Bytes, 4_900));
    harness.bus().publish(now(big(Some("a"), "big"))).await.unwrap();
    for _ in 0..2 {
        assert_eq!(harness.bus().publish(now(of(Some("a"), "x"))).await, bytes);
        harness.bus().publish(now(of(Some("b"), "x"))).await.unwrap();
        harness = harness.crash().await;
    }
    harness.clock().advance(Duration::from_hours(10));
    while harness.bus().compact().await.unwrap().examined > 0 {}
    harness.bus().publish(now(of(Some("a"), "y"))).await.unwrap();

    // Types.
    let of_type = |producer: &str, name: &str| {
        now(Event { event_type: name.to_owned(), ..of(Some(producer), &format!("{name} of {producer}")) })
    };
    for name in ["t.1", "t.2", "t.3"] {
        harness.bus().publish(of_type("a", name)).await.unwrap();
    }
    let types = Err(CommitError::ProducerFull(ProducerLimit::Types, 4));
    for _ in 0..2 {
        assert_eq!(harness.bus().publish(of_type("a", "t.4")).await, types);
        harness.bus().publish(of_type("b", "t.5")).await.unwrap();
        harness = harness.crash().await;
    }
    harness.bus().publish(of_type("a", "t.5")).await.unwrap();
}

pub(super) async fn delayed_events_count_like_events_in_the_log(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings { max_log_bytes: Some(10_000), ..Settings::default() }).await;
    let due = Some(harness.clock().now().after(Duration::from_hours(24)));
    let later = |id: usize| {
        let event = Event { data: Some(Data::binary(vec![0; 1_000])), ..event(&id.to_string()) };
        vec![Publish { event, due }]
    };
    let mut accepted = 0;
    while harness.bus().publish(later(accepted)).await.is_ok() {
        accepted += 1;
        assert!(accepted <= 10, "the events exceed the limit");
    }
    assert!(accepted >= 5);
    let harness = harness.crash().await;
    let full = CommitError::LogFull(10_000);
    assert_eq!(harness.bus().publish(vec![Publish { event: event("x"), due: None }]).await, Err(full));
    for id in 0..accepted {
        assert_eq!(harness.bus().cancel("/t", &id.to_string()).await, Ok(true));
    }
    publish(&harness, event("x")).await;
}

pub(super) async fn types_are_bounded_and_forgotten_with_their_last_event(fixture: &dyn BusFixture) {
    let retention = Retention { max_age: Some(Duration::from_hours(1)), ..Retention::default() };
    let harness = open(fixture, Settings { max_types: 3, retention, ..Settings::default() }).await;
    let of_type = |name: &str, due| {
        vec![Publish { event: Event { event_type: name.to_owned(), ..event(&format!("{name}-id")) }, due }]
    };
    let later = Some(harness.clock().now().after(Duration::from_hours(9)));
    let full = CommitError::TooManyTypes(3);
    for (name, due) in [("t.1", None), ("t.2", None), ("t.later", later)] {
        harness.bus().publish(of_type(name, due)).await.unwrap();
    }
    assert_eq!(harness.bus().publish(of_type("t.4", None)).await, Err(full.clone()));
    assert_eq!(harness.bus().publish(of_type("t.4", later)).await, Err(full.clone()));
    let batch = ["t.1", "t.4"].into_iter().flat_map(|name| of_type(name, None)).collect();
    assert_eq!(harness.bus().publish(batch).await, Err(full.clone()));
    let effects = Effects { publishes: of_type("t.4", None), ..Effects::default() };
    assert_eq!(harness.bus().commit("p", effects).await, Err(full.clone()));
    publish(&harness, Event { event_type: "t.2".to_owned(), ..event("2-again") }).await;
    let harness = harness.crash().await;
    assert_eq!(harness.bus().publish(of_type("t.4", None)).await, Err(full.clone()));

    harness.clock().advance(Duration::from_hours(2));
    compact(&harness).await;
    for name in ["t.4", "t.5"] {
        harness.bus().publish(of_type(name, None)).await.unwrap();
    }
    assert_eq!(harness.bus().publish(of_type("t.6", None)).await, Err(full), "the type of the scheduled event counts");
    assert_eq!(harness.bus().cancel("/t", "t.later-id").await, Ok(true));
    harness.bus().publish(of_type("t.6", None)).await.unwrap();
    // Numbers of removed types are not reused for later ones.
    let subscription = declare_from(&harness, "s", definition("t.*", 5), Start::Beginning).await;
    let mut ids = handle_all(&subscription).await;
    ids.sort();
    assert_eq!(ids, ["t.4-id", "t.5-id", "t.6-id"]);
}

pub(super) async fn a_plugin_introduces_at_most_half_of_the_types(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings { max_types: 4, ..Settings::default() }).await;
    let of_type = |name: &str| publishes([Event { event_type: name.to_owned(), ..of_plugin(name) }]);
    for name in ["t.1", "t.2"] {
        harness.bus().commit("p", of_type(name)).await.unwrap();
    }
    let full = CommitError::PluginTypesFull("p".to_owned(), 2);
    assert_eq!(harness.bus().commit("p", of_type("t.3")).await, Err(full.clone()));
    let harness = harness.crash().await;
    assert_eq!(harness.bus().commit("p", of_type("t.3")).await, Err(full));
    let known = publishes([Event { event_type: "t.2".to_owned(), ..of_plugin("again") }]);
    assert_eq!(harness.bus().commit("p", known).await, Ok(()));
    publish(&harness, Event { event_type: "t.3".to_owned(), ..event("3") }).await;
    publish(&harness, Event { event_type: "t.4".to_owned(), ..event("4") }).await;
}

pub(super) async fn types_of_delayed_events_count_as_their_holders_after_a_crash(fixture: &dyn BusFixture) {
    let mut harness = open(fixture, Settings { max_types: 4, ..Settings::default() }).await;
    let due = Some(harness.clock().now().after(Duration::from_hours(1)));
    let later = |name: &str, source: &str, producer: Option<&str>| {
        let (event_type, source) = (name.to_owned(), source.to_owned());
        let event = Event { event_type, source, producer: producer.map(str::to_owned), ..event(name) };
        vec![Publish { event, due }]
    };
    let of_plugin = |name: &str| Effects { publishes: later(name, "/plugins/p", None), ..Effects::default() };
    let of_producer = |name: &str| later(name, "/t", Some("a producer"));
    for name in ["t.1", "t.2"] {
        harness.bus().commit("p", of_plugin(name)).await.unwrap();
    }
    for _ in 0..2 {
        let refused = harness.bus().commit("p", of_plugin("t.3")).await;
        assert_eq!(refused, Err(CommitError::PluginTypesFull("p".to_owned(), 2)));
        harness = harness.crash().await;
    }
    for name in ["t.1", "t.2"] {
        assert_eq!(harness.bus().cancel("/plugins/p", name).await, Ok(true));
    }
    for name in ["t.1", "t.2"] {
        harness.bus().publish(of_producer(name)).await.unwrap();
    }
    for _ in 0..2 {
        let refused = harness.bus().publish(of_producer("t.3")).await;
        assert_eq!(refused, Err(CommitError::ProducerFull(ProducerLimit::Types, 2)));
        harness = harness.crash().await;
    }
}
