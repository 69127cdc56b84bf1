//! `sandbus events`.

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;
use super::paging::{List, fetch, hint};
use super::{Remote, output};
use crate::clock::Timestamp;
use crate::pattern::Pattern;
use output::{cell, short, table};

const LIST: List<'_> = List { path: "events", name: "events", cursor: "before" };

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
        /// Show at most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only events before this position
        #[arg(long, value_name = "POSITION")]
        before: Option<u64>,
    },
    /// Write events to standard output, the oldest first, as CloudEvents in JSON, one a line
    Export {
        /// Only events whose type matches this
        #[arg(long = "type", value_name = "TYPE", value_parser = Pattern::parse)]
        pattern: Option<Pattern>,
        /// Only the newest of them, so many
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        last: usize,
        /// Only events from a position or a time on
        #[arg(long, value_name = "POSITION|TIME", value_parser = since)]
        since: Option<Since>,
    },
    /// Show an event in full
    Show {
        /// The event's id
        id: String,
    },
}

/// Where an export begins.
#[derive(Clone, Copy, Debug)]
enum Since {
    Position(u64),
    Time(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    let position = text.parse().map(Since::Position);
    position.or_else(|_| super::time(text).map(Since::Time)).map_err(|error| format!("{error}, or a position"))
}

impl Since {
    fn reaches(self, logged: &Value) -> bool {
        match self {
            Self::Position(first) => logged["position"].as_u64().is_some_and(|position| position >= first),
            Self::Time(first) => {
                let stored_at = logged["stored_at"].as_str().and_then(Timestamp::parse);
                stored_at.is_some_and(|stored_at| stored_at >= first)
            }
        }
    }
}

/// How many events one answer has.
const PAGE: usize = 200;

/// The newest events that are wanted, the oldest of them first, one in JSON a line.
async fn export(
    client: &Client,
    pattern: Option<&Pattern>,
    last: usize,
    since: Option<Since>,
) -> anyhow::Result<Vec<String>> {
    let (mut lines, mut before) = (Vec::new(), None::<u64>);
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(before.map(|before| ("before", before.to_string())));
        let answer = client.get(&["events"], &query).await?;
        let page = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reached = page.iter().take_while(|logged| since.is_none_or(|since| since.reaches(logged)));
        let (reached, count) = (reached.clone(), reached.count());
        lines.extend(reached.filter(|logged| wanted(logged, pattern)).map(|logged| logged["event"].to_string()));
        if lines.len() >= last || count < PAGE {
            lines.truncate(last);
            lines.reverse();
            return Ok(lines);
        }
        before = page.last().and_then(|logged| logged["position"].as_u64());
    }
}

fn wanted(logged: &Value, pattern: Option<&Pattern>) -> bool {
    let event_type = logged["event"]["type"].as_str().unwrap_or_default();
    pattern.is_none_or(|pattern| pattern.matches(event_type))
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List { limit: 20, before: None }) {
        Command::List { limit, before } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let answer = fetch(&client, LIST, &[], before.map(|before| before.to_string()), limit).await?;
            output.print(&answer, |answer| list(&answer["events"]) + &hint(LIST, answer));
        }
        Command::Export { pattern, last, since } => {
            output::lines(&export(&client, pattern.as_ref(), last, since).await?);
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
