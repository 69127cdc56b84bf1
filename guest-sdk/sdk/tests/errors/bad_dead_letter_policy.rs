use sandbus_sdk::prelude::*;

#[on_event("user.registered", on_dead_letter = "wait")]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
