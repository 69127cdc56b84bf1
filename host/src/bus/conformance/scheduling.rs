//! Scheduled events, and schedules.

use super::*;
use crate::schedule::{MissedPolicy, Schedule};

async fn publish_later(harness: &Harness, id: &str, delay: Duration) {
    let due = Some(harness.clock().now().after(delay));
    let accepted = harness.bus().publish(vec![Publish { event: event(id), due }]).await.unwrap();
    assert!(!accepted[0].duplicate);
}

pub(super) async fn a_scheduled_event_enters_the_log_when_it_is_due(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
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

pub(super) async fn a_scheduled_event_is_cancelled(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
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

pub(super) async fn a_schedule_survives_restarts_and_publishes_each_time_once(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    declare_schedule(&harness, MissedPolicy::RunOnce).await;
    harness.clock().advance(Duration::from_hours(1));
    let first = claim(&subscription(&harness, "s")).await.event().time.clone();
    assert_eq!(first.as_deref(), Some("2030-01-01T01:00:00.000Z"));
    let harness = harness.restart().await;
    declare_schedule(&harness, MissedPolicy::RunOnce).await;
    // The clock passes the same hour again.
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
    assert!(harness.bus().schedules().await.unwrap().is_empty(), "an undeclared schedule ends");
}

/// Checks that an hour brings only the given event. Due events enter the log together with due ticks, so there is no
/// need to wait for a tick that must not come.
async fn an_hour_brings_nothing_but_what_was_published(harness: &Harness, id: &str) {
    publish_later(harness, id, Duration::from_mins(30)).await;
    harness.clock().advance(Duration::from_hours(1));
    let subscription = subscription(harness, "s");
    let mut claimed = claim(&subscription).await;
    assert_eq!(claimed.event().id, id);
    ack(&mut claimed, Effects::default()).await.unwrap();
    assert_idle(&subscription).await;
}

pub(super) async fn a_schedule_is_suspended_while_its_plugin_does_not_run(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    declare_schedule(&harness, MissedPolicy::CatchUp).await;
    harness.bus().withdraw("p").await.unwrap();
    an_hour_brings_nothing_but_what_was_published(&harness, "1").await;
    // A host that starts without the plugin does not publish either.
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

pub(super) async fn missed_times_run_once_or_are_caught_up_with(fixture: &dyn BusFixture) {
    for (missed, expected) in [(MissedPolicy::RunOnce, 1), (MissedPolicy::CatchUp, 3), (MissedPolicy::Skip, 0)] {
        let harness = open(fixture, Settings::default()).await;
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
