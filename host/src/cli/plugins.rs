//! `sandbus plugins`.

use std::time::Duration;

use clap::Subcommand;

use super::client::Client;
use super::completions::live;
use super::paging::{fetch, fetch_all};
use super::{Remote, output, plugin_details, plugin_files};
use crate::api::{PluginList, PluginView, SubscriptionList, SubscriptionQuery, SubscriptionView};
use crate::printable;
use output::{cell, digest, list, optional, table};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Show the details of this plugin
    #[arg(add = live::plugins())]
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List plugins, and files that are not loaded
    List,
    /// Show a plugin with the rules that apply to it
    Show {
        /// The name of the plugin
        #[arg(add = live::plugins())]
        name: String,
    },
    #[command(flatten)]
    Files(plugin_files::Command),
    /// Stop deliveries and requests to a plugin, and wait for running invocations
    Drain {
        /// The name of the plugin
        #[arg(add = live::plugins())]
        name: String,
        /// Wait at most this long for running invocations
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::parse_duration)]
        wait: Duration,
    },
    /// Resume a drained plugin
    Resume {
        /// The name of the plugin
        #[arg(add = live::plugins())]
        name: String,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match (arguments.command, arguments.name) {
        (Some(Command::Drain { name, wait }), _) => {
            let response = client.drain(&name, wait).await?;
            output.print(&response, |response| match response.drained {
                true => format!("drained {name}"),
                false => format!("drained {name}; still running: {}", response.running),
            });
        }
        (Some(Command::Resume { name }), _) => {
            let response = client.resume_plugin(&name).await?;
            output.print(&response, |_| format!("resumed {name}"));
        }
        (Some(Command::Files(command)), _) => plugin_files::run(command, &client, output).await?,
        (Some(Command::Show { name }), _) | (None, Some(name)) => {
            let plugin = client.plugin(&name).await?;
            let subscriptions = match &plugin.value().name {
                Some(name) => subscriptions_of(&client, name).await?,
                None => Vec::new(),
            };
            output.print(&plugin, |plugin| plugin_details::show(plugin, &subscriptions));
        }
        (None, None) | (Some(Command::List), _) => output.print(&fetch_all::<PluginList>(&client).await?, show),
    }
    Ok(())
}

/// The subscriptions that a plugin owns. A token may be restricted to the plugin, and then may not list others.
async fn subscriptions_of(client: &Client, plugin: &str) -> anyhow::Result<Vec<SubscriptionView>> {
    let query = SubscriptionQuery { plugin: Some(plugin.to_owned()), ..SubscriptionQuery::default() };
    let all = fetch::<SubscriptionList>(client, &query, None, usize::MAX).await?.into_value().subscriptions;
    Ok(all.into_iter().filter(|subscription| subscription.replay.is_none()).collect())
}

fn show(response: &PluginList) -> String {
    let plugins = &response.plugins;
    let columns = ["PLUGIN", "VERSION", "STATUS", "FILE", "DIGEST", "ROUTES", "SUBSCRIBES TO"];
    let mut text = table(&columns, plugins, |plugin| {
        vec![
            optional(plugin.name.as_ref()),
            optional(plugin.version.as_ref()),
            cell(plugin.status.as_str()),
            optional(plugin.file.as_ref()),
            digest(plugin.digest.as_deref()),
            list(&plugin.routes),
            list(plugin.subscriptions.iter().map(|subscription| &subscription.pattern)),
        ]
    });
    let folder = response.folder_error.as_ref().map(|error| printable::paragraph(error));
    for warning in folder.into_iter().chain(plugins.iter().flat_map(warnings)) {
        text.push_str("\n\n");
        text.push_str(&warning);
    }
    text
}

/// Warnings about a plugin.
fn warnings(plugin: &PluginView) -> Vec<String> {
    let name = optional(plugin.name.as_ref());
    let error = plugin.error.as_ref();
    let error = error.map(|error| format!("{}: {}", optional(plugin.file.as_ref()), printable::paragraph(error)));
    // Each overlap is reported once, for the route that gets the request.
    let overlaps = plugin.overlaps.iter().filter(|overlap| overlap.goes_first).map(|overlap| {
        format!(
            "{name}: requests that match {} also match {} of {}",
            cell(&overlap.route),
            cell(&overlap.theirs),
            cell(&overlap.plugin)
        )
    });
    let withheld = (!plugin.withheld.is_empty())
        .then(|| format!("{name} requests more than its sidecar grants: {}", list(&plugin.withheld)));
    error.into_iter().chain(overlaps).chain(withheld).collect()
}
