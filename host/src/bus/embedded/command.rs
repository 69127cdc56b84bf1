//! The commands of the writer, and its replies.

use std::ops::Range;
use std::sync::Arc;
use std::vec::IntoIter;

use tokio::sync::oneshot;

use super::rows::StaleMarks;
use super::subscription::Subscription;
use crate::bus::group_commit::{self, Change, INTERACTIVE_LIMIT};
use crate::bus::window::PauseReason;
use crate::bus::{
    CommitError, DeadLetterFilter, DeadLetterId, DeliveryFilter, DeliveryStatus, EndpointHold, GroupStatus,
    PublishReceipt, Replay, ReplayScope, Settlement,
};
use crate::event::Position;
use crate::outcome::{Effects, Publish};
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

pub(super) type ReplySender<T> = oneshot::Sender<Result<T, CommitError>>;
/// Called by the writer with the result of a settlement.
pub(super) type SettledReply = Box<dyn FnOnce(Result<DeliveryStatus, CommitError>) + Send>;

/// A change to commit.
pub(super) enum Command {
    Publish {
        events: IntoIter<Publish>,
        /// Whether this is the rest of a publish, for which there is room.
        is_rest: bool,
        /// How many of the events this commit takes.
        part: usize,
        reply: ReplySender<StoredPart>,
    },
    Settle {
        request: Box<SettleRequest>,
        reply: SettledReply,
    },
    Commit {
        plugin: String,
        effects: Box<Effects>,
        reply: ReplySender<()>,
    },
    /// Reserves numbers of a sequence.
    Reserve {
        plugin: String,
        name: String,
        length: u64,
        reply: ReplySender<Range<u64>>,
    },
    Cancel {
        source: String,
        id: String,
        reply: ReplySender<bool>,
    },
    Declare {
        plugin: String,
        declaration: Declaration,
        reply: ReplySender<Vec<SubscriptionId>>,
    },
    Withdraw {
        plugin: String,
        reply: ReplySender<()>,
    },
    Subscribe {
        id: SubscriptionId,
        definition: Box<Definition>,
        start: Start,
        reply: ReplySender<()>,
    },
    Delete {
        id: SubscriptionId,
        reply: ReplySender<()>,
    },
    Pause {
        id: SubscriptionId,
        reason: Option<PauseReason>,
        reply: ReplySender<()>,
    },
    HoldEndpoint {
        endpoint: String,
        hold: EndpointHold,
        reply: ReplySender<()>,
    },
    Replay {
        id: SubscriptionId,
        scope: Box<ReplayScope>,
        reply: ReplySender<Replay>,
    },
    StopReplays {
        id: SubscriptionId,
        reply: ReplySender<usize>,
    },
    RetryNow {
        filter: DeliveryFilter,
        reply: ReplySender<usize>,
    },
    Drain {
        plugin: String,
        drained: bool,
        reply: ReplySender<()>,
    },
    Redrive {
        filter: DeadLetterFilter,
        limit: usize,
        reply: ReplySender<usize>,
    },
    RedriveEdited {
        number: DeadLetterId,
        data: Vec<u8>,
        reply: ReplySender<()>,
    },
    DropDeadLetters {
        filter: DeadLetterFilter,
        limit: usize,
        reply: ReplySender<usize>,
    },
    SetGroupStatus {
        member: DeadLetterId,
        status: GroupStatus,
        by: String,
        /// Marks that are no longer needed.
        stale: StaleMarks,
        reply: ReplySender<()>,
    },
    Compact {
        reply: ReplySender<usize>,
    },
    /// Writes rows for deliveries that wait for their ordering keys, so that the window has room for later events.
    Spill {
        subscription: Arc<Subscription>,
    },
    Promote,
    /// Checks whether the clock was set back.
    CheckClock,
    Checkpoint {
        /// Notified when the write-ahead log has been restarted; the writer then waits for readers, though not for
        /// long. Otherwise the log restarts if nobody reads in it.
        restart_log: Option<oneshot::Sender<()>>,
    },
    Close,
}

/// The part of a publish that a commit has stored, and the rest.
pub(super) struct StoredPart {
    pub(super) accepted: Vec<PublishReceipt>,
    pub(super) rest: IntoIter<Publish>,
}

impl Change for Command {
    fn is_bulk(&self) -> bool {
        match self {
            // The rest of a large publish goes behind the changes that came before it.
            Self::Publish { events, is_rest, .. } => *is_rest || events.len() > INTERACTIVE_LIMIT,
            Self::Settle { request, .. } => request.subscription.window().backlog > INTERACTIVE_LIMIT as u64,
            _ => false,
        }
    }

    /// Commands that change subscriptions, or all open deliveries of one, read the windows, which show the state
    /// before the commit. No other change of the same commit may have changed it.
    fn commits_alone(&self) -> bool {
        match self {
            Self::Declare { .. }
            | Self::Subscribe { .. }
            | Self::Delete { .. }
            | Self::Pause { .. }
            | Self::Replay { .. }
            | Self::StopReplays { .. }
            | Self::Redrive { .. }
            | Self::RedriveEdited { .. }
            | Self::DropDeadLetters { .. }
            | Self::Compact { .. }
            | Self::Spill { .. } => true,
            Self::Settle { request, .. } => {
                request.settlement.effects.as_ref().is_some_and(|(_, effects)| !effects.subscriptions.is_empty())
            }
            Self::Commit { effects, .. } => !effects.subscriptions.is_empty(),
            Self::Publish { .. }
            | Self::Reserve { .. }
            | Self::Cancel { .. }
            | Self::Withdraw { .. }
            | Self::HoldEndpoint { .. }
            | Self::RetryNow { .. }
            | Self::Drain { .. }
            | Self::SetGroupStatus { .. }
            | Self::Promote
            | Self::CheckClock
            | Self::Checkpoint { .. }
            | Self::Close => false,
        }
    }

    fn has_waiter(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::Settle { .. } | Self::Commit { .. } | Self::Reserve { .. })
    }

    fn fit_into_commit(&mut self, expects_interactive: bool) -> usize {
        let published = |effects: &Effects| effects.publishes.len();
        match self {
            Self::Publish { events, part, .. } => {
                *part = group_commit::part_length(events.len(), expects_interactive);
                *part
            }
            Self::Settle { request, .. } => {
                1 + request.settlement.effects.as_ref().map_or(0, |(_, effects)| published(effects))
            }
            Self::Commit { effects, .. } => 1 + published(effects),
            _ => 1,
        }
    }
}

impl Command {
    /// Replies that the transaction could not begin. Commands that need no transaction are noted in any case.
    pub(super) fn refuse(self, error: &CommitError, requests: &mut WriterRequests) {
        fn refuse<T>(reply: ReplySender<T>, error: &CommitError) {
            // The caller may have given up.
            drop(reply.send(Err(error.clone())));
        }
        match self {
            Self::Publish { reply, .. } => refuse(reply, error),
            Self::Settle { reply, .. } => reply(Err(error.clone())),
            Self::Reserve { reply, .. } => refuse(reply, error),
            Self::Cancel { reply, .. } => refuse(reply, error),
            Self::Declare { reply, .. } => refuse(reply, error),
            Self::Replay { reply, .. } => refuse(reply, error),
            Self::Commit { reply, .. }
            | Self::Withdraw { reply, .. }
            | Self::Subscribe { reply, .. }
            | Self::Delete { reply, .. }
            | Self::Pause { reply, .. }
            | Self::HoldEndpoint { reply, .. }
            | Self::RedriveEdited { reply, .. }
            | Self::SetGroupStatus { reply, .. }
            | Self::Drain { reply, .. } => refuse(reply, error),
            Self::StopReplays { reply, .. }
            | Self::RetryNow { reply, .. }
            | Self::Redrive { reply, .. }
            | Self::DropDeadLetters { reply, .. }
            | Self::Compact { reply, .. } => refuse(reply, error),
            // A worker that waits for it asks again after a while.
            Self::Spill { subscription } => subscription.window().spilling = false,
            Self::Promote | Self::CheckClock => {}
            Self::Checkpoint { restart_log } => {
                requests.checkpoint = true;
                requests.log_restarts.extend(restart_log);
            }
            Self::Close => requests.close = true,
        }
    }
}

/// A request to settle an attempt.
pub(super) struct SettleRequest {
    pub(super) subscription: Arc<Subscription>,
    pub(super) position: Position,
    pub(super) settlement: Settlement,
}

/// A reply that waits for the result of the commit.
pub(super) type DeferredReply = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// The writer's tasks after a commit, or after one that could not begin.
#[derive(Default)]
pub(super) struct WriterRequests {
    pub(super) checkpoint: bool,
    pub(super) log_restarts: Vec<oneshot::Sender<()>>,
    pub(super) close: bool,
    /// Whether the group commits the effects of a request's handler.
    pub(super) commits_effects: bool,
}
