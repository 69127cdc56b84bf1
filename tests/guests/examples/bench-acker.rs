//! Acknowledges events and does nothing else.

use sandbus_sdk::prelude::*;

#[on_event("bench.taken")]
fn take(_: Event<Vec<u8>>) -> Result<()> {
    Ok(())
}

plugin! { name: "bench-acker", handlers: [take] }
