//! A delivery: one event for one subscription.

use std::sync::Arc;

use super::{DeadLetterId, FeedId};
use crate::clock::Timestamp;
use crate::event::{Event, IdSeed, LoggedEvent};
use crate::subscription::SubscriptionId;

/// A delivery: an event for a subscription, at one of its attempts.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Delivery {
    /// The event, with its position in the log.
    pub logged: LoggedEvent,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Whether the subscription was created at run time.
    pub is_dynamic: bool,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Whether the delivery is part of a replay.
    pub kind: DeliveryKind,
    /// When an operator redrove this delivery from a dead letter. None if nobody has.
    pub redriven_at: Option<Timestamp>,
    /// The seed of the ids of the events that the handler publishes. It is the same for each attempt.
    pub ids: IdSeed,
}

/// Whether a delivery is part of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DeliveryKind {
    /// The regular delivery of the event by the subscription.
    Regular,
    /// A delivery of a replay.
    Replay(FeedId),
    /// A redriven dead letter of a replay, which may have ended.
    RedrivenReplay(DeadLetterId),
}

impl DeliveryKind {
    /// Whether the delivery belongs to a replay, or is a redriven dead letter of one.
    #[must_use]
    pub fn is_replay(self) -> bool {
        self != Self::Regular
    }

    /// The replay that the delivery is part of.
    #[must_use]
    pub fn replay(self) -> Option<FeedId> {
        match self {
            Self::Replay(feed) => Some(feed),
            Self::Regular | Self::RedrivenReplay(_) => None,
        }
    }
}

impl Delivery {
    /// The event.
    #[must_use]
    pub fn event(&self) -> &Arc<Event> {
        &self.logged.event
    }
}

/// What the settlement of an attempt has made of the delivery. Where a delivery stands at any other time is a
/// [`DeliveryState`](super::DeliveryState).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SettledStatus {
    /// Handled.
    Handled,
    /// Waiting for the next attempt, which is due at this time.
    Waiting(Timestamp),
    /// A dead letter.
    Dead,
}
