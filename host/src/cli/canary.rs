//! `sandbus canary`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Remote;
use super::component::Inspection;
use super::output::cell;
use crate::plugin::CanaryRule;
use crate::printable;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The new component
    file: PathBuf,
    /// How many of the last deliveries both handle
    #[arg(long, value_name = "N", default_value_t = CanaryRule::default().last)]
    last: usize,
    /// The plugin that it is to take the place of; what it says itself by default
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Fails if anything comes out differently or nothing is proven, so that a script can go by it.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, last, plugin, remote } = arguments;
    let (client, output) = remote.connect();
    let name = match plugin {
        Some(name) => name,
        None => {
            let path = file.clone();
            let inspection = tokio::task::spawn_blocking(move || Inspection::of(&path)).await??.to_json();
            let name = inspection["descriptor"]["name"].as_str().map(str::to_owned);
            name.with_context(|| format!("{} does not say which plugin it is; name it with --plugin", file.display()))?
        }
    };
    let bytes = tokio::fs::read(&file).await.with_context(|| format!("{} cannot be read", file.display()))?;
    let report = client.post_wasm(&["plugins", &name, "canary"], &[("last", last.to_string())], bytes).await?;
    output.print(&report, show);
    let number = |member: &str| report[member].as_u64().unwrap_or(0);
    if number("different") > 0 || report["subscriptions_removed"].as_array().is_some_and(|removed| !removed.is_empty())
    {
        bail!("the new generation of {name} does not do what the running one does");
    }
    if number("handled") <= number("unproven") {
        bail!("the log proves nothing about the new generation of {name}; try it with scenarios");
    }
    Ok(())
}

fn show(report: &Value) -> String {
    let mut text = String::new();
    for differing in report["differences"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "{} {} ({})\n",
            cell(&differing["type"]),
            cell(&differing["event"]),
            cell(&differing["subscription"])
        ));
        for difference in differing["differs"].as_array().into_iter().flatten() {
            let side = |member: &str| match &difference[member] {
                Value::Null => "nothing".to_owned(),
                value => printable::json(&value.to_string()),
            };
            text.push_str(&format!("  {}: {} → {}\n", cell(&difference["path"]), side("live"), side("new")));
        }
    }
    for (member, what) in
        [("subscriptions_removed", "no longer takes"), ("subscriptions_added", "takes for the first time")]
    {
        for name in report[member].as_array().into_iter().flatten() {
            text.push_str(&format!("{what}: {}\n", cell(name)));
        }
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (handled, different) = (number(&report["handled"]), number(&report["different"]));
    let unproven = number(&report["unproven"]);
    let (time, memory) = (&report["time_us"], &report["memory_bytes"]);
    text.push_str(&format!(
        "{handled} deliveries: {} the same, {different} different, {unproven} that prove nothing; {} → {} µs, {} → {} KiB of memory\n",
        handled.saturating_sub(different + unproven),
        number(&time["live"]),
        number(&time["new"]),
        number(&memory["live"]) >> 10,
        number(&memory["new"]) >> 10,
    ));
    if unproven > 0 {
        text.push_str(
            "a delivery proves nothing where a handler read state that has changed since the event came, \
             as its own earlier run may have done: it may return early, whatever its code is\n",
        );
    }
    if handled == 0 {
        text.push_str("there is nothing in the log that the running generation has handled\n");
    }
    text
}
