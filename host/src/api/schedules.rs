//! Schedules and delayed events.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{EventDocument, Page};

/// A schedule that a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScheduleView {
    /// Whether it is paused because its plugin does not run.
    pub paused: bool,
    /// Its name, as `PLUGIN/NAME`.
    pub id: String,
    /// Its cron expression.
    pub cron: String,
    /// The time zone of the expression; null for UTC.
    pub timezone: Option<String>,
    /// The policy for missed times: `run-once`, `skip` or `catch-up`.
    pub missed: String,
    /// The type of its events.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The next time in RFC 3339; null if there is none.
    #[schema(format = DateTime)]
    pub next: Option<String>,
    /// The next times in RFC 3339, at most five. Times that have passed while the plugin did not run are left out.
    pub upcoming: Vec<String>,
}

/// A page of the schedules, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScheduleList {
    /// The schedules.
    pub schedules: Vec<ScheduleView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for ScheduleList {
    const PATH: &'static str = "schedules";
    const ITEMS: &'static str = "schedules";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// A delayed event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduledView {
    /// When it enters the log, in RFC 3339.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub due: String,
    /// The event.
    pub event: EventDocument,
}

/// The delayed events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ScheduledQuery {
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of delayed events in the order in which they are due.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScheduledPage {
    /// The events.
    pub scheduled: Vec<ScheduledView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for ScheduledPage {
    const PATH: &'static str = "scheduled";
    const ITEMS: &'static str = "scheduled";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// The delayed event to cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CancelQuery {
    /// Its source.
    pub source: String,
    /// Its id.
    pub id: String,
}
