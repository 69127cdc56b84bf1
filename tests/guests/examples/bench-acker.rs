//! Takes events, and does nothing with them.

use sandbus_sdk::prelude::*;

#[on_event("bench.taken")]
fn take(_: Event<Vec<u8>>) -> Result<()> {
    Ok(())
}

plugin! { name: "bench-acker", handlers: [take] }
