//! Events that enter the log, now or later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::vec::IntoIter;

use super::super::batch::{Batch, Refused};
use super::super::command::Stored;
use super::super::error::EngineError;
use super::super::held::Holding;
use super::super::rows::{self, Taken};
use super::Writer;
use crate::bus::{Accepted, CommitError, ProducerLimit, StoreError};
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

    /// Whether there is room for what comes from outside. What handlers publish is held to their plugin's own limits,
    /// and so what waits of it keeps nobody else out.
    pub(super) fn check_room(&mut self, events: &[Publish], batch: &Batch) -> Result<(), CommitError> {
        if events.is_empty() {
            return Ok(());
        }
        if let Some(limit) = self.shared.settings.max_log_bytes
            && batch.log.bytes + self.held.bytes_beside_log(&batch.held) >= limit
        {
            return Err(CommitError::LogFull(limit));
        }
        self.check_types(None, events, batch)?;
        self.check_producers(events, batch)?;
        for Publish { event, .. } in events {
            let takers = self.takers_of(&event.event_type);
            if !takers.limited {
                continue;
            }
            for subscription in &takers.all {
                let progress = subscription.progress();
                let limit = progress.definition.max_backlog.or(self.shared.settings.max_backlog);
                let backlog = progress.backlog.saturating_sub(progress.flows.open());
                if limit.is_some_and(|limit| backlog >= limit) && progress.definition.filters.matches(event) {
                    return Err(CommitError::BacklogFull(subscription.id.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Whether the producers of events may hold more, each for itself: one that fills its share leaves room for the
    /// others, and for plugins.
    fn check_producers(&self, events: &[Publish], batch: &Batch) -> Result<(), CommitError> {
        let mut coming: HashMap<&str, u64> = HashMap::new();
        let mut types: HashMap<&str, HashSet<&str>> = HashMap::new();
        for Publish { event, due } in events {
            let Some(producer) = event.producer.as_deref() else { continue };
            *coming.entry(producer).or_default() += u64::from(due.is_some_and(|due| due > batch.now));
            if self.is_new_type(&event.event_type, batch) {
                types.entry(producer).or_default().insert(&event.event_type);
            }
        }
        let settings = &self.shared.settings;
        for (producer, delayed) in coming {
            let Holding { scheduled, bytes, types: introduced, .. } = self.held.of(producer, &batch.held);
            let full = |limit, most| Err(CommitError::ProducerFull(limit, most));
            if delayed > 0 && scheduled + delayed > settings.max_producer_delayed {
                return full(ProducerLimit::Delayed, settings.max_producer_delayed);
            }
            if let Some(most) = settings.producer_log_bytes().filter(|most| bytes >= *most) {
                return full(ProducerLimit::Bytes, most);
            }
            let (new, most) = (types.get(producer).map_or(0, HashSet::len), settings.max_types / 2);
            if new > 0 && introduced + new > most {
                return full(ProducerLimit::Types, most as u64);
            }
        }
        Ok(())
    }

    fn is_new_type(&self, name: &str, batch: &Batch) -> bool {
        self.shared.types().number(name).is_none() && !batch.types.iter().any(|(_, other)| other == name)
    }

    /// Whether there is room for the types of events that are new. Each is kept in memory as long as it has events. A
    /// plugin may be the first to publish half of them.
    pub(super) fn check_types(
        &self,
        plugin: Option<&str>,
        events: &[Publish],
        batch: &Batch,
    ) -> Result<(), CommitError> {
        let limit = self.shared.settings.max_types;
        let types = self.shared.types();
        let known = types.count() + batch.types.len();
        let own = plugin.map_or(0, |plugin| self.held.of(plugin, &batch.held).types);
        let own_limit = if plugin.is_some() { limit / 2 } else { limit };
        let mut new = HashSet::new();
        for Publish { event, .. } in events {
            let name = event.event_type.as_str();
            if self.is_new_type(name, batch) {
                new.insert(name);
                if known + new.len() > limit {
                    return Err(CommitError::TooManyTypes(limit));
                }
                if let Some(plugin) = plugin.filter(|_| own + new.len() > own_limit) {
                    return Err(CommitError::PluginTypesFull(plugin.to_owned(), own_limit));
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
                let Some(bytes) = rows::schedule_event(&self.connection, due, &event)? else { return Ok(false) };
                let type_number = self.type_number(&event, batch)?;
                batch.held.scheduled(event.holder(), type_number, bytes, true);
                batch.rescheduled = true;
                Ok(true)
            }
            _ if (self.has_scheduled || batch.rescheduled) && rows::is_scheduled(&self.connection, &event)? => {
                Ok(false)
            }
            _ => self.append(event, batch),
        }
    }

    pub(super) fn append(&mut self, event: Event, batch: &mut Batch) -> Result<bool, StoreError> {
        let type_number = self.type_number(&event, batch)?;
        let position = Position(batch.log.head.0 + 1);
        // The log's times never go back, also when the clock is set back.
        let stored_at = batch.now.max(batch.log.newest);
        if !rows::append_event(&self.connection, position, type_number, &event, stored_at)? {
            return Ok(false);
        }
        batch.log.head = position;
        batch.log.newest = stored_at;
        let bytes = event.size_bytes() as u64;
        batch.log.bytes += bytes;
        batch.held.appended(event.holder(), bytes);
        batch.appended.push(Logged { position, stored_at, event: Arc::new(event) });
        Ok(true)
    }

    /// Takes back an event that was to enter the log later. Returns whether it was there.
    pub(super) fn cancel_scheduled(&self, source: &str, id: &str, batch: &mut Batch) -> Result<bool, StoreError> {
        batch.rescheduled = true;
        let taken = rows::cancel_event(&self.connection, source, id)?;
        taken.map_or(Ok(false), |taken| self.unscheduled(&taken, batch).map(|()| true))
    }

    /// Counts off an event that was kept for later.
    pub(super) fn unscheduled(&self, taken: &Taken, batch: &mut Batch) -> Result<(), StoreError> {
        let Taken { event, bytes } = taken;
        let known = self.shared.types().number(&event.event_type);
        let new = || batch.types.iter().find(|(_, name)| *name == event.event_type).map(|(number, _)| *number);
        let number = known.or_else(new).ok_or_else(|| {
            EngineError::Damaged(format!(
                "the type `{}` of an event that is kept for later is missing",
                event.event_type
            ))
        })?;
        batch.held.scheduled(event.holder(), number, *bytes, false);
        batch.emptied.insert(number);
        Ok(())
    }

    /// Forgets the types of which nothing is left, in the log or for later.
    pub(super) fn forget_types(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for number in std::mem::take(&mut batch.emptied) {
            if self.held.scheduled_of(number, &batch.held) > 0 || rows::has_events_of(&self.connection, number)? {
                continue;
            }
            if let Some(name) = rows::delete_type(&self.connection, number)? {
                batch.held.type_bytes -= i64::try_from(name.len()).unwrap_or(i64::MAX);
                batch.types.retain(|(new, _)| *new != number);
                batch.forgotten.push(number);
            }
        }
        Ok(())
    }

    fn type_number(&mut self, event: &Event, batch: &mut Batch) -> Result<i64, StoreError> {
        let name = event.event_type.as_str();
        let known = self.shared.types().number(name);
        let new = || batch.types.iter().find(|(_, other)| other == name).map(|(number, _)| *number);
        if let Some(number) = known.or_else(new) {
            return Ok(number);
        }
        let number = self.next_type;
        self.next_type += 1;
        rows::add_type(&self.connection, number, name)?;
        batch.held.introduced(number, name, event.holder());
        batch.types.push((number, name.to_owned()));
        Ok(number)
    }
}
