//! Lists recorded attempts and requests, and statistics.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::body::Query;
use super::cursor::List;
use super::dead_letters::check_cause;
use super::ledger_query::{self, Owner};
use super::{Admin, Page, ledger_views as views, page_size, query};
use crate::api::{
    MinutePage, MinuteQuery, MinuteView, RecordedAttemptPage, RecordedAttemptQuery, RecordedRequestPage,
    RecordedRequestQuery, StatisticsView, SubjectView,
};
use crate::clock::Timestamp;
use crate::ledger::{
    AttemptEntry, AttemptFilter, MinuteAggregate, MinuteFilter, ReadError, RequestEntry, RequestFilter,
    StatisticsSubject,
};
use crate::problem::Problem;
use crate::subscription::SubscriptionId;

/// The largest page.
const LIMIT: usize = 1_000;
/// The largest page of records with recorded responses, which have up to 256 KiB each.
const RECORDED_RESPONSES_LIMIT: usize = 20;
/// The largest number of aggregates in one answer.
const MAX_MINUTES: usize = 20_000;
/// How far a query without a start goes back.
const LAST_HOUR: Duration = Duration::from_hours(1);

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Self::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "ledger-unavailable", error.to_string())
    }
}

/// List recorded attempts, newest first
#[utoipa::path(
    get,
    path = "/attempts",
    operation_id = "list_attempts",
    tag = "ledger",
    params(RecordedAttemptQuery),
    responses((status = 200, body = RecordedAttemptPage, description = "A page of the list."))
)]
pub(super) async fn attempts(
    State(admin): State<Admin>,
    Query(query): Query<RecordedAttemptQuery>,
) -> Result<Json<RecordedAttemptPage>, Problem> {
    let limit = page_of_records(query.limit, query.exchanges)?;
    let after = admin.parse_cursor(List::Attempts, query.after.as_deref())?;
    let read = admin.ledger.attempts(filter(query)?, after, Page::<AttemptEntry>::to_read(limit)).await?;
    let page = Page::of(read, limit);
    let next = page.next(|(number, _)| admin.cursor(List::Attempts, &number.to_string()));
    let attempts = page.items.iter().map(|(_, attempt)| views::attempt(attempt)).collect();
    Ok(Json(RecordedAttemptPage { attempts, next }))
}

/// The size of a page of records.
fn page_of_records(limit: Option<usize>, with_recorded_responses: Option<bool>) -> Result<usize, Problem> {
    let limit = page_size(limit, 100, LIMIT)?;
    Ok(if with_recorded_responses == Some(true) { limit.min(RECORDED_RESPONSES_LIMIT) } else { limit })
}

fn filter(query: RecordedAttemptQuery) -> Result<AttemptFilter, Problem> {
    let Owner { plugin: owner, subscription: name } = Owner::of(query.plugin, query.subscription.as_deref())?;
    check_cause(query.cause.as_deref())?;
    for (parameter, value) in [("event", &query.event), ("source", &query.source), ("correlation", &query.correlation)]
    {
        ledger_query::attribute(parameter, value.as_deref())?;
    }
    ledger_query::digest(query.digest.as_deref())?;
    Ok(AttemptFilter {
        event_id: query.event,
        event_source: query.source,
        tree: query.correlation,
        owner,
        subscription: name,
        failed: query.failed.unwrap_or(false),
        slower_than: query.slower_than,
        cause: query.cause,
        digest: query.digest,
        since: query::time("since", query.since.as_deref())?,
        until: query::time("until", query.until.as_deref())?,
        with_recorded_responses: query.exchanges.unwrap_or(false),
    })
}

/// List recorded requests, newest first
#[utoipa::path(
    get,
    path = "/requests",
    operation_id = "list_requests",
    tag = "ledger",
    params(RecordedRequestQuery),
    responses((status = 200, body = RecordedRequestPage, description = "A page of the list."))
)]
pub(super) async fn requests(
    State(admin): State<Admin>,
    Query(query): Query<RecordedRequestQuery>,
) -> Result<Json<RecordedRequestPage>, Problem> {
    let limit = page_of_records(query.limit, query.exchanges)?;
    let after = admin.parse_cursor(List::Requests, query.after.as_deref())?;
    let filter = RequestFilter {
        id: None,
        plugin: ledger_query::plugin(query.plugin)?,
        failed: query.failed.unwrap_or(false),
        since: query::time("since", query.since.as_deref())?,
        until: query::time("until", query.until.as_deref())?,
        with_recorded_responses: query.exchanges.unwrap_or(false),
    };
    let read = admin.ledger.requests(filter, after, Page::<RequestEntry>::to_read(limit)).await?;
    let page = Page::of(read, limit);
    let next = page.next(|(number, _)| admin.cursor(List::Requests, &number.to_string()));
    let requests = page.items.iter().map(|(_, request)| views::request(request)).collect();
    Ok(Json(RecordedRequestPage { requests, next }))
}

/// Show what happened in the last minute
///
/// One entry for each subscription, and one for the routes of each plugin. The counts are complete, even if records are
/// sampled or lost.
#[utoipa::path(
    get,
    path = "/statistics",
    operation_id = "get_statistics",
    tag = "ledger",
    responses((status = 200, body = StatisticsView, description = "The statistics."))
)]
pub(super) async fn statistics(State(admin): State<Admin>) -> Result<Json<StatisticsView>, Problem> {
    let oldest = admin.bus.oldest_unhandled().await?;
    let catalogue = Arc::clone(&admin.bus.catalogue().borrow());
    let now = admin.clock.now();
    let mut subjects = Vec::new();
    for (subject, statistics) in admin.recorder.subjects() {
        let view = views::subject(&subject, &statistics.last_minute());
        let StatisticsSubject::Subscription { owner, name } = subject else {
            subjects.push(view);
            continue;
        };
        // A subscription that was deleted is omitted.
        let Some(entry) = catalogue.subscription(&SubscriptionId { owner, name }) else { continue };
        let Some(overview) = admin.bus.feed(entry.feed).map(|feed| feed.overview()) else { continue };
        subjects.push(SubjectView {
            backlog: Some(overview.backlog),
            lag_seconds: oldest.get(&entry.feed).map(|oldest| now.since(*oldest).as_secs_f64()),
            in_flight: Some(overview.in_flight),
            ..view
        });
    }
    Ok(Json(StatisticsView { at: now.to_string(), subjects, ledger: views::ledger(admin.recorder.counters()) }))
}

/// List the aggregates of each minute
#[utoipa::path(
    get,
    path = "/statistics/minutes",
    operation_id = "list_minutes",
    tag = "ledger",
    params(MinuteQuery),
    responses((status = 200, body = MinutePage, description = "The aggregates."))
)]
pub(super) async fn minutes(
    State(admin): State<Admin>,
    Query(query): Query<MinuteQuery>,
) -> Result<Json<MinutePage>, Problem> {
    let now = admin.clock.now();
    let until = query::time("until", query.until.as_deref())?.unwrap_or(now);
    let since = query::time("since", query.since.as_deref())?.unwrap_or(until.before(LAST_HOUR));
    if since > until {
        return Err(query::invalid(format!("`since` ({since}) is later than `until` ({until})")));
    }
    let Owner { plugin: owner, subscription } = Owner::of(query.plugin, query.subscription.as_deref())?;
    let limit = page_size(query.limit, LIMIT, MAX_MINUTES)?;
    let cursor = admin.parse_cursor(List::Minutes, query.after.as_deref())?;
    let MinuteCursor { minute, before } = cursor.unwrap_or(MinuteCursor { minute: since, before: 0 });
    let to_read = Page::<MinuteAggregate>::to_read(limit).saturating_add(before);
    let filter = MinuteFilter { since: minute, until, owner, subscription };
    let page = Page::of_following(admin.ledger.minutes(filter, to_read).await?, before, limit);
    let next = page.next(|last| {
        let of_minute = page.items.iter().filter(|one| one.at == last.at).count();
        let before = if last.at == minute { before + of_minute } else { of_minute };
        admin.cursor(List::Minutes, &format!("{}/{before}", last.at.0))
    });
    let view = |minute: &MinuteAggregate| MinuteView {
        at: minute.at.to_string(),
        subject: SubjectView { backlog: minute.backlog, ..views::subject(&minute.subject, &minute.activity) },
    };
    Ok(Json(MinutePage { minutes: page.items.iter().map(view).collect(), next }))
}

/// The cursor after an entry of the aggregates: its minute, and the number of entries of this minute up to it.
struct MinuteCursor {
    minute: Timestamp,
    before: usize,
}

impl FromStr for MinuteCursor {
    type Err = MinuteCursorError;

    fn from_str(cursor: &str) -> Result<Self, MinuteCursorError> {
        let (minute, before) = cursor.split_once('/').ok_or(MinuteCursorError)?;
        let minute = minute.parse().map(Timestamp).map_err(|_| MinuteCursorError)?;
        Ok(Self { minute, before: before.parse().map_err(|_| MinuteCursorError)? })
    }
}

/// The error for a text that is not a cursor in the aggregates.
struct MinuteCursorError;
