//! `sandbus dead-letters`.

use clap::Subcommand;

use super::paging::{Paging, next_page_hint};
use super::{Group, output};
use crate::api::{DeadLetterPage, DeadLetterQuery, DeadLetterView};
use crate::printable;
use crate::subscription::SubscriptionId;
use output::{cell, table, truncate};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List dead letters
    List(ListArguments),
    /// Show a dead letter with all its attempts
    Show {
        /// Its number
        number: i64,
    },
    /// Deliver dead letters again
    Redrive(Selection),
    /// Delete dead letters
    Drop(Selection),
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
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
pub(super) struct Selection {
    /// Only this one
    #[arg(conflicts_with_all = ["all", "subscription", "cause"])]
    number: Option<i64>,
    /// All of them
    #[arg(long, conflicts_with_all = ["subscription", "cause"])]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Filter {
    fn query(&self) -> DeadLetterQuery {
        let subscription = self.subscription.as_ref().map(ToString::to_string);
        DeadLetterQuery { subscription, cause: self.cause.clone(), ..DeadLetterQuery::default() }
    }
}

impl Selection {
    fn query(&self) -> DeadLetterQuery {
        DeadLetterQuery { number: self.number, ..self.filter.query() }
    }
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List(ListArguments::default())) {
        Command::List(ListArguments { filter, paging }) => {
            let page = paging.fetch::<DeadLetterPage>(&client, &filter.query()).await?;
            output.print(&page, |page| list(&page.dead_letters) + &next_page_hint(page));
        }
        Command::Show { number } => {
            let letter = client.dead_letter(number).await?;
            output.print(&letter, |_| printable::json(&letter.indented()));
        }
        Command::Redrive(which) => {
            let response = client.redrive(&which.query()).await?;
            output.print(&response, |response| format!("redriven: {}", response.redriven));
        }
        Command::Drop(which) => {
            let response = client.drop_dead_letters(&which.query()).await?;
            output.print(&response, |response| format!("dropped: {}", response.dropped));
        }
    }
    Ok(())
}

fn list(letters: &[DeadLetterView]) -> String {
    table(&["NUMBER", "SUBSCRIPTION", "TYPE", "EVENT", "ATTEMPTS", "CAUSE", "REASON"], letters, |letter| {
        let event = letter.logged.event.summary();
        vec![
            cell(letter.number),
            cell(&letter.subscription),
            cell(&event.event_type),
            cell(&event.id),
            cell(letter.attempts),
            cell(&letter.cause),
            truncate(&letter.reason, 80),
        ]
    })
}
