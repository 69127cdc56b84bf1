//! `sandbus subscriptions`.

use std::num::NonZeroU32;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Remote, output};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::subscription::{Secret, Start, SubscriptionId, Target, Webhook};
use output::{cell, table};

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
    /// List the subscriptions and their replays
    List,
    /// Make a subscription of the operator's own, or give it new rules
    Create(Create),
    /// Deliver nothing until it is resumed
    Pause {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
    /// Go on with what was paused
    Resume {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
    /// Deliver history once more, beside what is new
    Replay(Replay),
    /// End the replays of a subscription
    StopReplays {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
    /// Delete a subscription that no loaded plugin declares, with its backlog and its dead letters
    Delete {
        /// PLUGIN/NAME
        id: SubscriptionId,
    },
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["webhook", "plugin"])))]
struct Create {
    /// Its name; it is then called operator/NAME
    name: String,
    /// Which event types it takes, such as user.* or order.>
    #[arg(long, value_parser = Pattern::parse)]
    pattern: Pattern,
    /// Deliver to this endpoint
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Sign deliveries with this secret, as Standard Webhooks has it
    #[arg(long, value_name = "whsec_...", requires = "webhook", value_parser = Secret::parse)]
    secret: Option<Secret>,
    /// Ask the endpoint first whether it agrees
    #[arg(long, requires = "webhook")]
    handshake: bool,
    /// Deliver to this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Which of these events it takes, such as [{"prefix":{"subject":"eu/"}}]
    #[arg(long, value_name = "JSON", value_parser = Filters::parse)]
    filters: Option<Filters>,
    /// Keep events in order that share this attribute, or this place in their data, such as /customer/id
    #[arg(long, value_name = "KEY", value_parser = OrderingKey::parse)]
    ordering_key: Option<OrderingKey>,
    /// Where a new one begins: now, beginning, a time or a position
    #[arg(long, default_value = "now", value_parser = start)]
    start: Start,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["from_beginning", "since", "position"])))]
struct Replay {
    /// PLUGIN/NAME
    id: SubscriptionId,
    /// From the oldest event on
    #[arg(long)]
    from_beginning: bool,
    /// From the first event on that was stored at this time or later
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    since: Option<Timestamp>,
    /// From this position on
    #[arg(long)]
    position: Option<u64>,
    /// How many events in a second at most
    #[arg(long)]
    rate: Option<NonZeroU32>,
}

impl Create {
    /// What the admin interface is asked for.
    fn wanted(self) -> Value {
        let plugin = self.plugin.unwrap_or_default();
        let target = match self.webhook {
            Some(url) => Target::Webhook(Webhook { url, secret: self.secret, handshake: self.handshake }),
            None => Target::Plugin(plugin),
        };
        json!({
            "name": self.name,
            "pattern": self.pattern,
            "target": target,
            "filters": self.filters.unwrap_or_default(),
            "ordering_key": self.ordering_key,
            "start": self.start,
        })
    }
}

impl Replay {
    fn start(&self) -> Start {
        let position = self.position.map(|position| Start::Position(Position(position)));
        self.since.map(Start::Time).or(position).unwrap_or(Start::Beginning)
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "now" => Ok(Start::Now),
        "beginning" => Ok(Start::Beginning),
        _ => match text.parse() {
            Ok(position) => Ok(Start::Position(Position(position))),
            Err(_) => super::time(text).map(Start::Time),
        },
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List) {
        Command::List => {
            let answer = client.get(&["subscriptions"], &[]).await?;
            output.print(&answer, |answer| list(&answer["subscriptions"]));
        }
        Command::Create(create) => {
            let answer = client.post_json(&["subscriptions"], &create.wanted()).await?;
            output.print(&answer, |answer| format!("created {}", cell(&answer["id"])));
        }
        Command::Pause { id } => {
            let answer = client.post(&["subscriptions", &id.owner, &id.name, "pause"], &[]).await?;
            output.print(&answer, |_| format!("paused {id}"));
        }
        Command::Resume { id } => {
            let answer = client.post(&["subscriptions", &id.owner, &id.name, "resume"], &[]).await?;
            output.print(&answer, |_| format!("resumed {id}"));
        }
        Command::Replay(replay) => {
            let id = &replay.id;
            let history = json!({ "start": replay.start(), "per_second": replay.rate });
            let answer = client.post_json(&["subscriptions", &id.owner, &id.name, "replay"], &history).await?;
            output.print(&answer, |answer| format!("replaying: {}", answer["events"]));
        }
        Command::StopReplays { id } => {
            let answer = client.delete(&["subscriptions", &id.owner, &id.name, "replay"], &[]).await?;
            output.print(&answer, |answer| format!("stopped: {}", answer["stopped"]));
        }
        Command::Delete { id } => {
            let answer = client.delete(&["subscriptions", &id.owner, &id.name], &[]).await?;
            output.print(&answer, |_| format!("deleted {id}"));
        }
    }
    Ok(())
}

fn list(subscriptions: &Value) -> String {
    let columns = ["SUBSCRIPTION", "PATTERN", "TARGET", "STATUS", "BACKLOG", "IN FLIGHT", "DEAD", "REPLAY"];
    let mut text = table(&columns, subscriptions, |subscription| {
        let target = &subscription["target"];
        let target = target["plugin"].as_str().or(target["webhook"].as_str()).unwrap_or("-");
        vec![
            cell(&subscription["id"]),
            cell(&subscription["pattern"]),
            target.to_owned(),
            cell(&subscription["status"]),
            cell(&subscription["backlog"]),
            cell(&subscription["in_flight"]),
            cell(&subscription["dead_letters"]),
            replay(&subscription["replay"]),
        ]
    });
    for subscription in subscriptions.as_array().into_iter().flatten() {
        // A replay waits with its subscription.
        if let (Some(reason), true) = (subscription["waits_for"].as_str(), subscription["replay"].is_null()) {
            text.push_str(&format!("\n\n{} is paused: {reason}", cell(&subscription["id"])));
        }
    }
    text
}

/// How far a replay goes, and how fast, if it is one.
fn replay(replay: &Value) -> String {
    match (&replay["until"], &replay["per_second"]) {
        (Value::Null, _) => "-".to_owned(),
        (until, Value::Null) => format!("up to {until}"),
        (until, rate) => format!("up to {until}, {rate}/s"),
    }
}
