//! `sandbus subscriptions`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Subcommand;

use super::{Group, Renamed, output};
use crate::api::{
    ReplayRequest, ReplayView, SecretRequest, SecretRotationResult, SubscriptionChangeResult, SubscriptionRequest,
    SubscriptionView, TargetRequest, TargetView, WebhookRequest,
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
    /// List the subscriptions and their replays
    List,
    /// Make a subscription of the operator's own, or give it new rules
    Create(Create),
    /// Sign a webhook's deliveries with another secret, and with the former one for a while besides
    RotateSecret(RotateSecret),
    /// Deliver nothing until it is resumed
    Pause {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
    /// Go on with what was paused, or what a webhook's endpoint stopped or holds back
    Resume {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
    /// Deliver past events again, alongside new ones; or stop doing so
    Replay(Replay),
    #[command(hide = true)]
    StopReplays(Renamed),
    /// Delete a subscription that no loaded plugin declares, with its backlog and its dead letters
    Delete {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
}

/// What is left out keeps its value if the subscription exists.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Its name; it is then called operator/NAME
    name: String,
    /// Take events of these types, such as user.* or order.>
    #[arg(long, value_parser = Pattern::parse)]
    pattern: Option<Pattern>,
    /// Deliver to this endpoint
    #[arg(long, value_name = "URL", conflicts_with = "plugin")]
    webhook: Option<String>,
    /// Sign deliveries with this secret, as Standard Webhooks has it
    #[arg(long, value_name = "whsec_...", value_parser = Secret::parse, conflicts_with = "plugin")]
    secret: Option<Secret>,
    /// Ask the endpoint first whether it agrees
    #[arg(long, conflicts_with = "plugin")]
    handshake: bool,
    /// Deliver to this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Take only events that pass, such as [{"prefix":{"subject":"eu/"}}]; [] takes all
    #[arg(long, value_name = "JSON", value_parser = Filters::parse)]
    filters: Option<Filters>,
    /// Keep events in order that share this attribute, or this place in their data, such as /customer/id
    #[arg(long, value_name = "KEY", value_parser = OrderingKey::parse)]
    ordering_key: Option<OrderingKey>,
    /// Keep events in no order
    #[arg(long, conflicts_with = "ordering_key")]
    no_ordering_key: bool,
    /// Begin here if it is new: now (the default), beginning, a time or a position
    #[arg(long, value_parser = parse_start)]
    start: Option<Start>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateSecret {
    /// PLUGIN/NAME
    id: SubscriptionId,
    /// The new secret, as Standard Webhooks has it; without it the host makes one, and shows it once
    #[arg(long, value_name = "whsec_...", value_parser = Secret::parse)]
    secret: Option<Secret>,
    /// How long the former secret signs besides the new one; 24h by default
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    overlap: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["from_beginning", "since", "position", "stop"])))]
pub(super) struct Replay {
    /// PLUGIN/NAME
    id: SubscriptionId,
    /// From the oldest event on
    #[arg(long)]
    from_beginning: bool,
    /// From the first event on that was stored at this time or later
    #[arg(long, value_name = "TIME", value_parser = super::parse_time)]
    since: Option<Timestamp>,
    /// From this position on
    #[arg(long)]
    position: Option<u64>,
    /// Replay at most this many events per second
    #[arg(long, value_name = "N", conflicts_with = "stop")]
    rate: Option<NonZeroU32>,
    /// Stop all replays of the subscription
    #[arg(long)]
    stop: bool,
}

impl Create {
    /// What the admin interface is asked for: the rules that are given.
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

/// What became of a `create`.
fn describe_change(response: &SubscriptionChangeResult) -> String {
    let id = cell(&response.id);
    if response.created {
        return format!("created {id}");
    }
    if response.changes.is_empty() {
        return format!("{id} has these rules already; nothing changed");
    }
    let mut text = format!("updated {id}");
    for change in &response.changes {
        text.push_str(&format!("\n  {}: {} -> {}", cell(&change.rule), change.before, change.after));
    }
    text
}

impl Replay {
    fn start(&self) -> Start {
        let position = self.position.map(|position| Start::Position(Position(position)));
        self.since.map(Start::Time).or(position).unwrap_or(Start::Beginning)
    }
}

fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "now" => Ok(Start::Now),
        "beginning" => Ok(Start::Beginning),
        _ => match text.parse() {
            Ok(position) => Ok(Start::Position(Position(position))),
            Err(_) => super::parse_time(text).map(Start::Time),
        },
    }
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List) {
        Command::List => output.print(&client.subscriptions().await?, |response| list(&response.subscriptions)),
        Command::Create(create) => {
            output.print(&client.put_subscription(&create.request()).await?, describe_change);
        }
        Command::RotateSecret(RotateSecret { id, secret, overlap }) => {
            output.print(&client.rotate_secret(&id, &SecretRequest { secret, overlap }).await?, format_rotation);
        }
        Command::Pause { id } => output.print(&client.pause(&id).await?, |_| format!("paused {id}")),
        Command::Resume { id } => output.print(&client.resume(&id).await?, |_| format!("resumed {id}")),
        Command::Replay(Replay { id, stop: true, .. }) => {
            output.print(&client.stop_replays(&id).await?, |response| format!("stopped: {}", response.stopped));
        }
        Command::Replay(replay) => {
            let request = ReplayRequest { start: replay.start(), per_second: replay.rate };
            let response = client.replay(&replay.id, &request).await?;
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

fn format_target(target: &TargetView) -> String {
    match target {
        TargetView::Plugin { plugin } => cell(plugin),
        TargetView::Webhook { webhook, .. } => cell(webhook),
        TargetView::Other(target) => cell(target),
    }
}

/// What an operator should know of a subscription.
fn warnings(subscription: &SubscriptionView) -> Vec<String> {
    let id = cell(&subscription.id);
    // A replay waits with its subscription.
    let reason = subscription.waits_for.as_ref().filter(|_| subscription.replay.is_none());
    let paused = reason.map(|reason| format!("{id} is paused: {}", cell(reason)));
    let keys = match subscription.parked_keys {
        0 => None,
        1 => Some("1 ordering key waits".to_owned()),
        parked => Some(format!("{parked} ordering keys wait")),
    };
    let parked = keys.map(|keys| {
        format!(
            "{id}: {keys} behind a dead letter; redrive or drop it, or release them with \
             dead_letter_policy = \"release\""
        )
    });
    paused.into_iter().chain(parked).collect()
}

/// The age of the oldest unhandled event.
fn format_lag(seconds: f64) -> Option<String> {
    let age = Duration::try_from_secs_f64(seconds).ok()?;
    // Seconds are enough for a person, and tenths while there are few.
    let unit = if age.as_secs() < 10 { 100 } else { 1_000 };
    let rounded = u64::try_from(age.as_millis() / unit * unit).unwrap_or(u64::MAX);
    Some(humantime::format_duration(Duration::from_millis(rounded)).to_string())
}

/// What became of a `rotate-secret`.
fn format_rotation(response: &SecretRotationResult) -> String {
    let mut text = format!("{} is signed with another secret", cell(&response.id));
    if let Some(secret) = &response.secret {
        text.push_str(&format!(", which is not shown again: {}", secret.expose()));
    }
    for until in &response.former_secrets_until {
        text.push_str(&format!("\na former one signs besides until {}", cell(until)));
    }
    text
}

/// How far a replay goes, and how fast.
fn format_replay(ReplayView { until, per_second, .. }: ReplayView) -> String {
    match per_second {
        None => format!("up to {until}"),
        Some(rate) => format!("up to {until}, {rate}/s"),
    }
}
