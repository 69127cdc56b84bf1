//! A plugin built with the SDK that uses WASI 0.3 besides: it rolls dice for events and for requests.

#![cfg(target_family = "wasm")]

use sandbus_sdk::prelude::*;
use wasip3::clocks::monotonic_clock;
use wasip3::random::random;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "dice.rolled")]
struct Rolled {
    chance: u64,
    nanoseconds: u64,
}

impl Rolled {
    fn now() -> Self {
        Self { chance: random::get_random_u64(), nanoseconds: monotonic_clock::now() }
    }
}

#[on_event("dice.wanted")]
fn roll(_: Event<Vec<u8>>) -> Result<()> {
    state::add("rolled", 1)?;
    publish(&Rolled::now())?;
    Ok(())
}

#[route(GET, "/dice")]
fn show() -> Result<Json<Rolled>, Problem> {
    Ok(Json(Rolled::now()))
}

#[route(GET, "/rolled")]
fn rolled() -> Result<Json<i64>, Problem> {
    Ok(Json(state::increment("rolled", 0)?))
}

plugin! { name: "dice-0-3", handlers: [roll], routes: [show, rolled], publishes: [Rolled] }
