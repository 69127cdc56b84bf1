//! `sandbus tail`.

use std::time::Duration;

use anyhow::Context as _;
use http_body_util::BodyExt as _;

use super::Remote;
use super::client::{Client, StreamEnd};
use super::completions::live;
use super::server_sent_events::{Parser, SentEvent};
use super::why::render::{describe_attempt, describe_request, log_lines};
use crate::api::{StreamMessage, StreamQuery};
use crate::pattern::Pattern;
use crate::{console, printable};

/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Show only this plugin's subscriptions and routes
    #[arg(long, add = live::plugins())]
    plugin: Option<String>,
    /// Show only attempts of this subscription
    #[arg(long, value_name = "OWNER/NAME", add = live::subscriptions())]
    subscription: Option<String>,
    /// Show only attempts at events of this type, or pattern of types
    #[arg(long = "type", value_name = "TYPE", value_parser = Pattern::parse)]
    pattern: Option<Pattern>,
    /// Show only failures
    #[arg(long)]
    failed: bool,
    /// Show the log lines of handlers
    #[arg(long)]
    log: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { plugin, subscription, pattern, failed, log, remote } = arguments;
    let (client, output) = remote.connect();
    let query = StreamQuery { plugin, subscription, pattern, failed: failed.then_some(true) };
    let show = |event: &SentEvent| {
        let message: StreamMessage = serde_json::from_str(&event.data)
            .context("cannot parse a message of the stream; is it a Sandbus host of this version?")?;
        if output.json {
            console::print_line(&printable::json(&event.data));
            return Ok(());
        }
        console::print_line(&printable::line(&describe(&message)));
        for line in log_lines_of(&message).into_iter().filter(|_| log) {
            console::print_line(&format!("    {}", printable::line(&line)));
        }
        Ok(())
    };
    let mut last_id = None;
    loop {
        let end = follow(&client, &query, show, &mut last_id).await?;
        // The host was there, so it may come back.
        console::print_status(&format!("disconnected ({end}); connecting again"));
        tokio::time::sleep(RECONNECT).await;
        while let Err(error) = client.ping().await {
            tracing::debug!(%error, "the host does not respond yet");
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

/// Follows the stream until it ends.
async fn follow(
    client: &Client,
    query: &StreamQuery,
    show: impl Fn(&SentEvent) -> anyhow::Result<()>,
    last_id: &mut Option<String>,
) -> anyhow::Result<StreamEnd> {
    let mut body = client.stream(query, last_id.as_deref()).await?;
    let mut parser = Parser::default();
    loop {
        let frame = match client.next_part(body.frame()).await {
            Ok(frame) => frame,
            Err(end) => return Ok(end),
        };
        let Ok(part) = frame.into_data() else { continue };
        for event in parser.add(&part) {
            show(&event)?;
            if event.id.is_some() {
                *last_id = event.id;
            }
        }
    }
}

fn log_lines_of(message: &StreamMessage) -> Vec<String> {
    match message {
        StreamMessage::Attempt(attempt) => log_lines(&attempt.usage),
        StreamMessage::Request(request) => log_lines(&request.usage),
        StreamMessage::Lost { .. } => Vec::new(),
    }
}

fn describe(message: &StreamMessage) -> String {
    match message {
        StreamMessage::Attempt(attempt) => {
            let name = format!("{} {} {}", attempt.event_type, attempt.event, attempt.subscription);
            describe_attempt(&name, attempt)
        }
        StreamMessage::Request(request) => describe_request(request),
        StreamMessage::Lost { count: Some(count) } => format!("{count} records were lost on the way to this client"),
        StreamMessage::Lost { count: None } => "records were lost: the host was restarted".to_owned(),
    }
}
