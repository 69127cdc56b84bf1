//! One group of changes on its way through a transaction: what happens once it is durable, and who is
//! answered.

use std::collections::HashMap;
use std::sync::Arc;

use super::command::{Deferred, Reply, Settled, later};
use super::progress::Subscription;
use super::{CommitError, StoreError};
use crate::clock::Timestamp;
use crate::event::{Logged, Position};
use crate::subscription::Definition;

/// What happens after the commit, in this order.
pub(super) struct Batch {
    pub(super) now: Timestamp,
    pub(super) types: Vec<(i64, String)>,
    pub(super) added: Vec<Arc<Subscription>>,
    pub(super) redefined: Vec<(Arc<Subscription>, Definition)>,
    pub(super) pauses: Vec<(Arc<Subscription>, Option<String>)>,
    pub(super) deleted: Vec<Arc<Subscription>>,
    /// First attempts that are settled, by subscription.
    pub(super) fresh: HashMap<i64, (Arc<Subscription>, Vec<Position>)>,
    pub(super) settled: Vec<(Arc<Subscription>, Position, Settled)>,
    pub(super) due: Vec<(Arc<Subscription>, Timestamp, u64)>,
    pub(super) appended: Vec<Logged>,
    pub(super) rescheduled: bool,
    pub(super) replies: Vec<Deferred>,
}

/// An error of one change, or one of the store that ends the batch.
pub(super) enum Refused {
    Change(CommitError),
    Store(StoreError),
}

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Self {
        Self::Change(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A cursor's new place, and the deliveries before it that got a row.
pub(super) struct CursorMove {
    pub(super) subscription: Arc<Subscription>,
    pub(super) cursor: Position,
    pub(super) holes: Vec<Position>,
}

impl Batch {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            types: Vec::new(),
            added: Vec::new(),
            redefined: Vec::new(),
            pauses: Vec::new(),
            deleted: Vec::new(),
            fresh: HashMap::new(),
            settled: Vec::new(),
            due: Vec::new(),
            appended: Vec::new(),
            rescheduled: false,
            replies: Vec::new(),
        }
    }

    pub(super) fn reply(self, commit: &Result<(), CommitError>) {
        for reply in self.replies {
            reply(commit.clone());
        }
    }
}

/// Applies a change and keeps its answer for after the commit.
pub(super) fn answer<T: Send + 'static>(
    batch: &mut Batch,
    reply: Reply<T>,
    apply: impl FnOnce(&mut Batch) -> Result<T, Refused>,
) -> Result<(), StoreError> {
    let (result, failure) = match apply(batch) {
        Ok(value) => (Ok(value), None),
        Err(Refused::Change(error)) => (Err(error), None),
        // The commit's own error is what is answered.
        Err(Refused::Store(error)) => (Err(CommitError::Closed(error.to_string())), Some(error)),
    };
    batch.replies.push(later(reply, result));
    failure.map_or(Ok(()), Err)
}
