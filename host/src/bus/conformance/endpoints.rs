//! Endpoints that want no requests, for a while or for good.

use super::*;
use crate::bus::HeldBack;
use crate::subscription::{OPERATOR, Webhook};

const URL: &str = "http://example.com/hook";
const MINUTE: Duration = Duration::from_mins(1);

/// A subscription for an endpoint.
async fn hook(stage: &Stage, name: &str, url: &str) -> Arc<dyn Subscribed> {
    let definition = Definition { target: Target::Webhook(Webhook::new(url)), ..definition("a.b", 5) };
    stage.bus().subscribe(hook_id(name), definition, Start::Now).await.unwrap();
    subscription(stage, name)
}

fn hook_id(name: &str) -> SubscriptionId {
    SubscriptionId { owner: OPERATOR.to_owned(), name: name.to_owned() }
}

async fn hold_back(stage: &Stage, until: Timestamp) {
    let hold = HeldBack { until, reason: "busy".to_owned() };
    stage.bus().hold_back(URL.to_owned(), hold).await.unwrap();
}

/// Web Hooks 1.0.2, section 2.2: "refrain from sending further requests until the indicated time".
pub(super) async fn an_endpoint_is_left_alone_until_its_time_across_a_crash(engine: &dyn Engine) {
    let stage = open(engine, Settings::default()).await;
    let until = START.after(MINUTE);
    let before = hook(&stage, "one", URL).await;
    publish_all(&stage, ["1", "2", "3"].into_iter().map(event)).await;
    let mut in_flight = claim(&before).await;
    let given_back = claim(&before).await;
    hold_back(&stage, until).await;
    drop(given_back);
    assert_eq!(retry(&mut in_flight).await, Settled::Waiting(START.after(Duration::from_secs(1))));
    assert_idle(&before).await;
    drop((in_flight, before));

    let stage = stage.crash().await;
    let (one, another) = (subscription(&stage, "one"), hook(&stage, "another", URL).await);
    let elsewhere = hook(&stage, "elsewhere", "http://example.com/other").await;
    publish(&stage, event("4")).await;
    stage.clock().advance(MINUTE - Duration::from_millis(1));
    assert_eq!(handle_all(&elsewhere).await, ["4"], "it is another endpoint");
    for held in [&one, &another] {
        assert_idle(held).await;
        assert_eq!(held.overview().held_back, Some(HeldBack { until, reason: "busy".to_owned() }));
    }
    assert!(stage.bus().held_back(URL).is_some());
    stage.clock().advance(Duration::from_millis(1));
    assert!(stage.bus().held_back(URL).is_none() && one.overview().held_back.is_none());
    let attempts = [claim(&one).await, claim(&one).await].map(|claim| {
        let delivery = claim.delivery();
        (delivery.event().id.clone(), delivery.attempt)
    });
    assert_eq!(attempts, [("1".to_owned(), 2), ("2".to_owned(), 1)], "what was never sent has lost no attempt");
    assert_eq!(handle_all(&another).await, ["4"]);
}

pub(super) async fn a_subscription_that_is_resumed_is_held_back_no_longer(engine: &dyn Engine) {
    let stage = open(engine, Settings::default()).await;
    let one = hook(&stage, "one", URL).await;
    publish(&stage, event("1")).await;
    hold_back(&stage, START.after(MINUTE)).await;
    assert_idle(&one).await;
    stage.bus().pause(hook_id("one"), false).await.unwrap();
    drop(one);
    let stage = stage.crash().await;
    assert_eq!(handle_all(&subscription(&stage, "one")).await, ["1"]);
}

pub(super) async fn what_is_held_back_follows_a_clock_that_is_set_back(engine: &dyn Engine) {
    let stage = open(engine, Settings::default()).await;
    let one = hook(&stage, "one", URL).await;
    hold_back(&stage, START.after(MINUTE)).await;
    stage.clock().set(Timestamp(START.0 - 3_600_000));
    publish(&stage, event("1")).await;
    assert_idle(&one).await;
    stage.clock().advance(MINUTE);
    assert_eq!(handle_all(&one).await, ["1"]);
}

/// Web Hooks 1.0.2, section 2.2: "the sender SHOULD refrain from sending any further notifications".
pub(super) async fn an_endpoint_that_is_gone_gets_nothing_more(engine: &dyn Engine) {
    let stage = open(engine, Settings::default()).await;
    hook(&stage, "one", URL).await;
    publish(&stage, event("1")).await;
    stage.bus().retire(hook_id("one")).await.unwrap();
    let stage = stage.crash().await;
    let one = subscription(&stage, "one");
    publish(&stage, event("2")).await;
    assert_idle(&one).await;
    assert!(one.overview().paused.unwrap().contains("410 Gone"));
    assert_eq!((one.overview().backlog, dead_letters(&stage).await), (2, 0));
    hook(&stage, "one", URL).await;
    assert_idle(&one).await;
    // It is another one, about which nothing is known.
    hook(&stage, "one", "http://example.com/moved").await;
    assert_eq!(handle_all(&one).await, ["1", "2"]);

    stage.bus().retire(hook_id("one")).await.unwrap();
    publish(&stage, event("3")).await;
    assert_idle(&one).await;
    stage.bus().pause(hook_id("one"), false).await.unwrap();
    assert_eq!(handle_all(&one).await, ["3"]);
}
