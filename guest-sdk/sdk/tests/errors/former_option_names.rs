use sandbus_sdk::prelude::*;

#[on_event("a.b", retry(attempts = 5))]
fn attempts(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(first_delay = "1s"))]
fn first_delay(_: Event<Vec<u8>>) {}

#[on_event("a.b", retry(factor = 2.0))]
fn factor(_: Event<Vec<u8>>) {}

#[on_schedule("* * * * *", retry(permanent = ["trap"]))]
fn permanent(_: Tick) {}

#[on_event("a.b", filter(exact(subject = "x")))]
fn filter(_: Event<Vec<u8>>) {}

#[on_event("a.b", on_dead_letter = "park")]
fn on_dead_letter(_: Event<Vec<u8>>) {}

fn main() {}
