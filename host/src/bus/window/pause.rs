//! Why a subscription delivers nothing.

/// Who stopped a subscription, until it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An operator.
    Operator,
    /// Its endpoint, which is gone.
    Gone,
}

/// Why a subscription delivers nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Who stopped it, if it was stopped.
    pub(crate) stopped: Option<Stop>,
    /// Its plugin no longer declares it.
    pub(crate) orphaned: bool,
}

impl Pause {
    pub(crate) fn reason(self) -> Option<String> {
        match self {
            Self { stopped: Some(Stop::Operator), .. } => Some("an operator paused it".to_owned()),
            Self { stopped: Some(Stop::Gone), .. } => Some(
                "the webhook answered 410 Gone; nothing more is sent until the subscription is resumed or gets another URL"
                    .to_owned(),
            ),
            Self { orphaned: true, .. } => Some("the plugin no longer declares it".to_owned()),
            _ => None,
        }
    }
}
