use sandbus_sdk::prelude::*;

#[on_event("user.registered", dead_letter_policy = "wait")]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
