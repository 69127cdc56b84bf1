//! The report of a fault, and the table of all reports.

use std::fmt::Write as _;
use std::time::Duration;

/// The maximum number of problems that are printed per fault.
const SHOWN: usize = 10;

/// The counts of an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that the host answered with a success.
    pub(crate) acknowledged: u64,
    /// Acknowledged events that are missing, altered, or were never handled.
    pub(crate) lost: u64,
    /// Effects that exist more than once.
    pub(crate) duplicated: u64,
    /// Events that were handled before an earlier one of their key.
    pub(crate) out_of_order: u64,
}

/// The effects of a fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultReport {
    /// The fault.
    pub(crate) fault: &'static str,
    /// How often it was injected.
    pub(crate) rounds: usize,
    /// The counts. None if the fault is meant to cause losses.
    pub(crate) counts: Option<Counts>,
    /// The time from each start after the fault until the host listened.
    pub(crate) recovery: Vec<Duration>,
    /// A remark.
    pub(crate) note: String,
    /// The failed checks.
    pub(crate) problems: Vec<String>,
}

impl FaultReport {
    /// Adds a failed check.
    #[must_use]
    pub(crate) fn problem(mut self, problem: String) -> Self {
        self.problems.push(problem);
        self
    }

    /// Adds a failed check unless the condition holds.
    pub(crate) fn check(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// Adds to the note.
    pub(crate) fn remark(&mut self, text: &str) {
        if !self.note.is_empty() {
            self.note.push_str(", ");
        }
        self.note.push_str(text);
    }

    /// Compares how often something happened with how often it should have. A lower number counts as lost, a higher one
    /// as duplicated.
    pub(crate) fn compare(&mut self, what: &str, done: u64, due: u64) {
        let counts = self.counts.get_or_insert_default();
        counts.lost += due.saturating_sub(done);
        counts.duplicated += done.saturating_sub(due);
        self.check(done == due, || format!("{what}: {done} instead of {due}"));
    }

    /// Counts requests that the host answered with a success.
    pub(crate) fn acknowledge(&mut self, count: u64) {
        self.counts.get_or_insert_default().acknowledged += count;
    }

    /// Adds the findings of an audit.
    pub(crate) fn add(&mut self, counts: Counts, problems: Vec<String>) {
        let sum = self.counts.get_or_insert_default();
        sum.acknowledged += counts.acknowledged;
        sum.lost += counts.lost;
        sum.duplicated += counts.duplicated;
        sum.out_of_order += counts.out_of_order;
        self.problems.extend(problems);
    }

    /// Whether all checks passed.
    pub(crate) fn passed(&self) -> bool {
        let Counts { lost, duplicated, out_of_order, .. } = self.counts.unwrap_or_default();
        self.problems.is_empty() && lost + duplicated + out_of_order == 0
    }

    /// The result in a few words.
    pub(crate) fn verdict(&self) -> String {
        if self.passed() { "held".to_owned() } else { format!("failed, {} checks", self.problems.len()) }
    }

    fn cells(&self) -> [String; 8] {
        let count = |pick: fn(&Counts) -> u64| self.counts.as_ref().map_or("-".to_owned(), |all| pick(all).to_string());
        [
            self.fault.to_owned(),
            self.rounds.to_string(),
            count(|all| all.acknowledged),
            count(|all| all.lost),
            count(|all| all.duplicated),
            count(|all| all.out_of_order),
            recovery(&self.recovery),
            self.note.clone(),
        ]
    }
}

/// A problem in one line of limited length.
fn clipped(problem: &str) -> String {
    const LENGTH: usize = 400;
    let problem = problem.replace('\n', " | ");
    if problem.chars().count() <= LENGTH {
        problem
    } else {
        problem.chars().take(LENGTH).chain("…".chars()).collect()
    }
}

/// The median and the maximum.
fn recovery(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => format!("{} / {} ms", median.as_millis(), longest.as_millis()),
        _ => "-".to_owned(),
    }
}

/// The table, the problems, and in the last line whether all checks passed.
pub(crate) fn table(reports: &[FaultReport]) -> String {
    let heads = [
        "fault",
        "rounds",
        "acknowledged",
        "lost",
        "duplicated effects",
        "out of order",
        "recovery (median / max)",
        "",
    ];
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(reports.iter().map(FaultReport::cells));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    text.push('\n');
    for report in reports {
        for problem in report.problems.iter().take(SHOWN) {
            let _ = writeln!(text, "{}: {}", report.fault, clipped(problem));
        }
        if report.problems.len() > SHOWN {
            let _ = writeln!(text, "{}: and {} more", report.fault, report.problems.len() - SHOWN);
        }
    }
    let failed: Vec<_> = reports.iter().filter(|report| !report.passed()).map(|report| report.fault).collect();
    if failed.is_empty() {
        text.push_str("passed\n");
    } else {
        let _ = writeln!(text, "failed: {}", failed.join(", "));
    }
    text
}
