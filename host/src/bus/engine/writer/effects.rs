//! The effects of invocations. They are applied if the state that the invocation read is unchanged.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::sequences;
use super::super::store::DeletedEvent;
use super::super::usage::HolderTotals;
use super::Writer;
use super::batch::{ApplyError, Batch};
use crate::bus::CommitError;
use crate::event::reserved::plugin_source;
use crate::outcome::{Effects, Publish, SubscriptionChange, Version, Write};
use crate::subscription::SubscriptionId;

/// The maximum number of subscriptions that one plugin may create at run time.
const DYNAMIC_LIMIT: usize = 1_000;

/// A key of the state and its new value. None deletes the key.
type NewValue = (String, Option<Vec<u8>>);

impl Writer {
    /// Commits the effects of an invocation that does not handle a delivery, if there is room for its events.
    pub(super) fn commit_effects(
        &mut self,
        plugin: &str,
        effects: Effects,
        batch: &mut Batch,
    ) -> Result<(), ApplyError> {
        self.check_publish_limits(&effects.publishes, batch)?;
        self.apply_effects(plugin, effects, batch)
    }

    /// Applies effects. Everything is checked before anything is written, since other changes share the transaction.
    pub(super) fn apply_effects(
        &mut self,
        plugin: &str,
        effects: Effects,
        batch: &mut Batch,
    ) -> Result<(), ApplyError> {
        self.check_reads(plugin, &effects)?;
        let values = self.new_values(plugin, &effects)?;
        self.check_subscriptions(plugin, &effects, batch)?;
        self.check_plugin_usage(plugin, &effects.publishes, batch)?;
        self.check_types(Some(plugin), &effects.publishes, batch)?;
        // The only part that can still be refused goes first.
        self.store_events(effects.publishes, batch)?;

        for (key, value) in values {
            let version = value.is_some().then_some(Version(self.next_version));
            self.shared.state_changes.note(plugin, version, self.log.head);
            match value {
                Some(value) => {
                    self.rows.set_state(plugin, &key, &value, Version(self.next_version))?;
                    self.next_version += 1;
                }
                None => self.rows.delete_state(plugin, &key)?,
            }
        }
        for change in effects.subscriptions {
            let id = |name| SubscriptionId { owner: plugin.to_owned(), name };
            match change {
                SubscriptionChange::Subscribe { name, definition, start } => {
                    self.put_subscription(id(name), true, *definition, start, batch)?;
                }
                SubscriptionChange::Unsubscribe { name } => {
                    if let Some(subscription) = self.find(&id(name), batch).filter(|one| one.dynamic) {
                        self.delete_with_replays(&subscription, batch)?;
                    }
                }
            }
        }
        for id in effects.cancels {
            self.cancel_scheduled(&plugin_source(plugin), &id, batch)?;
        }
        Ok(())
    }

    /// Stores the events that a handler publishes: all of them, or none if one has the source and id of another
    /// event. The host generates these ids, so such an event cannot be a repetition. Dropping it as a duplicate would
    /// lose it.
    fn store_events(&mut self, publishes: Vec<Publish>, batch: &mut Batch) -> Result<(), ApplyError> {
        let (log, appended) = (batch.log, batch.changes.events.len());
        let mut scheduled = Vec::new();
        for Publish { event, due } in publishes {
            let (source, id) = (event.source.clone(), event.id.clone());
            let is_later = due.is_some_and(|due| due > batch.now);
            if self.store_event(event, due, batch)?.is_new() {
                scheduled.extend(is_later.then_some((source, id)));
                continue;
            }
            for DeletedEvent { bytes, type_number, holder } in self.rows.take_back_events(log.head)? {
                batch.changes.totals.usage.taken_back(holder.as_deref(), bytes);
                batch.changes.totals.emptied.insert(type_number);
            }
            for (source, id) in scheduled {
                self.cancel_scheduled(&source, &id, batch)?;
            }
            batch.log = log;
            batch.changes.events.truncate(appended);
            tracing::error!(source, id, "cannot publish an event, because another one has its source and id");
            crate::bus::counters::count_collision();
            return Err(CommitError::Collision { publisher: source, id }.into());
        }
        Ok(())
    }

    /// Checks a plugin's own limits. A plugin that publishes to itself in an endless loop must not fill the log,
    /// which others share.
    fn check_plugin_usage(&self, plugin: &str, publishes: &[Publish], batch: &Batch) -> Result<(), CommitError> {
        if publishes.is_empty() {
            return Ok(());
        }
        let settings = self.shared.settings.load();
        let limits = self.usage.holders.get(plugin).map(|held| held.limits).unwrap_or_default();
        let HolderTotals { waiting, bytes, .. } = self.usage.of(plugin, &batch.changes.totals.usage);
        let backlog = limits.waiting_events.unwrap_or(settings.max_plugin_backlog);
        if waiting >= backlog {
            return Err(CommitError::PluginBacklogFull(plugin.to_owned(), backlog));
        }
        let log_bytes = limits.log_bytes.or(settings.plugin_log_bytes());
        match log_bytes.filter(|limit| bytes >= *limit) {
            Some(limit) => Err(CommitError::PluginLogFull(plugin.to_owned(), limit)),
            None => Ok(()),
        }
    }

    /// Reserves numbers of a sequence, which nobody else receives, now or after a crash.
    pub(super) fn reserve(&self, plugin: &str, name: &str, length: u64) -> Result<Range<u64>, ApplyError> {
        let first = self.rows.first_unreserved(plugin, name)?;
        if first.is_none() && self.rows.count_sequences(plugin)? >= sequences::LIMIT {
            return Err(CommitError::TooManySequences(sequences::LIMIT).into());
        }
        let first = first.unwrap_or(1);
        let next = first.saturating_add(length).min(i64::MAX.unsigned_abs());
        if next == first {
            return Err(CommitError::SequenceExhausted(name.to_owned()).into());
        }
        self.rows.put_first_unreserved(plugin, name, next)?;
        Ok(first..next)
    }

    fn check_reads(&self, plugin: &str, effects: &Effects) -> Result<(), ApplyError> {
        for (key, version) in &effects.reads.keys {
            if self.rows.state_version(plugin, key)? != *version {
                return Err(CommitError::Conflict(key.clone()).into());
            }
        }
        if let Some(listing) = effects.reads.listing
            && self.rows.state_listing(plugin)? != listing
        {
            return Err(CommitError::Conflict("the set of keys".to_owned()).into());
        }
        Ok(())
    }

    fn new_values(&self, plugin: &str, effects: &Effects) -> Result<Vec<NewValue>, ApplyError> {
        let mut values = Vec::with_capacity(effects.writes.len());
        for (key, write) in &effects.writes {
            let value = match write {
                Write::Set(value) => Some(value.clone()),
                Write::Delete => None,
                Write::Add(delta) => {
                    let (present, _) = self.rows.state_value(plugin, key)?;
                    let sum = crate::outcome::add(present.as_deref(), *delta);
                    Some(sum.map_err(|_| CommitError::NotANumber(key.clone()))?.to_string().into_bytes())
                }
            };
            values.push((key.clone(), value));
        }
        Ok(values)
    }

    fn check_subscriptions(&self, plugin: &str, effects: &Effects, batch: &Batch) -> Result<(), ApplyError> {
        if effects.subscriptions.is_empty() {
            return Ok(());
        }
        let here = self.feeds.values().chain(batch.changes.subscriptions.added()).filter(|one| !batch.deletes(one));
        let dynamic = here.filter(|one| one.dynamic && one.replay.is_none() && one.id.owner == plugin);
        let mut names: BTreeSet<_> = dynamic.map(|one| one.id.name.clone()).collect();
        let before = names.len();
        for change in &effects.subscriptions {
            match change {
                SubscriptionChange::Subscribe { name, start, .. } => {
                    if self.find(&SubscriptionId { owner: plugin.to_owned(), name: name.clone() }, batch).is_none() {
                        self.check_start(*start, batch)?;
                    }
                    names.insert(name.clone());
                }
                SubscriptionChange::Unsubscribe { name } => drop(names.remove(name)),
            }
        }
        if names.len() > DYNAMIC_LIMIT.max(before) {
            return Err(CommitError::TooManySubscriptions(DYNAMIC_LIMIT).into());
        }
        Ok(())
    }
}
