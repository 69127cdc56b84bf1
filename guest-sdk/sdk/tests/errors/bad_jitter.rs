use sandbus_sdk::prelude::*;

#[on_event("user.registered", retry(jitter = 50))]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
