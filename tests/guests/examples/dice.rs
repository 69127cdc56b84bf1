//! Publishes random numbers and the time.

use std::time::SystemTime;

use sandbus_sdk::prelude::*;
use sandbus_sdk::{now, random_u64};

#[derive(Event, Serialize, Deserialize)]
#[event(type = "dice.rolled")]
struct Rolled {
    chance: u64,
    milliseconds: u128,
}

#[on_event("dice.wanted")]
fn roll(_: Event<Vec<u8>>) -> Result<()> {
    let milliseconds = now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    publish(&Rolled { chance: random_u64(), milliseconds })?;
    Ok(())
}

plugin! { name: "dice", handlers: [roll], publishes: [Rolled] }
