//! Always fails.

use sandbus_sdk::prelude::*;

#[on_event("poison.pill", retry(max_attempts = 2, initial_delay = "10ms"))]
#[allow(clippy::panic, reason = "that is its purpose")]
fn swallow(_: Event<Vec<u8>>) -> Result<()> {
    panic!("this handler cannot swallow");
}

plugin! { name: "poison", handlers: [swallow] }
