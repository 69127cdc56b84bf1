//! The state of a subscription or replay, as operators see it.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::FeedId;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::{Definition, OPERATOR, SubscriptionId, Target};

/// What a subscription looks like from outside.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The moment that the rest is of. With several hosts it may be a second ago.
    pub as_of: Timestamp,
    /// Its identity.
    pub id: SubscriptionId,
    /// Whether it was made at run time.
    pub dynamic: bool,
    /// Its rules.
    pub definition: Arc<Definition>,
    /// Why nothing is delivered, if an operator, a swap or its endpoint stopped it.
    pub paused: Option<String>,
    /// Why nothing is sent to its endpoint for a while, and until when.
    pub endpoint_hold: Option<EndpointHold>,
    /// The position up to which everything is handled, or waits for another attempt.
    pub cursor: Position,
    /// How many deliveries are neither handled nor dead.
    pub backlog: u64,
    /// How many run, or wait for a thread to run on.
    pub in_flight: usize,
    /// How many have run and wait for their outcome to be committed.
    pub committing: usize,
    /// How many ordering keys wait behind a dead letter.
    pub parked_keys: usize,
    /// How many events were deleted by the retention's rules before they were handled, since the start.
    pub expired: u64,
    /// When the next delivery that waits for another attempt is due.
    pub next_due: Option<Timestamp>,
    /// What is replayed, if this is a replay.
    pub replay: Option<ReplayOverview>,
}

/// An endpoint that wants no requests for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHold {
    /// Until when nothing is sent to it.
    pub until: Timestamp,
    /// What it said.
    pub reason: String,
}

/// What a replay looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReplayOverview {
    /// Its feed.
    pub number: FeedId,
    /// The last position that it delivers.
    pub until: Position,
    /// How many deliveries it makes in a second at most.
    pub per_second: Option<NonZeroU32>,
}

impl Overview {
    /// The plugin that must be there for deliveries to be made, if one must.
    #[must_use]
    pub fn handler(&self) -> Option<&str> {
        match &self.definition.target {
            Target::Plugin(name) => Some(name),
            Target::Webhook(_) if self.id.owner == OPERATOR => None,
            Target::Webhook(_) => Some(&self.id.owner),
        }
    }
}
