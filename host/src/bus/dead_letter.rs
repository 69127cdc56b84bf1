//! Dead letters: deliveries that are not retried any more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::DeadLetterId;
use crate::clock::Timestamp;
use crate::event::{Event, LoggedEvent};
use crate::failure;
use crate::outcome::Cause;
use crate::subscription::SubscriptionId;

/// A failed attempt in the history of a delivery. This is its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// The cause of the failure.
    pub cause: Cause,
    /// What happened.
    pub reason: String,
    /// The digest of the component that ran, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
}

/// A delivery that is not retried any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The number by which it is shown, redriven and dropped.
    pub number: DeadLetterId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The event.
    pub logged: LoggedEvent,
    /// The event as it was delivered, if an operator has edited its data.
    pub edited: Option<Arc<Event>>,
    /// Whether it was a delivery of a replay.
    pub replay: bool,
    /// The ordering key that it parks, if any.
    pub parks: Option<String>,
    /// The cause of the failure of the last attempt.
    pub cause: String,
    /// What happened at the last attempt.
    pub reason: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The failed attempts.
    pub history: Vec<FailedAttempt>,
    /// When it became a dead letter.
    pub dead_at: Timestamp,
}

/// Selects dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetterFilter {
    /// Only this dead letter.
    pub number: Option<DeadLetterId>,
    /// Only those of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only those with this cause.
    pub cause: Option<String>,
    /// Only those whose last attempts failed alike.
    pub failure: Option<FailureKind>,
}

impl DeadLetter {
    /// Selects the dead letters that failed like this one.
    #[must_use]
    pub fn group(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            number: None,
            subscription: Some(self.subscription.clone()),
            cause: Some(self.cause.clone()),
            failure: Some(self.failure()),
        }
    }

    /// How the last attempt failed.
    #[must_use]
    pub fn failure(&self) -> FailureKind {
        let digest = self.history.last().and_then(|attempt| attempt.digest.clone());
        FailureKind { signature: failure::signature(&self.reason), digest }
    }
}

/// What the last attempts of dead letters have in common if they failed alike, in addition to their [`Cause`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureKind {
    /// The signature of the reasons ([`failure::signature`]).
    pub signature: String,
    /// The digest of the component that ran, if one did.
    pub digest: Option<String>,
}

/// Dead letters of one subscription whose last attempts failed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterGroup {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The cause of the failures.
    pub cause: String,
    /// The signature of the reasons ([`failure::signature`]).
    pub signature: String,
    /// The digest of the component that ran, if one did.
    pub digest: Option<String>,
    /// The number of dead letters.
    pub count: u64,
    /// When the first of them became a dead letter.
    pub first: Timestamp,
    /// When the last of them became a dead letter.
    pub last: Timestamp,
    /// The newest of them.
    pub sample: DeadLetterId,
    /// What operators have decided about it.
    pub status: GroupStatus,
    /// Since when it has this status; `None` if nobody has set one.
    pub status_since: Option<Timestamp>,
    /// Who has set this status; `None` if nobody has, or if the group was resolved and is open again.
    pub status_by: Option<String>,
}

/// What operators have decided about a group of dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupStatus {
    /// Somebody has to look at it.
    #[default]
    Open,
    /// The cause is removed. The group is open again when another dead letter joins it.
    Resolved,
    /// It needs no attention, whatever joins it.
    Ignored,
}
