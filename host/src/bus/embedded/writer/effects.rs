//! What an invocation asked for, applied if what it has read is still so.

use std::collections::BTreeSet;

use super::super::batch::{Batch, Refused};
use super::super::rows;
use super::Writer;
use crate::bus::CommitError;
use crate::event::reserved::plugin_source;
use crate::outcome::{Effects, Publish, SubscriptionChange, Version, Write};
use crate::subscription::SubscriptionId;

/// The most subscriptions that one plugin may make at run time.
const DYNAMIC_LIMIT: usize = 1_000;

/// A key of the state, and the value that it gets; none deletes it.
type NewValue = (String, Option<Vec<u8>>);

impl Writer {
    /// Applies effects. Everything is checked before anything is written, since other changes share the
    /// transaction.
    pub(super) fn apply_effects(&mut self, plugin: &str, effects: Effects, batch: &mut Batch) -> Result<(), Refused> {
        self.check_reads(plugin, &effects)?;
        let values = self.new_values(plugin, &effects)?;
        self.check_subscriptions(plugin, &effects, batch)?;

        for (key, value) in values {
            match value {
                Some(value) => {
                    rows::set_state(&self.connection, plugin, &key, &value, Version(self.next_version))?;
                    self.next_version += 1;
                }
                None => rows::delete_state(&self.connection, plugin, &key)?,
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
                        self.delete_whole(&subscription, batch)?;
                    }
                }
            }
        }
        for id in effects.cancels {
            rows::cancel_event(&self.connection, &plugin_source(plugin), &id)?;
            batch.rescheduled = true;
        }
        for Publish { event, due } in effects.publishes {
            self.store_event(event, due, batch)?;
        }
        Ok(())
    }

    fn check_reads(&self, plugin: &str, effects: &Effects) -> Result<(), Refused> {
        for (key, version) in &effects.reads.keys {
            if rows::state_version(&self.connection, plugin, key)? != *version {
                return Err(CommitError::Conflict(key.clone()).into());
            }
        }
        if let Some(listing) = effects.reads.listing
            && rows::state_listing(&self.connection, plugin)? != listing
        {
            return Err(CommitError::Conflict("the set of keys".to_owned()).into());
        }
        Ok(())
    }

    fn new_values(&self, plugin: &str, effects: &Effects) -> Result<Vec<NewValue>, Refused> {
        let mut values = Vec::with_capacity(effects.writes.len());
        for (key, write) in &effects.writes {
            let value = match write {
                Write::Set(value) => Some(value.clone()),
                Write::Delete => None,
                Write::Add(delta) => {
                    let (present, _) = rows::state_value(&self.connection, plugin, key)?;
                    let sum = crate::outcome::add(present.as_deref(), *delta);
                    Some(sum.ok_or_else(|| CommitError::NotANumber(key.clone()))?.to_string().into_bytes())
                }
            };
            values.push((key.clone(), value));
        }
        Ok(values)
    }

    fn check_subscriptions(&self, plugin: &str, effects: &Effects, batch: &Batch) -> Result<(), Refused> {
        if effects.subscriptions.is_empty() {
            return Ok(());
        }
        let here = self.subscriptions.values().chain(&batch.added).filter(|one| !batch.deletes(one));
        let dynamic = here.filter(|one| one.dynamic && one.replay.is_none() && one.id.owner == plugin);
        let mut names: BTreeSet<_> = dynamic.map(|one| one.id.name.clone()).collect();
        let before = names.len();
        for change in &effects.subscriptions {
            match change {
                SubscriptionChange::Subscribe { name, .. } => drop(names.insert(name.clone())),
                SubscriptionChange::Unsubscribe { name } => drop(names.remove(name)),
            }
        }
        if names.len() > DYNAMIC_LIMIT.max(before) {
            return Err(CommitError::TooManySubscriptions(DYNAMIC_LIMIT).into());
        }
        Ok(())
    }
}
