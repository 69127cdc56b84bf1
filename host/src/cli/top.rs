//! `sandbus top`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::why::render::format_micros;
use super::{Remote, output};
use crate::api::{LedgerView, StatisticsView, SubjectView};
use crate::console;
use output::{cell, table};

/// The length of the time that the statistics cover, in seconds.
const COVERED_SECONDS: f64 = 60.0;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the statistics once
    #[arg(long)]
    once: bool,
    /// Refresh the statistics at this interval
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::parse_duration)]
    interval: Duration,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    let is_live = !arguments.once && !arguments.remote.json && std::io::stdout().is_terminal();
    loop {
        let statistics = client.statistics().await?;
        if !is_live {
            output.print(&statistics, show);
            return Ok(());
        }
        clear_screen()?;
        output.print(&statistics, show);
        console::flush();
        tokio::time::sleep(arguments.interval.max(Duration::from_millis(100))).await;
    }
}

/// Moves to the top of the terminal's screen and clears it (ECMA-48).
fn clear_screen() -> std::io::Result<()> {
    let mut terminal = std::io::stdout();
    terminal.write_all(b"\x1b[H\x1b[2J")?;
    terminal.flush()
}

fn show(statistics: &StatisticsView) -> String {
    let mut subjects: Vec<_> = statistics.subjects.iter().collect();
    subjects.sort_by_key(|subject| (std::cmp::Reverse(subject.cpu_us), subject_name(subject)));
    let columns = [
        "SUBSCRIPTION OR ROUTES",
        "PER S",
        "FAILED",
        "RETRIED",
        "WAIT P50",
        "WAIT P99",
        "RUN P50",
        "RUN P99",
        "CPU",
        "BACKLOG",
        "LAG",
    ];
    let rows = table(&columns, &subjects, |subject| {
        vec![
            cell(subject_name(subject)),
            format!("{:.1}", rate(subject)),
            cell(subject.failed),
            cell(subject.retried),
            time(subject.wait.p50_us),
            time(subject.wait.p99_us),
            time(subject.run.p50_us),
            time(subject.run.p99_us),
            format!("{:.1} %", cpu_percent(subject)),
            output::optional(subject.backlog),
            subject.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
        ]
    });
    format!("{}, last minute\n{rows}\n\n{}", statistics.at, describe_ledger(&statistics.ledger))
}

fn describe_ledger(ledger: &LedgerView) -> String {
    let LedgerView { unavailable_since, unavailable_reason, written, lost, .. } = ledger;
    let counts = format!("since the start of the host: {written} records written, {lost} lost");
    match (unavailable_since, unavailable_reason) {
        (Some(since), Some(reason)) => {
            format!("the ledger cannot be written since {}: {}; {counts}", cell(since), cell(reason))
        }
        _ => format!("the ledger can be written; {counts}"),
    }
}

/// A time of at least a microsecond; a dash if nothing was measured.
pub(super) fn time(micros: u64) -> String {
    output::optional((micros > 0).then(|| format_micros(micros)))
}

pub(super) fn subject_name(subject: &SubjectView) -> String {
    subject.subscription.clone().unwrap_or_else(|| format!("{} (routes)", subject.plugin))
}

#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit after the point")]
fn rate(subject: &SubjectView) -> f64 {
    (subject.succeeded + subject.retried + subject.failed) as f64 / COVERED_SECONDS
}

#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit after the point")]
fn cpu_percent(subject: &SubjectView) -> f64 {
    subject.cpu_us as f64 / 1_000_000.0 / COVERED_SECONDS * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PercentilesView;

    #[test]
    fn the_busiest_subject_is_on_top() {
        let subject = |plugin: &str, subscription: Option<&str>, cpu_us| SubjectView {
            plugin: plugin.to_owned(),
            subscription: subscription.map(str::to_owned),
            succeeded: 120,
            cpu_us,
            latency: PercentilesView { p50_us: 9_000, ..PercentilesView::default() },
            run: PercentilesView { p50_us: 1_500, p99_us: 2_500, ..PercentilesView::default() },
            wait: PercentilesView { p50_us: subscription.map_or(0, |_| 7_000), ..PercentilesView::default() },
            backlog: subscription.map(|_| 3),
            lag_seconds: subscription.map(|_| 1.25),
            ..SubjectView::default()
        };
        let subjects = vec![subject("shop", None, 600), subject("mailer", Some("mailer/welcome"), 6_000_000)];
        let mut statistics = StatisticsView { at: "T".to_owned(), subjects, ..StatisticsView::default() };
        let shown = show(&statistics);
        let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = "mailer/welcome 2.0 0 0 7.0 ms - 1.5 ms 2.5 ms 10.0 % 3 1.2 s";
        assert_eq!(lines[2].join(" "), expected, "{shown}");
        assert_eq!(lines[3].join(" "), "shop (routes) 2.0 0 0 - - 1.5 ms 2.5 ms 0.0 % - -");
        assert!(shown.ends_with("the ledger can be written; since the start of the host: 0 records written, 0 lost"));
        statistics.ledger = LedgerView {
            unavailable_since: Some("S".to_owned()),
            unavailable_reason: Some("the disk is full".to_owned()),
            lost: 7,
            ..LedgerView::default()
        };
        let shown = show(&statistics);
        let expected = "the ledger cannot be written since S: the disk is full; since the start of the host: 0 records written, 7 lost";
        assert!(shown.ends_with(expected), "{shown}");
    }
}
