//! Measurements that can be compared: taken in turn within one run, since machines drift, and shown with their spread
//! and goal.

use std::fmt;

/// The measurements of one quantity, one per round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The median, or NaN if there are no measurements.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The quotients of the measurements of each round.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect()
    }

    /// The sums of the measurements of each round.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.0.iter().zip(&other.0).map(|(one, other)| one + other).collect()
    }

    /// Applies a function to each measurement.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        self.0.iter().copied().map(change).collect()
    }

    /// Adds a measurement.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// Measures several quantities in turn, `rounds` times, after a warm-up round. Each round starts with another quantity.
#[allow(clippy::needless_pass_by_value, reason = "callers write the closures in place")]
pub fn in_turn<const N: usize>(rounds: usize, things: [&mut dyn FnMut() -> f64; N]) -> [Samples; N] {
    let mut all = [const { Samples(Vec::new()) }; N];
    for round in 0..=rounds {
        for step in 0..N {
            let index = (round + step) % N;
            let figure = things[index]();
            if round > 0 {
                all[index].push(figure);
            }
        }
    }
    all
}

/// The goal of a quantity.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(formatter, "≥ {goal}"),
            Self::AtMost(goal) => write!(formatter, "≤ {goal}"),
        }
    }
}

impl Goal {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(goal) => figure >= goal,
            Self::AtMost(goal) => figure <= goal,
        }
    }
}

/// A table of measurements in Markdown.
#[derive(Debug)]
pub struct Report {
    title: String,
    rows: Vec<[String; 4]>,
}

impl Report {
    /// An empty table. The title says what is measured, and its unit.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        let head = ["figure", "median", "least to most", "goal"].map(str::to_owned);
        Self { title: title.into(), rows: vec![head] }
    }

    /// Adds measurements without a goal.
    pub fn figure(&mut self, name: &str, samples: &Samples) {
        self.row(name, samples, String::new());
    }

    /// Adds measurements with a goal.
    pub fn goal(&mut self, name: &str, samples: &Samples, goal: Goal) {
        let met = if goal.is_met(samples.median()) { "met" } else { "missed" };
        self.row(name, samples, format!("{goal}: {met}"));
    }

    fn row(&mut self, name: &str, samples: &Samples, goal: String) {
        let spread = format!("{} to {}", short(samples.least()), short(samples.most()));
        self.rows.push([name.to_owned(), short(samples.median()), spread, goal]);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "**{}**\n", self.title)?;
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for (index, row) in self.rows.iter().enumerate() {
            let [name, median, spread, goal] = row;
            let [first, second, third, fourth] = widths;
            writeln!(formatter, "| {name:first$} | {median:>second$} | {spread:third$} | {goal:fourth$} |")?;
            if index == 0 {
                let lines = widths.map(|width| "-".repeat(width));
                writeln!(formatter, "|-{}-|-{}:|-{}-|-{}-|", lines[0], lines[1], lines[2], lines[3])?;
            }
        }
        Ok(())
    }
}

/// Rounds to three significant digits.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_one_and_the_first_does_not_count() {
        let order = std::cell::RefCell::new(Vec::new());
        let mark = |name: char| {
            order.borrow_mut().push(name);
            order.borrow().len() as f64
        };
        let [a, b] = in_turn(2, [&mut || mark('a'), &mut || mark('b')]);
        assert_eq!(order.borrow().iter().collect::<String>(), "abbaab");
        assert_eq!((a.0, b.0), (vec![4.0, 5.0], vec![3.0, 6.0]));
    }

    #[test]
    fn a_missed_goal_says_so() {
        let mut report = Report::new("a test");
        let samples: Samples = [0.5, 0.7, 0.6].into_iter().collect();
        report.goal("ratio", &samples, Goal::AtLeast(0.75));
        report.goal("other ratio", &samples, Goal::AtMost(0.75));
        let shown = report.to_string();
        assert!(shown.contains("| ratio       |   0.60 | 0.50 to 0.70  | ≥ 0.75: missed |"), "{shown}");
        assert!(shown.contains("≤ 0.75: met"), "{shown}");
    }
}
