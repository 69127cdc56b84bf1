//! The answers of commands: tables for people, JSON for programs.

use std::fmt::Display;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::response::Response;
use crate::{console, printable};

/// How a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints an answer: as JSON if that was asked for, else as the function shows it.
    pub(crate) fn print<T>(self, response: &Response<T>, show: impl FnOnce(&T) -> String) {
        if self.json {
            console::print_line(&printable::json(&response.indented()));
        } else {
            console::print_line(&printable::block(show(response.value()).trim_end()));
        }
    }
}

/// A table of a list's items, one row each.
pub(crate) fn table<T>(columns: &[&str], items: &[T], row: impl Fn(&T) -> Vec<String>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(columns);
    for item in items {
        table.add_row(row(item));
    }
    if items.is_empty() { "none".to_owned() } else { table.trim_fmt() }
}

/// A value as a cell shows it, in one line.
pub(crate) fn cell(value: impl Display) -> String {
    printable::line(&value.to_string()).into_owned()
}

/// A value in a cell, or a dash if there is none.
pub(crate) fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), cell)
}

/// Several values in a cell, or a dash if there are none.
pub(crate) fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(cell).collect();
    if values.is_empty() { "-".to_owned() } else { values.join(", ") }
}

/// Enough of a digest for a person, or a dash if there is none.
pub(crate) fn digest(digest: Option<&str>) -> String {
    optional(digest).chars().take(12).collect()
}

/// The first line of a text, of at most so many characters.
pub(crate) fn truncate(text: &str, limit: usize) -> String {
    let line = printable::line(text.lines().next().unwrap_or_default());
    if line.chars().count() <= limit {
        line.into_owned()
    } else {
        line.chars().take(limit - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_would_obey_is_shown() {
        let hostile = "a\u{1b}]8;;http://evil\u{7}\n\u{202e}b\u{9b}2J\u{7f}";
        let row =
            |item: &&str| vec![cell(item), list([item]), truncate(item, 80), digest(Some(item)), optional(Some(item))];
        let shown = table(&["NAME", "ALL", "SHORT", "DIGEST", "MAYBE"], &[hostile], row);
        assert!(!shown.replace('\n', "").chars().any(printable::is_unprintable), "{shown:?}");
        assert_eq!(shown.lines().count(), 2, "a line of the header, and one of the item: {shown}");
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        assert_eq!((optional(None::<&str>), digest(None), list([""; 0])), ("-".into(), "-".into(), "-".into()));
        assert_eq!(table(&["A"], &[] as &[&str], |_| Vec::new()), "none");
    }
}
