//! The names of the SDK's capabilities are those of the table that all SDKs share: `conformance/capabilities.json`.
//! Each name here is compiled, and stands in the table; each name of the table stands here.

#![allow(missing_docs, unused_imports, clippy::unwrap_used, reason = "it is a test")]

use std::collections::BTreeSet;

use sandbus_sdk::prelude::*;
use sandbus_sdk::subscriptions::{RetryPolicy, Subscription};
use sandbus_sdk::testing::{FakeHost, Published};
use sandbus_sdk::{BusError, client, http, subscriptions};

/// Items of the SDK by their paths.
macro_rules! items {
    ($($first:ident$(::$rest:ident)*),* $(,)?) => {
        $(const _: () = {
            use sandbus_sdk::$first$(::$rest)* as _;
        };)*
        const ITEMS: &[&str] = &[$(concat!(stringify!($first) $(, "::", stringify!($rest))*)),*];
    };
}

/// Members of types: methods and variants are values of their paths, and fields are read.
macro_rules! members {
    ($($name:literal: $use:expr;)*) => {
        #[allow(dead_code, unused_must_use, path_statements, clippy::all, clippy::pedantic, reason = "it is only compiled")]
        fn members() {
            $({ let _ = $use; })*
        }
        const MEMBERS: &[&str] = &[$($name),*];
    };
}

items! {
    on_event, route, on_schedule, Event, Tick, publish, publish_many, Message, cancel, now, random_bytes, BusError,
    http::reply, http::Request, http::Response, http::Problem,
    state, state::get, state::set, state::get_bytes, state::set_bytes, state::delete, state::exists, state::keys,
    state::increment, state::add, state::sequence, state::StateError,
    config::get, config::require,
    prelude::trace, prelude::debug, prelude::info, prelude::warn, prelude::error,
    subscriptions::RetryPolicy, subscriptions::unsubscribe, subscriptions::Webhook,
    client::Request, client::get, client::post, client::put, client::patch, client::delete, client::Response,
    client::SendError,
    testing::FakeHost, testing::event, testing::tick,
}

members! {
    "Event::id": |event: Event<()>| event.id;
    "Event::source": |event: Event<()>| event.source;
    "Event::event_type": |event: Event<()>| event.event_type;
    "Event::subject": |event: Event<()>| event.subject;
    "Event::time": |event: Event<()>| event.time;
    "Event::content_type": |event: Event<()>| event.content_type;
    "Event::schema": |event: Event<()>| event.schema;
    "Event::extensions": |event: Event<()>| event.extensions;
    "Event::subscription": |event: Event<()>| event.subscription;
    "Event::attempt": |event: Event<()>| event.attempt;
    "Event::replay": |event: Event<()>| event.replay;
    "Event::data": |event: Event<Vec<u8>>| event.data;
    "Event::causation": Event::<()>::causation;
    "Event::correlation": Event::<()>::correlation;
    "Event::hops": Event::<()>::hops;
    "Message::subject": |message: Message| message.subject("");
    "Message::extension": |message: Message| message.extension("", "");
    "Message::delay": Message::delay;
    "Message::at": |message: Message| message.at("");
    "Message::raw": || Message::raw("", "", Vec::new());
    "Message::schema": |message: Message| message.schema("");
    "Failure::Retry": |failure: Failure| matches!(failure, Failure::Retry { delay: None, .. });
    "Failure::retry": || Failure::retry("");
    "Failure::Reject": |failure: Failure| matches!(failure, Failure::Reject { .. });
    "Failure::reject": || Failure::reject("");
    "http::Request::method": |request: Request| request.method;
    "http::Request::route": |request: Request| request.route;
    "http::Request::path": |request: Request| request.path;
    "http::Request::params": |request: Request| request.params;
    "http::Request::query": |request: Request| request.query;
    "http::Request::headers": |request: Request| request.headers;
    "http::Request::body": |request: Request| request.body;
    "http::Request::header": Request::header;
    "http::Request::header_values": |request: Request| request.header_values("").count();
    "http::Request::json": Request::json::<()>;
    "subscriptions::RetryPolicy::max_attempts": RetryPolicy::max_attempts;
    "subscriptions::RetryPolicy::initial_delay": RetryPolicy::initial_delay;
    "subscriptions::RetryPolicy::backoff_multiplier": RetryPolicy::backoff_multiplier;
    "subscriptions::RetryPolicy::max_delay": RetryPolicy::max_delay;
    "subscriptions::RetryPolicy::jitter": RetryPolicy::jitter;
    "subscriptions::RetryPolicy::non_retryable": |policy: RetryPolicy| policy.non_retryable([]);
    "subscriptions::Subscription::new": || Subscription::new("", "");
    "subscriptions::Subscription::subscribe": Subscription::subscribe;
    "subscriptions::Subscription::to": Subscription::to;
    "subscriptions::Subscription::filter": Subscription::filter;
    "subscriptions::Subscription::start": Subscription::start;
    "subscriptions::Subscription::concurrency": Subscription::concurrency;
    "subscriptions::Subscription::ordering_key": |subscription: Subscription| subscription.ordering_key("");
    "subscriptions::Subscription::dead_letter_policy": Subscription::dead_letter_policy;
    "subscriptions::Subscription::retry": Subscription::retry;
    "subscriptions::Target::Plugin": subscriptions::Target::Plugin;
    "client::Request::header": |request: client::Request| request.header("", "");
    "client::Request::json": client::Request::json::<()>;
    "client::Request::body": |request: client::Request| request.body("");
    "client::Request::timeout": client::Request::timeout;
    "client::Response::status": |response: client::Response| response.status;
    "client::Response::headers": |response: client::Response| response.headers;
    "client::Response::body": |response: client::Response| response.body;
    "client::Response::success": client::Response::success;
    "client::Response::header": client::Response::header;
    "client::Response::header_values": |response: client::Response| response.header_values("").count();
    "client::Response::json": client::Response::json::<()>;
    "client::SendError::is_permanent": client::SendError::is_permanent;
    "testing::FakeHost::answers": FakeHost::answers;
    "testing::FakeHost::run": |host: FakeHost| host.run(|| Ok::<_, ()>(()));
    "testing::FakeHost::advance": FakeHost::advance;
    "testing::FakeHost::now": FakeHost::now;
    "testing::FakeHost::published": FakeHost::published;
    "testing::FakeHost::state": FakeHost::state;
    "testing::FakeHost::logs": FakeHost::logs;
    "testing::FakeHost::sent": FakeHost::sent;
    "testing::FakeHost::subscriptions": FakeHost::subscriptions;
    "testing::FakeHost::replies": FakeHost::replies;
    "testing::Published::id": |published: Published| published.id;
    "testing::Published::event_type": |published: Published| published.event_type;
    "testing::Published::subject": |published: Published| published.subject;
    "testing::Published::extensions": |published: Published| published.extensions;
    "testing::Published::due": |published: Published| published.due;
    "testing::Published::data": |published: Published| published.data;
}

/// The sections of `plugin!` and the options of the attributes, which are compiled below.
const OPTIONS: &[&str] = &[
    "plugin!",
    "plugin!(name)",
    "plugin!(publishes)",
    "plugin!(subscribes)",
    "plugin!(config)",
    "on_event(name)",
    "on_event(filters)",
    "on_event(start)",
    "on_event(concurrency)",
    "on_event(ordering_key)",
    "on_event(dead_letter_policy)",
    "on_event(max_backlog)",
    "on_event(retry)",
    "on_event(timeout)",
    "on_schedule(name)",
    "on_schedule(timezone)",
    "on_schedule(missed)",
    "on_schedule(retry)",
    "on_schedule(timeout)",
];

#[on_event(
    "a.b",
    name = "a",
    filters(exact(subject = "x")),
    start = "now",
    concurrency = 1,
    ordering_key = "subject",
    dead_letter_policy = "park",
    max_backlog = 1,
    retry(
        max_attempts = 1,
        initial_delay = "1s",
        backoff_multiplier = 1,
        max_delay = "1s",
        jitter = 0,
        non_retryable = [],
    ),
    timeout = "1s",
)]
fn event(_: Event<Vec<u8>>) {}

#[on_schedule("* * * * *", name = "b", timezone = "UTC", missed = "skip", retry(max_attempts = 1), timeout = "1s")]
fn tick(_: Tick) {}

#[route(GET, "/")]
fn home() {}

plugin! {
    name: "names",
    handlers: [event, tick],
    routes: [home],
    publishes: ["a.b"],
    subscribes: ["a.b"],
    config: ["a" = "b", "c"],
}

#[test]
fn names_are_those_of_the_table() {
    let table: serde_json::Value = serde_json::from_str(include_str!("../../conformance/capabilities.json")).unwrap();
    let rows = table["capabilities"].as_array().unwrap();
    let expected: BTreeSet<_> = rows.iter().filter_map(|row| row["rust"].as_str()).collect();
    // The lines of `log` are macros of the prelude.
    let names = ITEMS.iter().chain(MEMBERS).chain(OPTIONS).map(|name| name.trim_start_matches("prelude::"));
    let names: BTreeSet<_> = names.collect();
    let difference: Vec<_> = names.symmetric_difference(&expected).collect();
    assert!(difference.is_empty(), "these names are in one of the two alone: {difference:?}");
}
