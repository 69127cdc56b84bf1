//! `sandbus plugins`.

use serde_json::Value;

use super::{Remote, output};
use output::{cell, short, table};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this plugin, in full
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match &arguments.name {
        Some(name) => {
            let plugin = client.get(&["plugins", name], &[]).await?;
            output.print(&plugin, |plugin| format!("{plugin:#}"));
        }
        None => output.print(&client.get(&["plugins"], &[]).await?, |answer| list(&answer["plugins"])),
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
            short(&cell(&plugin["digest"]), 12).trim_end_matches('…').to_owned(),
            cell(&plugin["routes"]),
            if patterns.is_empty() { "-".to_owned() } else { patterns.join(", ") },
        ]
    });
    for plugin in plugins.as_array().into_iter().flatten() {
        if let Some(error) = plugin["error"].as_str() {
            text.push_str(&format!("\n\n{}: {error}", cell(&plugin["file"])));
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
