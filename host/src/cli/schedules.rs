//! `sandbus schedules`.

use clap::Subcommand;
use serde::Deserialize;

use super::completions::live;
use super::paging::{Paging, fetch_all, next_page_hint};
use super::response::Response;
use super::{Group, output};
use crate::api::{CancelQuery, ScheduleList, ScheduleView, ScheduledPage, ScheduledQuery, ScheduledView};
use output::{cell, optional, table, truncate_middle};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the schedules of plugins, and delayed events
    List(Paging),
    /// Cancel a delayed event
    Cancel {
        /// The source of the event
        #[arg(long, add = live::delayed_sources())]
        source: String,
        /// The id of the event
        #[arg(long, add = live::delayed_events())]
        id: String,
    },
}

/// Schedules and delayed events: two responses of the host in one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScheduleListing {
    schedules: Vec<ScheduleView>,
    scheduled: Vec<ScheduledView>,
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List(Paging::default())) {
        Command::List(paging) => {
            let schedules = fetch_all::<ScheduleList>(&client).await?;
            let page = paging.fetch::<ScheduledPage>(&client, &ScheduledQuery::default()).await?;
            let members = ["scheduled", "next"].map(|name| (name, page.member(name)));
            let all = [("schedules", schedules.member("schedules")), members[0], members[1]];
            output.print(&Response::<ScheduleListing>::of(&all)?, |listing| {
                list(listing) + &next_page_hint(page.value())
            });
        }
        Command::Cancel { source, id } => {
            let query = CancelQuery { source, id };
            let response = client.cancel(&query).await?;
            output.print(&response, |_| format!("cancelled {}", query.id));
        }
    }
    Ok(())
}

fn list(listing: &ScheduleListing) -> String {
    let columns = ["SCHEDULE", "CRON", "TIMEZONE", "TYPE", "NEXT"];
    let schedules = table(&columns, &listing.schedules, |schedule| {
        vec![
            cell(&schedule.id),
            cell(&schedule.cron),
            optional(schedule.timezone.as_ref()),
            cell(&schedule.event_type),
            if schedule.paused { "paused (plugin not running)".to_owned() } else { optional(schedule.next.as_ref()) },
        ]
    });
    let events = table(&["DUE", "TYPE", "ID", "SOURCE"], &listing.scheduled, |scheduled| {
        let event = scheduled.event.summary();
        vec![cell(&scheduled.due), cell(&event.event_type), cell(&event.id), truncate_middle(&event.source, 60)]
    });
    format!("Schedules:\n{schedules}\n\nDelayed events:\n{events}")
}
