//! One group of changes on its way through a transaction: what it changes, and who is answered once it is durable.

use std::sync::Arc;

use super::super::command::{DeferredReply, Reply};
use super::super::rows::Log;
use super::super::subscription::Subscription;
use super::subjects::Changes;
use crate::bus::{CommitError, StoreError};
use crate::clock::Timestamp;

/// A group of changes.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    /// The log as it will be.
    pub(super) log: Log,
    /// What others see of it after the commit.
    pub(super) changes: Changes,
    pub(super) frozen: FrozenSubscriptions,
    replies: Vec<DeferredReply>,
}

impl Batch {
    pub(super) fn new(now: Timestamp, log: Log) -> Self {
        Self { now, log, changes: Changes::default(), frozen: FrozenSubscriptions::default(), replies: Vec::new() }
    }

    /// Whether a subscription is deleted in this batch: nothing may be written for it any more.
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
    /// From which nothing is claimed until then.
    frozen: Vec<Arc<Subscription>>,
    /// Which have asked for rows for what waits behind their ordering keys.
    spilling: Vec<Arc<Subscription>>,
}

impl FrozenSubscriptions {
    /// Lets nothing be claimed from a subscription until the batch has come to its end.
    pub(super) fn freeze(&mut self, subscription: &Arc<Subscription>) {
        subscription.window().frozen = true;
        self.frozen.push(Arc::clone(subscription));
    }

    /// A subscription asks for rows for what waits behind its ordering keys.
    pub(super) fn spills(&mut self, subscription: &Arc<Subscription>) {
        self.spilling.push(Arc::clone(subscription));
    }

    /// The batch has come to its end, one way or the other.
    pub(super) fn thaw(&mut self, is_committed: bool) {
        for subscription in self.frozen.drain(..) {
            subscription.window().frozen = false;
            subscription.wake.notify_one();
        }
        for subscription in self.spilling.drain(..) {
            subscription.window().spilling = false;
            // What came to nothing, on a full disk, is not to be asked for again at once.
            if is_committed {
                subscription.wake.notify_one();
            }
        }
    }
}

/// An error of one change, or one of the store that ends the batch.
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

/// Applies a change and keeps its answer for after the commit.
pub(super) fn apply_and_reply<T: Send + 'static>(
    batch: &mut Batch,
    reply: Reply<T>,
    apply: impl FnOnce(&mut Batch) -> Result<T, ApplyError>,
) -> Result<(), StoreError> {
    apply_and_notify(batch, move |result| drop(reply.send(result)), apply)
}

/// The same for whoever wants to be told.
pub(super) fn apply_and_notify<T: Send + 'static>(
    batch: &mut Batch,
    notify: impl FnOnce(Result<T, CommitError>) + Send + 'static,
    apply: impl FnOnce(&mut Batch) -> Result<T, ApplyError>,
) -> Result<(), StoreError> {
    let (result, failure) = match apply(batch) {
        Ok(value) => (Ok(value), None),
        Err(ApplyError::Change(error)) => (Err(error), None),
        // The commit's own error is what is answered.
        Err(ApplyError::Store(error)) => (Err(CommitError::Closed(error.to_string())), Some(error)),
    };
    batch.replies.push(Box::new(move |commit| notify(commit.and(result))));
    failure.map_or(Ok(()), Err)
}
