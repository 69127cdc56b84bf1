use sandbus_sdk::prelude::*;

#[on_event]
fn welcome(user: Event<Vec<u8>>) {}

plugin! { name: "x", handlers: [welcome] }

fn main() {}
