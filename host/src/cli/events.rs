//! `sandbus events`.

use std::num::NonZeroUsize;

use clap::Subcommand;

use super::client::Client;
use super::paging::{fetch, next_page_hint};
use super::response::{Response, indented};
use super::{Group, output};
use crate::api::{EventPage, EventQuery, EventSummary, EventView};
use crate::clock::Timestamp;
use crate::console;
use crate::pattern::Pattern;
use crate::printable;
use output::{cell, table, truncate, truncate_middle};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the newest events, or those that match
    List {
        /// Show at most N events
        #[arg(long, value_name = "N", default_value = "20", value_parser = super::parse_count::<NonZeroUsize>)]
        limit: NonZeroUsize,
        /// Show only events before this position
        #[arg(long, value_name = "POSITION", value_parser = super::parse_position, allow_hyphen_values = true)]
        before: Option<u64>,
        /// Continue after CURSOR, as printed below the previous page
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
        /// Show the whole list
        #[arg(long = "all", conflicts_with_all = ["limit", "after"])]
        is_whole: bool,
        #[command(flatten)]
        filter: Box<SearchFilter>,
    },
    /// Print events in JSON, one per line, oldest first
    Export {
        /// Print only events of this type, or pattern of types
        #[arg(long = "type", value_name = "TYPE", value_parser = Pattern::parse)]
        pattern: Option<Pattern>,
        /// Print only the newest N events
        #[arg(long, value_name = "N", value_parser = super::parse_count::<NonZeroUsize>)]
        last: Option<NonZeroUsize>,
        /// Start at this position, at this time, or this long ago
        #[arg(long, value_name = "POSITION|TIME|AGE", value_parser = parse_since)]
        since: Option<Since>,
    },
    /// Apply the retention rules now
    Compact,
    /// Show all events with this id
    Show {
        /// The event's id
        id: String,
    },
}

impl Command {
    /// `list` without arguments.
    fn list() -> Self {
        Self::List { limit: DEFAULT_LIMIT, before: None, after: None, is_whole: false, filter: Box::default() }
    }
}

/// The conditions of a search. All of them must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct SearchFilter {
    /// List only events of this type, or pattern of types
    #[arg(long = "type", value_name = "TYPE", value_parser = Pattern::parse)]
    pattern: Option<Pattern>,
    /// List only events with this source
    #[arg(long)]
    source: Option<String>,
    /// List only events with this subject
    #[arg(long)]
    subject: Option<String>,
    /// List only events stored at this time or later, or at most this long ago
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time)]
    since: Option<Timestamp>,
    /// List only events stored before this time, or longer ago than this
    #[arg(long, value_name = "TIME|AGE", value_parser = super::parse_past_time)]
    until: Option<Timestamp>,
    /// List only events of the cause trees with this correlation id
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// List only events whose ids begin with this text
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
}

impl SearchFilter {
    fn query(self) -> EventQuery {
        EventQuery {
            pattern: self.pattern,
            source: self.source,
            subject: self.subject,
            since: self.since.map(|since| since.to_string()),
            until: self.until.map(|until| until.to_string()),
            correlation: self.correlation,
            id_prefix: self.id_prefix,
            ..EventQuery::default()
        }
    }
}

/// The start of an export.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    Position(u64),
    Time(Timestamp),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let position = text.parse().map(Since::Position);
    position
        .or_else(|_| super::parse_past_time(text).map(Since::Time))
        .map_err(|error| format!("{error}, or a position in the log"))
}

impl Since {
    fn reaches(self, logged: &EventView) -> bool {
        match self {
            Self::Position(first) => logged.position >= first,
            Self::Time(first) => Timestamp::parse(&logged.stored_at).is_some_and(|stored_at| stored_at >= first),
        }
    }
}

/// An event in one line. Only white space between the tokens of its data can contain line breaks.
fn to_line(logged: &EventView) -> String {
    logged.event.0.get().replace(['\n', '\r'], " ")
}

/// The number of events that `list` shows by default.
const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not zero");

/// The number of events of one response.
const PAGE: usize = 200;

/// The events to export.
#[derive(Debug)]
struct Selection {
    pattern: Option<Pattern>,
    since: Option<Since>,
}

impl Selection {
    fn includes(&self, logged: &EventView) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(&logged.event.summary().event_type);
        self.is_recent(logged) && self.pattern.as_ref().is_none_or(matches)
    }

    fn is_recent(&self, logged: &EventView) -> bool {
        self.since.is_none_or(|since| since.reaches(logged))
    }
}

async fn read_page(client: &Client, before: Option<u64>) -> anyhow::Result<Response<EventPage>> {
    client.page(&EventQuery { before, ..EventQuery::default() }, PAGE, None).await
}

/// Prints the selected events, the oldest first, one in JSON a line; at most the `last` ones.
///
/// The host lists the newest events first. So the pages are located first, and then read and printed in reverse, one at
/// a time: a log is larger than memory.
async fn export(client: &Client, selection: &Selection, last: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let (mut cursors, mut count, mut before) = (Vec::new(), 0, None);
    loop {
        let response = read_page(client, before).await?;
        let page = &response.value().events;
        let (Some(newest), Some(oldest)) = (page.first(), page.last()) else { break };
        // A cursor above the newest event leaves out events that are published in the meantime.
        cursors.push(newest.position.saturating_add(1));
        count += page.iter().filter(|logged| selection.includes(logged)).count();
        let is_enough = last.is_some_and(|last| count >= last.get());
        if is_enough || response.value().next.is_none() || !selection.is_recent(oldest) {
            break;
        }
        before = Some(oldest.position);
    }
    let mut surplus = last.map_or(0, |last| count.saturating_sub(last.get()));
    let mut printed = 0;
    for before in cursors.into_iter().rev() {
        let response = read_page(client, Some(before)).await?;
        let page = response.value().events.iter().rev();
        // If events were deleted in the meantime, a page begins within the one before it.
        for logged in page.filter(|logged| logged.position > printed && selection.includes(logged)) {
            match surplus {
                0 => console::print_line(&to_line(logged)),
                _ => surplus -= 1,
            }
        }
        printed = before.saturating_sub(1);
    }
    Ok(())
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::list()) {
        Command::List { limit, before, after, is_whole, filter } => {
            let query = EventQuery { before, ..filter.query() };
            let limit = if is_whole { usize::MAX } else { limit.get() };
            let page = fetch::<EventPage>(&client, &query, after, limit).await?;
            output.print(&page, |page| list(&page.events) + &next_page_hint(page));
        }
        Command::Export { pattern, last, since } => {
            export(&client, &Selection { pattern, since }, last).await?;
        }
        Command::Compact => {
            let response = client.compact().await?;
            output.print(&response, |response| format!("deleted: {}", response.deleted));
        }
        Command::Show { id } => {
            let response = client.events_with_id(&id).await?;
            output.print(&response, |_| printable::json(&indented(response.member("events"))));
        }
    }
    Ok(())
}

fn list(events: &[EventView]) -> String {
    table(&["POSITION", "STORED", "TYPE", "ID", "SOURCE", "DATA"], events, |logged| {
        let event = logged.event.summary();
        vec![
            cell(logged.position),
            cell(&logged.stored_at),
            cell(&event.event_type),
            cell(&event.id),
            truncate_middle(&event.source, 60),
            format_data(&event),
        ]
    })
}

/// The data of an event in a cell: the JSON as written, or the size of binary data.
fn format_data(event: &EventSummary<'_>) -> String {
    if let Some(data) = event.data {
        return truncate(&data.get().replace(['\n', '\r'], " "), 60);
    }
    let Some(base64) = &event.data_base64 else { return "-".to_owned() };
    let count = base64.trim_end_matches('=').len() * 3 / 4;
    format!("{count} bytes, binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(data: &str) -> Vec<EventView> {
        let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b"{data}}}"#);
        let logged = format!(r#"[{{"position":7,"stored_at":"2030-01-01T00:00:00.000Z","event":{event}}}]"#);
        serde_json::from_str(&logged).unwrap()
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
            let listed = list(&events(data));
            assert!(listed.ends_with(&format!(" /s      {expected}")), "{listed}");
        }
    }

    #[test]
    fn an_exported_event_is_the_one_that_was_stored() {
        let logged = events(",\"data\":{\"a\":0.10,\r\n \"a\":12345678901234567890}");
        assert!(to_line(&logged[0]).ends_with(r#""data":{"a":0.10,   "a":12345678901234567890}}"#), "{logged:?}");
        let matches =
            |pattern| Selection { pattern: Some(Pattern::parse(pattern).unwrap()), since: None }.includes(&logged[0]);
        assert!(matches("a.>") && !matches("b"));
    }
}
