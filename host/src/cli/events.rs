//! `sandbus events`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::Client;
use super::paging::{List, fetch, hint};
use super::raw::{Answer, indented};
use super::{Remote, output};
use crate::clock::Timestamp;
use crate::pattern::Pattern;
use crate::printable;
use output::{cell, short, table};

const LIST: List<'_> = List { path: "events", name: "events", cursor: "before" };

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
    /// List the newest events
    List {
        /// Show at most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only events before this position
        #[arg(long, value_name = "POSITION")]
        before: Option<u64>,
    },
    /// Write events to standard output, the oldest first, as CloudEvents in JSON, one a line
    Export {
        /// Only events whose type matches this
        #[arg(long = "type", value_name = "TYPE", value_parser = Pattern::parse)]
        pattern: Option<Pattern>,
        /// Only the newest of them, so many
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        last: usize,
        /// Only events from a position or a time on
        #[arg(long, value_name = "POSITION|TIME", value_parser = since)]
        since: Option<Since>,
    },
    /// Show an event in full
    Show {
        /// The event's id
        id: String,
    },
}

/// Where an export begins.
#[derive(Clone, Copy, Debug)]
enum Since {
    Position(u64),
    Time(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    let position = text.parse().map(Since::Position);
    position.or_else(|_| super::time(text).map(Since::Time)).map_err(|error| format!("{error}, or a position"))
}

impl Since {
    fn reaches(self, logged: &Logged<'_>) -> bool {
        match self {
            Self::Position(first) => logged.position >= first,
            Self::Time(first) => Timestamp::parse(&logged.stored_at).is_some_and(|stored_at| stored_at >= first),
        }
    }
}

/// An event at its place in the log, as the host wrote it.
#[derive(Debug, Deserialize)]
struct Logged<'a> {
    position: u64,
    stored_at: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl<'a> Logged<'a> {
    fn all(answer: &'a Answer) -> anyhow::Result<Vec<Self>> {
        serde_json::from_str(answer.member("events").get()).context("the host's answer is not a list of events")
    }

    fn members(&self) -> BTreeMap<String, &'a RawValue> {
        serde_json::from_str(self.event.get()).unwrap_or_default()
    }

    fn is_wanted(&self, pattern: Option<&Pattern>) -> bool {
        let event_type = || text(self.members().get("type").copied());
        pattern.is_none_or(|pattern| pattern.matches(&event_type()))
    }

    /// The event in a line. White space between the tokens of its data may have line breaks, and nothing else has.
    fn line(&self) -> String {
        self.event.get().replace(['\n', '\r'], " ")
    }
}

/// A string in JSON, or nothing.
fn text(json: Option<&RawValue>) -> String {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

/// How many events one answer has.
const PAGE: usize = 200;

/// The newest events that are wanted, the oldest of them first, one in JSON a line.
async fn export(
    client: &Client,
    pattern: Option<&Pattern>,
    last: usize,
    since: Option<Since>,
) -> anyhow::Result<Vec<String>> {
    let (mut lines, mut before) = (Vec::new(), None::<u64>);
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(before.map(|before| ("before", before.to_string())));
        let answer = client.get(&["events"], &query).await?;
        let page = Logged::all(&answer)?;
        let reached = page.iter().take_while(|logged| since.is_none_or(|since| since.reaches(logged)));
        let (reached, count) = (reached.clone(), reached.count());
        lines.extend(reached.filter(|logged| logged.is_wanted(pattern)).map(Logged::line));
        if lines.len() >= last || count < PAGE {
            lines.truncate(last);
            lines.reverse();
            return Ok(lines);
        }
        before = page.last().map(|logged| logged.position);
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List { limit: 20, before: None }) {
        Command::List { limit, before } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let answer = fetch(&client, LIST, &[], before.map(|before| before.to_string()), limit).await?;
            let events = list(&Logged::all(&answer)?);
            output.print(&answer, |answer| events + &hint(LIST, answer));
        }
        Command::Export { pattern, last, since } => {
            output::lines(&export(&client, pattern.as_ref(), last, since).await?);
        }
        Command::Show { id } => {
            let answer = client.get(&["events", &id], &[]).await?;
            output.print(&answer, |_| printable::json(&indented(answer.member("events"))));
        }
    }
    Ok(())
}

fn list(events: &[Logged<'_>]) -> String {
    let row = |logged: &Logged<'_>| {
        let members = logged.members();
        let member = |name: &str| text(members.get(name).copied());
        json!([logged.position, logged.stored_at, member("type"), member("id"), member("source"), data(&members)])
    };
    let rows: Value = events.iter().map(row).collect();
    table(&["POSITION", "STORED", "TYPE", "ID", "SOURCE", "DATA"], &rows, |row| {
        row.as_array().map(|cells| cells.iter().map(cell).collect()).unwrap_or_default()
    })
}

/// Data in a cell: as it was written, or how much there is of it, or nothing.
fn data(members: &BTreeMap<String, &RawValue>) -> String {
    if let Some(data) = members.get("data") {
        return short(&data.get().replace(['\n', '\r'], " "), 60);
    }
    let Some(base64) = members.get("data_base64") else { return "-".to_owned() };
    let base64 = text(Some(base64));
    let count = base64.trim_end_matches('=').len() * 3 / 4;
    format!("{count} bytes, binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &str) -> Answer {
        let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b"{data}}}"#);
        Answer::read(&format!(
            r#"{{"events":[{{"position":7,"stored_at":"2030-01-01T00:00:00.000Z","event":{event}}}]}}"#
        ))
    }

    #[test]
    fn each_kind_of_data_has_a_cell_of_its_own() {
        for (data, expected) in [
            ("", "-"),
            (r#","data":null"#, "null"),
            (r#","data":"-""#, "\"-\""),
            (r#","data":{"wei":123456789012345678901}"#, r#"{"wei":123456789012345678901}"#),
            (r#","data":1e999"#, "1e999"),
            (",\"data\":{\n}", "{ }"),
            (r#","data_base64":"/wD/""#, "3 bytes, binary"),
            (r#","data_base64":"/w==""#, "1 bytes, binary"),
            (r#","data_base64":"""#, "0 bytes, binary"),
        ] {
            let answer = answer(data);
            let listed = list(&Logged::all(&answer).unwrap());
            assert!(listed.ends_with(&format!(" /s      {expected}")), "{listed}");
        }
    }

    #[test]
    fn an_exported_event_is_the_one_that_was_stored() {
        let answer = answer(",\"data\":{\"a\":0.10,\r\n \"a\":12345678901234567890}");
        let logged = Logged::all(&answer).unwrap();
        assert!(logged[0].line().ends_with(r#""data":{"a":0.10,   "a":12345678901234567890}}"#), "{logged:?}");
        assert!(logged[0].is_wanted(Some(&Pattern::parse("a.>").unwrap())));
        assert!(!logged[0].is_wanted(Some(&Pattern::parse("b").unwrap())));
    }
}
