use sandbus_sdk::prelude::*;

#[on_event("user.registered", "user.left")]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
