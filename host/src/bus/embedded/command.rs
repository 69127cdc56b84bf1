//! What the writer is asked to do, and how it answers.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::progress::Subscription;
use crate::bus::{Accepted, CommitError, DeadLetterFilter, Replay, Settled, Settlement};
use crate::event::Position;
use crate::outcome::{Effects, Publish};
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

pub(super) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;
/// Is told what became of an attempt, by the writer.
pub(super) type SettledReply = Box<dyn FnOnce(Result<Settled, CommitError>) + Send>;

/// A change to commit.
pub(super) enum Command {
    Publish {
        events: Vec<Publish>,
        reply: Reply<Vec<Accepted>>,
    },
    Settle {
        attempt: Box<Ended>,
        reply: SettledReply,
    },
    Commit {
        plugin: String,
        effects: Box<Effects>,
        reply: Reply<()>,
    },
    Cancel {
        source: String,
        id: String,
        reply: Reply<bool>,
    },
    Declare {
        plugin: String,
        declaration: Declaration,
        reply: Reply<Vec<SubscriptionId>>,
    },
    Subscribe {
        id: SubscriptionId,
        definition: Box<Definition>,
        start: Start,
        reply: Reply<()>,
    },
    Delete {
        id: SubscriptionId,
        reply: Reply<()>,
    },
    Pause {
        id: SubscriptionId,
        paused: bool,
        reply: Reply<()>,
    },
    Replay {
        id: SubscriptionId,
        start: Start,
        per_second: Option<NonZeroU32>,
        reply: Reply<Replay>,
    },
    StopReplays {
        id: SubscriptionId,
        reply: Reply<usize>,
    },
    Drain {
        plugin: String,
        drained: bool,
        reply: Reply<()>,
    },
    Redrive {
        filter: DeadLetterFilter,
        limit: usize,
        reply: Reply<usize>,
    },
    Drop {
        filter: DeadLetterFilter,
        limit: usize,
        reply: Reply<usize>,
    },
    Compact {
        reply: Reply<usize>,
    },
    /// Gives deliveries that wait behind their ordering keys rows, so that later ones can be looked at.
    Hold {
        subscription: Arc<Subscription>,
    },
    Promote,
    /// Looks at the clock.
    Look,
    Checkpoint,
    Close,
}

/// An attempt that has ended.
pub(super) struct Ended {
    pub(super) subscription: Arc<Subscription>,
    pub(super) position: Position,
    pub(super) settlement: Settlement,
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
        Command::Settle { reply, .. } => Some(Box::new(move |commit| reply(commit.and(Err(REFUSED))))),
        Command::Commit { reply, .. }
        | Command::Subscribe { reply, .. }
        | Command::Delete { reply, .. }
        | Command::Pause { reply, .. }
        | Command::Drain { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Cancel { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Declare { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Replay { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::StopReplays { reply, .. }
        | Command::Redrive { reply, .. }
        | Command::Drop { reply, .. }
        | Command::Compact { reply, .. } => Some(later(reply, Err(REFUSED))),
        Command::Hold { .. } | Command::Promote | Command::Look | Command::Checkpoint | Command::Close => None,
    }
}
