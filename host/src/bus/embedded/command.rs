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

/// Whoever asks for more than this at a time, or has more than this left to do, asks for much.
const FEW: usize = 16;

impl Command {
    /// Whether it is one of many that wait, or many in one: those that are few go first.
    pub(super) fn is_one_of_many(&self) -> bool {
        match self {
            Self::Publish { events, .. } => events.len() > FEW,
            Self::Settle { attempt, .. } => attempt.subscription.progress().backlog > FEW as u64,
            _ => false,
        }
    }
}

/// An attempt that has ended.
pub(super) struct Ended {
    pub(super) subscription: Arc<Subscription>,
    pub(super) position: Position,
    pub(super) settlement: Settlement,
}

/// An answer that waits for the commit's result.
pub(super) type Deferred = Box<dyn FnOnce(Result<(), CommitError>) + Send>;
