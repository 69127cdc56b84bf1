//! `sandbus events`.

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
use output::{cell, table, truncate};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
        #[arg(long, value_name = "POSITION|TIME", value_parser = parse_since)]
        since: Option<Since>,
    },
    /// Delete events that the retention rules no longer keep, without waiting for the next cleanup
    Compact,
    /// Show an event in full
    Show {
        /// The event's id
        id: String,
    },
}

/// Where an export begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    Position(u64),
    Time(Timestamp),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let position = text.parse().map(Since::Position);
    position.or_else(|_| super::parse_time(text).map(Since::Time)).map_err(|error| format!("{error}, or a position"))
}

impl Since {
    fn reaches(self, logged: &EventView) -> bool {
        match self {
            Self::Position(first) => logged.position >= first,
            Self::Time(first) => Timestamp::parse(&logged.stored_at).is_some_and(|stored_at| stored_at >= first),
        }
    }
}

fn is_selected(logged: &EventView, pattern: Option<&Pattern>) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(&logged.event.summary().event_type))
}

/// The event in a line. White space between the tokens of its data may have line breaks, and nothing else has.
fn to_line(logged: &EventView) -> String {
    logged.event.0.get().replace(['\n', '\r'], " ")
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
        let response: Response<EventPage> =
            client.page(&EventQuery::default(), PAGE, before.map(|before| before.to_string())).await?;
        let page = &response.value().events;
        let reached = page.iter().take_while(|logged| since.is_none_or(|since| since.reaches(logged)));
        let (reached, count) = (reached.clone(), reached.count());
        lines.extend(reached.filter(|logged| is_selected(logged, pattern)).map(to_line));
        if lines.len() >= last || count < PAGE {
            lines.truncate(last);
            lines.reverse();
            return Ok(lines);
        }
        before = page.last().map(|logged| logged.position);
    }
}

pub(super) async fn run(arguments: Group<Command>) -> anyhow::Result<()> {
    let (client, output) = arguments.remote.connect();
    match arguments.command.unwrap_or(Command::List { limit: 20, before: None }) {
        Command::List { limit, before } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let before = before.map(|before| before.to_string());
            let page = fetch::<EventPage>(&client, &EventQuery::default(), before, limit).await?;
            output.print(&page, |page| list(&page.events) + &next_page_hint(page));
        }
        Command::Export { pattern, last, since } => {
            console::print_lines(&export(&client, pattern.as_ref(), last, since).await?);
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
            cell(&event.source),
            format_data(&event),
        ]
    })
}

/// Data in a cell: as it was written, or how much there is of it, or nothing.
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
        assert!(is_selected(&logged[0], Some(&Pattern::parse("a.>").unwrap())));
        assert!(!is_selected(&logged[0], Some(&Pattern::parse("b").unwrap())));
    }
}
