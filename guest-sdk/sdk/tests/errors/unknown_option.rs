use sandbus_sdk::prelude::*;

#[on_event("user.registered", atempts = 5)]
fn welcome(user: Event<Vec<u8>>) {}

fn main() {}
