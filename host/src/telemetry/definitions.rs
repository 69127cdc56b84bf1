//! The definitions of all metrics. The descriptions in the text format, the export by the OpenTelemetry Protocol,
//! `docs/metrics.md`, the Grafana dashboard and the alert rules are made from them.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A number of things, named in the singular.
    Count(&'static str),
    Seconds,
    /// 0 or 1.
    State,
}

/// A metric.
#[derive(Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "tests write the dashboard and the documentation"))]
pub(super) struct Definition {
    /// The name in Prometheus.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// The row of the dashboard.
    pub(super) row: Row,
    /// Whether the metric counts losses. Such a counter exists from the start, because an alert can only compare a
    /// counter with zero if it exists before the first loss.
    pub(super) is_loss: bool,
}

/// A row of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Subscriptions,
    Handlers,
    Requests,
    Host,
    Losses,
}

impl Row {
    #[cfg(test)]
    pub(super) const ALL: [Self; 5] = [Self::Subscriptions, Self::Handlers, Self::Requests, Self::Host, Self::Losses];
}

const NONE: &[&str] = &[];
const SUBSCRIPTION: &[&str] = &["subscription"];
const PLUGIN: &[&str] = &["plugin"];

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    row: Row,
    help: &'static str,
) -> Definition {
    Definition { name, kind: Kind::Counter, unit: Unit::Count(unit), labels, help, row, is_loss: false }
}

const fn loss(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Definition {
    Definition { is_loss: true, ..counter(name, unit, labels, Row::Losses, help) }
}

const fn gauge(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    row: Row,
    help: &'static str,
) -> Definition {
    Definition { name, kind: Kind::Gauge, unit, labels, help, row, is_loss: false }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], row: Row, help: &'static str) -> Definition {
    Definition { name, kind: Kind::Histogram, unit: Unit::Seconds, labels, help, row, is_loss: false }
}

/// All metrics.
pub(super) const DEFINITIONS: &[Definition] = &[
    gauge(
        "sandbus_subscription_lag_seconds",
        Unit::Seconds,
        SUBSCRIPTION,
        Row::Subscriptions,
        "Age of the oldest event that is neither handled nor a dead letter, whatever it waits for: its turn, a retry, a parked ordering key or a plugin that is not loaded; 0 if there is none",
    ),
    gauge(
        "sandbus_subscription_backlog",
        Unit::Count("delivery"),
        SUBSCRIPTION,
        Row::Subscriptions,
        "Deliveries that are neither handled nor dead letters",
    ),
    counter(
        "sandbus_attempts_total",
        "attempt",
        &["subscription", "outcome"],
        Row::Subscriptions,
        "Completed attempts, by outcome: handled, retry or dead; a delivery may take several",
    ),
    histogram(
        "sandbus_delivery_latency_seconds",
        SUBSCRIPTION,
        Row::Subscriptions,
        "Time from stored to handled; replays are not included",
    ),
    gauge(
        "sandbus_subscription_in_flight",
        Unit::Count("delivery"),
        SUBSCRIPTION,
        Row::Subscriptions,
        "Deliveries that are running or waiting for a thread",
    ),
    gauge(
        "sandbus_subscription_committing",
        Unit::Count("delivery"),
        SUBSCRIPTION,
        Row::Subscriptions,
        "Deliveries that have run and are waiting for their commit",
    ),
    gauge(
        "sandbus_subscription_parked_keys",
        Unit::Count("key"),
        SUBSCRIPTION,
        Row::Subscriptions,
        "Ordering keys parked behind a dead letter",
    ),
    gauge(
        "sandbus_subscription_paused",
        Unit::State,
        SUBSCRIPTION,
        Row::Subscriptions,
        "1 if the subscription is paused or its endpoint is on hold, else 0",
    ),
    histogram("sandbus_handler_seconds", SUBSCRIPTION, Row::Handlers, "Run time of handlers"),
    counter(
        "sandbus_conflicts_total",
        "delivery",
        SUBSCRIPTION,
        Row::Handlers,
        "Deliveries run again because of a state conflict",
    ),
    counter(
        "sandbus_endpoint_holds_total",
        "response",
        SUBSCRIPTION,
        Row::Handlers,
        "Responses that put the endpoint on hold",
    ),
    counter(
        "sandbus_endpoint_gone_total",
        "response",
        SUBSCRIPTION,
        Row::Handlers,
        "Responses 410 Gone, which pause the subscription",
    ),
    counter(
        "sandbus_http_requests_total",
        "request",
        &["plugin", "status"],
        Row::Requests,
        "Requests answered by plugins, by status",
    ),
    histogram("sandbus_http_request_seconds", PLUGIN, Row::Requests, "Time from request to response"),
    counter(
        "sandbus_http_conflicts_total",
        "request",
        PLUGIN,
        Row::Requests,
        "Requests run again because of a state conflict",
    ),
    counter(
        "sandbus_events_published_total",
        "event",
        NONE,
        Row::Requests,
        "Events accepted at the ingress and stored durably",
    ),
    gauge("sandbus_plugins", Unit::Count("plugin"), NONE, Row::Host, "Loaded plugins"),
    gauge(
        "sandbus_refused_files",
        Unit::Count("file"),
        NONE,
        Row::Host,
        "Files in the plugin folder that are not loaded because of an error",
    ),
    gauge(
        "sandbus_configuration_refused",
        Unit::State,
        NONE,
        Row::Host,
        "1 if sandbus.toml has changed and cannot be applied, else 0",
    ),
    gauge("sandbus_store_reachable", Unit::State, NONE, Row::Host, "1 if the bus can reach its store, else 0"),
    gauge("sandbus_ledger_available", Unit::State, NONE, Row::Host, "1 if the ledger can be written, else 0"),
    counter("sandbus_ledger_records_total", "record", NONE, Row::Host, "Records written to the ledger"),
    loss("sandbus_ledger_lost_total", "record", NONE, "Records that the ledger lost"),
    Definition {
        is_loss: false,
        ..loss(
            "sandbus_telemetry_lost_total",
            "record",
            &["signal"],
            "Spans, log records and metrics that were not exported, because the collector was slow, failed or rejected them",
        )
    },
    loss("sandbus_lost_log_lines_total", "line", NONE, "Log lines lost because standard error was not read"),
    loss(
        "sandbus_event_collisions_total",
        "event",
        NONE,
        "Events of plugins and schedules refused because another event has the same source and id",
    ),
    loss(
        "sandbus_differing_duplicates_total",
        "event",
        NONE,
        "Published events dropped as duplicates although the stored event has other content",
    ),
    Definition {
        is_loss: false,
        ..loss(
            "sandbus_subscription_expired_total",
            "event",
            SUBSCRIPTION,
            "Events deleted by retention before they were handled, since the start",
        )
    },
];

impl Definition {
    /// The definition of a metric.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|definition| definition.name == name)
    }

    /// The name in OpenTelemetry. Prometheus makes its own name of it and of the unit.
    pub(super) fn otlp_name(&self) -> String {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let name = if self.unit == Unit::Seconds { name.strip_suffix("_seconds").unwrap_or(name) } else { name };
        name.replace('_', ".")
    }

    /// The unit in OpenTelemetry (UCUM).
    pub(super) fn otlp_unit(&self) -> String {
        match self.unit {
            Unit::Count(thing) => format!("{{{thing}}}"),
            Unit::Seconds => "s".to_owned(),
            Unit::State => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_both_systems() {
        let mut names = std::collections::BTreeSet::new();
        for definition in DEFINITIONS {
            let Definition { name, kind, unit, .. } = definition;
            assert!(names.insert(name), "{name} is defined twice");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
            // What Prometheus makes of a metric that arrives by OTLP.
            let seconds = if *unit == Unit::Seconds { "_seconds" } else { "" };
            let total = if *kind == Kind::Counter { "_total" } else { "" };
            assert_eq!(format!("{}{seconds}{total}", definition.otlp_name().replace('.', "_")), **name);
        }
        let latency = Definition::of("sandbus_delivery_latency_seconds").unwrap();
        assert_eq!((latency.otlp_name().as_str(), latency.otlp_unit().as_str()), ("sandbus.delivery.latency", "s"));
    }
}
