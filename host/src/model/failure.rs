//! Why a delivery failed.

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub cause: Cause,
    /// What happened, for people.
    pub reason: String,
}

/// The kinds of failures, by which dead letters are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The handler asked for a retry.
    Retry,
    /// The handler threw an unexpected exception, such as a bug in a script.
    Exception,
    /// A request of the handler to another service failed or returned an unexpected response.
    Request,
    /// The handler rejected the event.
    Rejected,
    /// The handler trapped.
    Trap,
    /// The handler ran out of time.
    Timeout,
    /// The handler ran out of memory.
    OutOfMemory,
    /// Concurrent changes to the state that the handler had read kept causing conflicts.
    Conflict,
    /// A webhook returned an error or could not be reached.
    Webhook,
    /// The plugin has no handler for the event.
    NoHandler,
    /// The cause tree is deeper than the host's limit: plugins that trigger each other endlessly.
    HopLimit,
    /// A limit of the plugin is reached, such as its backlog.
    Limit,
    /// A published event has the source and id of another event.
    Collision,
}

impl Cause {
    /// The name that logs, dead letters and the admin interface use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Exception => "exception",
            Self::Request => "request",
            Self::Rejected => "rejected",
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out-of-memory",
            Self::Conflict => "conflict",
            Self::Webhook => "webhook",
            Self::NoHandler => "no-handler",
            Self::HopLimit => "hop-limit",
            Self::Limit => "limit",
            Self::Collision => "collision",
        }
    }

    /// All causes.
    pub const ALL: [Self; 13] = [
        Self::Retry,
        Self::Exception,
        Self::Request,
        Self::Rejected,
        Self::Trap,
        Self::Timeout,
        Self::OutOfMemory,
        Self::Conflict,
        Self::Webhook,
        Self::NoHandler,
        Self::HopLimit,
        Self::Limit,
        Self::Collision,
    ];

    /// Parses a cause by its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }

    /// Parses a cause that a retry policy may name as not retryable.
    #[must_use]
    pub fn parse_retriable(text: &str) -> Option<Self> {
        let retriable =
            [Self::Retry, Self::Exception, Self::Request, Self::Trap, Self::Timeout, Self::OutOfMemory, Self::Webhook];
        retriable.into_iter().find(|cause| cause.as_str() == text)
    }
}
