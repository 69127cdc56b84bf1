//! Why a delivery failed.

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub cause: Cause,
    /// What happened, for a person.
    pub reason: String,
}

/// Kinds of failure, by which dead letters are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The handler asked to be tried again.
    Retry,
    /// The handler threw what it did not expect, such as a mistake in a script.
    Exception,
    /// A request of the handler to another service has no answer, or not one that was wanted.
    Request,
    /// The handler rejected the event.
    Rejected,
    /// The handler trapped.
    Trap,
    /// The handler ran out of time.
    Timeout,
    /// The handler ran out of memory.
    OutOfMemory,
    /// Others kept changing what the handler had read.
    Conflict,
    /// A webhook answered with an error, or could not be reached.
    Webhook,
    /// The plugin has no event handler, or none for the event.
    NoHandler,
    /// The flow has passed more events than the host's limit: plugins that publish for each other without
    /// end.
    HopLimit,
    /// The plugin has as much waiting as it may, or as there may be of something.
    Limit,
    /// What the handler published has the source and id of another event.
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

    /// Reads a cause that a retry policy may name as permanent.
    #[must_use]
    pub fn parse_retriable(text: &str) -> Option<Self> {
        let retriable =
            [Self::Retry, Self::Exception, Self::Request, Self::Trap, Self::Timeout, Self::OutOfMemory, Self::Webhook];
        retriable.into_iter().find(|cause| cause.as_str() == text)
    }
}
