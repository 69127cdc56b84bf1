//! The types of the admin API. `admin` writes them and the command line reads them, so each JSON member has one
//! definition.
//!
//! # Compatibility
//! Readers ignore unknown members, and treat missing ones as null, zero or empty. Unknown values of an enum are kept as
//! written. The data of events is never parsed, so that it stays as it was published. Requests with unknown members are
//! rejected, so that a typo is not ignored.

mod access;
mod backup;
mod canary;
mod configuration;
mod dead_letters;
mod deliveries;
mod events;
mod ledger;
mod open_enums;
mod plugins;
mod problem;
mod route_requests;
mod samples;
mod schedules;
pub(crate) mod schemas;
mod state;
mod storage;
mod subscriptions;
#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

pub use access::{
    AccessView, AuditEntryView, AuditLogPage, AuditLogQuery, CreatedTokenView, LoginMethodsView, TokenList,
    TokenRequest, TokenView,
};
pub use backup::BackupQuery;
pub use canary::{CanaryQuery, CanaryView, DifferenceView, DifferingDeliveryView, MeasurementView};
pub use configuration::{ConfigurationView, SettingView};
pub use dead_letters::{
    AttemptView, DeadLetterGroupPage, DeadLetterGroupQuery, DeadLetterGroupView, DeadLetterPage, DeadLetterQuery,
    DeadLetterSelection, DeadLetterView, DropResult, EditedRedriveRequest, GroupStatusQuery, GroupStatusRequest,
    RedriveResult,
};
pub use deliveries::{DeliveryPage, DeliveryQuery, DeliverySelection, DeliveryView, RetryResult};
pub use events::{
    CompactionResult, EventDocument, EventList, EventPage, EventQuery, EventSelection, EventSummary, EventView,
    PublishResult, ReceiptView,
};
pub use ledger::{
    BodyEndView, CallView, CauseTreeQuery, CauseTreeView, DelayedEventView, ExchangeView, GapView, HeaderView,
    InvocationUsageView, LedgerView, LogLineView, MinutePage, MinuteQuery, MinuteView, PercentilesView, PublishedView,
    RecordedAttemptPage, RecordedAttemptQuery, RecordedAttemptView, RecordedRequestPage, RecordedRequestQuery,
    RecordedRequestView, StatisticsView, StreamMessage, StreamQuery, SubjectView, TreeDeadLetterView, TreeDeliveryView,
    TreeEventView, VerdictView, WaitReasonView,
};
pub use open_enums::{
    DeadLetterPolicyView, DeliveryOutcomeView, DeliveryStateView, GroupStatus, PluginStatus, SubscriptionStatus,
};
pub use plugins::{
    ConfigKeyView, CorsRuleView, DeclaredScheduleView, DeclaredSubscriptionView, DrainQuery, DrainResult,
    GenerationView, GrantsView, LimitsView, OverlapView, PinView, PluginList, PluginView, RequestedGrantsView,
    RollbackQuery, RollbackResult,
};
pub use problem::ProblemView;
pub use route_requests::{RouteRequest, RouteRequestHeader, RouteRequestQuery, RouteResponseView};
pub use samples::{SampleFaultView, SampleList, SampleRequestView, SampleView};
pub use schedules::{CancelQuery, ScheduleList, ScheduleView, ScheduledPage, ScheduledQuery, ScheduledView};
pub use schemas::PENDING_STATES;
pub use state::{StateKeyPage, StateKeyQuery, StateRequest, StateValueView};
pub use storage::StorageView;
pub use subscriptions::{
    ChangeView, ReplayRequest, ReplayResult, ReplayUntil, ReplayView, RetryView, RuleOverrides, SecretRequest,
    SecretRotationResult, StopReplaysResult, SubscriptionChangeResult, SubscriptionList, SubscriptionQuery,
    SubscriptionRequest, SubscriptionRules, SubscriptionView, TargetRequest, TargetView, WebhookRequest,
};

/// The path that all other paths of the API are below. It has the version: changes that break clients get a new one.
pub const ROOT: &str = "/v1";

/// A page of a list.
pub trait Page {
    /// The path of the list.
    const PATH: &'static str;
    /// The member with the items.
    const ITEMS: &'static str;
    /// The members other than the items and the cursor.
    const OTHERS: &'static [&'static str] = &[];

    /// The cursor of the next page, if there is one.
    fn next(&self) -> Option<String>;
}

/// The part of a list that has no conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000, which is the default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// An answer without content. Content from a newer host is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "IgnoredAny")]
pub struct NoContent;

impl From<IgnoredAny> for NoContent {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

/// Distinguishes null from an omitted member.
fn deserialize_nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
