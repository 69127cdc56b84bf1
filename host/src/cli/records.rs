//! `sandbus attempts`, `sandbus requests` and `sandbus minutes`: what the ledger has recorded.

use std::time::Duration;

use super::completions::live;
use super::paging::{Paging, next_page_hint};
use super::top::{subject_name, time};
use super::why::render::format_micros;
use super::{Remote, output};
use crate::api::{
    MinutePage, MinuteQuery, MinuteView, RecordedAttemptPage, RecordedAttemptQuery, RecordedAttemptView,
    RecordedRequestPage, RecordedRequestQuery, RecordedRequestView, VerdictView,
};
use crate::clock::Timestamp;
use crate::failure::Cause;
use crate::subscription::SubscriptionId;
use output::{cell, optional, table, truncate};

/// The largest number of characters of a reason in a table.
const REASON_CHARACTERS: usize = 80;

/// The period of a list.
#[derive(Debug, clap::Args)]
struct Period {
    /// List only those that ended at this time or later, or at most this long ago
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time)]
    since: Option<Timestamp>,
    /// List only those that ended before this time, or longer ago than this
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time)]
    until: Option<Timestamp>,
}

impl Period {
    fn query(&self) -> (Option<String>, Option<String>) {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        (text(self.since), text(self.until))
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct AttemptArguments {
    /// List only attempts of this plugin's subscriptions
    #[arg(long, add = live::plugins())]
    plugin: Option<String>,
    /// List only attempts of this subscription
    #[arg(long, value_name = "OWNER/NAME", add = live::subscriptions())]
    subscription: Option<SubscriptionId>,
    /// List only attempts at events with this id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// List only failures
    #[arg(long)]
    failed: bool,
    /// List only failures with this cause, such as trap, timeout or rejected
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Cause::ALL.map(Cause::as_str)), hide_possible_values = true)]
    cause: Option<String>,
    /// List only attempts that took at least this long
    #[arg(long, value_name = "TIME", value_parser = super::parse_duration)]
    slower_than: Option<Duration>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
pub(super) struct RequestArguments {
    /// List only requests for this plugin's routes
    #[arg(long, add = live::plugins())]
    plugin: Option<String>,
    /// List only requests with a status of 500 or above
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
pub(super) struct MinuteArguments {
    /// List only this plugin's subscriptions and routes
    #[arg(long, add = live::plugins())]
    plugin: Option<String>,
    /// List only this subscription
    #[arg(long, value_name = "OWNER/NAME", add = live::subscriptions())]
    subscription: Option<SubscriptionId>,
    /// Begin with the minute that contains this time, or the minute this long ago
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time, default_value = "1h")]
    since: Timestamp,
    /// End with the minute that contains this time, or the minute this long ago
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time)]
    until: Option<Timestamp>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn attempts(arguments: AttemptArguments) -> anyhow::Result<()> {
    let AttemptArguments { plugin, subscription, event, failed, cause, slower_than, period, paging, remote } =
        arguments;
    let (client, output) = remote.connect();
    let (since, until) = period.query();
    let query = RecordedAttemptQuery {
        event,
        subscription: subscription.map(|id| id.to_string()),
        plugin,
        failed: failed.then_some(true),
        cause,
        slower_than,
        since,
        until,
        ..RecordedAttemptQuery::default()
    };
    let page = paging.fetch::<RecordedAttemptPage>(&client, &query).await?;
    output.print(&page, |page| list_attempts(&page.attempts) + &next_page_hint(page));
    Ok(())
}

pub(super) async fn requests(arguments: RequestArguments) -> anyhow::Result<()> {
    let RequestArguments { plugin, failed, period, paging, remote } = arguments;
    let (client, output) = remote.connect();
    let (since, until) = period.query();
    let failed = failed.then_some(true);
    let query = RecordedRequestQuery { plugin, failed, since, until, ..RecordedRequestQuery::default() };
    let page = paging.fetch::<RecordedRequestPage>(&client, &query).await?;
    output.print(&page, |page| list_requests(&page.requests) + &next_page_hint(page));
    Ok(())
}

pub(super) async fn minutes(arguments: MinuteArguments) -> anyhow::Result<()> {
    let MinuteArguments { plugin, subscription, since, until, paging, remote } = arguments;
    let (client, output) = remote.connect();
    let query = MinuteQuery {
        plugin,
        subscription: subscription.map(|id| id.to_string()),
        since: Some(since.to_string()),
        until: until.map(|until| until.to_string()),
        ..MinuteQuery::default()
    };
    let page = paging.fetch::<MinutePage>(&client, &query).await?;
    output.print(&page, |page| list_minutes(&page.minutes) + &next_page_hint(page));
    Ok(())
}

fn list_attempts(attempts: &[RecordedAttemptView]) -> String {
    let columns =
        ["ENDED", "SUBSCRIPTION", "TYPE", "EVENT", "ATTEMPT", "VERDICT", "WAIT", "RUN", "CPU", "CAUSE", "REASON"];
    table(&columns, attempts, |attempt| {
        let verdict = match attempt.verdict {
            VerdictView::Handled => "handled",
            VerdictView::Retried => "retried",
            VerdictView::Dead => "dead letter",
        };
        vec![
            cell(&attempt.at),
            cell(&attempt.subscription),
            cell(&attempt.event_type),
            cell(&attempt.event),
            cell(attempt.attempt),
            verdict.to_owned(),
            time(attempt.usage.queued_us),
            format_micros(attempt.usage.took_us),
            time(attempt.usage.cpu_us),
            optional(attempt.cause.as_ref()),
            reason(attempt.reason.as_deref()),
        ]
    })
}

fn list_requests(requests: &[RecordedRequestView]) -> String {
    let columns = ["ENDED", "REQUEST", "PLUGIN", "METHOD", "PATH", "STATUS", "WAIT", "RUN", "CPU", "CAUSE", "REASON"];
    table(&columns, requests, |request| {
        vec![
            cell(&request.at),
            cell(&request.id),
            cell(&request.plugin),
            cell(&request.method),
            truncate(&request.path, REASON_CHARACTERS),
            cell(request.status),
            time(request.usage.queued_us),
            format_micros(request.usage.took_us),
            time(request.usage.cpu_us),
            optional(request.cause.as_ref()),
            reason(request.reason.as_deref()),
        ]
    })
}

fn list_minutes(minutes: &[MinuteView]) -> String {
    let columns = [
        "MINUTE",
        "SUBSCRIPTION OR ROUTES",
        "SUCCEEDED",
        "RETRIED",
        "FAILED",
        "WAIT P50",
        "WAIT P99",
        "RUN P50",
        "RUN P99",
        "CPU",
        "BACKLOG",
    ];
    table(&columns, minutes, |minute| {
        let subject = &minute.subject;
        vec![
            cell(&minute.at),
            cell(subject_name(subject)),
            cell(subject.succeeded),
            cell(subject.retried),
            cell(subject.failed),
            time(subject.wait.p50_us),
            time(subject.wait.p99_us),
            time(subject.run.p50_us),
            time(subject.run.p99_us),
            time(subject.cpu_us),
            optional(subject.backlog),
        ]
    })
}

fn reason(reason: Option<&str>) -> String {
    truncate(reason.unwrap_or("-"), REASON_CHARACTERS)
}
