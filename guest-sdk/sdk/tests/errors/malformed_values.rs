use sandbus_sdk::prelude::*;

#[on_event("a.b", timeout = 5)]
fn timeout(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry = 5)]
fn retry(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(max_attempts = "5"))]
fn max_attempts(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(max_attempts))]
fn without_value(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(max_attempts = 0))]
fn zero(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(backoff_multiplier = "2"))]
fn backoff_multiplier(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(non_retryable = "trap"))]
fn non_retryable(_: Event<Vec<u8>>) {}

#[on_event("a.b", filters = "x")]
fn filters(_: Event<Vec<u8>>) {}

#[on_event("a.b", filters())]
fn no_filters(_: Event<Vec<u8>>) {}

#[on_event("a.b", name = 5)]
fn name(_: Event<Vec<u8>>) {}

#[on_event(type = "a.b")]
fn pattern(_: Event<Vec<u8>>) {}

#[on_event("a.b", deliveries_per_instance = 5)]
fn of_the_operator(_: Event<Vec<u8>>) {}

#[on_schedule("* * * * *", missed = skip)]
fn missed(_: Tick) {}

#[on_schedule]
fn without_cron(_: Tick) {}

#[route("/users")]
fn without_method() {}

#[route(GET)]
fn without_path() {}

#[route(GET, "/users", timeout = "5s")]
fn with_option() {}

fn main() {}
