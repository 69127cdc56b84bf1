//! Why a subscription delivers nothing.

/// Who stopped a subscription, until it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// An operator.
    Operator,
    /// Its endpoint, which is gone.
    EndpointGone,
}

/// Why a subscription delivers nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Who stopped it, if it was stopped.
    pub(crate) stopped: Option<StopReason>,
    /// Its plugin no longer declares it.
    pub(crate) orphaned: bool,
}

impl Pause {
    pub(crate) fn reason(self) -> Option<String> {
        match self {
            Self { stopped: Some(StopReason::Operator), .. } => Some("an operator paused it".to_owned()),
            Self { stopped: Some(StopReason::EndpointGone), .. } => Some(
                "the webhook answered 410 Gone; nothing more is sent until the subscription is resumed or gets another URL"
                    .to_owned(),
            ),
            Self { orphaned: true, .. } => Some("the plugin no longer declares it".to_owned()),
            _ => None,
        }
    }
}
