//! When a delivery that has a row in the store is due.

use crate::clock::Timestamp;

/// When a delivery that has a row in the store is due. Earlier times are less than later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The delivery is due.
    Now,
    /// The delivery waits for its next attempt until this time.
    At(Timestamp),
    /// The delivery waits for the turn of its ordering key, however long that takes.
    OnTurn,
}

impl Due {
    /// Whether a delivery is due.
    pub(crate) fn has_come(self, now: Timestamp) -> bool {
        match self {
            Self::Now => true,
            Self::At(time) => time <= now,
            Self::OnTurn => false,
        }
    }

    /// The time to wait for, if there is one.
    pub(crate) fn time(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Now | Self::OnTurn => None,
        }
    }
}
