//! A batch: a group of changes in one transaction, and the replies to send after the commit.

use std::sync::Arc;

use super::super::command::{DeferredReply, ReplySender};
use super::super::rows::Log;
use super::super::subscription::Subscription;
use super::after_commit::Changes;
use crate::bus::{CommitError, StoreError};
use crate::clock::Timestamp;

/// A group of changes.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    /// The log after the batch.
    pub(super) log: Log,
    /// The changes to make visible after the commit.
    pub(super) changes: Changes,
    pub(super) frozen: FrozenSubscriptions,
    /// Whether the commit changes the store.
    pub(super) changes_store: bool,
    replies: Vec<DeferredReply>,
}

impl Batch {
    pub(super) fn new(now: Timestamp, log: Log) -> Self {
        let (changes, frozen, changes_store, replies) = Default::default();
        Self { now, log, changes, frozen, changes_store, replies }
    }

    /// Whether the batch deletes a subscription: nothing may be written for it any more.
    pub(super) fn deletes(&self, subscription: &Subscription) -> bool {
        self.changes.subscriptions.deletes(subscription)
    }

    pub(super) fn reply(self, commit: &Result<(), CommitError>) {
        for reply in self.replies {
            reply(commit.clone());
        }
    }
}

/// Subscriptions that wait for the end of a batch, whether or not it is committed.
#[derive(Default)]
pub(super) struct FrozenSubscriptions {
    /// Nothing is claimed from these subscriptions until the end of the batch.
    frozen: Vec<Arc<Subscription>>,
    /// The subscriptions that have requested a spill.
    spilling: Vec<Arc<Subscription>>,
}

impl FrozenSubscriptions {
    /// Prevents claims from a subscription until the batch ends.
    pub(super) fn freeze(&mut self, subscription: &Arc<Subscription>) {
        subscription.window().frozen = true;
        self.frozen.push(Arc::clone(subscription));
    }

    /// Notes that the batch spills deliveries of a subscription.
    pub(super) fn spills(&mut self, subscription: &Arc<Subscription>) {
        self.spilling.push(Arc::clone(subscription));
    }

    /// Releases the subscriptions at the end of the batch.
    pub(super) fn thaw(&mut self, is_committed: bool) {
        for subscription in self.frozen.drain(..) {
            subscription.window().frozen = false;
            subscription.wake.notify_one();
        }
        for subscription in self.spilling.drain(..) {
            subscription.window().spilling = false;
            // A spill that failed, on a full disk, must not be requested again at once.
            if is_committed {
                subscription.wake.notify_one();
            }
        }
    }
}

/// An error of one change, or of the store, which ends the batch.
pub(super) enum ApplyError {
    Change(CommitError),
    Store(StoreError),
}

impl From<CommitError> for ApplyError {
    fn from(error: CommitError) -> Self {
        Self::Change(error)
    }
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Applies a change, and replies after the commit.
pub(super) fn apply_and_reply<T: Send + 'static>(
    batch: &mut Batch,
    reply: ReplySender<T>,
    apply: impl FnOnce(&mut Batch) -> Result<T, ApplyError>,
) -> Result<(), StoreError> {
    apply_and_notify(batch, move |result| drop(reply.send(result)), apply)
}

/// Applies a change, and calls `notify` after the commit.
pub(super) fn apply_and_notify<T: Send + 'static>(
    batch: &mut Batch,
    notify: impl FnOnce(Result<T, CommitError>) + Send + 'static,
    apply: impl FnOnce(&mut Batch) -> Result<T, ApplyError>,
) -> Result<(), StoreError> {
    let (result, failure) = match apply(batch) {
        Ok(value) => (Ok(value), None),
        Err(ApplyError::Change(error)) => (Err(error), None),
        // A store error fails the whole batch. The reply is then the commit's error instead of this one.
        Err(ApplyError::Store(error)) => (Err(CommitError::Closed(error.to_string())), Some(error)),
    };
    batch.replies.push(Box::new(move |commit| notify(commit.and(result))));
    failure.map_or(Ok(()), Err)
}
