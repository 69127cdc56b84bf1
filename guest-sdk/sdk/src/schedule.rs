//! What a schedule's handler takes.

use std::time::SystemTime;

use crate::bindings::sandbus::plugin::types;
use crate::{Event, EventArgument, Failure, rfc3339};

/// One of a schedule's times, as [`on_schedule`](crate::on_schedule) hands it to its function.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[on_schedule("*/15 * * * *")]
/// fn tidy(tick: Tick) -> Result<()> {
///     info!("the time is {:?}, attempt {}", tick.due, tick.attempt);
///     state::set("tidied", &tick.event.time)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The time that it stands for, which is earlier than now if it was missed or is tried again.
    pub due: SystemTime,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The event that it came as.
    pub event: Event<Vec<u8>>,
}

impl EventArgument for Tick {
    const TYPE: Option<&'static str> = None;

    fn from_delivery(delivery: types::Delivery) -> Result<Self, Failure> {
        let event = Event::from_delivery(delivery)?;
        let due = event.time.as_deref().and_then(rfc3339::parse);
        let due = due.ok_or_else(|| Failure::reject("the event has no time that its schedule could mean"))?;
        Ok(Self { due, attempt: event.attempt, event })
    }
}
