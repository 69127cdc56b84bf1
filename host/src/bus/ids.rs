//! Identifiers that an engine assigns. They are opaque: the host compares them, shows them, and passes them back. An
//! engine never reuses one.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Identifies a feed: a subscription, or a replay of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeedId(i64);

/// Identifies a dead letter. A later one has a greater id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(i64);

macro_rules! number_inside {
    ($($id:ident)*) => {
        $(impl $id {
            /// An id with a number: for the engine that assigns it, and for ids that an operator enters.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// The number: for the engine that assigned it.
            #[must_use]
            pub const fn number(self) -> i64 {
                self.0
            }
        }

        impl Display for $id {
            fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        })*
    };
}

number_inside! { FeedId DeadLetterId }
