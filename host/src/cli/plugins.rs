//! `sandbus plugins`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::{Remote, output};
use crate::printable;
use output::{cell, digest, table};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only this plugin, in full
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deliver nothing to a plugin, let its routes answer 503, and wait for what runs, until it is resumed
    Drain {
        /// The plugin
        name: String,
        /// How long to wait for what runs
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
    /// Let a plugin that was drained go on
    Resume {
        /// The plugin
        name: String,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match (arguments.command, arguments.name) {
        (Some(Command::Drain { name, wait }), _) => {
            let query = [("wait", humantime::format_duration(wait).to_string())];
            let answer = client.post(&["plugins", &name, "drain"], &query).await?;
            output.print(&answer, |answer| match answer["drained"] == true {
                true => format!("drained {name}"),
                false => format!("drained {name}; still running: {}", answer["running"]),
            });
        }
        (Some(Command::Resume { name }), _) => {
            let answer = client.post(&["plugins", &name, "resume"], &[]).await?;
            output.print(&answer, |_| format!("resumed {name}"));
        }
        (None, Some(name)) => {
            let plugin = client.get(&["plugins", &name], &[]).await?;
            output.print(&plugin, output::pretty);
        }
        (None, None) => output.print(&client.get(&["plugins"], &[]).await?, |answer| list(&answer["plugins"])),
    }
    Ok(())
}

fn list(plugins: &Value) -> String {
    let columns = ["PLUGIN", "VERSION", "STATUS", "FILE", "DIGEST", "ROUTES", "ON"];
    let mut text = table(&columns, plugins, |plugin| {
        let patterns = plugin["subscriptions"].as_array().into_iter().flatten();
        let patterns: Vec<_> = patterns.map(|subscription| cell(&subscription["pattern"])).collect();
        vec![
            cell(&plugin["name"]),
            cell(&plugin["version"]),
            cell(&plugin["status"]),
            cell(&plugin["file"]),
            digest(&plugin["digest"]),
            cell(&plugin["routes"]),
            if patterns.is_empty() { "-".to_owned() } else { patterns.join(", ") },
        ]
    });
    for plugin in plugins.as_array().into_iter().flatten() {
        if let Some(error) = plugin["error"].as_str() {
            text.push_str(&format!("\n\n{}: {}", cell(&plugin["file"]), printable::paragraph(error)));
        }
        for overlap in plugin["overlaps"].as_array().into_iter().flatten() {
            // The other plugin would say the same.
            if overlap["goes_first"] == true {
                text.push_str(&format!(
                    "\n\n{}: requests for {} would fit {} of {} as well",
                    cell(&plugin["name"]),
                    cell(&overlap["route"]),
                    cell(&overlap["theirs"]),
                    cell(&overlap["plugin"])
                ));
            }
        }
        if plugin["withheld"].as_array().is_some_and(|withheld| !withheld.is_empty()) {
            text.push_str(&format!(
                "\n\n{} asks for more than it is granted: {}",
                cell(&plugin["name"]),
                cell(&plugin["withheld"])
            ));
        }
    }
    text
}
