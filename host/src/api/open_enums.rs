//! Enums with values that this version may not know, because the host is newer.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::schemas;

/// Defines an enum that is a string in JSON. Unknown strings are kept.
macro_rules! open_enum {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$what])* $variant,)*
            /// A value that this version does not know.
            Other(String),
        }

        impl $name {
            /// The string in JSON.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)*
                    _ => Self::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                schemas::parse(json!({ "type": "string", "enum": [$($word),*] }))
            }
        }

        impl ToSchema for $name {}

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }
    };
}

open_enum! {
    /// What operators have decided about a group of dead letters.
    GroupStatus {
        /// Somebody has to look at it.
        Open = "open",
        /// Its cause is removed. It is open again when another dead letter joins it.
        Resolved = "resolved",
        /// It needs no attention, and stays ignored when another dead letter joins it.
        Ignored = "ignored",
    }
}

open_enum! {
    /// Where a delivery stands.
    DeliveryStateView {
        /// The subscription has not examined the event yet.
        NotReached = "not-reached",
        /// It can be claimed as soon as there is a handler and a permit.
        Ready = "ready",
        /// An attempt runs, or its outcome is being committed.
        InFlight = "in-flight",
        /// It waits for another attempt.
        Retrying = "retrying",
        /// It waits for another event of its ordering key.
        BehindKey = "behind-key",
        /// It waits because a dead letter parks its ordering key.
        Parked = "parked",
        /// It is a dead letter.
        DeadLetter = "dead-letter",
        /// The subscription has nothing more to do for the event.
        Handled = "handled",
    }
}

open_enum! {
    /// How a delivery ended, as far as that is known.
    DeliveryOutcomeView {
        /// An attempt that handled the event is recorded.
        Handled = "handled",
        /// It is a dead letter.
        DeadLetter = "dead-letter",
        /// An operator dropped its dead letter: no later attempt is recorded.
        Dropped = "dropped",
        /// It was handled, or an operator dropped its dead letter: the last attempt is not recorded.
        NotRecorded = "not-recorded",
    }
}

open_enum! {
    /// The status of a plugin, or of a file in the plugin folder.
    PluginStatus {
        /// The newest file runs.
        Running = "running",
        /// The newest file cannot be loaded; an older one runs.
        RunningOlder = "running an older file",
        /// An operator or a rule has rolled back to an earlier generation.
        RolledBack = "rolled back",
        /// Deliveries and requests are stopped until it is resumed.
        Drained = "drained",
        /// The sidecar disables it.
        Disabled = "disabled",
        /// The file cannot be loaded; no other generation runs.
        Broken = "broken",
        /// The file is ignored.
        Ignored = "ignored",
        /// The file was removed. The routes answer 503.
        Removed = "removed",
    }
}

open_enum! {
    /// Whether a subscription delivers.
    SubscriptionStatus {
        /// It delivers.
        Active = "active",
        /// It does not deliver; `waits_for` has the reason.
        Paused = "paused",
    }
}

open_enum! {
    /// The effect of a dead letter on later deliveries with its ordering key.
    DeadLetterPolicyView {
        /// They continue.
        Release = "release",
        /// They wait until the dead letter is redriven and handled, or dropped.
        Park = "park",
    }
}
