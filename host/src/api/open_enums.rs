//! Words of which a newer host may know more.

use serde::{Deserialize, Serialize};

/// An enum that is a word on the wire. A word that it does not know is kept as it is.
macro_rules! open_enum {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$what])* $variant,)*
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The word.
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

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }
    };
}

open_enum! {
    /// How a plugin, or a file in the plugin folder, stands.
    PluginStatus {
        /// The newest file runs.
        Running = "running",
        /// The newest file cannot be loaded, and an older one runs.
        RunningOlder = "running an older file",
        /// An operator or a rule went back to an earlier generation.
        RolledBack = "rolled back",
        /// Nothing is delivered to it until it is resumed.
        Drained = "drained",
        /// Its sidecar switches it off.
        Disabled = "disabled",
        /// The file cannot be loaded, and nothing runs in its place.
        Broken = "broken",
        /// The file is not taken for a plugin.
        Ignored = "ignored",
        /// Its file was removed. Its routes answer that it is not there.
        Removed = "removed",
    }
}

open_enum! {
    /// Whether a subscription delivers.
    SubscriptionStatus {
        /// It delivers.
        Active = "active",
        /// It delivers nothing; `waits_for` says why.
        Paused = "paused",
    }
}

open_enum! {
    /// What a dead letter means for later deliveries with its ordering key.
    DeadLetterPolicyView {
        /// They go on without it.
        Release = "release",
        /// They wait until it is redriven and handled, or dropped.
        Park = "park",
    }
}
