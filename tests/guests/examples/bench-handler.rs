//! The handler that the benchmark compares with a native one. It parses about 500 bytes of JSON and publishes one
//! event.

use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "bench.order")]
struct Order {
    id: String,
    customer: String,
    note: String,
    lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    article: String,
    count: u32,
    cents: u64,
}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "bench.invoice")]
struct Invoice {
    order: String,
    customer: String,
    cents: u64,
}

#[on_event]
fn invoice(order: Order) -> Result<()> {
    let cents = order.lines.iter().map(|line| u64::from(line.count) * line.cents).sum();
    publish(&Invoice { order: order.id, customer: order.customer, cents })?;
    Ok(())
}

plugin! { name: "bench-handler", handlers: [invoice], publishes: [Invoice] }
