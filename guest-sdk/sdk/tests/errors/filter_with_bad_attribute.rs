use sandbus_sdk::prelude::*;

#[on_event("user.registered", filters(exact(Subject = "x")))]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
