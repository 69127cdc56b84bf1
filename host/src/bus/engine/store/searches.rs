//! Positions of events, newest first, by each of the indexes, for searches.

use crate::bus::{EventFilter, StoreError};
use crate::event::{LoggedEvent, Position};

/// The positions that are searched: those after `low` and before `high`.
#[derive(Clone, Copy, Debug)]
pub(in crate::bus) struct SearchRange {
    pub(in crate::bus) low: Position,
    pub(in crate::bus) high: Position,
}

/// Positions of events, newest first, by each of the indexes, for searches.
pub(in crate::bus) trait SearchRows {
    /// The newest positions of a range.
    fn positions_in(&self, range: SearchRange, limit: usize) -> Result<Vec<Position>, StoreError>;

    /// The newest positions of a range with events of a type.
    fn positions_of_type(
        &self,
        type_number: i64,
        range: SearchRange,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError>;

    /// The newest positions of a range whose events have this correlation id, or have this text as their id and no
    /// correlation id.
    fn positions_correlated(
        &self,
        correlation: &str,
        range: SearchRange,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError>;

    /// All positions of a range with events whose ids have a prefix, newest first. None if there are more than `limit`.
    fn positions_with_id_prefix(
        &self,
        prefix: &str,
        range: SearchRange,
        limit: usize,
    ) -> Result<Option<Vec<Position>>, StoreError>;

    /// The event at a position, if it has the source and the subject of a filter. The other conditions are not checked.
    fn searched_event(&self, position: Position, filter: &EventFilter) -> Result<Option<LoggedEvent>, StoreError>;
}
