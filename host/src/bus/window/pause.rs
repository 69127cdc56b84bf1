//! Why a subscription is paused.

/// The reason of a pause that lasts until a version of the plugin declares the subscription again.
pub const NO_LONGER_DECLARED: &str = "the plugin no longer declares it";

/// Why a subscription is paused until an operator resumes it or, with `EndpointGone`, until its endpoint changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PauseReason {
    /// An operator paused it.
    Operator,
    /// Its endpoint is gone.
    EndpointGone,
}

/// Why a subscription is paused. By default, it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    /// The reason for a pause that the plugin's next declaration does not end, if there is one.
    pub(crate) paused_by: Option<PauseReason>,
    /// Whether its plugin no longer declares it.
    pub(crate) orphaned: bool,
}

impl Pause {
    pub(crate) fn reason(self) -> Option<String> {
        match self {
            Self { paused_by: Some(PauseReason::Operator), .. } => Some("an operator paused it".to_owned()),
            Self { paused_by: Some(PauseReason::EndpointGone), .. } => {
                Some("the webhook answered 410 Gone; resume the subscription or change its URL to continue".to_owned())
            }
            Self { orphaned: true, .. } => Some(NO_LONGER_DECLARED.to_owned()),
            _ => None,
        }
    }
}
