//! What comes later.

use serde::{Deserialize, Serialize};

use super::{EventDocument, Page};

/// A schedule that a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleView {
    /// Whether it publishes nothing, because its plugin does not run.
    pub rests: bool,
    /// Its name, as `PLUGIN/NAME`.
    pub id: String,
    /// When it is due: a cron expression.
    pub cron: String,
    /// The time zone of the expression; null for UTC.
    pub timezone: Option<String>,
    /// What becomes of the times that were missed: `run-once`, `skip` or `catch-up`.
    pub missed: String,
    /// The type of its events.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it is due next, in RFC 3339; null if never.
    pub next: Option<String>,
}

/// All schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleList {
    /// The schedules.
    pub schedules: Vec<ScheduleView>,
}

/// An event that enters the log later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduledView {
    /// When, in RFC 3339.
    #[serde(default)]
    pub due: String,
    /// The event.
    pub event: EventDocument,
}

/// Which delayed events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduledQuery {
    /// The `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many; 100 if it is left out, and 1,000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the delayed events, the next one first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduledPage {
    /// The events.
    pub scheduled: Vec<ScheduledView>,
    /// The `after` of the page that follows; null on the last page.
    pub next: Option<String>,
}

impl Page for ScheduledPage {
    const CURSOR: &'static str = "after";
    const PATH: &'static str = "scheduled";
    const ITEMS: &'static str = "scheduled";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// Which delayed event to take back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelQuery {
    /// Its source.
    pub source: String,
    /// Its id.
    pub id: String,
}
