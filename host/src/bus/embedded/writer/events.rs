//! Events that enter the log, now or later.

use std::sync::Arc;
use std::vec::IntoIter;

use super::super::batch::{Batch, Refused};
use super::super::command::Stored;
use super::super::rows;
use super::Writer;
use crate::bus::{Accepted, CommitError, StoreError};
use crate::clock::Timestamp;
use crate::event::{Event, Logged, Position};
use crate::outcome::Publish;

impl Writer {
    /// Stores the part of a publisher's events that this commit takes, if there is room for all of them.
    pub(super) fn publish(
        &mut self,
        mut events: IntoIter<Publish>,
        goes_on: bool,
        part: usize,
        batch: &mut Batch,
    ) -> Result<Stored, Refused> {
        if !goes_on {
            self.check_room(events.as_slice(), batch)?;
        }
        let mut accepted = Vec::with_capacity(part);
        for Publish { event, due } in events.by_ref().take(part) {
            let id = event.id.clone();
            let stored = self.store_event(event, due, batch)?;
            accepted.push(Accepted { id, duplicate: !stored });
        }
        Ok(Stored { accepted, rest: events })
    }

    /// Whether there is room for what comes from outside. What handlers publish with an ack is let in
    /// always: it takes the place of what they handled, and refusing it could stop a flow for good.
    pub(super) fn check_room(&mut self, events: &[Publish], batch: &Batch) -> Result<(), CommitError> {
        if events.is_empty() {
            return Ok(());
        }
        if let Some(limit) = self.shared.settings.max_log_bytes
            && batch.log.bytes >= limit
        {
            return Err(CommitError::LogFull(limit));
        }
        for Publish { event, .. } in events {
            let takers = self.takers_of(&event.event_type);
            if !takers.limited {
                continue;
            }
            for subscription in &takers.all {
                let progress = subscription.progress();
                let limit = progress.definition.max_backlog.or(self.shared.settings.max_backlog);
                if limit.is_some_and(|limit| progress.backlog >= limit) && progress.definition.filters.matches(event) {
                    return Err(CommitError::BacklogFull(subscription.id.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Appends or schedules an event. Returns whether it is new.
    pub(super) fn store_event(
        &mut self,
        event: Event,
        due: Option<Timestamp>,
        batch: &mut Batch,
    ) -> Result<bool, StoreError> {
        match due {
            Some(due) if due > batch.now => {
                if rows::is_logged(&self.connection, &event)? {
                    return Ok(false);
                }
                batch.rescheduled = true;
                rows::schedule_event(&self.connection, due, &event)
            }
            _ if (self.has_scheduled || batch.rescheduled) && rows::is_scheduled(&self.connection, &event)? => {
                Ok(false)
            }
            _ => self.append(event, batch),
        }
    }

    pub(super) fn append(&mut self, event: Event, batch: &mut Batch) -> Result<bool, StoreError> {
        let type_number = self.type_number(&event.event_type, batch)?;
        let position = Position(batch.log.head.0 + 1);
        // The log's times never go back, also when the clock is set back.
        let stored_at = batch.now.max(batch.log.newest);
        if !rows::append_event(&self.connection, position, type_number, &event, stored_at)? {
            return Ok(false);
        }
        batch.log.head = position;
        batch.log.newest = stored_at;
        batch.log.bytes += event.size_bytes() as u64;
        batch.appended.push(Logged { position, stored_at, event: Arc::new(event) });
        Ok(true)
    }

    fn type_number(&self, name: &str, batch: &mut Batch) -> Result<i64, StoreError> {
        let known = self.shared.types().number(name);
        let new = || batch.types.iter().find(|(_, other)| other == name).map(|(number, _)| *number);
        if let Some(number) = known.or_else(new) {
            return Ok(number);
        }
        let count = self.shared.types().count() + batch.types.len();
        let number = rows::signed(count as u64 + 1);
        rows::add_type(&self.connection, number, name)?;
        batch.types.push((number, name.to_owned()));
        Ok(number)
    }
}
