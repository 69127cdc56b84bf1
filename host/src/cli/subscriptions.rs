//! `sandbus subscriptions`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Remote, output};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::filter::Filters;
use crate::ordering::OrderingKey;
use crate::pattern::Pattern;
use crate::subscription::{Secret, Start, SubscriptionId};
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

/// What is left out keeps its value if the subscription exists.
#[derive(Debug, clap::Args)]
struct Create {
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
    #[arg(long, value_parser = start)]
    start: Option<Start>,
}

#[derive(Debug, clap::Args)]
struct RotateSecret {
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
    /// What the admin interface is asked for: the rules that are given.
    fn wanted(self) -> Value {
        let mut wanted = json!({ "name": self.name });
        let mut put = |rule: &str, value: Option<Value>| {
            if let Some(value) = value {
                wanted[rule] = value;
            }
        };
        put("pattern", self.pattern.map(|pattern| json!(pattern)));
        put("filters", self.filters.map(|filters| json!(filters)));
        put("ordering_key", self.ordering_key.map(|key| json!(key)));
        put("ordering_key", self.no_ordering_key.then_some(Value::Null));
        put("start", self.start.map(|start| json!(start)));
        put("target", self.plugin.map(|name| json!({ "plugin": name })));
        let mut webhook = serde_json::Map::new();
        webhook.extend(self.webhook.map(|url| ("url".to_owned(), json!(url))));
        webhook.extend(self.secret.map(|secret| ("secret".to_owned(), json!(secret))));
        webhook.extend(self.handshake.then(|| ("handshake".to_owned(), json!(true))));
        put("target", (!webhook.is_empty()).then(|| json!({ "webhook": webhook })));
        wanted
    }
}

/// What became of a `create`.
fn describe_change(answer: &Value) -> String {
    let id = cell(&answer["id"]);
    if answer["created"] == true {
        return format!("created {id}");
    }
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        return format!("{id} has these rules already; nothing changed");
    }
    let mut text = format!("updated {id}");
    for change in changes {
        let (rule, before, after) = (cell(&change["rule"]), &change["before"], &change["after"]);
        text.push_str(&format!("\n  {rule}: {before} -> {after}"));
    }
    text
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
            output.print(&answer, describe_change);
        }
        Command::RotateSecret(RotateSecret { id, secret, overlap }) => {
            let overlap = overlap.map(|overlap| humantime::format_duration(overlap).to_string());
            let mut rotation = serde_json::Map::new();
            rotation.extend(secret.map(|secret| ("secret".to_owned(), json!(secret))));
            rotation.extend(overlap.map(|overlap| ("overlap".to_owned(), json!(overlap))));
            let path = ["subscriptions", &id.owner, &id.name, "secret"];
            let answer = client.post_json(&path, &rotation.into()).await?;
            output.print(&answer, rotated);
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
    let columns = ["SUBSCRIPTION", "PATTERN", "TARGET", "STATUS", "BACKLOG", "LAG", "IN FLIGHT", "DEAD", "REPLAY"];
    let mut text = table(&columns, subscriptions, |subscription| {
        let target = &subscription["target"];
        let target = if target["plugin"].is_null() { &target["webhook"] } else { &target["plugin"] };
        vec![
            cell(&subscription["id"]),
            cell(&subscription["pattern"]),
            cell(target),
            cell(&subscription["status"]),
            cell(&subscription["backlog"]),
            lag(&subscription["lag_seconds"]),
            cell(&subscription["in_flight"]),
            cell(&subscription["dead_letters"]),
            replay(&subscription["replay"]),
        ]
    });
    for subscription in subscriptions.as_array().into_iter().flatten() {
        // A replay waits with its subscription.
        let reason = &subscription["waits_for"];
        if !reason.is_null() && subscription["replay"].is_null() {
            text.push_str(&format!("\n\n{} is paused: {}", cell(&subscription["id"]), cell(reason)));
        }
        if let Some(parked @ 1..) = subscription["parked_keys"].as_u64() {
            let (id, keys) = (cell(&subscription["id"]), if parked == 1 { "key waits" } else { "keys wait" });
            text.push_str(&format!(
                "\n\n{id}: {parked} ordering {keys} behind a dead letter; redrive or drop it, or release them with \
                 dead_letter_policy = \"release\""
            ));
        }
    }
    text
}

/// The age of the oldest unhandled event.
fn lag(seconds: &Value) -> String {
    let age = seconds.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Seconds are enough for a person, and tenths while there are few.
    let unit = if age.is_some_and(|age| age.as_secs() < 10) { 100 } else { 1_000 };
    age.map_or_else(
        || "-".to_owned(),
        |age| {
            let rounded = age.as_millis() / unit * unit;
            humantime::format_duration(Duration::from_millis(u64::try_from(rounded).unwrap_or(u64::MAX))).to_string()
        },
    )
}

/// What became of a `rotate-secret`.
fn rotated(answer: &Value) -> String {
    let mut text = format!("{} is signed with another secret", cell(&answer["id"]));
    if let Some(secret) = answer["secret"].as_str() {
        text.push_str(&format!(", which is not shown again: {secret}"));
    }
    for until in answer["former_secrets_until"].as_array().into_iter().flatten() {
        text.push_str(&format!("\na former one signs besides until {}", cell(until)));
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
