//! One event for one subscription, and what became of it.

use std::sync::Arc;

use super::{DeadLetterId, FeedId};
use crate::clock::Timestamp;
use crate::event::{Event, IdSeed, LoggedEvent};
use crate::subscription::SubscriptionId;

/// What is delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event, at its place in the log.
    pub logged: LoggedEvent,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Whether the subscription was made at run time.
    pub is_dynamic: bool,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether the event is new to the subscription.
    pub kind: DeliveryKind,
    /// Where the ids of events come from that its handler publishes: the same at each attempt.
    pub ids: IdSeed,
}

/// Whether an event is new to its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    /// It is, though perhaps not its first attempt.
    Live,
    /// It is part of a replay.
    Replay(FeedId),
    /// It was a dead letter of a replay, and was redriven. The replay may be over.
    RedrivenReplay(DeadLetterId),
}

impl DeliveryKind {
    /// Whether the subscription was to handle the event before.
    #[must_use]
    pub fn is_replay(self) -> bool {
        self != Self::Live
    }

    /// The replay that the delivery is part of.
    #[must_use]
    pub fn replay(self) -> Option<FeedId> {
        match self {
            Self::Replay(feed) => Some(feed),
            Self::Live | Self::RedrivenReplay(_) => None,
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

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is handled.
    Handled,
    /// It is tried again at a time.
    Waiting(Timestamp),
    /// It is a dead letter.
    Dead,
}
