use sandbus_sdk::prelude::*;

#[on_schedule("0 9 * * *", missed = "once")]
fn daily(_: Tick) {}

fn main() {}
