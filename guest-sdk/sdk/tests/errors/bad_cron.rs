use sandbus_sdk::prelude::*;

#[on_schedule("0 9 * *")]
fn daily(_: Tick) {}

fn main() {}
