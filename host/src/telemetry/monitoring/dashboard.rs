//! The Grafana dashboard.

use serde_json::{Value, json};

use super::super::definitions::{DEFINITIONS, Definition, Kind, Row, Unit};

/// The width of the grid, and the size of a panel.
const GRID: usize = 24;
const WIDTH: usize = 8;
const HEIGHT: usize = 8;

/// Writes the dashboard.
pub(super) fn write() -> String {
    let (mut panels, mut y) = (Vec::new(), 0);
    for row in Row::ALL {
        let place = json!({ "h": 1, "w": GRID, "x": 0, "y": y });
        panels.push(json!({ "id": panels.len() + 1, "type": "row", "title": title(row), "collapsed": false, "gridPos": place, "panels": [] }));
        y += 1;
        let of_row: Vec<_> = DEFINITIONS.iter().filter(|definition| definition.row == row).collect();
        for (index, definition) in of_row.iter().enumerate() {
            let place = json!({
                "h": HEIGHT,
                "w": WIDTH,
                "x": index * WIDTH % GRID,
                "y": y + index * WIDTH / GRID * HEIGHT,
            });
            panels.push(panel(definition, panels.len() + 1, &place));
        }
        y += of_row.len().div_ceil(GRID / WIDTH) * HEIGHT;
    }
    let dashboard = json!({
        "uid": "sandbus",
        "title": "Sandbus",
        "tags": ["sandbus"],
        "description": "Made from the definitions in host/src/telemetry. A test compares this file with them.",
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-3h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": variables() },
        "annotations": { "list": [] },
        "panels": panels,
    });
    let mut text = serde_json::to_string_pretty(&dashboard).unwrap();
    text.push('\n');
    text
}

fn title(row: Row) -> &'static str {
    match row {
        Row::Subscriptions => "Subscriptions",
        Row::Handlers => "Handlers and endpoints",
        Row::Requests => "Requests",
        Row::Host => "Host",
        Row::Losses => "Losses",
    }
}

fn variables() -> Value {
    let query = |name: &str, label: &str, query: &str| {
        json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": source(),
            "query": { "query": query, "refId": name },
            "refresh": 2,
            "includeAll": true,
            "allValue": ".*",
            "multi": true,
            "current": { "text": "All", "value": "$__all" },
        })
    };
    json!([
        { "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {} },
        query("instance", "Host", "label_values(sandbus_plugins, instance)"),
        query("subscription", "Subscription", "label_values(sandbus_subscription_backlog, subscription)"),
        query("plugin", "Plugin", "label_values(sandbus_http_requests_total, plugin)"),
    ])
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn panel(definition: &Definition, id: usize, place: &Value) -> Value {
    let unit = match (definition.kind, definition.unit) {
        (_, Unit::Seconds) => "s",
        (Kind::Counter, _) => "cps",
        _ => "short",
    };
    let legend = definition.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
    let legend = if legend.is_empty() { "{{instance}}".to_owned() } else { legend };
    let targets: Vec<_> = expressions(definition)
        .into_iter()
        .zip(["A", "B"])
        .map(|((name, expression), id)| {
            let legend = format!("{legend} {name}");
            json!({
                "refId": id,
                "datasource": source(),
                "expr": expression,
                "legendFormat": legend.trim(),
                "exemplar": definition.kind == Kind::Histogram,
                "range": true,
            })
        })
        .collect();
    let is_state = definition.unit == Unit::State;
    json!({
        "id": id,
        "type": if is_state { "state-timeline" } else { "timeseries" },
        "title": name(definition),
        "description": format!("{} (`{}`)", definition.help, definition.name),
        "datasource": source(),
        "gridPos": place,
        "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
        "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
        "targets": targets,
    })
}

/// A short name: that of the metric without the prefix and the suffix.
fn name(definition: &Definition) -> String {
    let name = definition.otlp_name().trim_start_matches("sandbus.").replace('.', " ");
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The queries of a panel, each with a name.
fn expressions(definition: &Definition) -> Vec<(&'static str, String)> {
    let Definition { name, kind, labels, .. } = definition;
    let selected = ["subscription", "plugin"].into_iter().filter(|label| labels.contains(label));
    let selector = std::iter::once("instance").chain(selected).map(|label| format!("{label}=~\"${label}\""));
    let selector = selector.collect::<Vec<_>>().join(",");
    let by = if labels.is_empty() { "instance".to_owned() } else { labels.join(", ") };
    match kind {
        Kind::Counter => {
            vec![("", format!("sum by ({by}) (rate({name}{{{selector}}}[$__rate_interval]))"))]
        }
        Kind::Gauge => vec![("", format!("max by ({by}) ({name}{{{selector}}})"))],
        Kind::Histogram => [("p50", "0.5"), ("p99", "0.99")]
            .map(|(title, quantile)| {
                let rate = format!("rate({name}_bucket{{{selector}}}[$__rate_interval])");
                (title, format!("histogram_quantile({quantile}, sum by (le, {by}) ({rate}))"))
            })
            .into(),
    }
}
