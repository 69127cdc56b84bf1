use sandbus_sdk::prelude::*;

#[on_event("user.registered", timeout = 5)]
fn welcome(_: Event<Vec<u8>>) {}

#[route(GET, "/hello/:name")]
fn hello() -> Json<u8> {
    Json(1)
}

plugin! { name: "x", handlers: [welcome], routes: [hello] }

fn main() {}
