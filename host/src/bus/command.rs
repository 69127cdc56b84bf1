//! What the writer is asked to change, and how it answers.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::progress::Subscription;
use super::rows::DeadLetterFilter;
use super::{Accepted, CommitError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::outcome::{Effects, Outcome, Publish};
use crate::subscription::{Definition, SubscriptionId};

pub(super) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

/// A change to commit.
pub(super) enum Command {
    Publish { events: Vec<Publish>, reply: Reply<Vec<Accepted>> },
    Settle { settlement: Box<Settlement>, reply: Reply<Settled> },
    Commit { plugin: String, effects: Box<Effects>, reply: Reply<()> },
    Declare { plugin: String, definitions: Vec<(String, Definition)>, reply: Reply<Vec<SubscriptionId>> },
    Delete { id: SubscriptionId, reply: Reply<()> },
    Redrive { filter: DeadLetterFilter, limit: usize, reply: Reply<usize> },
    Drop { filter: DeadLetterFilter, limit: usize, reply: Reply<usize> },
    Promote,
    Checkpoint,
    Close,
}

/// The end of one attempt.
pub(super) struct Settlement {
    pub(super) subscription: Arc<Subscription>,
    pub(super) position: Position,
    pub(super) outcome: Outcome,
    /// The plugin whose effects these are; they are committed with an ack alone.
    pub(super) effects: Option<(String, Effects)>,
    pub(super) digest: Option<String>,
    /// From 0 to 1, to spread retries.
    pub(super) jitter: f64,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is handled.
    Handled,
    /// It is tried again at a time.
    Waiting(Timestamp),
    /// It is a dead letter.
    Dead,
}

/// An answer that waits for the commit's result.
pub(super) type Deferred = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// Answers with a result once the commit is durable, and with the commit's own error otherwise.
pub(super) fn later<T: Send + 'static>(reply: Reply<T>, result: Result<T, CommitError>) -> Deferred {
    // Whoever asked may have gone; the change stands all the same.
    Box::new(move |commit| drop(reply.send(commit.and(result))))
}

/// The answer of a command that was not applied because one before it failed.
pub(super) fn refuse(command: Command) -> Option<Deferred> {
    const REFUSED: CommitError = CommitError::Busy;
    match command {
        Command::Publish { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Settle { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Commit { reply, .. } | Command::Delete { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Declare { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Redrive { reply, .. } | Command::Drop { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Promote | Command::Checkpoint | Command::Close => None,
    }
}
