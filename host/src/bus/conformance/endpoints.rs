//! Endpoints that are held or gone.

use super::*;
use crate::bus::EndpointHold;
use crate::subscription::{OPERATOR, Webhook};

const URL: &str = "http://example.com/hook";
const MINUTE: Duration = Duration::from_mins(1);

/// A subscription for an endpoint.
async fn hook(harness: &Harness, name: &str, url: &str) -> Arc<dyn SubscriptionFeed> {
    let definition = Definition { target: Target::Webhook(Webhook::new(url)), ..definition("a.b", 5) };
    harness.bus().subscribe(hook_id(name), definition, Start::Now).await.unwrap();
    subscription(harness, name)
}

fn hook_id(name: &str) -> SubscriptionId {
    SubscriptionId { owner: OPERATOR.to_owned(), name: name.to_owned() }
}

async fn hold_endpoint(harness: &Harness, until: Timestamp) {
    let hold = EndpointHold { until, reason: "busy".to_owned() };
    harness.bus().hold_endpoint(URL.to_owned(), hold).await.unwrap();
}

/// Web Hooks 1.0.2, section 2.2: "refrain from sending further requests until the indicated time".
pub(super) async fn a_hold_lasts_until_its_time_across_a_crash(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let until = START.after(MINUTE);
    let before = hook(&harness, "one", URL).await;
    publish_all(&harness, ["1", "2", "3"].into_iter().map(event)).await;
    let mut in_flight = claim(&before).await;
    let given_back = claim(&before).await;
    hold_endpoint(&harness, until).await;
    drop(given_back);
    assert_eq!(retry(&mut in_flight).await, SettledStatus::Waiting(START.after(Duration::from_secs(1))));
    assert_idle(&before).await;
    drop((in_flight, before));

    let harness = harness.crash().await;
    let (one, another) = (subscription(&harness, "one"), hook(&harness, "another", URL).await);
    let elsewhere = hook(&harness, "elsewhere", "http://example.com/other").await;
    publish(&harness, event("4")).await;
    harness.clock().advance(MINUTE - Duration::from_millis(1));
    assert_eq!(handle_all(&elsewhere).await, ["4"], "another endpoint is not held");
    for held in [&one, &another] {
        assert_idle(held).await;
        assert_eq!(held.overview().endpoint_hold, Some(EndpointHold { until, reason: "busy".to_owned() }));
    }
    assert!(harness.bus().endpoint_hold(URL).is_some());
    harness.clock().advance(Duration::from_millis(1));
    assert!(harness.bus().endpoint_hold(URL).is_none() && one.overview().endpoint_hold.is_none());
    let attempts = [claim(&one).await, claim(&one).await].map(|claim| {
        let delivery = claim.delivery();
        (delivery.event().id.clone(), delivery.attempt)
    });
    assert_eq!(attempts, [("1".to_owned(), 2), ("2".to_owned(), 1)], "an event that was not sent has used no attempt");
    assert_eq!(handle_all(&another).await, ["4"]);
}

pub(super) async fn resuming_a_subscription_ends_the_hold(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let one = hook(&harness, "one", URL).await;
    publish(&harness, event("1")).await;
    hold_endpoint(&harness, START.after(MINUTE)).await;
    assert_idle(&one).await;
    harness.bus().pause(hook_id("one"), false).await.unwrap();
    drop(one);
    let harness = harness.crash().await;
    assert_eq!(handle_all(&subscription(&harness, "one")).await, ["1"]);
}

pub(super) async fn holds_follow_a_clock_that_is_set_back(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let one = hook(&harness, "one", URL).await;
    hold_endpoint(&harness, START.after(MINUTE)).await;
    harness.clock().set(Timestamp(START.0 - 3_600_000));
    publish(&harness, event("1")).await;
    assert_idle(&one).await;
    harness.clock().advance(MINUTE);
    assert_eq!(handle_all(&one).await, ["1"]);
}

/// Web Hooks 1.0.2, section 2.2: "the sender SHOULD refrain from sending any further notifications".
pub(super) async fn an_endpoint_that_is_gone_gets_nothing_more(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    hook(&harness, "one", URL).await;
    publish(&harness, event("1")).await;
    harness.bus().retire(hook_id("one")).await.unwrap();
    let harness = harness.crash().await;
    let one = subscription(&harness, "one");
    publish(&harness, event("2")).await;
    assert_idle(&one).await;
    assert!(one.overview().paused.unwrap().contains("410 Gone"));
    assert_eq!((one.overview().backlog, dead_letters(&harness).await), (2, 0));
    hook(&harness, "one", URL).await;
    assert_idle(&one).await;
    // Nothing is known about the new endpoint.
    hook(&harness, "one", "http://example.com/moved").await;
    assert_eq!(handle_all(&one).await, ["1", "2"]);

    harness.bus().retire(hook_id("one")).await.unwrap();
    publish(&harness, event("3")).await;
    assert_idle(&one).await;
    harness.bus().pause(hook_id("one"), false).await.unwrap();
    assert_eq!(handle_all(&one).await, ["3"]);
}
