use sandbus_sdk::prelude::*;

#[on_event("user.registered", filters(not(sql(subject = "x"))))]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
