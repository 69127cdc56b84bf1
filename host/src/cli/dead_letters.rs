//! `sandbus dead-letters`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;

use super::client::Client;
use super::completions::live;
use super::paging::{Paging, next_page_hint};
use super::{Group, output};
use crate::api::{
    AttemptView, DeadLetterGroupPage, DeadLetterGroupQuery, DeadLetterPage, DeadLetterQuery, DeadLetterSelection,
    DeadLetterView, EditedRedriveRequest, GroupStatus, GroupStatusQuery, GroupStatusRequest,
};
use crate::failure::Cause;
use crate::printable;
use crate::subscription::SubscriptionId;
use output::{Output, cell, digest, table, truncate};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List dead letters
    List(ListArguments),
    /// Group dead letters by failure, the largest groups first
    Groups(GroupArguments),
    /// Show a dead letter and its attempts
    Show {
        /// The number of the dead letter
        #[arg(value_parser = parse_number, add = live::dead_letters())]
        number: i64,
    },
    /// Deliver dead letters again
    Redrive(Redrive),
    /// Delete dead letters
    Drop(Selection),
    /// Mark the group of a dead letter as resolved, until another dead letter joins the group
    Resolve(GroupSample),
    /// Mark the group of a dead letter as ignored, even when other dead letters join the group
    Ignore(GroupSample),
    /// Reopen the group of a dead letter
    Reopen(GroupSample),
}

#[derive(Debug, clap::Args)]
pub(super) struct GroupSample {
    /// The number of any dead letter in the group, such as its sample
    #[arg(value_parser = parse_number, add = live::dead_letters())]
    number: i64,
    /// The subscription of the dead letter; required with a token that is restricted to one plugin
    #[arg(long, value_name = "ID", add = live::subscriptions())]
    subscription: Option<String>,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    group: GroupMember,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, clap::Args)]
pub(super) struct GroupArguments {
    #[command(flatten)]
    filter: Filter,
    /// Select groups with this status
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

/// The statuses of groups.
const STATUSES: [&str; 3] = ["open", "resolved", "ignored"];

#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Select dead letters of this subscription
    #[arg(long, value_name = "OWNER/NAME", add = live::subscriptions())]
    subscription: Option<SubscriptionId>,
    /// Select dead letters with this cause, such as trap, timeout or rejected
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Cause::ALL.map(Cause::as_str)), hide_possible_values = true)]
    cause: Option<String>,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct GroupMember {
    /// Select all dead letters in the group of this one
    #[arg(long, value_name = "NUMBER", value_parser = parse_number, conflicts_with_all = ["subscription", "cause"], add = live::dead_letters())]
    like: Option<i64>,
}

/// The dead letters to redrive or drop. An explicit choice prevents accidents.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true).args(["number", "all", "like", "subscription", "cause"])))]
pub(super) struct Selection {
    /// The number of a dead letter
    #[arg(conflicts_with_all = ["all", "like", "subscription", "cause"], value_parser = parse_number, add = live::dead_letters())]
    number: Option<i64>,
    /// Select all dead letters
    #[arg(long, conflicts_with_all = ["like", "subscription", "cause"])]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    group: GroupMember,
}

#[derive(Debug, clap::Args)]
pub(super) struct Redrive {
    #[command(flatten)]
    which: Selection,
    /// Deliver one dead letter with the data in this file; the event in the log does not change
    #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "like", "subscription", "cause"])]
    data: Option<PathBuf>,
}

/// Parses the number of a dead letter.
fn parse_number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "write the number of a dead letter; `sandbus dead-letters` lists them".to_owned())
}

impl Filter {
    fn query(&self) -> DeadLetterQuery {
        let subscription = self.subscription.as_ref().map(ToString::to_string);
        DeadLetterQuery { subscription, cause: self.cause.clone(), ..DeadLetterQuery::default() }
    }
}

impl Selection {
    fn query(&self) -> DeadLetterSelection {
        let DeadLetterQuery { subscription, cause, .. } = self.filter.query();
        DeadLetterSelection {
            all: self.all,
            number: self.number,
            subscription,
            cause,
            like: self.group.like,
            limit: None,
        }
    }
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List(ListArguments::default())) {
        Command::List(ListArguments { filter, group, paging }) => {
            let query = DeadLetterQuery { like: group.like, ..filter.query() };
            let page = paging.fetch::<DeadLetterPage>(&client, &query).await?;
            output.print(&page, |page| list(&page.dead_letters) + &next_page_hint(page));
        }
        Command::Groups(GroupArguments { filter, status, paging }) => {
            let DeadLetterQuery { subscription, cause, .. } = filter.query();
            let status = status.map(GroupStatus::from);
            let query = DeadLetterGroupQuery { subscription, cause, status, ..DeadLetterGroupQuery::default() };
            let page = paging.fetch::<DeadLetterGroupPage>(&client, &query).await?;
            output.print(&page, |page| groups(page) + &next_page_hint(page));
        }
        Command::Show { number } => {
            let letter = client.dead_letter(number).await?;
            output.print(&letter, show);
        }
        Command::Redrive(Redrive { which: Selection { number: Some(number), .. }, data: Some(file) }) => {
            let data = super::read_file_or_standard_input(&file)?;
            let data_base64 = Some(BASE64_STANDARD.encode(data));
            let request = EditedRedriveRequest { data: None, data_base64 };
            let response = client.redrive_edited(number, &request).await?;
            output.print(&response, |response| format!("redriven: {}", response.redriven));
        }
        Command::Redrive(Redrive { which, .. }) => {
            let response = client.redrive(&which.query()).await?;
            output.print(&response, |response| format!("redriven: {}", response.redriven));
        }
        Command::Drop(which) => {
            let response = client.drop_dead_letters(&which.query()).await?;
            output.print(&response, |response| format!("dropped: {}", response.dropped));
        }
        Command::Resolve(sample) => set_status(&client, output, sample, GroupStatus::Resolved).await?,
        Command::Ignore(sample) => set_status(&client, output, sample, GroupStatus::Ignored).await?,
        Command::Reopen(sample) => set_status(&client, output, sample, GroupStatus::Open).await?,
    }
    Ok(())
}

async fn set_status(client: &Client, output: Output, sample: GroupSample, status: GroupStatus) -> anyhow::Result<()> {
    let GroupSample { number, subscription } = sample;
    let query = GroupStatusQuery { subscription };
    let group = client.set_group_status(number, &query, &GroupStatusRequest { status }).await?;
    output.print(&group, |group| {
        let (status, count) = (cell(group.status.as_str()), group.count);
        format!("{status}: {count} of {} with `{}`", cell(&group.subscription), cell(&group.signature))
    });
    Ok(())
}

/// A dead letter with its event and its attempts, for people.
fn show(letter: &DeadLetterView) -> String {
    let event = letter.logged.event.summary();
    let mut lines = Vec::new();
    let mut line = |title: &str, text: String| lines.push(format!("{title:<14}{text}"));
    line("dead letter", cell(letter.number));
    line("subscription", format!("{}{}", cell(&letter.subscription), if letter.replay { ", of a replay" } else { "" }));
    let (position, source) = (letter.logged.position, cell(&event.source));
    line("event", format!("{} {} from {source}, at position {position}", cell(&event.event_type), cell(&event.id)));
    line("since", cell(&letter.dead_lettered_at));
    if let Some(key) = &letter.parks {
        line("parks", format!("later events with the ordering key {}", cell(key)));
    }
    line("cause", cell(&letter.cause));
    line("reason", below(&printable::block(&letter.reason)));
    for attempt in &letter.history {
        let digest = digest(attempt.digest.as_deref());
        let AttemptView { attempt, at, cause, reason, .. } = attempt;
        // The reason of the last attempt is above.
        let reason = if *reason == letter.reason { String::new() } else { format!(": {}", truncate(reason, 80)) };
        line("attempt", format!("{attempt} of {digest} at {}: {}{reason}", cell(at), cell(cause)));
    }
    let edited = letter.edited.as_ref().map(|edited| ("edited data", edited.summary()));
    for (title, event) in [("data", event)].into_iter().chain(edited) {
        let data = event.data.map(|data| printable::json(data.get()));
        let binary = event.data_base64.map(|base64| format!("{} (binary, in Base64)", cell(base64)));
        line(title, below(&data.or(binary).unwrap_or_else(|| "none".to_owned())));
    }
    lines.join("\n")
}

/// A text of several lines in the second column.
fn below(text: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{:14}", ""))
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

fn groups(response: &DeadLetterGroupPage) -> String {
    let columns = ["COUNT", "STATUS", "SUBSCRIPTION", "CAUSE", "SIGNATURE", "DIGEST", "FIRST", "LAST", "SAMPLE"];
    table(&columns, &response.groups, |group| {
        vec![
            cell(group.count),
            cell(group.status.as_str()),
            cell(&group.subscription),
            cell(&group.cause),
            truncate(&group.signature, 80),
            digest(group.digest.as_deref()),
            cell(&group.first_at),
            cell(&group.last_at),
            cell(group.sample),
        ]
    })
}
