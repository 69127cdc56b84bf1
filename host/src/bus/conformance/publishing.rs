//! Events enter the log: once, now or later, and as long as there is room.

use std::collections::BTreeSet;

use super::*;
use crate::bus::Retention;
use crate::event::Kind;
use crate::schedule::{MissedPolicy, Schedule};

pub(super) async fn what_is_published_is_there_after_a_crash_and_stored_once(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    assert!(!publish(&harness, event("1")).await.duplicate);
    let harness = harness.crash().await;
    assert!(publish(&harness, event("1")).await.duplicate);
    assert!(!publish(&harness, event("2")).await.duplicate);
    assert_eq!(logged_ids(&harness).await, ["1", "2"]);
}

async fn publish_later(harness: &Harness, id: &str, delay: Duration) {
    let due = Some(harness.clock().now().after(delay));
    let accepted = harness.bus().publish(vec![Publish { event: event(id), due }]).await.unwrap();
    assert!(!accepted[0].duplicate);
}

pub(super) async fn a_scheduled_event_enters_the_log_when_it_is_due(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    let subscription_before = declare(&harness, "s", definition("a.b", 5)).await;
    publish_later(&harness, "1", Duration::from_hours(1)).await;
    assert!(publish(&harness, event("1")).await.duplicate, "it is the same event");
    assert_idle(&subscription_before).await;
    drop(subscription_before);

    let harness = harness.crash().await;
    let subscription = subscription(&harness, "s");
    assert_idle(&subscription).await;
    harness.clock().advance(Duration::from_hours(1));
    assert_eq!(claim(&subscription).await.event().id, "1");
}

pub(super) async fn a_scheduled_event_is_cancelled(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    for number in ["1", "2", "3"] {
        publish_later(&harness, number, Duration::from_hours(1)).await;
    }
    assert!(harness.bus().cancel("/t", "1").await.unwrap());
    assert!(!harness.bus().cancel("/t", "1").await.unwrap(), "it is gone");
    assert!(!harness.bus().cancel("/other", "2").await.unwrap(), "it belongs to another source");
    let waiting = harness.bus().scheduled(None, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|it| it.event.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    harness.clock().advance(Duration::from_hours(1));
    let first = claim(&subscription).await;
    let second = claim(&subscription).await;
    assert_eq!([first.event().id.as_str(), second.event().id.as_str()], ["2", "3"]);
    assert_idle(&subscription).await;
}

async fn declare_schedule(harness: &Harness, missed: MissedPolicy) {
    let schedule = Schedule {
        cron: "0 * * * *".to_owned(),
        timezone: None,
        missed,
        event_type: "a.b".to_owned(),
        datacontenttype: None,
        data: None,
    };
    let subscriptions = vec![("s".to_owned(), definition("a.b", 5), Start::Now)];
    let declaration =
        Declaration { subscriptions, schedules: vec![("hourly".to_owned(), schedule)], ..Declaration::default() };
    harness.bus().declare("p", declaration).await.unwrap();
}

pub(super) async fn a_schedule_survives_restarts_and_publishes_each_time_once(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    declare_schedule(&harness, MissedPolicy::RunOnce).await;
    harness.clock().advance(Duration::from_hours(1));
    let first = claim(&subscription(&harness, "s")).await.event().time.clone();
    assert_eq!(first.as_deref(), Some("2030-01-01T01:00:00.000Z"));
    let harness = harness.restart().await;
    declare_schedule(&harness, MissedPolicy::RunOnce).await;
    // The same hour comes again, and again it is over.
    harness.clock().set(START.after(Duration::from_mins(30)));
    harness.clock().advance(Duration::from_mins(40));
    let subscription = subscription(&harness, "s");
    let mut claimed = claim(&subscription).await;
    ack(&mut claimed, Effects::default()).await.unwrap();
    assert_idle(&subscription).await;
    assert_eq!(harness.bus().head(), Position(1));
    harness.clock().advance(Duration::from_hours(1));
    assert_eq!(claim(&subscription).await.event().time.as_deref(), Some("2030-01-01T02:00:00.000Z"));
    harness.bus().declare("p", Declaration::default()).await.unwrap();
    assert!(harness.bus().schedules().await.unwrap().is_empty(), "what is no longer declared ends");
}

/// What is due enters the log with the schedules that are, and so there is no need to wait for what must not come.
async fn an_hour_brings_nothing_but_what_was_published(harness: &Harness, id: &str) {
    publish_later(harness, id, Duration::from_mins(30)).await;
    harness.clock().advance(Duration::from_hours(1));
    let subscription = subscription(harness, "s");
    let mut claimed = claim(&subscription).await;
    assert_eq!(claimed.event().id, id);
    ack(&mut claimed, Effects::default()).await.unwrap();
    assert_idle(&subscription).await;
}

pub(super) async fn a_schedule_rests_while_its_plugin_does_not_run(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    declare_schedule(&harness, MissedPolicy::CatchUp).await;
    harness.bus().withdraw("p").await.unwrap();
    an_hour_brings_nothing_but_what_was_published(&harness, "1").await;
    // Nor does it publish in a host that starts without the plugin.
    let harness = harness.crash().await;
    an_hour_brings_nothing_but_what_was_published(&harness, "2").await;

    declare_schedule(&harness, MissedPolicy::CatchUp).await;
    let subscription = subscription(&harness, "s");
    for hour in ["01", "02"] {
        let mut claimed = claim(&subscription).await;
        assert_eq!(claimed.event().time, Some(format!("2030-01-01T{hour}:00:00.000Z")));
        ack(&mut claimed, Effects::default()).await.unwrap();
    }
    assert_idle(&subscription).await;
}

pub(super) async fn missed_times_run_once_or_are_caught_up_with(engine: &dyn Engine) {
    for (missed, expected) in [(MissedPolicy::RunOnce, 1), (MissedPolicy::CatchUp, 3), (MissedPolicy::Skip, 0)] {
        let harness = open(engine, Settings::default()).await;
        declare_schedule(&harness, missed).await;
        let harness = harness.crash().await;
        harness.clock().advance(Duration::from_mins(3 * 60 + 30));
        declare_schedule(&harness, missed).await;
        let subscription = subscription(&harness, "s");
        for _ in 0..expected {
            let mut claimed = claim(&subscription).await;
            ack(&mut claimed, Effects::default()).await.unwrap();
        }
        assert_idle(&subscription).await;
        assert_eq!(harness.bus().head(), Position(expected), "{missed:?}");
    }
}

pub(super) async fn a_large_batch_is_stored_in_its_order_and_refused_as_a_whole(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    let limited = Definition { max_backlog: Some(1), ..definition("a.b", 5) };
    let _subscription = declare(&harness, "s", limited).await;
    let ids: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    let batch = || ids.iter().map(|id| Publish { event: event(id), due: None }).collect();
    let accepted = harness.bus().publish(batch()).await.unwrap();
    assert_eq!(accepted.iter().map(|one| &one.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    assert!(!accepted.iter().any(|one| one.duplicate));
    // The subscription has more than it may have by now.
    let full = CommitError::BacklogFull("p/s".to_owned());
    assert_eq!(harness.bus().publish(batch()).await.unwrap_err(), full);
    // What nobody takes goes first, and is not stored either.
    let mut mixed: Vec<Publish> = batch();
    mixed.iter_mut().for_each(|publish| publish.event.event_type = "c.d".to_owned());
    mixed.push(Publish { event: event("last"), due: None });
    assert_eq!(harness.bus().publish(mixed).await.unwrap_err(), full);
    assert_eq!(logged_ids(&harness.crash().await).await, ids);
}

pub(super) async fn publishers_wait_for_a_full_subscription_and_handlers_do_not(engine: &dyn Engine) {
    let harness = open(engine, Settings { max_backlog: Some(100), ..Settings::default() }).await;
    let small = Definition { max_backlog: Some(2), ..definition("a.b", 5) };
    let subscription = declare(&harness, "s", small).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    let more = || vec![Publish { event: event("3"), due: None }];
    let full = CommitError::BacklogFull("p/s".to_owned());
    assert_eq!(harness.bus().publish(more()).await, Err(full.clone()));
    let effects = || Effects { publishes: more(), ..Effects::default() };
    assert_eq!(harness.bus().commit("p", effects()).await, Err(full));
    let elsewhere = Event { event_type: "a.c".to_owned(), ..event("4") };
    assert!(!publish(&harness, elsewhere).await.duplicate, "others are not concerned");
    let mut claimed = claim(&subscription).await;
    assert_eq!(ack(&mut claimed, effects()).await, Ok(DeliveryStatus::Handled), "a handler comes to its end");
    assert_eq!(subscription.overview().backlog, 2);
}

pub(super) async fn publishers_wait_for_a_full_log(engine: &dyn Engine) {
    let harness = open(engine, Settings { max_log_bytes: Some(1_000), ..Settings::default() }).await;
    let large = |id: &str| Event { data: Some(Data::binary(vec![0; 600])), ..event(id) };
    publish_all(&harness, ["1", "2"].into_iter().map(large)).await;
    let refused = harness.bus().publish(vec![Publish { event: event("3"), due: None }]).await;
    assert_eq!(refused, Err(CommitError::LogFull(1_000)));
    let harness = harness.crash().await;
    let refused = harness.bus().publish(vec![Publish { event: event("3"), due: None }]).await;
    assert_eq!(refused, Err(CommitError::LogFull(1_000)));
}

async fn compact(harness: &Harness) {
    while harness.bus().compact().await.unwrap() > 0 {}
}

pub(super) async fn old_events_are_deleted_but_never_what_is_needed(engine: &dyn Engine) {
    let retention = Retention { max_age: Some(Duration::from_hours(1)), ..Retention::default() };
    let harness = open(engine, Settings { retention, ..Settings::default() }).await;
    let subscription_before = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, ["handled", "dead", "waiting", "open"].into_iter().map(event)).await;
    let mut handled = claim(&subscription_before).await;
    ack(&mut handled, Effects::default()).await.unwrap();
    let mut dead = claim(&subscription_before).await;
    reject(&mut dead).await;
    let mut waiting = claim(&subscription_before).await;
    retry(&mut waiting).await;
    compact(&harness).await;
    assert_eq!(harness.bus().events_with_id("handled".to_owned()).await.unwrap().len(), 1, "it is not old yet");
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
    assert!(logged_ids(&harness).await.is_empty(), "nobody needs them any more");
    assert!(!publish(&harness, event("handled")).await.duplicate, "what is deleted is forgotten");
}

pub(super) async fn unhandled_events_are_deleted_only_if_configured(engine: &dyn Engine) {
    for delete_unhandled in [false, true] {
        let retention = Retention { max_bytes: Some(5_000), delete_unhandled, ..Retention::default() };
        let harness = open(engine, Settings { retention, ..Settings::default() }).await;
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

pub(super) async fn a_reply_comes_to_who_waits_for_it(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
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
    publish(&harness, answer("1", "a.window")).await;
    publish(&harness, answer("2", "a.reply")).await;
    publish(&harness, answer("3", "a.reply")).await;
    assert_eq!(reply.wait().await.unwrap().event.id, "2");
    assert_eq!(first.wait().await.unwrap().event.id, "1", "a question is no reply to itself");
    assert!(tokio::time::timeout(Duration::from_millis(20), other.wait()).await.is_err(), "that is another flow");
}

/// Events whose data is of every kind, with and without the media type that declares it.
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

pub(super) async fn events_are_kept_as_they_came_now_and_later(engine: &dyn Engine) {
    let events = of_every_kind();
    let later = |event: &Event| Event { source: "/later".to_owned(), ..event.clone() };
    let harness = open(engine, Settings::default()).await;
    publish_all(&harness, events.iter().cloned()).await;
    let due = Some(harness.clock().now().after(Duration::from_hours(1)));
    harness.bus().publish(events.iter().map(|event| Publish { event: later(event), due }).collect()).await.unwrap();

    let harness = harness.crash().await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    harness.clock().advance(Duration::from_hours(1));
    // They are due together, and so they enter the log together.
    drop(claim(&subscription).await);
    for event in &events {
        let logged = harness.bus().events_with_id(event.id.clone()).await.unwrap();
        let found: Vec<_> = logged.iter().map(|logged| Event::clone(&logged.event)).collect();
        assert_eq!(found, [event.clone(), later(event)]);
    }
}
fn of_plugin(id: &str) -> Event {
    Event { source: "/plugins/p".to_owned(), data: Some(Data::binary(vec![0; 1_000])), ..event(id) }
}

fn publishes(events: impl IntoIterator<Item = Event>) -> Effects {
    let publishes = events.into_iter().map(|event| Publish { event, due: None }).collect();
    Effects { publishes, ..Effects::default() }
}

/// A plugin that publishes two events for each one of its own, with small limits.
pub(super) async fn what_one_plugin_publishes_is_bounded_and_keeps_nobody_out(engine: &dyn Engine) {
    let by_backlog = Settings { max_plugin_backlog: 20, max_backlog: Some(10), ..Settings::default() };
    let by_bytes = Settings { max_log_bytes: Some(80_000), ..Settings::default() };
    for (settings, limit) in [(by_backlog, "max_plugin_backlog"), (by_bytes, "max_plugin_log_bytes")] {
        let mut harness = open(engine, settings).await;
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
            // Others publish all the while, also for the same subscription.
            publish(&harness, Event { event_type: "c.d".to_owned(), ..event(&format!("other-{round}")) }).await;
        }
        assert!((18..=25).contains(&published) && refused > 15, "{published} and {refused} of {limit}");
        publish(&harness, event("of somebody else, for the same subscription")).await;
        // Dead letters are held until they are dropped.
        let more = || publishes([of_plugin("more")]);
        assert!(harness.bus().commit("p", more()).await.is_err());
        if limit == "max_plugin_backlog" {
            let all = DeadLetterFilter::default();
            while harness.bus().drop_dead_letters(all.clone(), 100).await.unwrap() > 0 {}
            assert_eq!(harness.bus().commit("p", more()).await, Ok(()));
        }
    }
}

pub(super) async fn a_plugins_delayed_events_count_as_its_own(engine: &dyn Engine) {
    let harness = open(engine, Settings { max_plugin_backlog: 5, ..Settings::default() }).await;
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

/// A producer fills its share of delayed events, of bytes and of types. Others publish on, also after a crash, and room
/// comes back with what is cancelled, handled over or deleted.
pub(super) async fn what_one_producer_holds_is_bounded_and_keeps_nobody_out(engine: &dyn Engine) {
    let of = |producer: Option<&str>, id: &str| Event { producer: producer.map(str::to_owned), ..event(id) };
    let settings = Settings {
        max_producer_delayed: 3,
        max_log_bytes: Some(100_000),
        max_producer_log_bytes: Some(4_900),
        max_types: 8,
        retention: Retention { max_age: Some(Duration::from_hours(9)), ..Retention::default() },
        ..Settings::default()
    };
    let mut harness = open(engine, settings).await;
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
    while harness.bus().compact().await.unwrap() > 0 {}
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

pub(super) async fn what_comes_later_counts_as_what_is_in_the_log(engine: &dyn Engine) {
    let harness = open(engine, Settings { max_log_bytes: Some(10_000), ..Settings::default() }).await;
    let due = Some(harness.clock().now().after(Duration::from_hours(24)));
    let later = |id: usize| {
        let event = Event { data: Some(Data::binary(vec![0; 1_000])), ..event(&id.to_string()) };
        vec![Publish { event, due }]
    };
    let mut accepted = 0;
    while harness.bus().publish(later(accepted)).await.is_ok() {
        accepted += 1;
        assert!(accepted <= 10, "so many bytes are more than there may be");
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

pub(super) async fn types_are_bounded_and_forgotten_with_their_last_event(engine: &dyn Engine) {
    let retention = Retention { max_age: Some(Duration::from_hours(1)), ..Retention::default() };
    let harness = open(engine, Settings { max_types: 3, retention, ..Settings::default() }).await;
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
    assert_eq!(harness.bus().publish(of_type("t.6", None)).await, Err(full), "the one that comes later is known");
    assert_eq!(harness.bus().cancel("/t", "t.later-id").await, Ok(true));
    harness.bus().publish(of_type("t.6", None)).await.unwrap();
    // Numbers of types that are gone mean nothing to those that came after.
    let subscription = declare_from(&harness, "s", definition("t.*", 5), Start::Beginning).await;
    let mut ids = handle_all(&subscription).await;
    ids.sort();
    assert_eq!(ids, ["t.4-id", "t.5-id", "t.6-id"]);
}

pub(super) async fn one_plugin_introduces_half_of_the_types_at_most(engine: &dyn Engine) {
    let harness = open(engine, Settings { max_types: 4, ..Settings::default() }).await;
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

/// The host gives these ids, and so another event with one of them was not published by this attempt before.
pub(super) async fn what_another_event_hides_is_an_error_and_leaves_no_trace(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
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
    assert_eq!(ack(&mut claimed, publishes(["new 1", "new 2"].map(of_plugin))).await, Ok(DeliveryStatus::Handled));
    assert_eq!(logged_ids(&harness.crash().await).await, ["taken", "new 1", "new 2"]);
}

/// An id is unique within its source alone (CloudEvents 1.0, section 3.1.1).
pub(super) async fn a_reply_comes_to_nobody_else(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    let wait = |event: &Event| harness.bus().expect_reply(event, Pattern::parse("a.reply").unwrap()).unwrap();
    let of = |source: &str| Event { source: source.to_owned(), ..event("1") };
    let flow = |id: &str| {
        let mut event = of("/alice");
        event.start_cause_tree(id.to_owned());
        event
    };
    let answer =
        |id: &str, to: &Event| Event { event_type: "a.reply".to_owned(), extensions: to.inherited(), ..event(id) };
    let (alice, bob, second) = (wait(&of("/alice")), wait(&of("/bob")), wait(&flow("second")));
    // Too late for the first client, who has given up.
    drop(wait(&flow("first")));
    publish(&harness, answer("late", &flow("first"))).await;
    // With the id alone, as one that guesses gives it.
    let mut forged = answer("forged", &of("/alice"));
    forged.extensions.remove(crate::event::CORRELATION_SOURCE);
    publish(&harness, forged).await;
    publish(&harness, answer("b", &of("/bob"))).await;
    publish(&harness, answer("a", &of("/alice"))).await;
    publish(&harness, answer("s", &flow("second"))).await;
    for (reply, id) in [(alice, "a"), (bob, "b"), (second, "s")] {
        assert_eq!(reply.wait().await.unwrap().event.id, id);
    }
}
