//! `sandbus canary`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Remote;
use super::component::Inspection;
use super::output::cell;
use crate::api::{CanaryQuery, CanaryView, DifferingDeliveryView};
use crate::plugin::{CanaryRule, Symlinks, read_plugin};
use crate::printable;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The new component
    file: PathBuf,
    /// How many of the last deliveries both handle
    #[arg(long, value_name = "N", default_value_t = CanaryRule::default().events)]
    events: usize,
    #[arg(long, hide = true, value_parser = super::renamed("--events"))]
    last: Option<String>,
    /// The plugin that it is to take the place of; what it says itself by default
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Fails if anything comes out differently or nothing is proven, so that a script can go by it.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, events, plugin, remote, .. } = arguments;
    let (client, output) = remote.connect();
    let name = match plugin {
        Some(name) => name,
        None => {
            let path = file.clone();
            let inspection = tokio::task::spawn_blocking(move || Inspection::of(&path)).await??.view();
            let name = inspection.descriptor.map(|descriptor| descriptor.name);
            name.with_context(|| format!("{} does not say which plugin it is; name it with --plugin", file.display()))?
        }
    };
    let path = file.clone();
    let bytes = tokio::task::spawn_blocking(move || read_plugin(&path, Symlinks::Follow)).await?;
    let bytes = bytes.with_context(|| format!("{}", file.display()))?;
    let report = client.canary(&name, &CanaryQuery { events: Some(events) }, bytes).await?;
    output.print(&report, show);
    let report = report.value();
    if report.different > 0 || !report.subscriptions_removed.is_empty() {
        bail!("the new generation of {name} does not do what the running one does");
    }
    if report.handled <= report.inconclusive {
        bail!("the log proves nothing about the new generation of {name}; try it with scenarios");
    }
    Ok(())
}

fn show(report: &CanaryView) -> String {
    let mut text: String = report.differences.iter().map(format_difference).collect();
    for (names, what) in
        [(&report.subscriptions_removed, "no longer takes"), (&report.subscriptions_added, "takes for the first time")]
    {
        text.extend(names.iter().map(|name| format!("{what}: {}\n", cell(name))));
    }
    let CanaryView { handled, different, inconclusive, time_us: time, memory_bytes: memory, .. } = report;
    text.push_str(&format!(
        "{handled} deliveries: {} the same, {different} different, {inconclusive} that prove nothing; {} → {} µs, {} → {} KiB of memory\n",
        handled.saturating_sub(different + inconclusive),
        time.live,
        time.new,
        memory.live >> 10,
        memory.new >> 10,
    ));
    if *inconclusive > 0 {
        text.push_str(
            "a delivery proves nothing where a handler read state that has changed since the event came, \
             as its own earlier run may have done: it may return early, whatever its code is\n",
        );
    }
    if *handled == 0 {
        text.push_str("there is nothing in the log that the running generation has handled\n");
    }
    text
}

fn format_difference(differing: &DifferingDeliveryView) -> String {
    let DifferingDeliveryView { event, event_type, subscription, differs } = differing;
    let side = |value: &Option<Value>| match value {
        None => "nothing".to_owned(),
        Some(value) => printable::json(&value.to_string()),
    };
    let mut text = format!("{} {} ({})\n", cell(event_type), cell(event), cell(subscription));
    text.extend(differs.iter().map(|difference| {
        format!("  {}: {} → {}\n", cell(&difference.path), side(&difference.live), side(&difference.new))
    }));
    text
}
