//! Names that an engine gives to what it keeps. Only the engine knows what is behind them; others compare, show and pass
//! them back. They are never given away twice.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Names a feed: a subscription, or a replay of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeedId(i64);

/// Names a dead letter. Of two, the one that died later is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(i64);

macro_rules! number_inside {
    ($($id:ident)*) => {
        $(impl $id {
            /// For the engine that gives it away, and for what an operator wrote.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// For the engine that gave it away.
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
