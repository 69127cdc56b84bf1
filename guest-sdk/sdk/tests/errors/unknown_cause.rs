use sandbus_sdk::prelude::*;

#[on_event("user.registered", retry(non_retryable = ["trap", "panic"]))]
fn welcome(_: Event<Vec<u8>>) {}

fn main() {}
