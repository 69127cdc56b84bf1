//! `sandbus dead-letters`.

use clap::Subcommand;
use serde_json::Value;

use super::paging::{List, Paging, hint};
use super::raw::Document as _;
use super::{Remote, output};
use crate::printable;
use crate::subscription::SubscriptionId;
use output::{cell, short, table};

const LIST: List<'_> = List { path: "dead-letters", name: "dead_letters", cursor: "after" };

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
    /// List dead letters
    List(Listing),
    /// Show a dead letter with all its attempts
    Show {
        /// Its number
        number: i64,
    },
    /// Deliver dead letters again
    Redrive(Some),
    /// Delete dead letters
    Drop(Some),
}

#[derive(Debug, Default, clap::Args)]
struct Listing {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Default, clap::Args)]
struct Choice {
    /// Only those of this subscription
    #[arg(long, value_name = "PLUGIN/NAME")]
    subscription: Option<SubscriptionId>,
    /// Only those with this cause, such as trap, timeout or rejected
    #[arg(long)]
    cause: Option<String>,
}

/// Which dead letters are redriven or dropped; none by mistake.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true).args(["number", "all", "subscription", "cause"])))]
struct Some {
    /// Only this one
    #[arg(conflicts_with_all = ["all", "subscription", "cause"])]
    number: Option<i64>,
    /// All of them
    #[arg(long, conflicts_with_all = ["subscription", "cause"])]
    all: bool,
    #[command(flatten)]
    choice: Choice,
}

impl Choice {
    fn query(&self) -> Vec<(&'static str, String)> {
        let subscription = self.subscription.as_ref().map(|id| ("subscription", id.to_string()));
        subscription.into_iter().chain(self.cause.clone().map(|cause| ("cause", cause))).collect()
    }
}

impl Some {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.choice.query();
        query.extend(self.number.map(|number| ("number", number.to_string())));
        query
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List(Listing::default())) {
        Command::List(Listing { choice, paging }) => {
            let answer = paging.fetch(&client, LIST, &choice.query()).await?;
            output.print(&answer, |answer| list(&answer["dead_letters"]) + &hint(LIST, answer));
        }
        Command::Show { number } => {
            let answer = client.get(&["dead-letters", &number.to_string()], &[]).await?;
            output.print(&answer, |_| printable::json(&answer.indented()));
        }
        Command::Redrive(which) => {
            let answer = client.post(&["dead-letters", "redrive"], &which.query()).await?;
            output.print(&answer, |answer| format!("redriven: {}", answer["redriven"]));
        }
        Command::Drop(which) => {
            let answer = client.delete(&["dead-letters"], &which.query()).await?;
            output.print(&answer, |answer| format!("dropped: {}", answer["dropped"]));
        }
    }
    Ok(())
}

fn list(letters: &Value) -> String {
    table(&["NUMBER", "SUBSCRIPTION", "TYPE", "EVENT", "ATTEMPTS", "CAUSE", "REASON"], letters, |letter| {
        let event = &letter["logged"]["event"];
        vec![
            cell(&letter["number"]),
            cell(&letter["subscription"]),
            cell(&event["type"]),
            cell(&event["id"]),
            cell(&letter["attempts"]),
            cell(&letter["cause"]),
            short(letter["reason"].as_str().unwrap_or("-"), 80),
        ]
    })
}
