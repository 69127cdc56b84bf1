//! Dead letters.

use serde::{Deserialize, Serialize};

use super::{EventView, Page};

/// A delivery that is not tried again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// Its number, by which it is shown, redriven and dropped.
    #[serde(default)]
    pub number: i64,
    /// The subscription that it was for, as `PLUGIN/NAME`.
    #[serde(default)]
    pub subscription: String,
    /// What kind of failure the last attempt was.
    #[serde(default)]
    pub cause: String,
    /// What happened at the last attempt.
    #[serde(default)]
    pub reason: String,
    /// How many attempts were made.
    #[serde(default)]
    pub attempts: u32,
    /// Whether a replay made the delivery.
    #[serde(default)]
    pub replay: bool,
    /// The ordering key whose later deliveries wait for it; null if none do.
    #[serde(default)]
    pub parks: Option<String>,
    /// When it became a dead letter, in RFC 3339.
    #[serde(default)]
    pub buried_at: String,
    /// Each failed attempt, the first one first.
    #[serde(default)]
    pub history: Vec<AttemptView>,
    /// The event, and its place in the log.
    pub logged: EventView,
}

/// A failed attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptView {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When it ended, in RFC 3339.
    pub at: String,
    /// What kind of failure it was.
    pub cause: String,
    /// What happened.
    pub reason: String,
    /// The digest of the component that ran; null if none did.
    pub digest: Option<String>,
}

/// Which dead letters are meant. All of the conditions hold for each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterQuery {
    /// Only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Only those of this subscription, as `PLUGIN/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only those with this cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only those after this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// At most this many; a list has 100 if it is left out, and 1,000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the dead letters, by their numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetterPage {
    /// The dead letters.
    pub dead_letters: Vec<DeadLetterView>,
    /// The `after` of the page that follows; null on the last page.
    pub next: Option<i64>,
}

impl Page for DeadLetterPage {
    const CURSOR: &'static str = "after";
    const PATH: &'static str = "dead-letters";
    const ITEMS: &'static str = "dead_letters";

    fn next(&self) -> Option<String> {
        self.next.map(|next| next.to_string())
    }
}

/// What a redrive came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedriveResult {
    /// How many dead letters are delivered again.
    pub redriven: usize,
}

/// How many dead letters were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DropResult {
    /// How many.
    pub dropped: usize,
}
