//! `sandbus subscriptions`.

use clap::Subcommand;
use serde_json::Value;

use super::{Remote, output};
use crate::subscription::SubscriptionId;
use output::{cell, table};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the subscriptions
    List,
    /// Delete a subscription that no loaded plugin declares, with its backlog and its dead letters
    Delete {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List) {
        Command::List => {
            let answer = client.get(&["subscriptions"], &[]).await?;
            output.print(&answer, |answer| list(&answer["subscriptions"]));
        }
        Command::Delete { id } => {
            let answer = client.delete(&["subscriptions", &id.owner, &id.name], &[]).await?;
            output.print(&answer, |_| format!("deleted {id}"));
        }
    }
    Ok(())
}

fn list(subscriptions: &Value) -> String {
    let columns = ["SUBSCRIPTION", "PATTERN", "TARGET", "STATUS", "BACKLOG", "IN FLIGHT", "DEAD"];
    let mut text = table(&columns, subscriptions, |subscription| {
        let target = &subscription["target"];
        let target = target["plugin"].as_str().or(target["webhook"].as_str()).unwrap_or("-");
        vec![
            cell(&subscription["id"]),
            cell(&subscription["pattern"]),
            target.to_owned(),
            cell(&subscription["status"]),
            cell(&subscription["backlog"]),
            cell(&subscription["in_flight"]),
            cell(&subscription["dead_letters"]),
        ]
    });
    for subscription in subscriptions.as_array().into_iter().flatten() {
        if let Some(reason) = subscription["waits_for"].as_str() {
            text.push_str(&format!("\n\n{} is paused: {reason}", cell(&subscription["id"])));
        }
    }
    text
}
