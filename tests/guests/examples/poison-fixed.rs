//! The plugin of `poison.rs`, fixed.

use sandbus_sdk::prelude::*;

#[on_event("poison.pill", retry(max_attempts = 2, initial_delay = "10ms"))]
fn swallow(event: Event<Vec<u8>>) -> Result<()> {
    state::add("swallowed", 1)?;
    info!("swallowed {}", event.id);
    Ok(())
}

#[route(GET, "/poison")]
fn swallowed() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("swallowed", 0)?))
}

plugin! { name: "poison", handlers: [swallow], routes: [swallowed] }
