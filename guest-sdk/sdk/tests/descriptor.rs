//! What the macros say of a plugin, and how its deliveries find their handlers.

#![allow(missing_docs, clippy::unwrap_used, reason = "it is a test")]

use sandbus_sdk::bindings::exports::sandbus::plugin::descriptor::Guest as _;
use sandbus_sdk::bindings::exports::sandbus::plugin::event_handler::{Delivery, Failure as Refusal, Guest as _};
use sandbus_sdk::bindings::sandbus::plugin::types;
use sandbus_sdk::plugin::{DeadLetterPolicy, Missed, Start, Subscription};
use sandbus_sdk::prelude::*;
use sandbus_sdk::testing::FakeHost;

#[on_event(
    "order.>",
    name = "orders",
    filters(
        exact(type = "order.placed", subject = "a \"quoted\" one"),
        not(any(prefix(source = "/test"), suffix(id = "0"))),
    ),
    start = "2026-03-01T09:00:00Z",
    concurrency = 4,
    ordering_key = "/customer/id",
    dead_letter_policy = "park",
    max_backlog = 10_000,
    timeout = "5s",
    retry(
        max_attempts = 5,
        initial_delay = "200ms",
        backoff_multiplier = 1.5,
        max_delay = "1m",
        jitter = 0.5,
        non_retryable = ["trap", "out-of-memory"],
    ),
)]
fn all_rules(_: Event<Vec<u8>>) {}

#[on_event("order.*", start = "beginning", ordering_key = "subject", dead_letter_policy = "release", retry(jitter = 1))]
fn from_the_beginning(_: Event<Vec<u8>>) {}

#[on_event("order.*", start = 42)]
fn from_a_position(_: Event<Vec<u8>>) {}

#[on_event("order.*", start = "now")]
fn from_now(_: Event<Vec<u8>>) {}

#[on_event("order.placed")]
fn no_rules(_: Event<Vec<u8>>) {}

#[on_schedule("0 9 * * 1-5", timezone = "Europe/Zurich", missed = "catch-up", timeout = "30s", retry(max_attempts = 2))]
fn daily_report(tick: Tick) -> Result<()> {
    let since = tick.due.duration_since(std::time::UNIX_EPOCH).or_reject()?;
    info!("due at {}, attempt {} of {}", since.as_secs(), tick.attempt, tick.event.event_type);
    Ok(())
}

#[on_schedule("*/5 * * * * *", name = "often")]
fn each_five_seconds(_: Tick) {}

plugin! {
    name: "shop",
    handlers: [all_rules, from_the_beginning, from_a_position, from_now, no_rules, daily_report, each_five_seconds],
    publishes: ["shop.opened"],
}

fn subscription(name: &str) -> Subscription {
    SandbusPlugin::describe().subscriptions.into_iter().find(|subscription| subscription.name == name).unwrap()
}

#[test]
fn all_rules_are_described() {
    let rules = subscription("orders");
    let filters: serde_json::Value = serde_json::from_str(&rules.filters.unwrap()).unwrap();
    let expected = serde_json::json!([
        { "exact": { "type": "order.placed", "subject": "a \"quoted\" one" } },
        { "not": { "any": [{ "prefix": { "source": "/test" } }, { "suffix": { "id": "0" } }] } },
    ]);
    assert_eq!(filters, expected);
    assert!(matches!(rules.start, Some(Start::Time(time)) if time == "2026-03-01T09:00:00Z"));
    assert_eq!((rules.concurrency, rules.ordering_key.as_deref()), (Some(4), Some("/customer/id")));
    assert_eq!((rules.dead_letter_policy, rules.max_backlog), (Some(DeadLetterPolicy::Park), Some(10_000)));
    assert_eq!(rules.timeout_ms, Some(5_000));
    let retry = rules.retry.unwrap();
    assert_eq!((retry.attempts, retry.first_delay_ms, retry.max_delay_ms), (Some(5), Some(200), Some(60_000)));
    assert_eq!((retry.factor_percent, retry.jitter_percent), (Some(150), Some(50)));
    assert_eq!(retry.permanent, ["trap", "out-of-memory"]);
}

#[test]
fn a_subscription_starts_where_it_says() {
    assert!(matches!(subscription("from_the_beginning").start, Some(Start::Beginning)));
    assert!(matches!(subscription("from_a_position").start, Some(Start::Position(42))));
    assert!(matches!(subscription("from_now").start, Some(Start::Now)));
    assert_eq!(subscription("from_the_beginning").dead_letter_policy, Some(DeadLetterPolicy::Release));
}

#[test]
fn omitted_options_are_left_to_the_host() {
    let rules = subscription("no_rules");
    assert!(rules.filters.is_none() && rules.start.is_none() && rules.retry.is_none());
    assert!(rules.ordering_key.is_none() && rules.dead_letter_policy.is_none() && rules.max_backlog.is_none());
}

#[test]
fn a_schedule_comes_with_its_subscription_and_its_type() {
    let descriptor = SandbusPlugin::describe();
    let [daily, often] = descriptor.schedules.as_slice() else { panic!("{:?}", descriptor.schedules) };
    assert_eq!((daily.name.as_str(), daily.cron.as_str()), ("daily_report", "0 9 * * 1-5"));
    assert_eq!((daily.timezone.as_deref(), daily.missed), (Some("Europe/Zurich"), Some(Missed::CatchUp)));
    assert_eq!((often.name.as_str(), often.timezone.as_deref(), often.missed), ("often", None, None));
    assert_eq!(daily.type_, "schedule.shop.daily_report");
    assert_eq!(often.type_, "schedule.shop.often");
    assert_eq!(descriptor.publishes, ["shop.opened", "schedule.shop.daily_report", "schedule.shop.often"]);

    let subscription = subscription("daily_report");
    assert_eq!((subscription.pattern, subscription.timeout_ms), (daily.type_.clone(), Some(30_000)));
    assert_eq!(subscription.retry.unwrap().attempts, Some(2));
}

fn tick(time: Option<&str>) -> Delivery {
    let event = types::Event {
        id: "1".into(),
        source: "/plugins/shop".into(),
        type_: "schedule.shop.daily_report".into(),
        subject: None,
        time: time.map(str::to_owned),
        datacontenttype: None,
        dataschema: None,
        extensions: Vec::new(),
        data: None,
    };
    Delivery { event, subscription: "daily_report".into(), attempt: 2, replay: false }
}

#[test]
fn a_tick_stands_for_its_time() {
    let host = FakeHost::new();
    host.run(|| SandbusPlugin::handle(tick(Some("2030-01-01T09:00:00+01:00")))).unwrap();
    assert_eq!(host.logs(), ["due at 1893484800, attempt 2 of schedule.shop.daily_report"]);
    let refused = host.run(|| SandbusPlugin::handle(tick(None)));
    assert!(matches!(refused, Err(Refusal::Reject(_))));
}
