//! The ledger: attempts, requests, cause trees and statistics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{DeliveryOutcomeView, DeliveryStateView, Page, schemas};
use crate::pattern::Pattern;

/// A recorded attempt at a delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecordedAttemptView {
    /// When it was committed, in RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// The event's position.
    pub position: u64,
    /// The event's id.
    pub event: String,
    /// The event's source.
    pub source: String,
    /// The event's type.
    pub event_type: String,
    /// The id of the cause tree.
    pub correlation: String,
    /// The subscription, as `OWNER/NAME`.
    pub subscription: String,
    /// The number of the replay; null for the subscription's own delivery, and for a redriven dead letter of a replay.
    pub replay: Option<i64>,
    /// Whether the delivery belongs to a replay, which may have ended.
    pub replayed: bool,
    /// When an operator redrove the dead letter that the delivery was, in RFC 3339; null if it was none.
    #[schema(format = DateTime)]
    pub redriven_at: Option<String>,
    /// Whether an operator has edited the data that was delivered.
    pub edited: bool,
    /// The SHA-256 digest of the component that ran; null for a webhook.
    pub digest: Option<String>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// What followed.
    pub verdict: VerdictView,
    /// When the next attempt is due, in RFC 3339; null if there is none.
    #[schema(format = DateTime)]
    pub retry_at: Option<String>,
    /// The cause of the failure; null for a success.
    pub cause: Option<String>,
    /// The reason of the failure; null for a success.
    pub reason: Option<String>,
    /// What the handler used and did.
    #[serde(flatten)]
    pub usage: InvocationUsageView,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictView {
    /// The event is handled.
    #[default]
    Handled,
    /// There will be another attempt.
    Retried,
    /// The delivery became a dead letter.
    Dead,
}

/// What an invocation used and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct InvocationUsageView {
    /// The time that it waited for permits and a thread, in microseconds.
    pub queued_us: u64,
    /// The run time, in microseconds.
    pub took_us: u64,
    /// The processor time, in microseconds.
    pub cpu_us: u64,
    /// The peak memory, in bytes.
    pub memory_bytes: u64,
    /// The first 100 events that it published.
    pub published: Vec<PublishedView>,
    /// The first 100 keys of the plugin's state that it wrote.
    pub state_keys: Vec<String>,
    /// The number of further events and keys.
    pub names_omitted: u64,
    /// The first 64 requests that it sent.
    pub calls: Vec<CallView>,
    /// The number of further requests.
    pub calls_omitted: u64,
    /// The first 20 lines that the handler logged, with 8 KiB of text in total.
    pub log: Vec<LogLineView>,
    /// The number of further log lines.
    pub log_lines_omitted: u64,
}

/// A line that a handler logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LogLineView {
    /// The level: `trace`, `debug`, `info`, `warn`, `error` or `critical`.
    pub level: String,
    /// The text.
    pub message: String,
}

/// An event that an invocation published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PublishedView {
    /// Its id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// When a delayed event enters the log, in RFC 3339; null if it entered at once.
    pub due: Option<String>,
}

/// A request that an invocation sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CallView {
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The status of the response; null if there is none.
    pub status: Option<u16>,
    /// Why there is no response; null if there is one.
    pub error: Option<String>,
    /// The duration, in microseconds.
    pub took_us: u64,
    /// The URL and the response, if the host recorded them and the query asks for `exchanges`; null otherwise.
    pub exchange: Option<ExchangeView>,
}

/// The URL of a request, and the response. They may contain secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ExchangeView {
    /// The URL.
    pub url: String,
    /// The headers of the response, in order.
    pub headers: Vec<HeaderView>,
    /// The body of the response, up to 64 KiB; null if it is not text.
    pub body: Option<String>,
    /// The body in Base64; null if it is text.
    pub body_base64: Option<String>,
    /// How far the body was recorded.
    pub body_end: BodyEndView,
    /// The texts that stand for secrets of the plugin's configuration, by the name of the configuration value.
    pub placeholders: BTreeMap<String, String>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HeaderView {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// How far the body of a response was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyEndView {
    /// As far as the handler read it.
    #[default]
    Unread,
    /// To its end.
    Complete,
    /// Up to a limit.
    Truncated,
    /// Up to where the connection broke, or the response stalled.
    Failed,
}

/// A recorded request for a plugin's route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecordedRequestView {
    /// Its id, `x-request-id` in the response.
    pub id: String,
    /// When it ended, in RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// The plugin.
    pub plugin: String,
    /// The SHA-256 digest of the component that ran.
    pub digest: String,
    /// The method.
    pub method: String,
    /// The route.
    pub route: String,
    /// The path, without the query.
    pub path: String,
    /// The status of the response; 499 if the client disconnected before there was one.
    pub status: u16,
    /// The cause of the failure: of the handler's, as in dead letters, or the code of the problem with which the host
    /// responded. Null if the status is below 500.
    pub cause: Option<String>,
    /// The reason of the failure; null for a success.
    pub reason: Option<String>,
    /// The ids of the cause trees of the events that it published.
    pub correlations: Vec<String>,
    /// What the handler used and did. The run time is that of the whole request.
    #[serde(flatten)]
    pub usage: InvocationUsageView,
}

/// A page of recorded attempts, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecordedAttemptPage {
    /// The attempts.
    pub attempts: Vec<RecordedAttemptView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

/// A page of recorded requests, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecordedRequestPage {
    /// The requests.
    pub requests: Vec<RecordedRequestView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for RecordedAttemptPage {
    const PATH: &'static str = "attempts";
    const ITEMS: &'static str = "attempts";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

impl Page for RecordedRequestPage {
    const PATH: &'static str = "requests";
    const ITEMS: &'static str = "requests";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// Which recorded attempts to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RecordedAttemptQuery {
    /// Only attempts at deliveries of events with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Only attempts at deliveries of events of this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only attempts in cause trees with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Only attempts of this subscription, `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only attempts of this owner's subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only failed attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<bool>,
    /// Only failures with this cause.
    #[param(value_type = Option<schemas::Cause>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only attempts of this component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Only attempts that took at least this long, such as `250ms`.
    #[param(value_type = Option<schemas::Duration>)]
    #[serde(with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<Duration>,
    /// Only attempts that ended at this time or later, in RFC 3339.
    #[param(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only attempts that ended before this time, in RFC 3339.
    #[param(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default. With `exchanges`, a page has 20 entries at most.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether each call has its `exchange`: the URL and the response, if the host recorded them. They may contain
    /// secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<bool>,
}

/// Which recorded requests to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RecordedRequestQuery {
    /// Only requests for this plugin's routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only requests with a status of 500 or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<bool>,
    /// Only requests that ended at this time or later, in RFC 3339.
    #[param(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only requests that ended before this time, in RFC 3339.
    #[param(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 100 by default. With `exchanges`, a page has 20 entries at most.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether each call has its `exchange`: the URL and the response, if the host recorded them. They may contain
    /// secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<bool>,
}

/// Which cause tree to show.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CauseTreeQuery {
    /// The source of the event, if events of several sources have its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The largest number of events, up to 10,000; 200 by default. The event with this id and the events that led to it
    /// are always included.
    #[param(minimum = 1, maximum = 10000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What an event belongs to, or what a request led to: the first event, and all events that followed from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CauseTreeView {
    /// The ids of the trees: of their first events, or assigned by the host. A request may start several.
    pub correlations: Vec<String>,
    /// The recorded requests: the one with this id, and the one whose handler published the first event.
    pub requests: Vec<RecordedRequestView>,
    /// The events of each tree, in the order of the log. If there are more than the limit: the event with this id, those
    /// that led to it, those that it led to, and then the others.
    pub events: Vec<TreeEventView>,
    /// The number of events that are omitted, in all trees.
    pub omitted: u64,
    /// Whether the trees have more events than the host reads, so that more are omitted than `omitted` counts.
    pub partly_read: bool,
    /// Whether the oldest recorded attempts are omitted.
    pub attempts_omitted: bool,
    /// The events that enter the log later.
    pub delayed: Vec<DelayedEventView>,
    /// The times in which the ledger lost records, so that attempts and requests may be missing.
    pub gaps: Vec<GapView>,
    /// Why the ledger cannot be read or written, so that attempts and requests may be missing; null if it can.
    pub ledger_error: Option<String>,
}

/// An event of a cause tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TreeEventView {
    /// Its position in the log; null if retention has deleted it, and only the ledger knows it.
    pub position: Option<u64>,
    /// When it entered the log, in RFC 3339.
    #[schema(format = DateTime)]
    pub stored_at: String,
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    pub event_type: String,
    /// Its subject; null if it has none.
    pub subject: Option<String>,
    /// The id of the event whose handler published it; null for the first event.
    pub causation: Option<String>,
    /// The source of the event whose handler published it; null for the first event.
    pub causation_source: Option<String>,
    /// The id of its tree.
    pub correlation: String,
    /// The number of events below it that are omitted: those that it led to, without those below another event of the
    /// list.
    pub omitted: u64,
    /// Its deliveries.
    pub deliveries: Vec<TreeDeliveryView>,
}

/// The delivery of an event of a cause tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TreeDeliveryView {
    /// The subscription, as `OWNER/NAME`.
    pub subscription: String,
    /// Whether it is a delivery of a replay.
    pub replayed: bool,
    /// Where it stands; null if only the ledger knows it, such as a replay that has ended.
    pub state: Option<DeliveryStateView>,
    /// How it ended, as far as that is known; null if it has not ended.
    pub outcome: Option<DeliveryOutcomeView>,
    /// When its dead letter was redriven, in RFC 3339, if it is pending again; else null.
    #[schema(format = DateTime)]
    pub redriven_at: Option<String>,
    /// Whether an operator has edited its data, if it is pending or a dead letter.
    pub edited: bool,
    /// Why it waits.
    pub waits_for: Vec<WaitReasonView>,
    /// Its dead letter; null if there is none.
    pub dead_letter: Option<TreeDeadLetterView>,
    /// The recorded attempts, oldest first. Successful ones may be missing if they are sampled.
    pub attempts: Vec<RecordedAttemptView>,
}

/// The dead letter of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TreeDeadLetterView {
    /// Its number.
    pub number: i64,
    /// The cause of the last failure.
    pub cause: String,
    /// The reason of the last failure.
    pub reason: String,
}

/// Why a delivery waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WaitReasonView {
    /// The kind of reason: `no-plugin`, `not-declared`, `drained`, `paused`, `endpoint-hold`, `store-unreachable`,
    /// `backlog`, `ordering-key`, `parked-key`, `no-permit`, `retry` or `running`.
    pub code: String,
    /// The reason for people, with what to do.
    pub detail: String,
    /// When it ends, in RFC 3339; null if that is unknown.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// The id of the event that it waits for; null if there is none.
    pub event: Option<String>,
}

/// An event that enters the log later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DelayedEventView {
    /// When it enters the log, in RFC 3339.
    #[schema(format = DateTime)]
    pub due: String,
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    pub event_type: String,
    /// The id of the event whose handler published it; null if there is none.
    pub causation: Option<String>,
}

/// A time in which the ledger lost records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GapView {
    /// When the first missing record was made, in RFC 3339.
    #[schema(format = DateTime)]
    pub from: String,
    /// When the last missing record was made, in RFC 3339.
    #[schema(format = DateTime)]
    pub until: String,
    /// The number of missing records; null if it is unknown, and may be 0.
    pub lost: Option<u64>,
    /// Why they are missing.
    pub reason: String,
}

/// What every subscription and every plugin's routes did in the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StatisticsView {
    /// The time of these statistics, in RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// The subjects.
    pub subjects: Vec<SubjectView>,
    /// The ledger itself.
    pub ledger: LedgerView,
}

/// What a subscription or a plugin's routes did in a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SubjectView {
    /// The plugin, or the owner of the subscription.
    pub plugin: String,
    /// The subscription, as `OWNER/NAME`; null for the plugin's routes.
    pub subscription: Option<String>,
    /// Attempts that handled their event, or requests with a status below 500.
    pub succeeded: u64,
    /// Failed attempts that are retried.
    pub retried: u64,
    /// Attempts that left a dead letter, or requests with a status of 500 or above.
    pub failed: u64,
    /// The processor time, in microseconds.
    pub cpu_us: u64,
    /// The largest memory of an invocation, in bytes.
    pub memory_bytes: u64,
    /// The run times of handlers.
    pub run: PercentilesView,
    /// The latencies without the run times: waits for a turn, a permit, a retry and the commit.
    pub wait: PercentilesView,
    /// The times from the entry into the log, or from the request, to the end.
    pub latency: PercentilesView,
    /// The deliveries that are neither handled nor dead letters; null for routes.
    pub backlog: Option<u64>,
    /// The age of the oldest of them, in seconds; null if there is none.
    pub lag_seconds: Option<f64>,
    /// The running deliveries; null for routes.
    pub in_flight: Option<usize>,
}

/// Percentiles of durations, in microseconds, with an error of at most 6 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PercentilesView {
    /// The median.
    pub p50_us: u64,
    /// The 95th percentile.
    pub p95_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// The ledger itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LedgerView {
    /// Whether it can be written.
    pub available: bool,
    /// Since when it cannot be written, in RFC 3339; null if it can.
    #[schema(format = DateTime)]
    pub unavailable_since: Option<String>,
    /// Why it cannot be written; null if it can.
    pub unavailable_reason: Option<String>,
    /// Records written since the start.
    pub written: u64,
    /// Records lost since the start.
    pub lost: u64,
}

/// Which minutes to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct MinuteQuery {
    /// Only subscriptions and routes of this plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only this subscription, `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// A time in the first minute, in RFC 3339. An hour before `until` by default.
    #[param(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// A time in the last minute, in RFC 3339. Now by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The `next` of the previous page, with the same times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The number of entries of the page, up to 20,000; 1,000 by default.
    #[param(minimum = 1, maximum = 20000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the aggregates of a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MinutePage {
    /// The minutes that have ended, in order, one entry for each subject that did something. A stop of the host ends its
    /// last minute early.
    pub minutes: Vec<MinuteView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for MinutePage {
    const PATH: &'static str = "statistics/minutes";
    const ITEMS: &'static str = "minutes";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// What a subject did in a minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MinuteView {
    /// The beginning of the minute, in RFC 3339. It is a minute of the UTC clock.
    #[schema(format = DateTime)]
    pub at: String,
    /// What happened.
    #[serde(flatten)]
    pub subject: SubjectView,
}

/// Which records to follow.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Only records of this plugin's subscriptions and routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only attempts of this subscription, `OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only attempts at events whose types match this pattern.
    #[param(value_type = Option<schemas::Pattern>)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Only failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<bool>,
}

/// A message of the live stream: the `data` of a server-sent event. Its `event` is the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StreamMessage {
    /// An attempt was committed.
    Attempt(Box<RecordedAttemptView>),
    /// A request has ended.
    Request(Box<RecordedRequestView>),
    /// Records were lost, because the client read too slowly or was disconnected for too long.
    Lost {
        /// How many; null if that is unknown, after a restart of the host.
        count: Option<u64>,
    },
}
