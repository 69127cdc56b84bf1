//! The records of the ledger in the API's form.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::api::{
    BodyEndView, CallView, ExchangeView, GapView, HeaderView, InvocationUsageView, LedgerView, LogLineView,
    PercentilesView, PublishedView, RecordedAttemptView, RecordedRequestView, SubjectView, VerdictView,
};
use crate::duration::micros;
use crate::ledger::{
    Activity, AttemptEntry, AttemptVerdict, Counters, Gap, Percentiles, RequestEntry, StatisticsSubject,
};
use crate::outcome::EffectNames;
use crate::recorded_response::{BodyEnd, RecordedResponse};
use crate::usage::{LogLine, Usage};

pub(super) fn attempt(entry: &AttemptEntry) -> RecordedAttemptView {
    let (verdict, retry_at) = match entry.verdict {
        AttemptVerdict::Handled => (VerdictView::Handled, None),
        AttemptVerdict::Retry(due) => (VerdictView::Retried, Some(due.to_string())),
        AttemptVerdict::Dead => (VerdictView::Dead, None),
    };
    RecordedAttemptView {
        at: entry.at.to_string(),
        position: entry.position,
        event: entry.event_id.clone(),
        source: entry.event_source.clone(),
        event_type: entry.event_type.clone(),
        correlation: entry.tree.id.clone(),
        subscription: format!("{}/{}", entry.owner, entry.subscription),
        replay: entry.replay,
        replayed: entry.is_replay,
        redriven_at: entry.redriven_at.map(|time| time.to_string()),
        edited: entry.edited,
        digest: entry.digest.clone(),
        attempt: entry.attempt,
        verdict,
        retry_at,
        cause: entry.failure.as_ref().map(|failure| failure.cause.clone()),
        reason: entry.failure.as_ref().map(|failure| failure.reason.clone()),
        usage: usage(&entry.usage, &entry.names, entry.took),
    }
}

pub(super) fn request(entry: &RequestEntry) -> RecordedRequestView {
    RecordedRequestView {
        id: entry.id.clone(),
        at: entry.at.to_string(),
        plugin: entry.plugin.clone(),
        digest: entry.digest.clone(),
        method: entry.method.clone(),
        route: entry.route.clone(),
        path: entry.path.clone(),
        status: entry.status,
        cause: entry.failure.as_ref().map(|failure| failure.cause.clone()),
        reason: entry.failure.as_ref().map(|failure| failure.reason.clone()),
        correlations: entry.trees.iter().map(|tree| tree.id.clone()).collect(),
        usage: usage(&entry.usage, &entry.names, entry.took),
    }
}

fn usage(usage: &Usage, names: &EffectNames, took: Duration) -> InvocationUsageView {
    let published = names.published.iter().map(|event| PublishedView {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        due: event.due.map(|due| due.to_string()),
    });
    let calls = usage.calls.recorded.iter().map(|call| CallView {
        method: call.method.clone(),
        host: call.host.clone(),
        status: call.result.as_ref().ok().copied(),
        error: call.result.as_ref().err().cloned(),
        took_us: micros(call.took),
        exchange: call.recorded_response.as_deref().map(recorded_response),
    });
    InvocationUsageView {
        queued_us: micros(usage.queued),
        took_us: micros(took),
        cpu_us: micros(usage.cpu_time),
        memory_bytes: usage.memory_bytes,
        published: published.collect(),
        state_keys: names.state_keys.clone(),
        names_omitted: names.omitted as u64,
        calls: calls.collect(),
        calls_omitted: usage.calls.omitted,
        log: usage.log.lines.iter().map(log_line).collect(),
        log_lines_omitted: usage.log.omitted,
    }
}

fn log_line(line: &LogLine) -> LogLineView {
    LogLineView { level: line.level.as_str().to_owned(), message: line.message.clone() }
}

fn recorded_response(response: &RecordedResponse) -> ExchangeView {
    let RecordedResponse { url, headers, body, body_end, placeholders, .. } = response;
    let header = |(name, value): &(String, String)| HeaderView { name: name.clone(), value: value.clone() };
    let (body, body_base64) = match std::str::from_utf8(body) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(body))),
    };
    ExchangeView {
        url: url.clone(),
        headers: headers.iter().map(header).collect(),
        body,
        body_base64,
        body_end: match body_end {
            BodyEnd::Unread => BodyEndView::Unread,
            BodyEnd::Complete => BodyEndView::Complete,
            BodyEnd::Truncated => BodyEndView::Truncated,
            BodyEnd::Failed => BodyEndView::Failed,
        },
        placeholders: placeholders.clone(),
    }
}

pub(super) fn gap(gap: &Gap) -> GapView {
    let Gap { from, until, lost, reason } = gap;
    GapView { from: from.to_string(), until: until.to_string(), lost: *lost, reason: reason.clone() }
}

pub(super) fn ledger(counters: Counters) -> LedgerView {
    let Counters { written, lost, outage } = counters;
    let available = outage.is_none();
    let (unavailable_since, unavailable_reason) =
        outage.map(|outage| (outage.since.to_string(), outage.reason)).unzip();
    LedgerView { available, unavailable_since, unavailable_reason, written, lost }
}

/// The activity of a subject. The caller adds the backlog.
pub(super) fn subject(subject: &StatisticsSubject, activity: &Activity) -> SubjectView {
    let (plugin, subscription) = match subject {
        StatisticsSubject::Subscription { owner, name } => (owner.clone(), Some(format!("{owner}/{name}"))),
        StatisticsSubject::Routes { plugin } => (plugin.clone(), None),
    };
    SubjectView {
        plugin,
        subscription,
        succeeded: activity.succeeded,
        retried: activity.retried,
        failed: activity.failed,
        cpu_us: micros(activity.cpu_time),
        memory_bytes: activity.memory_bytes,
        run: percentiles(activity.run()),
        latency: percentiles(activity.latency()),
        wait: percentiles(activity.wait()),
        ..SubjectView::default()
    }
}

fn percentiles(percentiles: Percentiles) -> PercentilesView {
    let Percentiles { p50, p95, p99, max } = percentiles;
    PercentilesView { p50_us: micros(p50), p95_us: micros(p95), p99_us: micros(p99), max_us: micros(max) }
}
