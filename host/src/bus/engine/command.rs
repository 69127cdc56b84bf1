//! The commands of the writer, and its replies.

use std::ops::Range;
use std::sync::Arc;
use std::vec::IntoIter;

use tokio::sync::oneshot;

use super::feed_state::FeedState;
use super::store::{GroupNeeds, Maintenance, StaleMarks};
use crate::bus::group_commit::{self, Change, INTERACTIVE_LIMIT};
use crate::bus::window::PauseReason;
use crate::bus::{
    CommitError, Compaction, DeadLetterFilter, DeadLetterId, DeliveryFilter, EndpointHold, GroupStatus, PublishReceipt,
    Replay, ReplayScope, SettledStatus, Settlement,
};
use crate::event::Position;
use crate::outcome::{Effects, Publish};
use crate::retry::Verdict;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

pub(in crate::bus) type ReplySender<T> = oneshot::Sender<Result<T, CommitError>>;
/// Called by the writer with the result of a settlement.
pub(in crate::bus) type SettledReply = Box<dyn FnOnce(Result<SettledStatus, CommitError>) + Send>;

/// A change to commit.
pub(in crate::bus) enum Command {
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
        /// Marks of groups that are no longer needed.
        stale: StaleMarks,
        reply: ReplySender<()>,
    },
    Compact {
        reply: ReplySender<Compaction>,
    },
    /// Writes rows for deliveries that wait for their ordering keys, so that the window has room for later events.
    Spill {
        subscription: Arc<FeedState>,
    },
    /// Appends scheduled events and ticks of schedules that are due.
    AppendDue,
    /// Checks whether the clock was set back.
    CheckClock,
    /// Maintains the store after the commit.
    Maintain {
        task: Maintenance,
        /// Notified when that is done.
        done: Option<oneshot::Sender<()>>,
    },
    Close,
}

/// The part of a publish that a commit has stored, and the rest.
pub(in crate::bus) struct StoredPart {
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

    /// Spills, deletions of old events, and changes of subscriptions, replays and dead letters depend on the windows,
    /// which show the state before the commit. No other change of the same commit may have changed it.
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
            | Self::AppendDue
            | Self::CheckClock
            | Self::Maintain { .. }
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
    /// Adds what the command will read, as far as it is known.
    pub(super) fn add_needs(&self, needs: &mut GroupNeeds) {
        match self {
            Self::Publish { events, part, .. } => {
                add_events(events.as_slice().get(..*part).unwrap_or(events.as_slice()), needs);
            }
            Self::Settle { request, .. } => {
                if let Some((plugin, effects)) = &request.settlement.effects
                    && matches!(request.settlement.record.verdict, Verdict::Ack)
                {
                    add_effects(plugin, effects, needs);
                }
            }
            Self::Commit { plugin, effects, .. } => add_effects(plugin, effects, needs),
            _ => {}
        }
    }

    /// Refuses the command, because the transaction could not begin. A command that needs no transaction is added to
    /// the follow-up instead.
    pub(super) fn refuse(self, error: &CommitError, follow_up: &mut FollowUp) {
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
            | Self::DropDeadLetters { reply, .. } => refuse(reply, error),
            Self::Compact { reply } => refuse(reply, error),
            // A worker that waits for it asks again after a while.
            Self::Spill { subscription } => subscription.window().spilling = false,
            Self::AppendDue | Self::CheckClock => {}
            Self::Maintain { task, done } => follow_up.add_maintenance(task, done),
            Self::Close => follow_up.close = true,
        }
    }
}

fn add_events(events: &[Publish], needs: &mut GroupNeeds) {
    needs.events.extend(events.iter().map(|Publish { event, .. }| (event.source.clone(), event.id.clone())));
}

fn add_effects(plugin: &str, effects: &Effects, needs: &mut GroupNeeds) {
    add_events(&effects.publishes, needs);
    let keys = effects.reads.keys.keys().chain(effects.writes.keys());
    needs.state.extend(keys.map(|key| (plugin.to_owned(), key.clone())));
}

/// A request to settle an attempt.
pub(in crate::bus) struct SettleRequest {
    pub(super) subscription: Arc<FeedState>,
    pub(super) position: Position,
    pub(super) settlement: Settlement,
}

/// A reply that waits for the result of the commit.
pub(super) type DeferredReply = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// What the writer does after a group of changes, whether or not it was committed.
#[derive(Default)]
pub(super) struct FollowUp {
    pub(super) maintenance: Option<Maintenance>,
    pub(super) maintained: Vec<oneshot::Sender<()>>,
    pub(super) close: bool,
}

impl FollowUp {
    /// Adds a maintenance task. A restart of the write-ahead log includes a checkpoint, so no other task replaces it.
    pub(super) fn add_maintenance(&mut self, task: Maintenance, done: Option<oneshot::Sender<()>>) {
        if self.maintenance != Some(Maintenance::RestartWal) {
            self.maintenance = Some(task);
        }
        self.maintained.extend(done);
    }
}
