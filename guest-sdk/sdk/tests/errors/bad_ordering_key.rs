use sandbus_sdk::prelude::*;

#[on_event("user.registered", ordering_key = "customer.id")]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
