//! `sandbus schedules`.

use clap::Subcommand;
use serde_json::Value;

use super::paging::{List, Paging, hint};
use super::raw::Answer;
use super::{Remote, output};
use output::{cell, table};

const LIST: List<'_> = List { path: "scheduled", name: "scheduled", cursor: "after" };

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
    /// List the schedules of plugins, and the events that come later
    List(Paging),
    /// Take back an event that has not come yet
    Cancel {
        /// The event's source
        #[arg(long)]
        source: String,
        /// The event's id
        #[arg(long)]
        id: String,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List(Paging::default())) {
        Command::List(paging) => {
            let schedules = client.get(&["schedules"], &[]).await?;
            let page = paging.fetch(&client, LIST, &[]).await?;
            let members = ["scheduled", "next"].map(|name| (name, page.member(name)));
            let all = [("schedules", schedules.member("schedules")), members[0], members[1]];
            output.print(&Answer::of(&all), |answer| list(answer) + &hint(LIST, answer));
        }
        Command::Cancel { source, id } => {
            let query = [("source", source), ("id", id.clone())];
            let answer = client.delete(&["scheduled"], &query).await?;
            output.print(&answer, |_| format!("cancelled {id}"));
        }
    }
    Ok(())
}

fn list(answer: &Value) -> String {
    let columns = ["SCHEDULE", "CRON", "TIMEZONE", "TYPE", "NEXT"];
    let schedules = table(&columns, &answer["schedules"], |schedule| {
        vec![
            cell(&schedule["id"]),
            cell(&schedule["cron"]),
            cell(&schedule["timezone"]),
            cell(&schedule["type"]),
            if schedule["rests"] == true { "rests, as its plugin does".to_owned() } else { cell(&schedule["next"]) },
        ]
    });
    let events = table(&["DUE", "TYPE", "ID", "SOURCE"], &answer["scheduled"], |scheduled| {
        let event = &scheduled["event"];
        vec![cell(&scheduled["due"]), cell(&event["type"]), cell(&event["id"]), cell(&event["source"])]
    });
    format!("Schedules:\n{schedules}\n\nEvents that come later:\n{events}")
}
