use sandbus_sdk::prelude::*;

fn welcome(_: Event<Vec<u8>>) {}

fn hello() -> Json<u8> {
    Json(1)
}

#[on_event("a.b")]
fn marked(_: Event<Vec<u8>>) {}

plugin! { name: "x", handlers: [marked, welcome], routes: [hello] }

fn main() {}
