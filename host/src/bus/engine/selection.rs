//! The events that a subscription or a replay selects, in the log.

use super::engine_state::Types;
use super::feed_state::FeedState;
use super::store::Rows;
use crate::bus::window::PAGE;
use crate::bus::{EventFilter, StoreError};
use crate::event::{LoggedEvent, Position};
use crate::subscription::Definition;

/// The events that a definition selects. For a replay with a filter, they must match the filter, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'a> {
    pub(super) definition: &'a Definition,
    pub(super) replay_filter: Option<&'a EventFilter>,
}

impl<'a> Selection<'a> {
    /// The events that a subscription or a replay selects by a definition.
    pub(super) fn of(subscription: &'a FeedState, definition: &'a Definition) -> Self {
        Self { definition, replay_filter: subscription.replay_filter.as_ref() }
    }

    /// Whether it includes an event.
    pub(super) fn selects(self, logged: &LoggedEvent) -> bool {
        self.definition.selects(&logged.event) && self.replay_filter.is_none_or(|filter| filter.matches(logged))
    }

    /// The types of the events.
    pub(super) fn types(self, types: &Types) -> Vec<i64> {
        let mut matching = types.matching(&self.definition.pattern);
        if let Some(pattern) = self.replay_filter.and_then(|filter| filter.pattern.as_ref()) {
            let also = types.matching(pattern);
            matching.retain(|number| also.contains(number));
        }
        matching
    }

    /// The number of events of the selected types after a position, up to another one.
    pub(super) fn count_by_type(
        self,
        rows: &dyn Rows,
        types: &Types,
        after: Position,
        until: Position,
    ) -> Result<u64, StoreError> {
        self.types(types).into_iter().map(|number| rows.count_of_type(number, after, until)).sum()
    }

    /// The number of selected events after a position, up to another one. The events are read only if their types alone
    /// do not decide.
    pub(super) fn count(
        self,
        rows: &dyn Rows,
        types: &Types,
        after: Position,
        until: Position,
    ) -> Result<u64, StoreError> {
        if self.definition.filters.is_empty() && self.replay_filter.is_none_or(EventFilter::is_by_type) {
            return self.count_by_type(rows, types, after, until);
        }
        let mut count = 0;
        for number in self.types(types) {
            let mut after = after;
            loop {
                let page = rows.events_of_type(number, after, PAGE)?;
                count += page.iter().filter(|logged| logged.position <= until && self.selects(logged)).count() as u64;
                match page.last() {
                    Some(last) if last.position < until => after = last.position,
                    _ => break,
                }
            }
        }
        Ok(count)
    }

    /// A page of the events after a position, up to another one. Returns also how far the page extends.
    pub(super) fn read(
        self,
        rows: &dyn Rows,
        types: &[i64],
        after: Position,
        until: Position,
    ) -> Result<(Vec<LoggedEvent>, Position), StoreError> {
        /// With more types than this, reading the whole log is faster than querying each type.
        const TYPES_LIMIT: usize = 16;
        let mut events = if types.len() > TYPES_LIMIT || self.definition.pattern.matches_everything() {
            rows.events_after(after, PAGE)?
        } else {
            let mut found = Vec::new();
            for number in types {
                found.extend(rows.events_of_type(*number, after, PAGE)?);
            }
            found.sort_by_key(|logged| logged.position);
            found
        };
        let complete = events.len() < PAGE;
        events.truncate(PAGE);
        let through = if complete { until } else { events.last().map_or(until, |last| last.position) }.min(until);
        events.retain(|logged| logged.position <= through && self.selects(logged));
        Ok((events, through))
    }
}
