//! `sandbus canary`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Remote;
use super::completions::live;
use super::component::Inspection;
use super::output::cell;
use crate::api::{CanaryQuery, CanaryView, DifferingDeliveryView};
use crate::plugin::{CanaryRule, Symlinks, read_plugin};
use crate::printable;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The component of the new build
    #[arg(required_unless_present = "generation", conflicts_with = "generation")]
    file: Option<PathBuf>,
    /// Compare an archived generation instead of a file, by its digest or the beginning of it
    #[arg(long, value_name = "DIGEST", requires = "plugin")]
    generation: Option<String>,
    /// Compare the results of this many recent deliveries
    #[arg(long, value_name = "N", default_value_t = CanaryRule::default().events)]
    events: usize,
    /// Compare the deliveries of the event with this id instead
    #[arg(long, value_name = "ID", conflicts_with = "events")]
    event: Option<String>,
    /// Choose the event of this source, if several events have the id
    #[arg(long, value_name = "SOURCE", requires = "event")]
    source: Option<String>,
    #[arg(long, hide = true, value_parser = super::renamed("--events"))]
    last: Option<String>,
    /// Compare with the running generation of this plugin [default: the name in the component]
    #[arg(long, value_name = "NAME", add = live::plugins())]
    plugin: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Fails if a result differs or no result is conclusive, so that scripts can rely on the exit code.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, generation, events, event, source, plugin, remote, .. } = arguments;
    let (client, output) = remote.connect();
    let (name, bytes) = match (file, plugin) {
        (Some(file), plugin) => {
            let name = match plugin {
                Some(name) => name,
                None => name_in(&file).await?,
            };
            (name, Some(read(file).await?))
        }
        (None, Some(name)) => (name, None),
        (None, None) => bail!("give the component of the new build, or --generation with --plugin"),
    };
    let other = match &generation {
        Some(digest) => format!("generation {digest}"),
        None => "the new build".to_owned(),
    };
    let events = event.is_none().then_some(events);
    let report = client.canary(&name, &CanaryQuery { events, event, source, generation }, bytes).await?;
    output.print(&report, |report| show(report, events.is_none()));
    let report = report.value();
    if report.different > 0 || !report.subscriptions_removed.is_empty() {
        bail!("{other} of {name} behaves differently from the running one");
    }
    if report.handled <= report.inconclusive {
        bail!("no delivery is conclusive for {other} of {name}; test it with scenarios");
    }
    Ok(())
}

/// The name of the plugin in a component.
async fn name_in(file: &Path) -> anyhow::Result<String> {
    let path = file.to_owned();
    let inspection = tokio::task::spawn_blocking(move || Inspection::of(&path)).await??.view();
    let name = inspection.descriptor.map(|descriptor| descriptor.name);
    name.with_context(|| format!("{} does not name its plugin; use --plugin", file.display()))
}

async fn read(file: PathBuf) -> anyhow::Result<Vec<u8>> {
    let path = file.clone();
    let bytes = tokio::task::spawn_blocking(move || read_plugin(&path, Symlinks::Follow)).await?;
    bytes.with_context(|| format!("cannot read {}", file.display()))
}

fn show(report: &CanaryView, is_one_event: bool) -> String {
    let mut text: String = report.differences.iter().map(format_difference).collect();
    for (names, what) in
        [(&report.subscriptions_removed, "subscription removed"), (&report.subscriptions_added, "subscription added")]
    {
        text.extend(names.iter().map(|name| format!("{what}: {}\n", cell(name))));
    }
    let CanaryView { handled, different, inconclusive, time_us: time, memory_bytes: memory, .. } = report;
    text.push_str(&format!(
        "{handled} deliveries: {} equal, {different} different, {inconclusive} inconclusive; {} → {} µs, {} → {} KiB of memory\n",
        handled.saturating_sub(different + inconclusive),
        time.running,
        time.new,
        memory.running >> 10,
        memory.new >> 10,
    ));
    if *inconclusive > 0 {
        text.push_str(
            "a delivery is inconclusive if a handler read state that has changed since the event was stored; \
             the handler's own first run may have changed it\n",
        );
    }
    if *handled == 0 {
        text.push_str(match is_one_event {
            true => "no subscription that the running generation declares selects the event\n",
            false => "the log has no event that the running generation has handled\n",
        });
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
        format!("  {}: {} → {}\n", cell(&difference.path), side(&difference.running), side(&difference.new))
    }));
    text
}
