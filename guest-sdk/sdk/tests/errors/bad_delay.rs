use sandbus_sdk::prelude::*;

#[on_event("user.registered", retry(initial_delay = "soon"))]
fn welcome(user: Event<Vec<u8>>) {}

fn main() {}
