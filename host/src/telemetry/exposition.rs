//! The values of all metrics, read from the text format of the recorder, so that there is one registry.

use std::collections::BTreeMap;

use super::definitions::{DEFINITIONS, Definition, Kind};
use super::exemplars::{self, Exemplar};

/// The values of a metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) definition: &'static Definition,
    pub(super) series: Vec<Series>,
}

/// The labels of a series, in order.
pub(super) type Labels = Vec<(String, String)>;

/// The value of a metric with certain labels.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Distribution(Distribution),
}

/// The values of a histogram.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Distribution {
    /// The upper bounds of the buckets and the cumulative counts, without the last bucket, which has no bound.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) sum: f64,
    pub(super) count: u64,
    pub(super) exemplar: Option<Exemplar>,
}

/// Reads the text format, with the exemplars of the histograms. Metrics without a definition are left out.
pub(super) fn read(text: &str) -> Vec<Family> {
    let mut numbers: BTreeMap<&str, Vec<Series>> = BTreeMap::new();
    let mut distributions: BTreeMap<(&str, Labels), Distribution> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, mut labels, value)) = sample(line) else { continue };
        if Definition::of(name).is_some() {
            numbers.entry(name).or_default().push(Series { labels, value: Value::Number(value) });
            continue;
        }
        let Some((histogram, part)) = name.rsplit_once('_') else { continue };
        let bound = labels.iter().position(|(label, _)| label == "le").map(|at| labels.remove(at).1);
        let distribution = distributions.entry((histogram, labels)).or_default();
        match (part, bound.and_then(|bound| bound.parse::<f64>().ok())) {
            ("sum", _) => distribution.sum = value,
            ("count", _) => distribution.count = whole(value),
            ("bucket", Some(bound)) if bound.is_finite() => distribution.buckets.push((bound, whole(value))),
            _ => {}
        }
    }
    let mut histograms: BTreeMap<&str, Vec<Series>> = BTreeMap::new();
    for ((name, labels), mut distribution) in distributions {
        let Some(definition) = Definition::of(name) else { continue };
        let label = labels.first().map(|(_, value)| value.as_str()).unwrap_or_default();
        distribution.exemplar = exemplars::of(definition.name, label);
        histograms.entry(name).or_default().push(Series { labels, value: Value::Distribution(distribution) });
    }
    let families = DEFINITIONS.iter().filter_map(|definition| {
        let found = if definition.kind == Kind::Histogram { &mut histograms } else { &mut numbers };
        Some(Family { definition, series: found.remove(definition.name)? })
    });
    families.collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count is a whole number")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// The name, the labels and the value of a line.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let at = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(at);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Labels::new(), rest),
    };
    Some((name, labels, rest.trim().parse().ok()?))
}

/// The labels up to the closing brace, and the text behind it.
fn read_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(end) = rest.strip_prefix('}') {
            return Some((labels, end));
        }
        let (name, value) = rest.split_once("=\"")?;
        let (mut text, mut characters) = (String::new(), value.char_indices());
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => match characters.next()?.1 {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                (_, other) => text.push(other),
            }
        };
        labels.push((name.to_owned(), text));
        rest = &value[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP sandbus_plugins Loaded plugins
# TYPE sandbus_plugins gauge
sandbus_plugins 2

sandbus_attempts_total{subscription=\"a/b\",outcome=\"handled\"} 3
sandbus_attempts_total{subscription=\"say \\\"hi\\\", {x}\\n\\\\\",outcome=\"dead\"} 1
sandbus_handler_seconds_bucket{subscription=\"a/b\",le=\"0.001\"} 1
sandbus_handler_seconds_bucket{subscription=\"a/b\",le=\"0.5\"} 4
sandbus_handler_seconds_bucket{subscription=\"a/b\",le=\"+Inf\"} 5
sandbus_handler_seconds_sum{subscription=\"a/b\"} 1.25
sandbus_handler_seconds_count{subscription=\"a/b\"} 5
unknown_total 7
";

    #[test]
    fn the_text_format_is_read() {
        let families = read(TEXT);
        let names: Vec<_> = families.iter().map(|family| family.definition.name).collect();
        assert_eq!(names, ["sandbus_attempts_total", "sandbus_handler_seconds", "sandbus_plugins"]);
        let [attempts, handler, plugins] = families.as_slice() else { panic!("{families:?}") };
        let hostile = &attempts.series[1];
        assert_eq!(hostile.labels[0], ("subscription".to_owned(), "say \"hi\", {x}\n\\".to_owned()));
        assert_eq!((attempts.series.len(), &hostile.value), (2, &Value::Number(1.0)));
        assert_eq!(plugins.series, [Series { labels: vec![], value: Value::Number(2.0) }]);
        let distribution = Distribution { buckets: vec![(0.001, 1), (0.5, 4)], sum: 1.25, count: 5, exemplar: None };
        let labels = vec![("subscription".to_owned(), "a/b".to_owned())];
        assert_eq!(handler.series, [Series { labels, value: Value::Distribution(distribution) }]);
    }
}
