//! Subscriptions, their replays, and drained plugins.

use super::super::feed_state::ReplayRange;
use crate::bus::window::Pause;
use crate::bus::{EventFilter, StoreError};
use crate::event::Position;
use crate::subscription::{Definition, SubscriptionId};

/// A subscription's row.
pub(in crate::bus) struct SubscriptionRow {
    pub(in crate::bus) number: i64,
    pub(in crate::bus) id: SubscriptionId,
    pub(in crate::bus) dynamic: bool,
    pub(in crate::bus) definition: Definition,
    pub(in crate::bus) cursor: Position,
    /// The position after which the definition selects events.
    pub(in crate::bus) selects_after: Position,
    pub(in crate::bus) pause: Pause,
    /// The range of a replay, and the events that it delivers if not all.
    pub(in crate::bus) replay: Option<(ReplayRange, Option<EventFilter>)>,
}

/// Subscriptions, their replays, and drained plugins.
pub(in crate::bus) trait SubscriptionRows {
    fn subscriptions(&self) -> Result<Vec<SubscriptionRow>, StoreError>;

    fn add_subscription(
        &self,
        id: &SubscriptionId,
        dynamic: bool,
        definition: &Definition,
        cursor: Position,
        pause: Pause,
        replay: Option<(&ReplayRange, Option<&EventFilter>)>,
    ) -> Result<i64, StoreError>;

    fn redefine_subscription(
        &self,
        number: i64,
        definition: &Definition,
        selects_after: Position,
    ) -> Result<(), StoreError>;

    fn pause_subscription(&self, number: i64, pause: Pause) -> Result<(), StoreError>;

    fn move_cursor(&self, number: i64, cursor: Position) -> Result<(), StoreError>;

    /// Deletes a subscription and its pending rows.
    fn delete_subscription(&self, number: i64) -> Result<(), StoreError>;

    fn drained(&self) -> Result<Vec<String>, StoreError>;

    fn set_drained(&self, plugin: &str, drained: bool) -> Result<(), StoreError>;
}
