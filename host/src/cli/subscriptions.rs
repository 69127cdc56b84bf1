//! `sandbus subscriptions`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Subcommand;
use serde_json::value::RawValue;

use super::client::Client;
use super::completions::live;
use super::paging::fetch_all;
use super::response::Response;
use super::subscription_details::{format_lag, format_target, show};
use super::{Group, Renamed, output};
use crate::api::{
    EventSelection, ReplayRequest, ReplayUntil, ReplayView, SecretRequest, SecretRotationResult,
    SubscriptionChangeResult, SubscriptionList, SubscriptionRequest, SubscriptionView, TargetRequest, WebhookRequest,
};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::filter::{Filter, Filters};
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::subscription::{Secret, Start, SubscriptionId};
use output::{cell, optional, table};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List subscriptions and their replays
    List,
    /// Show a subscription with the rules that apply to it, and its replays
    Show {
        /// The subscription
        #[arg(value_name = "OWNER/NAME", add = live::subscriptions())]
        id: SubscriptionId,
    },
    /// Create or change a subscription that delivers to a plugin or a webhook
    Create(Create),
    /// Replace the secret of a webhook, and sign with both secrets for a while
    RotateSecret(RotateSecret),
    /// Pause a subscription
    Pause {
        /// The subscription
        #[arg(value_name = "OWNER/NAME", add = live::subscriptions())]
        id: SubscriptionId,
    },
    /// Resume a paused subscription, or end the hold of its endpoint
    Resume {
        /// The subscription
        #[arg(value_name = "OWNER/NAME", add = live::subscriptions())]
        id: SubscriptionId,
    },
    /// Deliver past events again, in parallel with new ones; or stop replays
    Replay(Box<Replay>),
    #[command(hide = true)]
    StopReplays(Renamed),
    /// Delete a subscription with its backlog and its dead letters, unless a loaded plugin declares it
    Delete {
        /// The subscription
        #[arg(value_name = "OWNER/NAME", add = live::subscriptions())]
        id: SubscriptionId,
    },
}

/// Rules that are omitted keep their value if the subscription exists.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The name of the subscription; its id is operator/NAME
    name: String,
    /// Subscribe to these event types, such as user.* or order.>
    #[arg(long, value_parser = Pattern::parse)]
    pattern: Option<Pattern>,
    /// Deliver to this HTTP endpoint
    #[arg(long, value_name = "URL", conflicts_with = "plugin")]
    webhook: Option<String>,
    /// Sign deliveries with this secret (Standard Webhooks)
    #[arg(long, value_name = "whsec_...", value_parser = Secret::parse, conflicts_with = "plugin")]
    secret: Option<Secret>,
    /// Require that the endpoint first agrees to receive events
    #[arg(long, conflicts_with = "plugin")]
    handshake: bool,
    /// Deliver to this plugin
    #[arg(long, value_name = "NAME", add = live::plugins())]
    plugin: Option<String>,
    /// Deliver only events that match these filters, such as [{"prefix":{"subject":"eu/"}}]; [] matches all
    #[arg(long, value_name = "JSON", value_parser = Filters::parse)]
    filters: Option<Filters>,
    /// Deliver events with the same key in order; KEY is an attribute or a JSON pointer, such as /customer/id
    #[arg(long, value_name = "KEY", value_parser = OrderingKey::parse)]
    ordering_key: Option<OrderingKey>,
    /// Remove the ordering key
    #[arg(long, conflicts_with = "ordering_key")]
    no_ordering_key: bool,
    /// Start a new subscription at `now` (the default), `beginning`, a time or a position
    #[arg(long, value_parser = parse_start)]
    start: Option<Start>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateSecret {
    /// The subscription
    #[arg(value_name = "OWNER/NAME", add = live::subscriptions())]
    id: SubscriptionId,
    /// Use this new secret (Standard Webhooks) [default: a random secret, printed once]
    #[arg(long, value_name = "whsec_...", value_parser = Secret::parse)]
    secret: Option<Secret>,
    /// Keep signing with the previous secret for this long [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = super::parse_duration)]
    overlap: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["from_beginning", "since", "position", "event", "stop"])))]
pub(super) struct Replay {
    /// The subscription
    #[arg(value_name = "OWNER/NAME", add = live::subscriptions())]
    id: SubscriptionId,
    /// Replay from the oldest event on
    #[arg(long)]
    from_beginning: bool,
    /// Replay events stored at this time or later, or at most this long ago
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time)]
    since: Option<Timestamp>,
    /// Replay from this position on
    #[arg(long, value_parser = super::parse_position)]
    position: Option<u64>,
    /// Replay the event at this position only
    #[arg(long, value_name = "POSITION", value_parser = super::parse_position, conflicts_with = "until")]
    event: Option<u64>,
    /// End the replay at this position, at this time, or this long ago
    #[arg(long, value_name = "POSITION|TIME|AGE", conflicts_with = "stop", value_parser = parse_until)]
    until: Option<ReplayUntil>,
    #[command(flatten)]
    only: ReplayFilter,
    /// Replay at most this many events per second
    #[arg(long, value_name = "N", conflicts_with = "stop", value_parser = super::parse_count::<NonZeroU32>)]
    rate: Option<NonZeroU32>,
    /// Stop all replays of the subscription
    #[arg(long)]
    stop: bool,
}

/// The events to replay. All conditions must hold.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayFilter {
    /// Replay only events of this type, or pattern of types
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "stop", value_parser = Pattern::parse)]
    pattern: Option<Pattern>,
    /// Replay only events with this source
    #[arg(long, conflicts_with = "stop")]
    source: Option<String>,
    /// Replay only events with this subject
    #[arg(long, conflicts_with = "stop")]
    subject: Option<String>,
    /// Replay only events of the cause trees with this correlation id
    #[arg(long, value_name = "ID", conflicts_with = "stop")]
    correlation: Option<String>,
    /// Replay only events whose ids begin with this text
    #[arg(long, value_name = "TEXT", conflicts_with = "stop")]
    id_prefix: Option<String>,
}

impl Create {
    /// The request with the given rules.
    fn request(self) -> SubscriptionRequest {
        let ordering_key = self.ordering_key.map(|key| Some(key.into()));
        let webhook = WebhookRequest {
            url: self.webhook,
            secret: self.secret.map(Some),
            handshake: self.handshake.then_some(Some(true)),
            ..WebhookRequest::default()
        };
        let webhook = (webhook != WebhookRequest::default()).then_some(TargetRequest::Webhook(webhook));
        SubscriptionRequest {
            name: self.name,
            pattern: self.pattern,
            target: self.plugin.map(TargetRequest::Plugin).or(webhook),
            filters: self.filters.map(Vec::<Filter>::from),
            start: self.start,
            ordering_key: if self.no_ordering_key { Some(None) } else { ordering_key },
            ..SubscriptionRequest::default()
        }
    }
}

/// The result of `create`.
fn describe_change(response: &SubscriptionChangeResult) -> String {
    let id = cell(&response.id);
    if response.created {
        return format!("created {id}");
    }
    if response.changes.is_empty() {
        return format!("{id} already has these rules");
    }
    let mut text = format!("updated {id}");
    for change in &response.changes {
        text.push_str(&format!("\n  {}: {} -> {}", cell(&change.rule), change.before, change.after));
    }
    text
}

impl Replay {
    fn start(&self) -> Start {
        let position = self.position.or(self.event).map(|position| Start::Position(Position(position)));
        self.since.map(Start::Time).or(position).unwrap_or(Start::Beginning)
    }

    fn request(self) -> ReplayRequest {
        let start = self.start();
        let until = self.event.map(|position| ReplayUntil::Position(Position(position))).or(self.until);
        let ReplayFilter { pattern, source, subject, correlation, id_prefix } = self.only;
        let only = EventSelection { pattern, source, subject, correlation, id_prefix };
        let only = (only != EventSelection::default()).then_some(only);
        ReplayRequest { start, until, only, per_second: self.rate }
    }
}

fn parse_until(text: &str) -> Result<ReplayUntil, String> {
    let position = text.parse().map(|position| ReplayUntil::Position(Position(position)));
    position
        .or_else(|_| super::parse_past_time(text).map(ReplayUntil::Time))
        .map_err(|error| format!("{error}, or a position in the log"))
}

fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "now" => Ok(Start::Now),
        "beginning" => Ok(Start::Beginning),
        _ => match text.parse() {
            Ok(position) => Ok(Start::Position(Position(position))),
            Err(_) => super::parse_time(text)
                .map(Start::Time)
                .map_err(|_| "write now, beginning, a position, or a time such as 2030-01-31T12:00:00Z".to_owned()),
        },
    }
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List) {
        Command::List => {
            output.print(&fetch_all::<SubscriptionList>(&client).await?, |response| list(&response.subscriptions))
        }
        Command::Show { id } => output.print(&one(&client, &id).await?, |response| show(&response.subscriptions)),
        Command::Create(create) => {
            output.print(&client.put_subscription(&create.request()).await?, describe_change);
        }
        Command::RotateSecret(RotateSecret { id, secret, overlap }) => {
            output.print(&client.rotate_secret(&id, &SecretRequest { secret, overlap }).await?, format_rotation);
        }
        Command::Pause { id } => output.print(&client.pause(&id).await?, |_| format!("paused {id}")),
        Command::Resume { id } => output.print(&client.resume(&id).await?, |_| format!("resumed {id}")),
        Command::Replay(replay) if replay.stop => {
            output.print(&client.stop_replays(&replay.id).await?, |response| format!("stopped: {}", response.stopped));
        }
        Command::Replay(replay) => {
            let id = replay.id.clone();
            let response = client.replay(&id, &replay.request()).await?;
            output.print(&response, |response| format!("replaying: {}", response.events));
        }
        Command::StopReplays(_) => {
            Renamed::exit("sandbus subscriptions stop-replays", "sandbus subscriptions replay --stop")
        }
        Command::Delete { id } => {
            output.print(&client.delete_subscription(&id).await?, |_| format!("deleted {id}"));
        }
    }
    Ok(())
}

/// A subscription and its replays.
async fn one(client: &Client, id: &SubscriptionId) -> anyhow::Result<Response<SubscriptionList>> {
    let all = fetch_all::<SubscriptionList>(client).await?;
    let items = all.items("subscriptions")?;
    let id = id.to_string();
    let with_id = all.value().subscriptions.iter().zip(&items).filter(|(subscription, _)| subscription.id == id);
    let found: Vec<_> = with_id.map(|(_, item)| item).collect();
    if found.is_empty() {
        anyhow::bail!("there is no subscription `{id}`; `sandbus subscriptions` lists them");
    }
    let found = serde_json::value::to_raw_value(&found)?;
    Response::of(&[("subscriptions", &found), ("next", RawValue::NULL)])
}

fn list(subscriptions: &[SubscriptionView]) -> String {
    let columns = ["SUBSCRIPTION", "PATTERN", "TARGET", "STATUS", "BACKLOG", "LAG", "IN FLIGHT", "DEAD", "REPLAY"];
    let mut text = table(&columns, subscriptions, |subscription| {
        vec![
            cell(&subscription.id),
            cell(&subscription.rules.pattern),
            format_target(&subscription.rules.target),
            cell(subscription.status.as_str()),
            cell(subscription.backlog),
            optional(subscription.lag_seconds.and_then(format_lag)),
            cell(subscription.in_flight),
            cell(subscription.dead_letters),
            optional(subscription.replay.map(format_replay)),
        ]
    });
    for warning in subscriptions.iter().flat_map(warnings) {
        text.push_str("\n\n");
        text.push_str(&warning);
    }
    text
}

/// Warnings about a subscription.
fn warnings(subscription: &SubscriptionView) -> Vec<String> {
    let id = cell(&subscription.id);
    // A paused subscription pauses its replays, and is reported itself.
    let reason = subscription.waits_for.as_ref().filter(|_| subscription.replay.is_none());
    let paused = reason.map(|reason| format!("{id} is paused: {}", cell(reason)));
    let keys = match subscription.parked_keys {
        0 => None,
        1 => Some("1 ordering key is parked".to_owned()),
        parked => Some(format!("{parked} ordering keys are parked")),
    };
    let parked = keys.map(|keys| {
        format!(
            "{id}: {keys} behind a dead letter; redrive or drop the dead letter, or set \
             dead_letter_policy = \"release\""
        )
    });
    paused.into_iter().chain(parked).collect()
}

/// The result of `rotate-secret`.
fn format_rotation(response: &SecretRotationResult) -> String {
    let mut text = format!("deliveries of {} are now signed with a new secret", cell(&response.id));
    if let Some(secret) = &response.secret {
        text.push_str(&format!(", shown only once: {}", secret.expose()));
    }
    for until in &response.former_secrets_until {
        text.push_str(&format!("\nthey are also signed with the previous secret until {}", cell(until)));
    }
    text
}

/// The end and the rate of a replay.
fn format_replay(ReplayView { until, per_second, .. }: ReplayView) -> String {
    match per_second {
        None => format!("up to {until}"),
        Some(rate) => format!("up to {until}, {rate}/s"),
    }
}
