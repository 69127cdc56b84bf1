use sandbus_sdk::prelude::*;

#[on_event("user.registered", concurrency = 1, concurrency = 2)]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
