//! `sandbus top`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::why::render::format_micros;
use super::{Remote, output};
use crate::api::{StatisticsView, SubjectView};
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
    subjects.sort_by_key(|subject| (std::cmp::Reverse(subject.cpu_us), name(subject)));
    let columns =
        ["SUBSCRIPTION OR ROUTES", "PER S", "FAILED", "RETRIED", "P50", "P95", "P99", "CPU", "BACKLOG", "LAG"];
    let rows = table(&columns, &subjects, |subject| {
        vec![
            cell(name(subject)),
            format!("{:.1}", rate(subject)),
            cell(subject.failed),
            cell(subject.retried),
            format_micros(subject.latency.p50_us),
            format_micros(subject.latency.p95_us),
            format_micros(subject.latency.p99_us),
            format!("{:.1} %", cpu_percent(subject)),
            output::optional(subject.backlog),
            subject.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
        ]
    });
    let ledger = &statistics.ledger;
    let state = if ledger.available { "available" } else { "unavailable; see the log of the host" };
    format!(
        "{}, last minute\n{rows}\n\nledger: {state}, {} records written, {} lost",
        statistics.at, ledger.written, ledger.lost
    )
}

fn name(subject: &SubjectView) -> String {
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
            latency: PercentilesView { p50_us: 1_500, ..PercentilesView::default() },
            backlog: subscription.map(|_| 3),
            lag_seconds: subscription.map(|_| 1.25),
            ..SubjectView::default()
        };
        let subjects = vec![subject("shop", None, 600), subject("mailer", Some("mailer/welcome"), 6_000_000)];
        let shown = show(&StatisticsView { at: "T".to_owned(), subjects, ..StatisticsView::default() });
        let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = "mailer/welcome 2.0 0 0 1.5 ms 0 µs 0 µs 10.0 % 3 1.2 s";
        assert_eq!(lines[2].join(" "), expected, "{shown}");
        assert_eq!(lines[3].join(" "), "shop (routes) 2.0 0 0 1.5 ms 0 µs 0 µs 0.0 % - -");
    }
}
