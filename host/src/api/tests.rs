//! The JSON of each type. Other programs parse it, so a change here is a change of the contract.

use std::fmt::Debug;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::pattern::Pattern;
use crate::percent::Percent;
use crate::subscription::{DeadLetterPolicy, Secret, Start};

/// A member that nobody knows.
const LATER: &str = "a_later_member";

/// An answer is this JSON, and this JSON is that answer: also with members that are new.
fn answer<T: Serialize + DeserializeOwned + Debug>(view: &T, text: &str) {
    let expected: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(view).unwrap(), expected, "{view:?}");
    let read: T = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), expected, "{read:?}");
    let mut newer = expected.clone();
    extend(&mut newer);
    let newer: T = serde_json::from_str(&newer.to_string()).unwrap();
    assert_eq!(without_new(serde_json::to_value(&newer).unwrap()), expected, "{newer:?}");
}

/// Adds a member that nobody knows to each object.
fn extend(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(extend);
            members.insert(LATER.to_owned(), json!({ "in": ["a later", 1] }));
        }
        Value::Array(items) => items.iter_mut().for_each(extend),
        _ => {}
    }
}

/// Takes it away where JSON is kept as it is.
fn without_new(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.remove(LATER);
            members.values_mut().for_each(|value| *value = without_new(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_new(item.take())),
        _ => {}
    }
    value
}

/// A request is this JSON, and a member that the host does not know is refused.
fn request<T: Serialize + DeserializeOwned + Debug + PartialEq>(request: &T, text: &str) {
    let expected: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(request).unwrap(), expected);
    assert_eq!(serde_json::from_str::<T>(text).unwrap(), *request);
    let mut other = expected;
    other["unknown"] = json!(1);
    assert!(serde_json::from_value::<T>(other).is_err());
}

/// Data that no number and no map can hold.
const DATA: &str = r#"{"wei":123456789012345678901, "b":1.0,"b":1e999}"#;

fn document() -> EventDocument {
    let event = format!(r#"{{"specversion":"1.0","id":"e1","source":"/shop","type":"order.placed","data":{DATA}}}"#);
    EventDocument(serde_json::value::RawValue::from_string(event).unwrap())
}

fn logged() -> EventView {
    EventView { position: 7, stored_at: "2030-01-01T00:00:00.000Z".to_owned(), event: document() }
}

const LOGGED: &str = r#"{"position":7,"stored_at":"2030-01-01T00:00:00.000Z","event":{"specversion":"1.0","id":"e1","source":"/shop","type":"order.placed","data":{"wei":123456789012345678901, "b":1.0,"b":1e999}}}"#;

/// Compared as text, since no value holds the data.
fn verbatim<T: Serialize + DeserializeOwned>(view: &T, text: &str) {
    assert_eq!(serde_json::to_string(view).unwrap(), text);
    let read: T = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    let newer = format!("{},\"new\":{{\"a\":1e999}}}}", text.strip_suffix('}').unwrap());
    assert_eq!(serde_json::to_string(&serde_json::from_str::<T>(&newer).unwrap()).unwrap(), text);
}

#[test]
fn event_view() {
    verbatim(&logged(), LOGGED);
    let document = document();
    let summary = document.summary();
    assert_eq!(
        (summary.id.as_str(), summary.source.as_str(), summary.event_type.as_str()),
        ("e1", "/shop", "order.placed")
    );
    assert_eq!((summary.data.unwrap().get(), summary.data_base64), (DATA, None));
    let binary = r#"{"id":"1","data_base64":"/w=="}"#;
    let binary: EventDocument = serde_json::from_str(binary).unwrap();
    assert!(binary.summary().data.is_none() && binary.summary().data_base64.as_deref() == Some("/w=="));
    let null: EventDocument = serde_json::from_str(r#"{"data":null}"#).unwrap();
    assert_eq!(null.summary().data.unwrap().get(), "null", "it is there");
}

#[test]
fn event_pages_and_lists() {
    let page = EventPage { events: vec![logged()], next: Some("c7".to_owned()) };
    verbatim(&page, &format!(r#"{{"events":[{LOGGED}],"next":"c7"}}"#));
    assert_eq!(page.next().as_deref(), Some("c7"));
    answer(&EventPage::default(), r#"{"events":[],"next":null}"#);
    verbatim(&EventList { events: vec![logged()] }, &format!(r#"{{"events":[{LOGGED}]}}"#));
    let query = EventQuery {
        pattern: Some(Pattern::parse("a.*").unwrap()),
        id_prefix: Some("0".to_owned()),
        before: Some(7),
        limit: Some(2),
        ..EventQuery::default()
    };
    request(&query, r#"{"type":"a.*","id_prefix":"0","before":7,"limit":2}"#);
    request(&EventQuery::default(), "{}");
}

#[test]
fn published_and_compacted() {
    let accepted = vec![ReceiptView { id: "e1".to_owned(), duplicate: true }];
    answer(&PublishResult { accepted }, r#"{"accepted":[{"id":"e1","duplicate":true}]}"#);
    let receipt = crate::bus::PublishReceipt { id: "e1".to_owned(), duplicate: true };
    assert_eq!(
        json!(receipt),
        json!(ReceiptView { id: "e1".to_owned(), duplicate: true }),
        "the ingress answers the same"
    );
    answer(&CompactionResult { deleted: 3 }, r#"{"deleted":3}"#);
}

#[test]
fn dead_letter_view() {
    let attempt = AttemptView {
        attempt: 1,
        at: "2030-01-01T00:00:01.000Z".to_owned(),
        cause: "trap".to_owned(),
        reason: "boom".to_owned(),
        digest: None,
    };
    let text = r#"{"attempt":1,"at":"2030-01-01T00:00:01.000Z","cause":"trap","reason":"boom","digest":null}"#;
    answer(&attempt, text);
    let letter = DeadLetterView {
        number: 3,
        subscription: "mailer/orders".to_owned(),
        cause: "trap".to_owned(),
        reason: "boom".to_owned(),
        attempts: 1,
        replay: false,
        parks: Some("k".to_owned()),
        dead_lettered_at: "2030-01-01T00:00:01.000Z".to_owned(),
        history: vec![attempt],
        logged: logged(),
        edited: None,
    };
    let letter_text = format!(
        r#"{{"number":3,"subscription":"mailer/orders","cause":"trap","reason":"boom","attempts":1,"replay":false,"parks":"k","dead_lettered_at":"2030-01-01T00:00:01.000Z","history":[{text}],"logged":{LOGGED},"edited":null}}"#
    );
    verbatim(&letter, &letter_text);
    let page = DeadLetterPage { dead_letters: vec![letter], next: Some("c3".to_owned()) };
    verbatim(&page, &format!(r#"{{"dead_letters":[{letter_text}],"next":"c3"}}"#));
    assert_eq!(page.next().as_deref(), Some("c3"));
}

#[test]
fn dead_letter_requests() {
    let query = DeadLetterQuery {
        number: Some(1),
        subscription: Some("p/s".to_owned()),
        like: None,
        cause: Some("trap".to_owned()),
        after: Some("c2".to_owned()),
        limit: Some(5),
    };
    request(&query, r#"{"number":1,"subscription":"p/s","cause":"trap","after":"c2","limit":5}"#);
    request(&DeadLetterQuery::default(), "{}");
    answer(&RedriveResult { redriven: 2 }, r#"{"redriven":2}"#);
    answer(&DropResult { dropped: 2 }, r#"{"dropped":2}"#);
}

#[test]
fn samples() {
    let header = HeaderView { name: "content-type".to_owned(), value: "application/json".to_owned() };
    let request = SampleRequestView {
        method: "POST".to_owned(),
        path: "/orders".to_owned(),
        headers: vec![header],
        body: "{}".to_owned(),
    };
    let sample = |step, event, request| SampleView {
        file: "tests/shop.toml".to_owned(),
        scenario: "an order".to_owned(),
        step,
        event,
        request,
    };
    let list = SampleList {
        samples: vec![sample(1, Some(document()), None), sample(2, None, Some(request))],
        faults: vec![SampleFaultView { file: "tests/a.toml".to_owned(), reason: "it is malformed".to_owned() }],
        omitted: 3,
    };
    let document = document();
    let event = document.0.get();
    verbatim(
        &list,
        &format!(
            r#"{{"samples":[{{"file":"tests/shop.toml","scenario":"an order","step":1,"event":{event},"request":null}},{{"file":"tests/shop.toml","scenario":"an order","step":2,"event":null,"request":{{"method":"POST","path":"/orders","headers":[{{"name":"content-type","value":"application/json"}}],"body":"{{}}"}}}}],"faults":[{{"file":"tests/a.toml","reason":"it is malformed"}}],"omitted":3}}"#
        ),
    );
}

#[test]
fn route_requests() {
    let line = RouteRequestQuery {
        method: "POST".to_owned(),
        path: "/orders?a=b".to_owned(),
        timeout: Some(Duration::from_secs(5)),
    };
    request(&line, r#"{"method":"POST","path":"/orders?a=b","timeout":"5s"}"#);
    request(&RouteRequest::default(), "{}");
    let header = RouteRequestHeader { name: "accept".to_owned(), value: "*/*".to_owned() };
    let sent = RouteRequest { headers: vec![header], body: Some("{}".to_owned()), body_base64: None };
    request(&sent, r#"{"headers":[{"name":"accept","value":"*/*"}],"body":"{}"}"#);
    let response = RouteResponseView {
        request: Some("r1".to_owned()),
        status: 202,
        headers: vec![HeaderView { name: "x".to_owned(), value: "y".to_owned() }],
        body: None,
        body_base64: Some("/w==".to_owned()),
        body_end: BodyEndView::Truncated,
        took_us: 7,
    };
    answer(
        &response,
        r#"{"request":"r1","status":202,"headers":[{"name":"x","value":"y"}],"body":null,"body_base64":"/w==",
        "body_end":"truncated","took_us":7}"#,
    );
}

#[test]
fn schedule_view() {
    let schedule = ScheduleView {
        paused: true,
        id: "mailer/digest".to_owned(),
        cron: "0 9 * * *".to_owned(),
        timezone: Some("Europe/Berlin".to_owned()),
        missed: "run-once".to_owned(),
        event_type: "schedule.mailer.digest".to_owned(),
        next: None,
        upcoming: vec!["2030-01-01T08:00:00.000Z".to_owned()],
    };
    answer(
        &ScheduleList { schedules: vec![schedule], next: None },
        r#"{"schedules":[{"paused":true,"id":"mailer/digest","cron":"0 9 * * *","timezone":"Europe/Berlin","missed":"run-once","type":"schedule.mailer.digest","next":null,"upcoming":["2030-01-01T08:00:00.000Z"]}],"next":null}"#,
    );
    let scheduled = ScheduledView { due: "2030-01-01T00:00:00.000Z".to_owned(), event: document() };
    let page = ScheduledPage { scheduled: vec![scheduled], next: Some("1-2".to_owned()) };
    let document = document();
    let event = document.0.get();
    verbatim(&page, &format!(r#"{{"scheduled":[{{"due":"2030-01-01T00:00:00.000Z","event":{event}}}],"next":"1-2"}}"#));
    request(&ScheduledQuery { after: Some("1-2".to_owned()), limit: Some(1) }, r#"{"after":"1-2","limit":1}"#);
    request(&CancelQuery { source: "/s".to_owned(), id: "1".to_owned() }, r#"{"source":"/s","id":"1"}"#);
}

#[test]
fn plugin_view() {
    let text = String::from;
    let plugin = PluginView {
        name: Some(text("echo")),
        version: Some(text("1.0.0")),
        description: None,
        digest: Some(text("abc")),
        file: Some(text("echo.wasm")),
        status: PluginStatus::RolledBack,
        error: None,
        routes: vec![text("POST /echo/{word}")],
        subscriptions: vec![DeclaredSubscriptionView { name: text("all"), pattern: text("echo.>") }],
        schedules: vec![DeclaredScheduleView {
            name: text("daily"),
            cron: text("0 9 * * *"),
            timezone: None,
            event_type: text("schedule.echo.daily"),
        }],
        asks_for: Some(RequestedGrantsView { publish: vec![text("echo.>")], subscribe: vec![] }),
        granted: Some(GrantsView {
            publish: vec![text("echo.>")],
            http: vec![text("a.example")],
            ..GrantsView::default()
        }),
        withheld: vec![text("publish x")],
        limits: Some(LimitsView { memory_bytes: 1, timeout: text("5s"), concurrency: 2 }),
        config_keys: vec![ConfigKeyView { name: text("greeting"), default: Some(text("Hi")), description: None }],
        cors: vec![CorsRuleView {
            routes: vec![text("GET /a")],
            origins: vec![text("https://a.example")],
            headers: vec![text("content-type")],
            expose_headers: vec![text("etag")],
            credentials: true,
            max_age: Some(text("10m")),
        }],
        overlaps: vec![OverlapView {
            route: text("GET /a"),
            plugin: text("other"),
            theirs: text("GET /{x}"),
            goes_first: true,
        }],
        rolled_back: Some(PinView {
            passed_over: text("bad"),
            runs: text("abc"),
            reason: text("by hand"),
            since: text("2030-01-01T00:00:00.000Z"),
        }),
        generations: vec![GenerationView {
            digest: text("abc"),
            version: text("1.0.0"),
            since: text("2030-01-01T00:00:00.000Z"),
            rolled_back_from: false,
            asks_for: None,
            granted: Some(GrantsView { publish: vec![text("echo.>")], ..GrantsView::default() }),
        }],
        size_bytes: Some(7),
        load_us: Some(8),
    };
    answer(
        &plugin,
        r#"{"name":"echo","version":"1.0.0","description":null,"digest":"abc","file":"echo.wasm","status":"rolled back",
        "error":null,"routes":["POST /echo/{word}"],"subscriptions":[{"name":"all","pattern":"echo.>"}],
        "schedules":[{"name":"daily","cron":"0 9 * * *","timezone":null,"type":"schedule.echo.daily"}],
        "asks_for":{"publish":["echo.>"],"subscribe":[]},
        "granted":{"publish":["echo.>"],"subscribe":[],"webhooks":[],"http":["a.example"],"networks":[]},"withheld":["publish x"],
        "limits":{"memory_bytes":1,"timeout":"5s","concurrency":2},
        "config_keys":[{"name":"greeting","default":"Hi","description":null}],
        "cors":[{"routes":["GET /a"],"origins":["https://a.example"],"headers":["content-type"],"expose_headers":["etag"],
        "credentials":true,"max_age":"10m"}],"overlaps":[{"route":"GET /a","plugin":"other","theirs":"GET /{x}","goes_first":true}],
        "rolled_back":{"passed_over":"bad","runs":"abc","reason":"by hand","since":"2030-01-01T00:00:00.000Z"},
        "generations":[{"digest":"abc","version":"1.0.0","since":"2030-01-01T00:00:00.000Z","rolled_back_from":false,
        "asks_for":null,"granted":{"publish":["echo.>"],"subscribe":[],"webhooks":[],"http":[],"networks":[]}}],
        "size_bytes":7,"load_us":8}"#,
    );
}

#[test]
fn storage() {
    let view = StorageView {
        directory: "/data".to_owned(),
        bus_bytes: 1,
        ledger_bytes: 2,
        archive_bytes: 3,
        free_bytes: 4,
        total_bytes: 5,
        first_position: Some(6),
        last_position: None,
        oldest_event_at: Some("2030-01-01T00:00:00.000Z".to_owned()),
    };
    answer(
        &view,
        r#"{"directory":"/data","bus_bytes":1,"ledger_bytes":2,"archive_bytes":3,"free_bytes":4,"total_bytes":5,
        "first_position":6,"last_position":null,"oldest_event_at":"2030-01-01T00:00:00.000Z"}"#,
    );
}

#[test]
fn dead_letter_groups() {
    let group = DeadLetterGroupView {
        subscription: "p/s".to_owned(),
        cause: "trap".to_owned(),
        signature: "no order #".to_owned(),
        digest: None,
        count: 2,
        first_at: "2030-01-01T00:00:00.000Z".to_owned(),
        last_at: "2030-01-01T00:00:01.000Z".to_owned(),
        sample: 7,
        status: GroupStatus::Resolved,
        status_since: Some("2030-01-01T00:00:02.000Z".to_owned()),
        status_by: Some("local".to_owned()),
    };
    answer(
        &group,
        r#"{"subscription":"p/s","cause":"trap","signature":"no order #","digest":null,"count":2,
        "first_at":"2030-01-01T00:00:00.000Z","last_at":"2030-01-01T00:00:01.000Z","sample":7,"status":"resolved",
        "status_since":"2030-01-01T00:00:02.000Z","status_by":"local"}"#,
    );
    request(&GroupStatusRequest { status: GroupStatus::Ignored }, r#"{"status":"ignored"}"#);
    let of_status = DeadLetterGroupQuery { status: Some(GroupStatus::Open), ..DeadLetterGroupQuery::default() };
    request(&of_status, r#"{"status":"open"}"#);
}

#[test]
fn dead_letter_selection() {
    request(&DeadLetterSelection { all: true, limit: Some(2), ..Default::default() }, r#"{"all":true,"limit":2}"#);
    let (subscription, cause) = (Some("p/s".to_owned()), Some("trap".to_owned()));
    request(
        &DeadLetterSelection { number: Some(7), subscription, cause, ..Default::default() },
        r#"{"number":7,"subscription":"p/s","cause":"trap"}"#,
    );
}

#[test]
fn plugins_that_do_not_run() {
    let broken = PluginView {
        file: Some("x.wasm".to_owned()),
        status: PluginStatus::Broken,
        error: Some("no component".to_owned()),
        ..PluginView::default()
    };
    answer(
        &PluginList { plugins: vec![broken], folder_error: Some("gone".to_owned()), next: None },
        r#"{"plugins":[{"name":null,"version":null,"description":null,"digest":null,"file":"x.wasm","status":"broken",
        "error":"no component","routes":[],"subscriptions":[],"schedules":[],"asks_for":null,"granted":null,"withheld":[],
        "limits":null,"cors":[],"config_keys":[],"overlaps":[],"rolled_back":null,"generations":[],"size_bytes":null,
        "load_us":null}],"folder_error":"gone","next":null}"#,
    );
}

#[test]
fn drains_and_rollbacks() {
    request(&DrainQuery { wait: Some(Duration::from_secs(90)) }, r#"{"wait":"1m 30s"}"#);
    request(&DrainQuery::default(), "{}");
    answer(&DrainResult { drained: false, running: 2 }, r#"{"drained":false,"running":2}"#);
    request(&RollbackQuery { to: Some("abc".to_owned()) }, r#"{"to":"abc"}"#);
    let (from, to, version) = ("a".to_owned(), "b".to_owned(), "1.0.0".to_owned());
    answer(
        &RollbackResult { from, to, version, is_file: true },
        r#"{"from":"a","to":"b","version":"1.0.0","is_file":true}"#,
    );
}

#[test]
fn canary_view() {
    let difference =
        DifferenceView { path: "published[0].data".to_owned(), running: Some(json!({ "a": [1] })), new: None };
    let differing = DifferingDeliveryView {
        event: "e1".to_owned(),
        event_type: "order.placed".to_owned(),
        subscription: "all".to_owned(),
        differs: vec![difference],
    };
    let report = CanaryView {
        plugin: "echo".to_owned(),
        running: "a".to_owned(),
        new: "b".to_owned(),
        handled: 3,
        different: 1,
        inconclusive: 1,
        differences: vec![differing],
        subscriptions_removed: vec!["old".to_owned()],
        subscriptions_added: vec![],
        time_us: MeasurementView { running: 1, new: 2 },
        memory_bytes: MeasurementView { running: 3, new: 4 },
    };
    answer(
        &report,
        r#"{"plugin":"echo","running":"a","new":"b","handled":3,"different":1,"inconclusive":1,"differences":[{"event":"e1",
        "type":"order.placed","subscription":"all","differs":[{"path":"published[0].data","running":{"a":[1]},"new":null}]}],
        "subscriptions_removed":["old"],"subscriptions_added":[],"time_us":{"running":1,"new":2},
        "memory_bytes":{"running":3,"new":4}}"#,
    );
    request(&CanaryQuery { events: Some(9), ..CanaryQuery::default() }, r#"{"events":9}"#);
    let of_event =
        CanaryQuery { event: Some("e1".to_owned()), generation: Some("ab".to_owned()), ..CanaryQuery::default() };
    request(&of_event, r#"{"event":"e1","generation":"ab"}"#);
}

fn rules(target: TargetView) -> SubscriptionRules {
    SubscriptionRules {
        pattern: "order.>".to_owned(),
        filters: vec![json!({ "exact": { "subject": "a" } })],
        target,
        concurrency: 4,
        ordering_key: Some("/customer/id".to_owned()),
        dead_letter_policy: DeadLetterPolicyView::Park,
        retry: RetryView {
            max_attempts: 8,
            initial_delay: "500ms".to_owned(),
            backoff_multiplier: 2.0,
            max_delay: "5m".to_owned(),
            jitter: 0.5,
            non_retryable: vec!["trap".to_owned()],
        },
        max_backlog: None,
        timeout: "5s".to_owned(),
    }
}

#[test]
fn subscription_view() {
    let view = SubscriptionView {
        id: "operator/audit".to_owned(),
        dynamic: true,
        status: SubscriptionStatus::Paused,
        resumable: true,
        waits_for: Some("an operator paused it".to_owned()),
        held_back_until: None,
        cursor: 7,
        backlog: 2,
        in_flight: 1,
        committing: 0,
        parked_keys: 1,
        expired: 0,
        lag_seconds: Some(1.5),
        next_attempt: None,
        dead_letters: 3,
        replay: Some(ReplayView { number: 4, until: 9, per_second: std::num::NonZeroU32::new(10) }),
        rules: rules(TargetView::Plugin { plugin: "echo".to_owned() }),
    };
    answer(
        &SubscriptionList { subscriptions: vec![view], next: None },
        r#"{"subscriptions":[{"id":"operator/audit","dynamic":true,"status":"paused","resumable":true,"waits_for":"an operator paused it",
        "held_back_until":null,"cursor":7,"backlog":2,"in_flight":1,"committing":0,"parked_keys":1,"expired":0,
        "lag_seconds":1.5,"next_attempt":null,"dead_letters":3,"replay":{"number":4,"until":9,"per_second":10},
        "pattern":"order.>","filters":[{"exact":{"subject":"a"}}],"target":{"plugin":"echo"},"concurrency":4,
        "ordering_key":"/customer/id","dead_letter_policy":"park","retry":{"max_attempts":8,"initial_delay":"500ms",
        "backoff_multiplier":2.0,"max_delay":"5m","jitter":0.5,"non_retryable":["trap"]},"max_backlog":null,
        "timeout":"5s"}],"next":null}"#,
    );
}

#[test]
fn target_view() {
    let webhook = |former_secrets_until| TargetView::Webhook {
        webhook: "https://a.example/hook".to_owned(),
        signed: true,
        handshake: false,
        former_secrets_until,
    };
    answer(&webhook(Vec::new()), r#"{"webhook":"https://a.example/hook","signed":true,"handshake":false}"#);
    answer(
        &webhook(vec!["2030-01-01T00:00:00.000Z".to_owned()]),
        r#"{"webhook":"https://a.example/hook","signed":true,"handshake":false,
        "former_secrets_until":["2030-01-01T00:00:00.000Z"]}"#,
    );
    let unknown: TargetView = serde_json::from_str(r#"{"queue":"orders"}"#).unwrap();
    assert_eq!(unknown, TargetView::Other(json!({ "queue": "orders" })));
}

#[test]
fn subscription_request() {
    let webhook = WebhookRequest {
        url: Some("https://a.example/hook".to_owned()),
        secret: Some(None),
        handshake: Some(Some(true)),
        ..WebhookRequest::default()
    };
    let rules = RuleOverrides {
        concurrency: std::num::NonZeroU32::new(2),
        max_attempts: std::num::NonZeroU32::new(3),
        initial_delay: Some(Duration::from_millis(200)),
        backoff_multiplier: Some(Percent(300)),
        max_delay: Some(Duration::from_mins(1)),
        jitter: Some(Percent(0)),
        non_retryable: Some(vec!["trap".to_owned()]),
        dead_letter_policy: Some(DeadLetterPolicy::Park),
        max_backlog: std::num::NonZeroU64::new(9),
        timeout: Some(Duration::from_secs(2)),
    };
    let wanted = SubscriptionRequest {
        name: "audit".to_owned(),
        pattern: Some("order.>".to_owned().try_into().unwrap()),
        target: Some(TargetRequest::Webhook(webhook)),
        filters: Some(serde_json::from_str(r#"[{"exact":{"subject":"a"}}]"#).unwrap()),
        start: Some(Start::Beginning),
        ordering_key: Some(None),
        rules,
    };
    request(
        &wanted,
        r#"{"name":"audit","pattern":"order.>",
        "target":{"webhook":{"url":"https://a.example/hook","secret":null,"handshake":true}},
        "filters":[{"exact":{"subject":"a"}}],"start":"beginning","ordering_key":null,
        "rules":{"concurrency":2,"max_attempts":3,"initial_delay":"200ms","backoff_multiplier":3.0,"max_delay":"1m",
        "jitter":0.0,"non_retryable":["trap"],"dead_letter_policy":"park","max_backlog":9,"timeout":"2s"}}"#,
    );
    let name = "audit".to_owned();
    request(&SubscriptionRequest { name, ..SubscriptionRequest::default() }, r#"{"name":"audit"}"#);
    for unknown in [r#"{"name":"a","rules":{"pattern":"b"}}"#, r#"{"name":"a","target":{"webhook":{"uri":"b"}}}"#] {
        assert!(serde_json::from_str::<SubscriptionRequest>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn subscription_changed() {
    let change = ChangeView { rule: "pattern".to_owned(), before: json!("a"), after: json!("b") };
    answer(
        &SubscriptionChangeResult { id: "operator/audit".to_owned(), created: false, changes: vec![change] },
        r#"{"id":"operator/audit","created":false,"changes":[{"rule":"pattern","before":"a","after":"b"}]}"#,
    );
}

#[test]
fn replays() {
    let all = ReplayRequest { start: Start::Beginning, until: None, only: None, per_second: None };
    request(&all, r#"{"start":"beginning","per_second":null}"#);
    let only = EventSelection { subject: Some("x".to_owned()), ..EventSelection::default() };
    let until = Some(ReplayUntil::Position(Position(9)));
    request(
        &ReplayRequest { until, only: Some(only), ..all },
        r#"{"start":"beginning","until":{"position":9},"only":{"subject":"x"},"per_second":null}"#,
    );
    let until = Some(ReplayUntil::Time(Timestamp(1_893_456_000_000)));
    request(
        &ReplayRequest { start: Start::Beginning, until, only: None, per_second: None },
        r#"{"start":"beginning","until":{"time":"2030-01-01T00:00:00.000Z"},"per_second":null}"#,
    );
    answer(&ReplayResult { replay: Some(4), events: 9 }, r#"{"replay":4,"events":9}"#);
    answer(&StopReplaysResult { stopped: 1 }, r#"{"stopped":1}"#);
}

#[test]
fn deliveries() {
    let delivery = DeliveryView {
        as_of: "2030-01-01T00:00:00.000Z".to_owned(),
        subscription: "orders/pay".to_owned(),
        replay: false,
        state: DeliveryStateView::Retrying,
        attempts: Some(2),
        due: Some("2030-01-01T00:00:05.000Z".to_owned()),
        cause: Some("trap".to_owned()),
        reason: Some("unreachable".to_owned()),
        logged: logged(),
        ..DeliveryView::default()
    };
    verbatim(
        &DeliveryPage { deliveries: vec![delivery], next: Some("3-7".to_owned()) },
        &format!(
            r#"{{"deliveries":[{{"as_of":"2030-01-01T00:00:00.000Z","subscription":"orders/pay","replay":false,"state":"retrying","ahead":null,"attempts":2,"due":"2030-01-01T00:00:05.000Z","cause":"trap","reason":"unreachable","key":null,"behind":null,"dead_letter":null,"blocked_by":[],"logged":{LOGGED}}}],"next":"3-7"}}"#
        ),
    );
    let query =
        DeliveryQuery { key: Some("a".to_owned()), state: Some("ready".to_owned()), ..DeliveryQuery::default() };
    request(&query, r#"{"key":"a","state":"ready"}"#);
    request(&DeliverySelection { all: true, ..DeliverySelection::default() }, r#"{"all":true}"#);
    answer(&RetryResult { retried: 3 }, r#"{"retried":3}"#);
}

#[test]
fn plugin_state() {
    answer(&StateKeyPage { keys: vec!["a".to_owned()], next: Some("a".to_owned()) }, r#"{"keys":["a"],"next":"a"}"#);
    let value = StateValueView { key: "a".to_owned(), version: 7, value: Some("1".to_owned()), value_base64: None };
    answer(&value, r#"{"key":"a","version":7,"value":"1","value_base64":null}"#);
    request(
        &StateRequest { value: Some("1".to_owned()), value_base64: None, version: Some(7) },
        r#"{"value":"1","version":7}"#,
    );
}

#[test]
fn secrets() {
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let secret = Secret::parse(SECRET).unwrap();
    let overlap = Some(Duration::from_hours(24));
    request(
        &SecretRequest { secret: Some(secret.clone()), overlap },
        &format!(r#"{{"secret":"{SECRET}","overlap":"1d"}}"#),
    );
    request(&SecretRequest::default(), "{}");
    let rotated = SecretRotationResult {
        id: "operator/audit".to_owned(),
        former_secrets_until: vec!["2030-01-01T00:00:00.000Z".to_owned()],
        secret: Some(secret),
    };
    answer(
        &rotated,
        &format!(
            r#"{{"id":"operator/audit","former_secrets_until":["2030-01-01T00:00:00.000Z"],"secret":"{SECRET}"}}"#
        ),
    );
    assert!(!format!("{rotated:?}").contains("whsec_"));
    answer(
        &SecretRotationResult { secret: None, ..rotated },
        r#"{"id":"operator/audit","former_secrets_until":["2030-01-01T00:00:00.000Z"]}"#,
    );
}

#[test]
fn problem_view() {
    let problem = ProblemView {
        title: "Not Found".to_owned(),
        status: 404,
        code: Some("not-found".to_owned()),
        detail: Some("there is no dead letter 7".to_owned()),
    };
    answer(&problem, r#"{"title":"Not Found","status":404,"code":"not-found","detail":"there is no dead letter 7"}"#);
}

#[test]
fn words_of_a_newer_host_are_kept() {
    let status: PluginStatus = serde_json::from_str(r#""warming up""#).unwrap();
    assert_eq!(status, PluginStatus::Other("warming up".to_owned()));
    assert_eq!(serde_json::to_string(&status).unwrap(), r#""warming up""#);
    let newer = r#"{"id":"p/s","status":"throttled","dead_letter_policy":"drop","target":{"queue":"a"}}"#;
    let view: SubscriptionView = serde_json::from_str(newer).unwrap();
    assert_eq!(view.status.as_str(), "throttled");
    assert_eq!(view.rules.dead_letter_policy.as_str(), "drop");
    for word in
        ["running", "running an older file", "rolled back", "drained", "disabled", "broken", "ignored", "removed"]
    {
        let status = PluginStatus::from(word.to_owned());
        assert!(!matches!(status, PluginStatus::Other(_)), "{word}");
        assert_eq!(status.as_str(), word);
    }
}

#[test]
fn done_is_null() {
    assert_eq!(serde_json::to_string(&NoContent).unwrap(), "null");
    for text in ["null", r#"{"a_later_member":1e999}"#] {
        assert_eq!(serde_json::from_str::<NoContent>(text).unwrap(), NoContent);
    }
}
