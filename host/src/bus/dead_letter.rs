//! Dead letters: deliveries that nobody tries again by itself.

use serde::{Deserialize, Serialize};

use super::DeadLetterId;
use crate::clock::Timestamp;
use crate::event::LoggedEvent;
use crate::outcome::Cause;
use crate::subscription::SubscriptionId;

/// A failed attempt in the history of a delivery. This is its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// What kind of failure it was.
    pub cause: Cause,
    /// What happened.
    pub reason: String,
    /// The digest of the component that ran, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
}

/// A delivery that nobody tries again by itself.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its number, by which it is shown, redriven and dropped.
    pub number: DeadLetterId,
    /// The subscription that it was for.
    pub subscription: SubscriptionId,
    /// The event.
    pub logged: LoggedEvent,
    /// Whether it was a replay's.
    pub replay: bool,
    /// The ordering key that waits behind it, if one does.
    pub parks: Option<String>,
    /// What kind of failure the last attempt was.
    pub cause: String,
    /// What happened at the last attempt.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Each failed attempt.
    pub history: Vec<FailedAttempt>,
    /// When it became a dead letter.
    pub dead_at: Timestamp,
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Only this one.
    pub number: Option<DeadLetterId>,
    /// Only those of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only those with this cause.
    pub cause: Option<String>,
}
