//! Metrics as messages of the OpenTelemetry Protocol.

use super::definitions::{Definition, Kind};
use super::exemplars;
use super::exposition::{Distribution, Family, Labels, Series, Value};
use crate::clock::UnixNanos;
use crate::otlp::proto::{
    self, AggregationTemporality, AnyValue, Gauge, Histogram, HistogramDataPoint, KeyValue, Metric, NumberDataPoint,
    Sum, exemplar, metric, number_data_point,
};

/// The times of the values: when counting began, and now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) started: UnixNanos,
    pub(super) now: UnixNanos,
}

/// Converts metrics.
pub(super) fn convert(families: Vec<Family>, times: Times) -> Vec<Metric> {
    families.into_iter().map(|family| convert_family(family, times)).collect()
}

fn convert_family(family: Family, times: Times) -> Metric {
    let Family { definition, series } = family;
    let temporality = AggregationTemporality::Cumulative.into();
    let data = match definition.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(series, times),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers(series, times) }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: series.into_iter().filter_map(|series| distribution(series, times)).collect(),
            aggregation_temporality: temporality,
        }),
    };
    let Definition { help, .. } = definition;
    Metric {
        name: definition.otlp_name(),
        description: (*help).to_owned(),
        unit: definition.otlp_unit(),
        data: Some(data),
        ..Metric::default()
    }
}

fn numbers(series: Vec<Series>, times: Times) -> Vec<NumberDataPoint> {
    let point = |Series { labels, value }: Series| {
        let Value::Number(value) = value else { return None };
        Some(NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: times.started.0,
            time_unix_nano: times.now.0,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        })
    };
    series.into_iter().filter_map(point).collect()
}

fn distribution(series: Series, times: Times) -> Option<HistogramDataPoint> {
    let Value::Distribution(Distribution { buckets, sum, count, exemplar }) = series.value else { return None };
    let (mut bucket_counts, mut below) = (Vec::new(), 0);
    for total in buckets.iter().map(|(_, total)| *total).chain([count]) {
        bucket_counts.push(total.saturating_sub(below));
        below = total;
    }
    Some(HistogramDataPoint {
        attributes: attributes(series.labels),
        start_time_unix_nano: times.started.0,
        time_unix_nano: times.now.0,
        count,
        sum: Some(sum),
        bucket_counts,
        explicit_bounds: buckets.into_iter().map(|(bound, _)| bound).collect(),
        exemplars: exemplar.map(convert_exemplar).into_iter().collect(),
        ..HistogramDataPoint::default()
    })
}

fn convert_exemplar(exemplar: exemplars::Exemplar) -> proto::Exemplar {
    let exemplars::Exemplar { context, value, at } = exemplar;
    proto::Exemplar {
        time_unix_nano: at.0,
        span_id: context.span.bytes().to_vec(),
        trace_id: context.trace.bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(value)),
        ..proto::Exemplar::default()
    }
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(key, value): (String, String)| KeyValue {
        key,
        value: Some(AnyValue { value: Some(proto::Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::super::exposition::read;
    use super::*;
    use crate::span_context::SpanContext;
    use crate::telemetry::openmetrics;

    const TEXT: &str = "\
sandbus_attempts_total{subscription=\"a/b\",outcome=\"handled\"} 3
sandbus_handler_seconds_bucket{subscription=\"with exemplar\",le=\"0.001\"} 1
sandbus_handler_seconds_bucket{subscription=\"with exemplar\",le=\"1\"} 4
sandbus_handler_seconds_bucket{subscription=\"with exemplar\",le=\"+Inf\"} 5
sandbus_handler_seconds_sum{subscription=\"with exemplar\"} 1.25
sandbus_handler_seconds_count{subscription=\"with exemplar\"} 5
sandbus_subscription_lag_seconds{subscription=\"a/b\"} 0.5
";

    fn families() -> Vec<Family> {
        let context = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        exemplars::note("sandbus_handler_seconds", "with exemplar", 0.2, context);
        read(TEXT)
    }

    #[test]
    fn each_kind_of_metric_is_converted() {
        let times = Times { started: UnixNanos(5), now: UnixNanos(9) };
        let metrics = convert(families(), times);
        let [lag, attempts, handler] = metrics.as_slice() else { panic!("{metrics:?}") };
        assert_eq!((lag.name.as_str(), lag.unit.as_str()), ("sandbus.subscription.lag", "s"));
        assert!(matches!(&lag.data, Some(metric::Data::Gauge(gauge)) if gauge.data_points.len() == 1), "{lag:?}");
        let Some(metric::Data::Sum(sum)) = &attempts.data else { panic!("{attempts:?}") };
        assert!(sum.is_monotonic && attempts.name == "sandbus.attempts" && attempts.unit == "{attempt}");
        assert_eq!((sum.data_points[0].start_time_unix_nano, sum.data_points[0].attributes.len()), (5, 2));
        let Some(metric::Data::Histogram(histogram)) = &handler.data else { panic!("{handler:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((&point.explicit_bounds[..], &point.bucket_counts[..]), (&[0.001, 1.0][..], &[1, 3, 1][..]));
        assert_eq!((point.exemplars.len(), point.exemplars[0].span_id.len()), (1, 8));
    }

    #[test]
    fn openmetrics_has_the_exemplar_in_the_bucket_of_its_value() {
        let text = openmetrics::write(&families());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.last(), Some(&"# EOF"));
        assert!(lines.contains(&"# TYPE sandbus_attempts counter"), "{text}");
        assert!(lines.contains(&"sandbus_attempts_total{subscription=\"a/b\",outcome=\"handled\"} 3"), "{text}");
        let marked: Vec<_> = lines.iter().filter(|line| line.contains("trace_id")).collect();
        let [bucket] = marked.as_slice() else { panic!("{text}") };
        let expected = "sandbus_handler_seconds_bucket{subscription=\"with exemplar\",le=\"1.0\"} 4 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\",span_id=\"b7ad6b7169203331\"} 0.2 ";
        assert!(bucket.starts_with(expected), "{bucket}");
    }
}
