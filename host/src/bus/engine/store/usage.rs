//! Usage of the store: event types, the sizes of each holder's events, and the secret for ids.

use std::collections::HashMap;

use crate::bus::StoreError;
use crate::event::Position;

/// The scheduled events of one type and one holder.
pub(in crate::bus) struct ScheduledUsage {
    /// The holder against whose usage they count.
    pub(in crate::bus) holder: Option<String>,
    pub(in crate::bus) event_type: String,
    pub(in crate::bus) count: u64,
    pub(in crate::bus) bytes: u64,
}

/// Tables with deliveries.
#[derive(Clone, Copy)]
pub(in crate::bus) enum DeliveryTable {
    Pending,
    DeadLetters,
}

/// Usage of the store: event types, the sizes of each holder's events, and the secret for ids.
pub(in crate::bus) trait UsageRows {
    /// The secret from which ids of published events are derived.
    fn secret(&self) -> Result<Vec<u8>, StoreError>;

    /// The size of the events in the log that count against each holder, in the table `publishers`.
    fn log_bytes_by_holder(&self) -> Result<Vec<(String, u64)>, StoreError>;

    fn put_log_bytes(&self, holder: &str, bytes: u64) -> Result<(), StoreError>;

    /// The scheduled events by holder and type.
    fn scheduled_usage(&self) -> Result<Vec<ScheduledUsage>, StoreError>;

    /// The number of a subscription's deliveries with rows, or of its dead letters, for each plugin that published
    /// their events.
    fn rows_by_plugin(&self, table: DeliveryTable, subscription: i64) -> Result<Vec<(String, u64)>, StoreError>;

    /// The number of events of a type, after a position and up to another one, for each plugin.
    fn events_by_plugin(
        &self,
        type_number: i64,
        after: Position,
        until: Position,
    ) -> Result<Vec<(String, u64)>, StoreError>;

    /// The source of an event, if it exists.
    fn source_of(&self, position: Position) -> Result<Option<String>, StoreError>;

    fn types(&self) -> Result<Vec<(i64, String)>, StoreError>;

    fn add_type(&self, number: i64, name: &str) -> Result<(), StoreError>;

    /// The holder of the first event of a type in the log, if there is one.
    fn first_holder_of(&self, type_number: i64) -> Result<Option<String>, StoreError>;

    /// The holder of the first scheduled event of each type, if it has one.
    fn first_scheduled_holders(&self) -> Result<HashMap<String, Option<String>>, StoreError>;

    /// Whether the log has events of a type.
    fn has_events_of(&self, type_number: i64) -> Result<bool, StoreError>;

    /// Deletes a type. Returns its name, if it existed.
    fn delete_type(&self, type_number: i64) -> Result<Option<String>, StoreError>;

    /// Deletes the types that have no events, neither in the log nor scheduled.
    fn forget_unused_types(&self) -> Result<usize, StoreError>;
}
