//! The admin API on the wire: what the host answers, and what it takes. `admin` writes these types, the command line
//! reads them, and so each member of the JSON has one definition.
//!
//! # Compatibility
//! Readers ignore members that they do not know, and take a missing one for null, zero or empty. A word of an enum that
//! a reader does not know is kept as it was written. The data of events is never read into a number: it stays as it was
//! published. Requests with members that the host does not know are refused, so that a typo is not taken for consent.

mod canary;
mod dead_letters;
mod events;
mod plugins;
mod problem;
mod schedules;
mod subscriptions;
#[cfg(test)]
mod tests;
mod words;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use canary::{CanaryQuery, CanaryView, DifferenceView, DifferingView, UsageView};
pub use dead_letters::{AttemptView, DeadLetterPage, DeadLetterQuery, DeadLetterView, Dropped, Redriven};
pub use events::{
    AcceptedView, Compacted, EventDocument, EventList, EventPage, EventQuery, EventSummary, EventView, Published,
};
pub use plugins::{
    ConfigKeyView, DeclaredScheduleView, DeclaredSubscriptionView, DrainQuery, Drained, GrantsView, KeptView,
    LimitsView, OverlapView, PinView, PluginList, PluginView, RequestsView, RollbackQuery, RolledBackView,
};
pub use problem::ProblemView;
pub use schedules::{CancelQuery, ScheduleList, ScheduleView, ScheduledPage, ScheduledQuery, ScheduledView};
pub use subscriptions::{
    ChangeView, ReplayBegun, ReplayRequest, ReplayView, ReplaysStopped, RetryView, RuleOverrides, SecretRequest,
    SecretRotated, SubscriptionChanged, SubscriptionList, SubscriptionRequest, SubscriptionRules, SubscriptionView,
    TargetRequest, TargetView, WebhookRequest,
};
pub use words::{DeadLetterPolicyWord, PluginStatus, SubscriptionStatus};

/// A list that the host answers in pages.
pub trait Page {
    /// The parameter of the request that continues behind a page.
    const CURSOR: &'static str;
    /// The path of the list.
    const PATH: &'static str;
    /// The member with the items.
    const ITEMS: &'static str;

    /// The cursor of the page that follows, if one does.
    fn next(&self) -> Option<String>;
}

/// An answer without content; what a newer host says there is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "IgnoredAny")]
pub struct Done;

impl From<IgnoredAny> for Done {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

/// Tells a member that is null from one that is left out.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
