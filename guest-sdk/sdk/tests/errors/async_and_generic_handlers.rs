use sandbus_sdk::prelude::*;

#[on_event("a.b")]
async fn handler(_: Event<Vec<u8>>) {}

#[on_event("a.b")]
fn generic<T>(_: Event<T>) {}

#[route(GET, "/a")]
async fn route() {}

fn main() {}
