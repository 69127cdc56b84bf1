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
mod open_enums;
mod plugins;
mod problem;
mod schedules;
mod subscriptions;
#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use canary::{CanaryQuery, CanaryView, DifferenceView, DifferingDeliveryView, UsageView};
pub use dead_letters::{AttemptView, DeadLetterPage, DeadLetterQuery, DeadLetterView, DropResult, RedriveResult};
pub use events::{
    CompactionResult, EventDocument, EventList, EventPage, EventQuery, EventSummary, EventView, PublishResult,
    ReceiptView,
};
pub use open_enums::{DeadLetterPolicyView, PluginStatus, SubscriptionStatus};
pub use plugins::{
    ConfigKeyView, DeclaredScheduleView, DeclaredSubscriptionView, DrainQuery, DrainResult, GenerationView, GrantsView,
    LimitsView, OverlapView, PinView, PluginList, PluginView, RequestedGrantsView, RollbackQuery, RollbackResult,
};
pub use problem::ProblemView;
pub use schedules::{CancelQuery, ScheduleList, ScheduleView, ScheduledPage, ScheduledQuery, ScheduledView};
pub use subscriptions::{
    ChangeView, ReplayRequest, ReplayResult, ReplayView, RetryView, RuleOverrides, SecretRequest, SecretRotationResult,
    StopReplaysResult, SubscriptionChangeResult, SubscriptionList, SubscriptionRequest, SubscriptionRules,
    SubscriptionView, TargetRequest, TargetView, WebhookRequest,
};

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
pub struct NoContent;

impl From<IgnoredAny> for NoContent {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

/// Tells a member that is null from one that is left out.
fn deserialize_nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
