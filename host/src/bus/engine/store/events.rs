//! The event log.

use crate::bus::{EventPlace, StoreError};
use crate::clock::Timestamp;
use crate::event::{Event, LoggedEvent, Position};

/// The state of the log as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::bus) struct Log {
    /// The position of the newest event.
    pub(in crate::bus) head: Position,
    /// Events up to here were deleted, except those that deliveries or dead letters need.
    pub(in crate::bus) floor: Position,
    /// The size of the events.
    pub(in crate::bus) bytes: u64,
    /// When the newest event was stored.
    pub(in crate::bus) newest: Timestamp,
}

/// An event that may be deleted.
pub(in crate::bus) struct OldestEvent {
    pub(in crate::bus) position: Position,
    pub(in crate::bus) stored_at: Timestamp,
    pub(in crate::bus) bytes: u64,
}

/// An event that was deleted.
pub(in crate::bus) struct DeletedEvent {
    pub(in crate::bus) bytes: u64,
    pub(in crate::bus) type_number: i64,
    /// The holder against whose usage it counted.
    pub(in crate::bus) holder: Option<String>,
}

/// The event log.
pub(in crate::bus) trait EventRows {
    /// Appends an event, unless the log has one with its source and id.
    fn append_event(
        &self,
        position: Position,
        type_number: i64,
        event: &Event,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Events of one type after a position, in order.
    fn events_of_type(&self, type_number: i64, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StoreError>;

    /// Events of all types after a position, in order.
    fn events_after(&self, after: Position, limit: usize) -> Result<Vec<LoggedEvent>, StoreError>;

    /// Events in reverse order, starting before a position or with the newest one.
    fn events_before(&self, before: Option<Position>, limit: usize) -> Result<Vec<LoggedEvent>, StoreError>;

    /// Events with an id. Events of different sources may share one.
    fn events_with_id(&self, id: &str) -> Result<Vec<LoggedEvent>, StoreError>;

    /// The number of events of a type after a position, up to another one.
    fn count_of_type(&self, type_number: i64, after: Position, until: Position) -> Result<u64, StoreError>;

    /// The position before the first event that was stored at or after a time. The log's times never go back, so it is
    /// found by binary search.
    fn position_before(&self, time: Timestamp) -> Result<Position, StoreError> {
        // Events up to `low` are older, and events from `high` on are not.
        let (mut low, mut high) = (0, self.log()?.head.0 + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.first_from(Position(middle))? {
                Some(EventPlace { position, stored_at }) if stored_at < time => low = position.0.max(middle),
                _ => high = middle,
            }
        }
        Ok(Position(low))
    }

    /// The first event at a position or after it.
    fn first_from(&self, position: Position) -> Result<Option<EventPlace>, StoreError>;

    fn log(&self) -> Result<Log, StoreError>;

    fn put_log(&self, log: &Log) -> Result<(), StoreError>;

    /// The oldest and the newest event, both from one moment.
    fn ends_of_log(&self) -> Result<[Option<EventPlace>; 2], StoreError>;

    /// The oldest events after a position.
    fn oldest_events(&self, after: Position, limit: usize) -> Result<Vec<OldestEvent>, StoreError>;

    /// Deletes an event that no delivery needs. None if it is needed or does not exist.
    fn delete_event(&self, position: Position) -> Result<Option<DeletedEvent>, StoreError>;

    /// Deletes the events after a position, all of which this transaction has appended.
    fn take_back_events(&self, after: Position) -> Result<Vec<DeletedEvent>, StoreError>;
}
