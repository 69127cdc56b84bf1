//! `sandbus events`.

use clap::Subcommand;
use serde_json::Value;

use super::{Remote, output};
use output::{cell, short, table};

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
    /// List the newest events
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Only events before this position
        #[arg(long, value_name = "POSITION")]
        before: Option<u64>,
    },
    /// Show an event in full
    Show {
        /// The event's id
        id: String,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List { limit: 20, before: None }) {
        Command::List { limit, before } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(before.map(|before| ("before", before.to_string())));
            let answer = client.get(&["events"], &query).await?;
            output.print(&answer, |answer| list(&answer["events"]));
        }
        Command::Show { id } => {
            let answer = client.get(&["events", &id], &[]).await?;
            output.print(&answer, |answer| format!("{:#}", answer["events"]));
        }
    }
    Ok(())
}

fn list(events: &Value) -> String {
    table(&["POSITION", "STORED", "TYPE", "ID", "SOURCE", "DATA"], events, |logged| {
        let event = &logged["event"];
        let data = if event["data"].is_null() { "-".to_owned() } else { short(&event["data"].to_string(), 60) };
        vec![
            cell(&logged["position"]),
            cell(&logged["stored_at"]),
            cell(&event["type"]),
            cell(&event["id"]),
            cell(&event["source"]),
            data,
        ]
    })
}
