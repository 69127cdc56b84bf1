//! Where deliveries stand, and what events are searched for.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::{CursorError, DeadLetterId, FailedAttempt, FeedId};
use crate::clock::Timestamp;
use crate::event::{LoggedEvent, Position};
use crate::pattern::Pattern;
use crate::subscription::SubscriptionId;

/// Where the delivery of an event to a subscription stands.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct DeliveryReport {
    /// The time at which the report was true.
    pub as_of: Timestamp,
    /// The feed: the subscription, or a running replay.
    pub feed: FeedId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Whether it is a delivery of a replay.
    pub replayed: bool,
    /// The event.
    pub logged: LoggedEvent,
    /// Where the delivery stands.
    pub state: DeliveryState,
    /// If the delivery is pending and was a dead letter before: when an operator redrove it.
    pub redriven_at: Option<Timestamp>,
    /// Whether an operator has edited its data, if it is pending.
    pub edited: bool,
}

/// Where a delivery stands now. Whether the subscription is paused, held, drained or without a handler is not part of
/// it; see [`Overview`](super::Overview).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DeliveryState {
    /// The subscription has not examined the event yet.
    NotReached {
        /// The number of the subscription's earlier events that wait to be claimed. Events that have a row in the
        /// store, such as retries, are not counted. The number is an upper bound if the subscription or the replay has
        /// filters, and exact otherwise.
        ahead: u64,
    },
    /// It can be claimed as soon as there is a handler and a permit.
    Ready,
    /// An attempt runs, or its outcome is being committed.
    InFlight {
        /// The number of the attempt, from 1.
        attempt: u32,
    },
    /// It waits for another attempt.
    Retrying {
        /// The number of failed attempts.
        attempts: u32,
        /// When the next attempt is due.
        due: Timestamp,
        /// The last failed attempt.
        last: Option<FailedAttempt>,
    },
    /// It waits for its turn, because another event of its ordering key is pending.
    BehindKey {
        /// The ordering key.
        key: String,
        /// The event that holds the key.
        behind: Position,
    },
    /// It waits because a dead letter parks its ordering key.
    Parked {
        /// The ordering key.
        key: String,
        /// The dead letter.
        letter: DeadLetterId,
    },
    /// It is a dead letter.
    DeadLetter {
        /// The dead letter.
        number: DeadLetterId,
    },
    /// The subscription has nothing more to do for the event.
    Handled,
}

impl DeliveryState {
    /// The kind of state, without its details.
    #[must_use]
    pub fn kind(&self) -> DeliveryStateKind {
        match self {
            Self::NotReached { .. } => DeliveryStateKind::NotReached,
            Self::Ready => DeliveryStateKind::Ready,
            Self::InFlight { .. } => DeliveryStateKind::InFlight,
            Self::Retrying { .. } => DeliveryStateKind::Retrying,
            Self::BehindKey { .. } => DeliveryStateKind::BehindKey,
            Self::Parked { .. } => DeliveryStateKind::Parked,
            Self::DeadLetter { .. } => DeliveryStateKind::DeadLetter,
            Self::Handled => DeliveryStateKind::Handled,
        }
    }
}

macro_rules! kinds {
    ($($(#[$what:meta])+ $kind:ident => $name:literal,)*) => {
        /// A [`DeliveryState`] without its details.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum DeliveryStateKind {
            $($(#[$what])+ $kind,)*
        }

        impl DeliveryStateKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// See [`DeliveryState::NotReached`].
    NotReached => "not-reached",
    /// See [`DeliveryState::Ready`].
    Ready => "ready",
    /// See [`DeliveryState::InFlight`].
    InFlight => "in-flight",
    /// See [`DeliveryState::Retrying`].
    Retrying => "retrying",
    /// See [`DeliveryState::BehindKey`].
    BehindKey => "behind-key",
    /// See [`DeliveryState::Parked`].
    Parked => "parked",
    /// See [`DeliveryState::DeadLetter`].
    DeadLetter => "dead-letter",
    /// See [`DeliveryState::Handled`].
    Handled => "handled",
}

impl DeliveryStateKind {
    /// The kinds of state of deliveries that are neither handled nor dead letters.
    pub const PENDING: &[Self] =
        &[Self::NotReached, Self::Ready, Self::InFlight, Self::Retrying, Self::BehindKey, Self::Parked];
}

/// Selects deliveries that are neither handled nor dead letters.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct DeliveryFilter {
    /// Only those of this subscription, and of its replays.
    pub subscription: Option<SubscriptionId>,
    /// Only those of this event.
    pub event: Option<Position>,
    /// Only those with this ordering key.
    pub key: Option<String>,
    /// Only those of events whose types match.
    pub pattern: Option<Pattern>,
}

/// A position in the list of pending deliveries, after one of them. Written as `FEED-POSITION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeliveryCursor {
    /// The feed.
    pub feed: FeedId,
    /// The event's position.
    pub position: Position,
}

impl Display for DeliveryCursor {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.feed, self.position.0)
    }
}

impl FromStr for DeliveryCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts =
            text.split_once('-').and_then(|(feed, position)| Some((feed.parse().ok()?, position.parse().ok()?)));
        let cursor = parts.map(|(feed, position)| Self { feed: FeedId::new(feed), position: Position(position) });
        cursor.ok_or_else(|| CursorError(text.to_owned()))
    }
}

/// A page of pending deliveries.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<DeliveryReport>,
    /// Where the next page starts. None if this is the last one.
    pub next: Option<DeliveryCursor>,
}

/// Selects events of the log. All conditions must hold. The serde implementation is the stored form.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Only those whose types match.
    pub pattern: Option<Pattern>,
    /// Only those with this source.
    pub source: Option<String>,
    /// Only those with this subject.
    pub subject: Option<String>,
    /// Only those stored at this time or later.
    pub since: Option<Timestamp>,
    /// Only those stored before this time.
    pub until: Option<Timestamp>,
    /// Only those of the cause trees with this correlation id, including their first events.
    pub correlation: Option<String>,
    /// Only those whose ids begin with this text.
    pub id_prefix: Option<String>,
}

impl EventFilter {
    /// Whether every event matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the type alone decides which events match.
    #[must_use]
    pub fn is_by_type(&self) -> bool {
        *self == Self { pattern: self.pattern.clone(), ..Self::default() }
    }

    /// Whether an event of the log matches.
    #[must_use]
    pub fn matches(&self, logged: &LoggedEvent) -> bool {
        let event = &logged.event;
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(&event.event_type))
            && self.source.as_ref().is_none_or(|source| event.source == *source)
            && self.subject.as_ref().is_none_or(|subject| event.subject.as_ref() == Some(subject))
            && self.since.is_none_or(|since| logged.stored_at >= since)
            && self.until.is_none_or(|until| logged.stored_at < until)
            && self.correlation.as_ref().is_none_or(|id| event.cause_tree().id == *id)
            && self.id_prefix.as_ref().is_none_or(|prefix| event.id.starts_with(prefix.as_str()))
    }
}

/// A page of events, newest first.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct EventPage {
    /// The events.
    pub events: Vec<LoggedEvent>,
    /// The position before which the next page starts. None if this is the last one.
    pub next: Option<Position>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        let cursor = DeliveryCursor { feed: FeedId::new(7), position: Position(12) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "7", "-7", "7-", "a-b", "7-12-3", "7--12"] {
            assert!(text.parse::<DeliveryCursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_have_one_name_in_json_and_in_text() {
        for kind in DeliveryStateKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
