//! The OpenMetrics text format 1.0, in which Prometheus also reads exemplars.

use std::fmt::Write as _;

use super::definitions::{Kind, Unit};
use super::exemplars::Exemplar;
use super::exposition::{Distribution, Family, Labels, Value};

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes metrics.
pub(super) fn write(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { definition, series } in families {
        let family = definition.name.strip_suffix("_total").unwrap_or(definition.name);
        let kind = match definition.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!("# TYPE {family} {kind}"));
        if definition.unit == Unit::Seconds {
            line(format_args!("# UNIT {family} seconds"));
        }
        line(format_args!("# HELP {family} {}", definition.help));
        for series in series {
            match &series.value {
                Value::Number(value) => {
                    line(format_args!("{}{} {value}", definition.name, labels(&series.labels, None)));
                }
                Value::Distribution(distribution) => write_buckets(&mut line, family, &series.labels, distribution),
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn write_buckets(
    line: &mut impl FnMut(std::fmt::Arguments<'_>),
    family: &str,
    of_series: &Labels,
    distribution: &Distribution,
) {
    let Distribution { buckets, sum, count, exemplar } = distribution;
    let mut exemplar = *exemplar;
    let bounded = buckets.iter().map(|(bound, count)| (*bound, *count));
    for (bound, count) in bounded.chain([(f64::INFINITY, *count)]) {
        let shown = if bound.is_finite() { float(bound) } else { "+Inf".to_owned() };
        // In the bucket of its value.
        let own = exemplar.take_if(|exemplar| exemplar.value <= bound).map(|it| show(&it)).unwrap_or_default();
        line(format_args!("{family}_bucket{} {count}{own}", labels(of_series, Some(&shown))));
    }
    line(format_args!("{family}_sum{} {sum}", labels(of_series, None)));
    line(format_args!("{family}_count{} {count}", labels(of_series, None)));
}

/// A bound in its canonical form, which has a decimal point.
fn float(value: f64) -> String {
    format!("{value:?}")
}

fn show(exemplar: &Exemplar) -> String {
    let Exemplar { context, value, at } = exemplar;
    let (seconds, millis) = (at.0 / 1_000_000_000, at.0 / 1_000_000 % 1_000);
    format!(" # {{trace_id=\"{}\",span_id=\"{}\"}} {value} {seconds}.{millis:03}", context.trace, context.span)
}

fn labels(labels: &Labels, bound: Option<&str>) -> String {
    let own = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<_> = own
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}
