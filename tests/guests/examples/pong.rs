//! The other half of the loop of `ping.rs`.

use sandbus_sdk::prelude::*;

#[on_event("ping.sent")]
fn ponged(ping: Event<Vec<u8>>) -> Result<()> {
    state::add("handled", 1)?;
    Message::raw("pong.sent", "application/json", ping.hops().to_string().into_bytes()).publish()?;
    Ok(())
}

#[route(GET, "/pong")]
fn handled() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("handled", 0)?))
}

plugin! { name: "pong", handlers: [ponged], routes: [handled], publishes: ["pong.sent"] }
