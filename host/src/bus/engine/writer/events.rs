//! Events that enter the log, now or later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

use super::super::command::StoredPart;
use super::super::store::RemovedScheduled;
use super::super::usage::HolderTotals;
use super::Writer;
use super::after_commit::{AfterCommit, AfterCommitContext};
use super::batch::{ApplyError, Batch};
use super::duplicates::Stored;
use crate::bus::{CommitError, DEAD_LETTER_TYPE, ProducerLimit, PublishReceipt, StoreError};
use crate::clock::Timestamp;
use crate::event::reserved::publishing_plugin;
use crate::event::{Event, LoggedEvent, Position};
use crate::outcome::Publish;

/// Events that have entered the log.
#[derive(Default)]
pub(super) struct Changes(Vec<LoggedEvent>);

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes the events after the first `length`, which were rolled back.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }
}

impl Writer {
    /// Stores the next `part` events of a publish. The first commit of a publish checks that there is room for all of
    /// its events.
    pub(super) fn publish(
        &mut self,
        mut events: IntoIter<Publish>,
        is_rest: bool,
        part: usize,
        batch: &mut Batch,
    ) -> Result<StoredPart, ApplyError> {
        if !is_rest {
            self.check_publish_limits(events.as_slice(), batch)?;
        }
        let mut accepted = Vec::with_capacity(part);
        for Publish { event, due } in events.by_ref().take(part) {
            let id = event.id.clone();
            let stored = self.store_event(event, due, batch)?;
            if let Stored::Duplicate(duplicate) = &stored {
                self.report_duplicate(duplicate)?;
            }
            accepted.push(PublishReceipt { id, duplicate: !stored.is_new() });
        }
        Ok(StoredPart { accepted, rest: events })
    }

    /// Checks the limits of the log and of the backlogs, for publishers and for requests' handlers. Handlers of
    /// deliveries are subject only to their plugin's own limits, and to the limit on event types. Deliveries of
    /// plugins' events do not count towards a backlog here, so that plugins do not block publishers.
    pub(super) fn check_publish_limits(&mut self, events: &[Publish], batch: &Batch) -> Result<(), CommitError> {
        if events.is_empty() {
            return Ok(());
        }
        let settings = self.shared.settings.load_full();
        if let Some(limit) = settings.max_log_bytes
            && batch.log.bytes + self.usage.bytes_outside_log(&batch.changes.totals.usage) >= limit
        {
            return Err(CommitError::LogFull(limit));
        }
        self.check_types(None, events, batch)?;
        self.check_producers(events, batch)?;
        for Publish { event, .. } in events {
            let matching = self.matching_subscriptions(&event.event_type);
            if !matching.limited && settings.max_backlog.is_none() {
                continue;
            }
            for subscription in &matching.all {
                let window = subscription.window();
                let limit = window.definition.max_backlog.or(settings.max_backlog);
                let backlog = window.backlog.saturating_sub(window.plugin_counts.pending());
                if limit.is_some_and(|limit| backlog >= limit) && window.definition.filters.matches(event) {
                    return Err(CommitError::BacklogFull(subscription.id.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Checks the limits of each producer, so that one producer cannot take the room of others and of plugins.
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
        let settings = self.shared.settings.load();
        for (producer, delayed) in coming {
            let HolderTotals { scheduled, bytes, types: introduced, .. } =
                self.usage.of(producer, &batch.changes.totals.usage);
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

    /// Appends or schedules an event, unless it is a duplicate.
    pub(super) fn store_event(
        &mut self,
        event: Event,
        due: Option<Timestamp>,
        batch: &mut Batch,
    ) -> Result<Stored, StoreError> {
        match due {
            Some(due) if due > batch.now => {
                if self.rows.is_logged(&event)? {
                    return Ok(Stored::Duplicate(event.into()));
                }
                let Some(bytes) = self.rows.schedule_event(due, &event)? else {
                    return Ok(Stored::Duplicate(event.into()));
                };
                let type_number = self.type_number(&event, batch)?;
                batch.changes.totals.usage.scheduled(event.holder(), type_number, bytes, true);
                batch.changes.schedules.mark();
                Ok(Stored::New)
            }
            _ if (self.has_scheduled || batch.changes.schedules.is_marked()) && self.rows.is_scheduled(&event)? => {
                Ok(Stored::Duplicate(event.into()))
            }
            _ => self.append(event, batch),
        }
    }

    /// Appends an event to the log, unless it is a duplicate.
    pub(super) fn append(&mut self, event: Event, batch: &mut Batch) -> Result<Stored, StoreError> {
        let type_number = self.type_number(&event, batch)?;
        let position = Position(batch.log.head.0 + 1);
        // The log's times never go back, even if the clock is set back.
        let stored_at = batch.now.max(batch.log.newest);
        if !self.rows.append_event(position, type_number, &event, stored_at)? {
            return Ok(Stored::Duplicate(event.into()));
        }
        batch.log.head = position;
        batch.log.newest = stored_at;
        let bytes = event.size_bytes() as u64;
        batch.log.bytes += bytes;
        batch.changes.totals.usage.appended(event.holder(), bytes);
        batch.changes.events.0.push(LoggedEvent { position, stored_at, event: Arc::new(event) });
        Ok(Stored::New)
    }

    /// Cancels a scheduled event. Returns whether it existed.
    pub(super) fn cancel_scheduled(&self, source: &str, id: &str, batch: &mut Batch) -> Result<bool, StoreError> {
        batch.changes.schedules.mark();
        let taken = self.rows.cancel_event(source, id)?;
        taken.map_or(Ok(false), |taken| self.subtract_scheduled(&taken, batch).map(|()| true))
    }

    /// Subtracts an event that is no longer scheduled from the usage.
    pub(super) fn subtract_scheduled(&self, taken: &RemovedScheduled, batch: &mut Batch) -> Result<(), StoreError> {
        let RemovedScheduled { event, bytes } = taken;
        let stored = self.shared.types().number(&event.event_type);
        let new =
            || batch.changes.totals.types.iter().find(|(_, name)| *name == event.event_type).map(|(number, _)| *number);
        let number = stored.or_else(new).ok_or_else(|| {
            StoreError::damaged(&format!("the type `{}` of a scheduled event is missing", event.event_type))
        })?;
        batch.changes.totals.usage.scheduled(event.holder(), number, *bytes, false);
        batch.changes.totals.emptied.insert(number);
        Ok(())
    }

    fn offer(&mut self, logged: &LoggedEvent, context: &mut AfterCommitContext) {
        let plugin = publishing_plugin(&logged.event.source);
        let mut counted = 0;
        for subscription in &self.matching_subscriptions(&logged.event.event_type).all {
            let mut window = subscription.window();
            if window.definition.filters.matches(&logged.event) {
                let is_taken = window.offer(logged);
                if let Some(plugin) = plugin.filter(|_| is_taken) {
                    window.plugin_counts.add(plugin, 1, 0);
                    counted += 1;
                }
                drop(window);
                context.wake(subscription);
            }
        }
        if let Some(plugin) = plugin {
            self.usage.holder_mut(plugin).deliveries += counted;
        }
        // A notification tells operators why a handler failed. It must not reach a client as a reply.
        if logged.event.event_type != DEAD_LETTER_TYPE {
            self.shared.reply_waiters.offer(logged);
        }
    }
}

impl AfterCommit for Changes {
    fn apply(self, writer: &mut Writer, context: &mut AfterCommitContext) {
        for logged in &self.0 {
            writer.offer(logged, context);
        }
        // Readers of the log stop at the head: every event up to it has been offered.
        writer.shared.head.store(writer.log.head.0, Ordering::Release);
    }
}
