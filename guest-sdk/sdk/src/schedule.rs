//! The argument of a schedule's handler.

use std::time::SystemTime;

use crate::bindings::sandbus::plugin::types;
use crate::{Event, EventArgument, Failure, rfc3339};

/// One of a schedule's times: the argument of a function with [`on_schedule`](crate::on_schedule).
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
    /// The scheduled time. It is in the past if the time was missed, or the attempt is a retry.
    pub due: SystemTime,
    /// The number of the attempt, starting at 1.
    pub attempt: u32,
    /// The event of the tick.
    pub event: Event<Vec<u8>>,
}

impl EventArgument for Tick {
    const TYPE: Option<&'static str> = None;

    fn from_delivery(delivery: types::Delivery) -> Result<Self, Failure> {
        let event = Event::from_delivery(delivery)?;
        let due = event.time.as_deref().and_then(rfc3339::parse);
        let due = due.ok_or_else(|| Failure::reject("the event of the tick has no valid `time`"))?;
        Ok(Self { due, attempt: event.attempt, event })
    }
}
