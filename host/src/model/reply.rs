//! Replies: an event that the client of a request waits for.

use std::time::Duration;

use crate::pattern::Pattern;

/// The longest time that a client may wait for a reply.
pub const REPLY_LIMIT: Duration = Duration::from_mins(1);

/// The reply that the client of a request waits for.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    /// The id of the event that starts the cause tree.
    pub id: String,
    /// The pattern that the reply's event type matches.
    pub pattern: Pattern,
    /// How long the client waits.
    pub timeout: Duration,
}
