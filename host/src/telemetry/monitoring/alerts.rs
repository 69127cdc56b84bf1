//! The alert rules, each with values for which it fires and values for which it does not.

use std::fmt::Write as _;

/// An alert rule.
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) expression: &'static str,
    /// How long the expression must hold, in minutes.
    minutes: u32,
    severity: &'static str,
    pub(super) summary: &'static str,
    /// What to do.
    action: &'static str,
    /// Series for which the alert fires, with one value per minute. The first is the series that the alert names.
    pub(super) fires: &'static [(&'static str, &'static str)],
    /// Series for which it does not.
    pub(super) quiet: &'static [(&'static str, &'static str)],
}

/// When the tests look, in minutes.
const LOOK: u32 = 90;
/// A counter that grows, a value of zero, and a value of one.
const GROWS: &str = "0+1x120";
const ZERO: &str = "0+0x120";
const ONE: &str = "1+0x120";

pub(super) const ALERTS: &[Alert] = &[
    Alert {
        name: "SandbusAbsent",
        expression: "absent(sandbus_plugins)",
        minutes: 5,
        severity: "critical",
        summary: "No host of Sandbus is scraped",
        action: "Check whether the host runs, and whether Prometheus reaches its /metrics.",
        fires: &[],
        quiet: &[("sandbus_plugins", ONE)],
    },
    Alert {
        name: "SandbusStoreUnreachable",
        expression: "sandbus_store_reachable == 0",
        minutes: 1,
        severity: "critical",
        summary: "The bus cannot reach its store, and accepts no events",
        action: "Read the host's log, and check the disk and its free space.",
        fires: &[("sandbus_store_reachable", ZERO)],
        quiet: &[("sandbus_store_reachable", ONE)],
    },
    Alert {
        name: "SandbusFilesRefused",
        expression: "sandbus_refused_files > 0",
        minutes: 5,
        severity: "warning",
        summary: "Files in the plugin folder are not loaded",
        action: "Run `sandbus plugins` to see the errors.",
        fires: &[("sandbus_refused_files", ONE)],
        quiet: &[("sandbus_refused_files", ZERO)],
    },
    Alert {
        name: "SandbusConfigurationRefused",
        expression: "sandbus_configuration_refused > 0",
        minutes: 5,
        severity: "warning",
        summary: "sandbus.toml has changed and cannot be applied",
        action: "Read the errors in the host's log, or run `sandbus check`.",
        fires: &[("sandbus_configuration_refused", ONE)],
        quiet: &[("sandbus_configuration_refused", ZERO)],
    },
    Alert {
        name: "SandbusDeliveryStuck",
        expression: "sandbus_subscription_lag_seconds > 600 and sandbus_subscription_paused == 0",
        minutes: 1,
        severity: "warning",
        summary: "The oldest delivery of {{ $labels.subscription }} has waited for more than ten minutes",
        action: "Run `sandbus deliveries list --subscription NAME` to see what it waits for.",
        fires: &[
            ("sandbus_subscription_lag_seconds{subscription=\"mailer/welcome\"}", "0+30x120"),
            ("sandbus_subscription_paused{subscription=\"mailer/welcome\"}", ZERO),
        ],
        quiet: &[
            ("sandbus_subscription_lag_seconds{subscription=\"mailer/welcome\"}", "0+30x120"),
            ("sandbus_subscription_paused{subscription=\"mailer/welcome\"}", ONE),
        ],
    },
    Alert {
        name: "SandbusBacklogGrowing",
        expression: "sandbus_subscription_backlog > 1000 and deriv(sandbus_subscription_backlog[15m]) > 0",
        minutes: 15,
        severity: "warning",
        summary: "The backlog of {{ $labels.subscription }} is large and growing",
        action: "Run `sandbus top` to compare its throughput with what arrives; raise its concurrency, or make its handler faster.",
        fires: &[("sandbus_subscription_backlog{subscription=\"mailer/welcome\"}", "0+100x120")],
        quiet: &[("sandbus_subscription_backlog{subscription=\"mailer/welcome\"}", "12000-100x120")],
    },
    Alert {
        name: "SandbusDeadLetters",
        expression: "increase(sandbus_attempts_total{outcome=\"dead\"}[15m]) > 0",
        minutes: 0,
        severity: "warning",
        summary: "Deliveries of {{ $labels.subscription }} became dead letters",
        action: "Run `sandbus dead-letters list` to see why. Fix the cause, and redrive them.",
        fires: &[("sandbus_attempts_total{subscription=\"mailer/welcome\",outcome=\"dead\"}", GROWS)],
        quiet: &[("sandbus_attempts_total{subscription=\"mailer/welcome\",outcome=\"handled\"}", GROWS)],
    },
    Alert {
        name: "SandbusParkedKeys",
        expression: "sandbus_subscription_parked_keys > 0",
        minutes: 15,
        severity: "warning",
        summary: "Ordering keys of {{ $labels.subscription }} are parked behind a dead letter",
        action: "Run `sandbus dead-letters list`, and redrive or drop the dead letter.",
        fires: &[("sandbus_subscription_parked_keys{subscription=\"mailer/welcome\"}", ONE)],
        quiet: &[("sandbus_subscription_parked_keys{subscription=\"mailer/welcome\"}", ZERO)],
    },
    Alert {
        name: "SandbusSubscriptionPaused",
        expression: "sandbus_subscription_paused == 1",
        minutes: 60,
        severity: "info",
        summary: "{{ $labels.subscription }} is paused, or its endpoint is on hold",
        action: "Run `sandbus subscriptions resume NAME` unless somebody paused it on purpose.",
        fires: &[("sandbus_subscription_paused{subscription=\"mailer/welcome\"}", ONE)],
        quiet: &[("sandbus_subscription_paused{subscription=\"mailer/welcome\"}", ZERO)],
    },
    Alert {
        name: "SandbusEndpointHeld",
        expression: "increase(sandbus_endpoint_holds_total[15m]) > 3",
        minutes: 0,
        severity: "warning",
        summary: "The endpoint of {{ $labels.subscription }} is often put on hold",
        action: "Ask the operator of the endpoint, or lower the subscription's concurrency.",
        fires: &[("sandbus_endpoint_holds_total{subscription=\"operator/crm\"}", GROWS)],
        quiet: &[("sandbus_endpoint_holds_total{subscription=\"operator/crm\"}", ZERO)],
    },
    Alert {
        name: "SandbusEndpointGone",
        expression: "increase(sandbus_endpoint_gone_total[1h]) > 0",
        minutes: 0,
        severity: "warning",
        summary: "The endpoint of {{ $labels.subscription }} responded with 410 Gone, and the subscription is paused",
        action: "Change its URL, or resume it with `sandbus subscriptions resume NAME`.",
        fires: &[("sandbus_endpoint_gone_total{subscription=\"operator/crm\"}", GROWS)],
        quiet: &[("sandbus_endpoint_gone_total{subscription=\"operator/crm\"}", ZERO)],
    },
    Alert {
        name: "SandbusEventsExpired",
        expression: "increase(sandbus_subscription_expired_total[1h]) > 0",
        minutes: 0,
        severity: "critical",
        summary: "Retention deleted events that {{ $labels.subscription }} had not handled",
        action: "Raise `retain_for` or `retain_bytes`, or set `retain_delete_unhandled = false` in [bus].",
        fires: &[("sandbus_subscription_expired_total{subscription=\"mailer/welcome\"}", GROWS)],
        quiet: &[("sandbus_subscription_expired_total{subscription=\"mailer/welcome\"}", ZERO)],
    },
    Alert {
        name: "SandbusLedgerUnavailable",
        expression: "sandbus_ledger_available == 0",
        minutes: 5,
        severity: "warning",
        summary: "The ledger cannot be written",
        action: "Read the host's log; deliveries are not affected.",
        fires: &[("sandbus_ledger_available", ZERO)],
        quiet: &[("sandbus_ledger_available", ONE)],
    },
    Alert {
        name: "SandbusLedgerLost",
        expression: "increase(sandbus_ledger_lost_total[15m]) > 0",
        minutes: 0,
        severity: "info",
        summary: "The ledger lost records",
        action: "Check the disk. `sandbus why` shows the gaps.",
        fires: &[("sandbus_ledger_lost_total", GROWS)],
        quiet: &[("sandbus_ledger_lost_total", ZERO)],
    },
    Alert {
        name: "SandbusTelemetryLost",
        expression: "increase(sandbus_telemetry_lost_total[15m]) > 0",
        minutes: 0,
        severity: "info",
        summary: "{{ $labels.signal }} were not exported to the collector",
        action: "Check the collector; the host's log has the reason.",
        fires: &[("sandbus_telemetry_lost_total{signal=\"traces\"}", GROWS)],
        quiet: &[("sandbus_telemetry_lost_total{signal=\"traces\"}", ZERO)],
    },
    Alert {
        name: "SandbusLogLinesLost",
        expression: "increase(sandbus_lost_log_lines_total[15m]) > 0",
        minutes: 0,
        severity: "info",
        summary: "Log lines were lost, because standard error was not read",
        action: "Check what reads the host's standard error.",
        fires: &[("sandbus_lost_log_lines_total", GROWS)],
        quiet: &[("sandbus_lost_log_lines_total", ZERO)],
    },
    Alert {
        name: "SandbusEventCollisions",
        expression: "increase(sandbus_event_collisions_total[1h]) > 0",
        minutes: 0,
        severity: "warning",
        summary: "Events were refused, because others have their source and id",
        action: "Find the source and id in the host's log, and report them: generated ids should never collide.",
        fires: &[("sandbus_event_collisions_total", GROWS)],
        quiet: &[("sandbus_event_collisions_total", ZERO)],
    },
    Alert {
        name: "SandbusDifferingDuplicates",
        expression: "increase(sandbus_differing_duplicates_total[1h]) > 0",
        minutes: 0,
        severity: "warning",
        summary: "Published events were dropped as duplicates although their content differs",
        action: "Change the producers so that each event has an id of its own.",
        fires: &[("sandbus_differing_duplicates_total", GROWS)],
        quiet: &[("sandbus_differing_duplicates_total", ZERO)],
    },
];

const HEAD: &str = "# Made from the definitions in host/src/telemetry. A test compares this file with them.\n";

/// A text in YAML. JSON is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The rules for Prometheus.
pub(super) fn write_rules() -> String {
    let mut text = format!("{HEAD}groups:\n  - name: sandbus\n    rules:\n");
    for alert in ALERTS {
        let Alert { name, expression, minutes, severity, summary, action, .. } = alert;
        write!(
            text,
            "      - alert: {name}\n        expr: {}\n        for: {minutes}m\n        labels:\n          severity: {severity}\n        annotations:\n          summary: {}\n          description: {}\n",
            quoted(expression),
            quoted(summary),
            quoted(action),
        )
        .unwrap();
    }
    text
}

/// The tests of the rules, for `promtool test rules`.
pub(super) fn write_tests() -> String {
    let mut text = format!("{HEAD}rule_files:\n  - alerts.yaml\nevaluation_interval: 1m\ntests:\n");
    for alert in ALERTS {
        write_test(&mut text, alert, alert.fires, true);
        write_test(&mut text, alert, alert.quiet, false);
    }
    text
}

fn write_test(text: &mut String, alert: &Alert, series: &[(&str, &str)], fires: bool) {
    text.push_str("  - interval: 1m\n    input_series:");
    text.push_str(if series.is_empty() { " []\n" } else { "\n" });
    for (series, values) in series {
        writeln!(text, "      - series: {}\n        values: {}", quoted(series), quoted(values)).unwrap();
    }
    write!(text, "    alert_rule_test:\n      - eval_time: {LOOK}m\n        alertname: {}\n", alert.name).unwrap();
    if !fires {
        text.push_str("        exp_alerts: []\n");
        return;
    }
    let labels = series.first().and_then(|(series, _)| series.split_once('{'));
    let labels = labels.map(|(_, labels)| labels.trim_end_matches('}')).unwrap_or_default();
    let labels: Vec<_> = labels.split(',').filter_map(|label| label.split_once('=')).collect();
    write!(text, "        exp_alerts:\n          - exp_labels:\n              severity: {}\n", alert.severity).unwrap();
    let mut summary = alert.summary.to_owned();
    for (name, value) in labels {
        writeln!(text, "              {name}: {value}").unwrap();
        summary = summary.replace(&format!("{{{{ $labels.{name} }}}}"), value.trim_matches('"'));
    }
    write!(
        text,
        "            exp_annotations:\n              summary: {}\n              description: {}\n",
        quoted(&summary),
        quoted(alert.action),
    )
    .unwrap();
}

/// The rows of a table of the alerts: the name, when it fires, the severity, and what to do.
pub(super) fn table() -> impl Iterator<Item = String> {
    ALERTS.iter().map(|alert| {
        let Alert { name, expression, minutes, severity, summary, action, .. } = alert;
        let lasts = if *minutes == 0 { String::new() } else { format!(" for {minutes} min") };
        let summary = match summary.strip_prefix("{{ $labels.subscription }}") {
            Some(rest) => format!("A subscription{rest}"),
            None => summary.replace("{{ $labels.subscription }}", "a subscription"),
        };
        let summary = summary.replace("{{ $labels.signal }}", "Traces, metrics or logs");
        format!("| `{name}` | {severity} | {summary} (`{expression}`{lasts}) | {action} |")
    })
}
