//! `sandbus deliveries`.

use clap::Subcommand;

use super::completions::live;
use super::paging::{Paging, next_page_hint};
use super::{Group, output};
use crate::api::{DeliveryPage, DeliveryQuery, DeliverySelection, DeliveryStateView, DeliveryView, PENDING_STATES};
use crate::pattern::Pattern;
use crate::subscription::SubscriptionId;
use output::{cell, table, truncate};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List pending deliveries, and what each waits for
    List(ListArguments),
    /// Retry waiting deliveries at once
    RetryNow(Selection),
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    /// Select deliveries in this state
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PENDING_STATES))]
    state: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Select deliveries of this subscription
    #[arg(long, value_name = "OWNER/NAME", add = live::subscriptions())]
    subscription: Option<SubscriptionId>,
    /// Select deliveries of the event at this position
    #[arg(long, value_name = "POSITION", value_parser = super::parse_position)]
    event: Option<u64>,
    /// Select deliveries with this ordering key
    #[arg(long)]
    key: Option<String>,
    /// Select deliveries of events of this type, or pattern of types
    #[arg(long = "type", value_name = "TYPE", value_parser = Pattern::parse)]
    pattern: Option<Pattern>,
}

/// The deliveries to retry. An explicit choice prevents accidents.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true).args(["every", "subscription", "event", "key", "pattern"])))]
pub(super) struct Selection {
    /// Select all deliveries that wait for another attempt
    #[arg(long = "all", conflicts_with_all = ["subscription", "event", "key", "pattern"])]
    every: bool,
    #[command(flatten)]
    filter: Filter,
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List(ListArguments::default())) {
        Command::List(ListArguments { filter, state, paging }) => {
            let Filter { subscription, event, key, pattern } = filter;
            let subscription = subscription.map(|id| id.to_string());
            let query = DeliveryQuery { subscription, event, key, pattern, state, ..DeliveryQuery::default() };
            let page = paging.fetch::<DeliveryPage>(&client, &query).await?;
            output.print(&page, |page| list(&page.deliveries) + &next_page_hint(page));
        }
        Command::RetryNow(Selection { every, filter: Filter { subscription, event, key, pattern } }) => {
            let subscription = subscription.map(|id| id.to_string());
            let response =
                client.retry_now(&DeliverySelection { all: every, subscription, event, key, pattern }).await?;
            output.print(&response, |response| format!("retried: {}", response.retried));
        }
    }
    Ok(())
}

fn list(deliveries: &[DeliveryView]) -> String {
    table(&["SUBSCRIPTION", "POSITION", "TYPE", "EVENT", "STATE", "WAITS FOR"], deliveries, |delivery| {
        let event = delivery.logged.event.summary();
        let replay = if delivery.replay { " (replay)" } else { "" };
        vec![
            cell(format!("{}{replay}", delivery.subscription)),
            cell(delivery.logged.position),
            cell(&event.event_type),
            cell(&event.id),
            cell(delivery.state.as_str()),
            truncate(&describe_wait(delivery), 100),
        ]
    })
}

/// What a delivery waits for.
fn describe_wait(delivery: &DeliveryView) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    if let (DeliveryStateView::Ready, Some(reason)) = (&delivery.state, delivery.blocked_by.first()) {
        return reason.detail.clone();
    }
    match &delivery.state {
        DeliveryStateView::NotReached => format!("{} earlier events", number(delivery.ahead)),
        DeliveryStateView::Ready => "its handler".to_owned(),
        DeliveryStateView::InFlight => format!("attempt {}, which runs", number(delivery.attempts.map(u64::from))),
        DeliveryStateView::Retrying => {
            let attempts = number(delivery.attempts.map(u64::from));
            let failure = format!("{}: {}", text(&delivery.cause), text(&delivery.reason));
            format!("{}, after {attempts} attempts; {failure}", text(&delivery.due))
        }
        DeliveryStateView::BehindKey => {
            format!("position {}, which holds the key {}", number(delivery.behind), text(&delivery.key))
        }
        DeliveryStateView::Parked => {
            let letter = delivery.dead_letter.map_or_else(|| "?".to_owned(), |letter| letter.to_string());
            format!("dead letter {letter}, which parks the key {}", text(&delivery.key))
        }
        _ => "-".to_owned(),
    }
}
