//! Writes what is made from the definitions of the metrics: the Grafana dashboard, the alert rules with their tests,
//! and `docs/metrics.md`. The files are checked in, and a test compares them.

mod alerts;
mod dashboard;
mod page;

use std::path::{Path, PathBuf};

use self::alerts::ALERTS;
use super::definitions::{DEFINITIONS, Definition, Kind, Row};

/// Where the generated files are.
const MONITORING: &str = "xtask/packaging/monitoring";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// With `SANDBUS_BLESS=1` the files are written.
#[test]
fn the_files_for_monitoring_are_made_from_the_definitions() {
    let files = [
        (format!("{MONITORING}/dashboard.json"), dashboard::write()),
        (format!("{MONITORING}/alerts.yaml"), alerts::write_rules()),
        (format!("{MONITORING}/alerts.test.yaml"), alerts::write_tests()),
        ("docs/metrics.md".to_owned(), page::write()),
    ];
    for (name, text) in files {
        let path = repository().join(&name);
        if std::env::var_os("SANDBUS_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        } else {
            let written = std::fs::read_to_string(&path).unwrap_or_default();
            let bless = "run SANDBUS_BLESS=1 cargo test --workspace --lib the_files_for_monitoring";
            assert!(written == text, "{name} is not current; {bless}");
        }
    }
}

/// The names of metrics in an expression.
fn metrics_in(expression: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    expression.split(|letter| !is_part(letter)).filter(|word| word.starts_with("sandbus_")).collect()
}

#[test]
fn alerts_use_metrics_that_exist_and_every_loss_has_an_alert() {
    for alert in ALERTS {
        let metrics = metrics_in(alert.expression);
        assert!(!metrics.is_empty(), "{}", alert.name);
        for metric in metrics {
            assert!(Definition::of(metric).is_some(), "{} uses {metric}, which is not defined", alert.name);
        }
        for (series, _) in alert.fires.iter().chain(alert.quiet) {
            let (metric, labels) = series.split_once('{').unwrap_or((series, "}"));
            let definition = Definition::of(metric).unwrap_or_else(|| panic!("{}: {metric}", alert.name));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let labels: Vec<_> = labels.map(|label| label.split('=').next().unwrap()).collect();
            assert_eq!(labels, definition.labels, "{}: {metric}", alert.name);
        }
    }
    for definition in DEFINITIONS.iter().filter(|definition| definition.row == Row::Losses) {
        let is_watched = ALERTS.iter().any(|alert| metrics_in(alert.expression).contains(&definition.name));
        assert!(is_watched, "no alert watches {}", definition.name);
    }
}

#[test]
fn the_dashboard_has_a_panel_for_each_metric() {
    let dashboard = dashboard::write();
    for Definition { name, kind, .. } in DEFINITIONS {
        let used = if *kind == Kind::Histogram { format!("{name}_bucket{{") } else { format!("{name}{{") };
        assert!(dashboard.contains(&used), "{name}");
    }
}
