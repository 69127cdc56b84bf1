use sandbus_sdk::prelude::*;

#[on_event("user.registered")]
fn welcome(user: Event<Vec<u8>>) -> u8 {
    5
}

fn main() {}
