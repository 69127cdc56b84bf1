//! The handlers of new projects.

/// The handler of a new project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Handles events of a type, or of the types that match a pattern.
    Event(String),
    /// Handles requests with a method and a path.
    Route(String, String),
}

impl Handler {
    /// The event type, if it handles one and not a pattern.
    pub(crate) fn event_type(&self) -> Option<&str> {
        match self {
            Self::Event(pattern) => Some(pattern.as_str()).filter(|pattern| !pattern.contains(['*', '>'])),
            Self::Route(..) => None,
        }
    }
}

/// An event type that matches a pattern.
pub(crate) fn example(pattern: &str) -> String {
    pattern.replace('*', "any").replace('>', "all")
}
