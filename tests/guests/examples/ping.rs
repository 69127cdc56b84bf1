//! One half of an endless loop: each ping causes a pong (`pong.rs`), and each pong causes a ping.

use sandbus_sdk::prelude::*;

#[on_event("pong.sent")]
fn pinged(pong: Event<Vec<u8>>) -> Result<()> {
    state::add("handled", 1)?;
    Message::raw("ping.sent", "application/json", pong.hops().to_string().into_bytes()).publish()?;
    Ok(())
}

#[route(GET, "/ping")]
fn handled() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("handled", 0)?))
}

plugin! { name: "ping", handlers: [pinged], routes: [handled], publishes: ["ping.sent"] }
