//! A batch: a group of changes in one transaction, and the replies to send after the commit.

use std::sync::Arc;

use super::super::command::{DeferredReply, ReplySender};
use super::super::feed_state::FeedState;
use super::super::store::Log;
use super::after_commit::Changes;
use crate::bus::{CommitError, StoreError};
use crate::clock::Timestamp;

/// The changes of one transaction, and what happens at its end.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    /// The log after the batch.
    pub(super) log: Log,
    /// The changes to make visible after the commit.
    pub(super) changes: Changes,
    pub(super) windows: FlaggedWindows,
    /// Whether the commit changes the store.
    pub(super) changes_store: bool,
    /// Whether the batch has the effects of a request's handler.
    pub(super) commits_effects: bool,
    replies: Vec<DeferredReply>,
}

impl Batch {
    pub(super) fn new(now: Timestamp, log: Log) -> Self {
        let (changes, windows, changes_store, commits_effects, replies) = Default::default();
        Self { now, log, changes, windows, changes_store, commits_effects, replies }
    }

    /// Whether the batch deletes a subscription: nothing may be written for it any more.
    pub(super) fn deletes(&self, subscription: &FeedState) -> bool {
        self.changes.subscriptions.deletes(subscription)
    }

    pub(super) fn reply(self, commit: &Result<(), CommitError>) {
        for reply in self.replies {
            reply(commit.clone());
        }
    }
}

/// The subscriptions whose windows have a flag that is cleared at the end of the batch, whether or not it is committed.
#[derive(Default)]
pub(super) struct FlaggedWindows {
    /// Subscriptions from which nothing is claimed until the batch ends.
    frozen: Vec<Arc<FeedState>>,
    /// Subscriptions that have requested a spill.
    spilling: Vec<Arc<FeedState>>,
}

impl FlaggedWindows {
    /// Prevents claims from a subscription until the batch ends.
    pub(super) fn freeze(&mut self, subscription: &Arc<FeedState>) {
        subscription.window().frozen = true;
        self.frozen.push(Arc::clone(subscription));
    }

    /// Notes that the batch writes the rows of a spill that a subscription has requested.
    pub(super) fn note_spill(&mut self, subscription: &Arc<FeedState>) {
        self.spilling.push(Arc::clone(subscription));
    }

    /// Clears the flags at the end of the batch.
    pub(super) fn clear_flags(&mut self, is_committed: bool) {
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

/// A change was refused, or the store failed. Only a failure of the store ends the batch.
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
