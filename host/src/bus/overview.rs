//! The state of a subscription or replay, as operators see it.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::FeedId;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::{Definition, OPERATOR, SubscriptionId, Target};

/// The state of a subscription or replay.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The time of this state. With several hosts it may be up to one second old.
    pub as_of: Timestamp,
    /// The subscription's identity.
    pub id: SubscriptionId,
    /// Whether the subscription was created at run time.
    pub dynamic: bool,
    /// The subscription's definition.
    pub definition: Arc<Definition>,
    /// Why deliveries are paused, if an operator, a swap or the endpoint paused them.
    pub paused: Option<String>,
    /// The hold of the subscription's endpoint, if there is one.
    pub endpoint_hold: Option<EndpointHold>,
    /// The durable cursor: the delivery of each selected event up to this position has been handled, or has a row as a
    /// pending delivery or a dead letter.
    pub cursor: Position,
    /// The number of deliveries that are neither handled nor dead letters.
    pub backlog: u64,
    /// The number of claimed deliveries besides those in `committing`: they run, or wait for a permit or a thread.
    pub in_flight: usize,
    /// The number of claimed deliveries that have run and wait for their commit.
    pub committing: usize,
    /// The number of ordering keys that a dead letter parks.
    pub parked_keys: usize,
    /// The number of events that retention deleted before they were handled, since the start.
    pub expired: u64,
    /// When the next retry is due.
    pub next_due: Option<Timestamp>,
    /// The replay, if this is one.
    pub replay: Option<ReplayOverview>,
}

/// The hold of an endpoint: no request is sent to it until a time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndpointHold {
    /// When the hold ends.
    pub until: Timestamp,
    /// The endpoint's answer that caused the hold.
    pub reason: String,
}

/// The range and the rate of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReplayOverview {
    /// The replay's feed.
    pub feed: FeedId,
    /// The last position that it delivers.
    pub until: Position,
    /// The maximum number of deliveries per second.
    pub per_second: Option<NonZeroU32>,
}

impl Overview {
    /// The plugin that must run for deliveries to be made, if there is one.
    #[must_use]
    pub fn handler(&self) -> Option<&str> {
        match &self.definition.target {
            Target::Plugin(name) => Some(name),
            Target::Webhook(_) if self.id.owner == OPERATOR => None,
            Target::Webhook(_) => Some(&self.id.owner),
        }
    }
}
