//! Publishes three events for each of its own, in an endless loop.

use sandbus_sdk::prelude::*;

#[on_event("breeder.cell")]
fn breed(_cell: Event<Vec<u8>>) -> Result<()> {
    for _ in 0..3 {
        Message::raw("breeder.cell", "application/octet-stream", vec![b'x'; 1_200]).publish()?;
    }
    Ok(())
}

plugin! { name: "breeder", handlers: [breed], publishes: ["breeder.cell"] }
