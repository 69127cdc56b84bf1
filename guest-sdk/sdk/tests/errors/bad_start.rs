use sandbus_sdk::prelude::*;

#[on_event("user.registered", start = "yesterday")]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
