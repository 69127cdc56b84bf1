//! Scheduled events, and the schedules of plugins.

use crate::bus::{PluginSchedule, ScheduledCursor, ScheduledEvent, StoreError};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::schedule::Schedule;

/// An event that is no longer scheduled.
pub(in crate::bus) struct RemovedScheduled {
    pub(in crate::bus) event: Event,
    pub(in crate::bus) bytes: u64,
}

/// Scheduled events, and the schedules of plugins.
pub(in crate::bus) trait ScheduleRows {
    fn is_scheduled(&self, event: &Event) -> Result<bool, StoreError>;

    fn is_logged(&self, event: &Event) -> Result<bool, StoreError>;

    /// The event with a source and an id, in the log or scheduled.
    fn find_event(&self, source: &str, id: &str) -> Result<Option<Event>, StoreError>;

    /// Schedules an event, unless one with its source and id is scheduled. Returns its size.
    fn schedule_event(&self, due: Timestamp, event: &Event) -> Result<Option<u64>, StoreError>;

    /// Removes a scheduled event, if it exists.
    fn cancel_event(&self, source: &str, id: &str) -> Result<Option<RemovedScheduled>, StoreError>;

    /// When the next scheduled event is due, or the next tick of an active schedule. Only the writer's connection knows
    /// which schedules are active.
    fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Whether there are scheduled events.
    fn has_scheduled(&self) -> Result<bool, StoreError>;

    /// Scheduled events in order, starting after a cursor.
    fn scheduled_events(&self, after: Option<ScheduledCursor>, limit: usize)
    -> Result<Vec<ScheduledEvent>, StoreError>;

    /// Removes events that are due, in order.
    fn take_scheduled(&self, now: Timestamp, limit: usize) -> Result<Vec<RemovedScheduled>, StoreError>;

    fn schedules(&self) -> Result<Vec<PluginSchedule>, StoreError>;

    /// The active schedules whose next tick is due. For the writer's connection.
    fn due_schedules(&self, now: Timestamp, limit: usize) -> Result<Vec<PluginSchedule>, StoreError>;

    /// Activates or suspends the schedules of a plugin. At first, all are suspended. For the writer's connection.
    fn set_running(&self, plugin: &str, runs: bool) -> Result<(), StoreError>;

    fn find_schedule(&self, plugin: &str, name: &str) -> Result<Option<PluginSchedule>, StoreError>;

    fn put_schedule(
        &self,
        plugin: &str,
        name: &str,
        schedule: &Schedule,
        next: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Records when a schedule is due next.
    fn move_schedule(&self, plugin: &str, name: &str, next: Option<Timestamp>) -> Result<(), StoreError>;

    fn delete_schedule(&self, plugin: &str, name: &str) -> Result<(), StoreError>;
}
