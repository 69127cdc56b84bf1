//! `docs/metrics.md`.

use std::fmt::Write as _;

use super::super::definitions::{DEFINITIONS, Definition, Kind};
use super::alerts;

const HEAD: &str = "\
# Metrics and alerts

The host serves its metrics at `/metrics`, and exports them over the OpenTelemetry Protocol if that is
[configured](operating.md#telemetry). Prometheus gets the same names either way.

The counters of losses exist from the start of the host, so that an alert can compare them with 0. The gauges of a
deleted subscription are 0. The histograms have exemplars: the trace and the span of the last sampled attempt or
request. `/metrics` contains the exemplars in the OpenMetrics format, which Prometheus requests by default. To keep
them, start Prometheus with `--enable-feature=exemplar-storage`.

A test generates this page, the dashboard and the alerts from the table in `host/src/telemetry/definitions.rs`.

## Metrics

| Metric | In OpenTelemetry | Kind | Labels | Meaning |
| --- | --- | --- | --- | --- |
";

const ALERTS: &str = "
## Alerts

`xtask/packaging/monitoring` has the rules for Prometheus (`alerts.yaml`), their tests for `promtool test rules`
(`alerts.test.yaml`), and a dashboard for Grafana (`dashboard.json`), which is imported with *Dashboards › New ›
Import*.

| Alert | Severity | Fires if | What to do |
| --- | --- | --- | --- |
";

/// Writes the page.
pub(super) fn write() -> String {
    let mut text = HEAD.to_owned();
    for definition in DEFINITIONS {
        let Definition { name, kind, labels, help, .. } = definition;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let other = definition.otlp_name();
        writeln!(text, "| `{name}` | `{other}` | {kind} | {labels} | {help}. |").unwrap();
    }
    text.push_str(ALERTS);
    for row in alerts::table() {
        text.push_str(&row);
        text.push('\n');
    }
    text
}
