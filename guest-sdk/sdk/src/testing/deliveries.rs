//! Deliveries for tests of handlers that take more than the data.

use std::time::SystemTime;

use crate::{Event, Tick, rfc3339};

/// An event of a type at its first attempt. Use the update syntax to set further attributes, such as those of a replay:
///
/// ```
/// use sandbus_sdk::prelude::*;
/// use sandbus_sdk::testing::{self, FakeHost};
///
/// fn notify(order: Event<String>) -> Result<()> {
///     if !order.replay {
///         info!("{} in attempt {}", order.data, order.attempt);
///     }
///     Ok(())
/// }
///
/// let host = FakeHost::new();
/// let order = testing::event("order.placed", "bread".to_owned());
/// host.run(|| notify(Event { attempt: 2, ..order.clone() })).unwrap();
/// host.run(|| notify(Event { replay: true, ..order })).unwrap();
/// assert_eq!(host.logs(), ["bread in attempt 2"]);
/// ```
#[must_use]
pub fn event<T>(event_type: &str, data: T) -> Event<T> {
    Event {
        id: "event".to_owned(),
        source: "/test".to_owned(),
        event_type: event_type.to_owned(),
        subject: None,
        time: None,
        content_type: None,
        schema: None,
        extensions: Vec::new(),
        subscription: "test".to_owned(),
        attempt: 1,
        replay: false,
        data,
    }
}

/// The tick of a schedule for a time, at its first attempt.
///
/// ```
/// use std::time::Duration;
/// use sandbus_sdk::prelude::*;
/// use sandbus_sdk::testing::{self, FakeHost};
///
/// #[on_schedule("0 9 * * *")]
/// fn daily(tick: Tick) -> Result<()> {
///     Ok(state::set("last", &tick.event.time)?)
/// }
///
/// let host = FakeHost::new();
/// host.run(|| daily(testing::tick(host.now()))).unwrap();
/// assert_eq!(host.state("last").unwrap(), b"\"2030-01-01T00:00:00Z\"");
/// ```
#[must_use]
pub fn tick(due: SystemTime) -> Tick {
    let event = Event { time: Some(rfc3339::format(due)), ..event("schedule.test.tick", Vec::new()) };
    Tick { due, attempt: event.attempt, event }
}
