//! Formats the results of commands: tables for people, JSON for programs.

use std::fmt::Display;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::response::Response;
use crate::{console, printable};

/// The output format of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints a response: as JSON, or as text made by the function.
    pub(crate) fn print<T>(self, response: &Response<T>, show: impl FnOnce(&T) -> String) {
        if self.json {
            console::print_line(&printable::json(&response.indented()));
        } else {
            console::print_line(&printable::block(show(response.value()).trim_end()));
        }
    }
}

/// A table with a row for each item.
pub(crate) fn table<T>(columns: &[&str], items: &[T], row: impl Fn(&T) -> Vec<String>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(columns);
    for item in items {
        table.add_row(row(item));
    }
    if items.is_empty() { "none".to_owned() } else { table.trim_fmt() }
}

/// A value in one line, for a cell.
pub(crate) fn cell(value: impl Display) -> String {
    printable::line(&value.to_string()).into_owned()
}

/// An optional value for a cell; a dash if there is none.
pub(crate) fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), cell)
}

/// Several values for a cell; a dash if there are none.
pub(crate) fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(cell).collect();
    if values.is_empty() { "-".to_owned() } else { values.join(", ") }
}

/// The beginning of a digest for a cell; a dash if there is none.
pub(crate) fn digest(digest: Option<&str>) -> String {
    optional(digest).chars().take(12).collect()
}

/// The first line of a text, cut to at most `limit` characters.
pub(crate) fn truncate(text: &str, limit: usize) -> String {
    let line = printable::line(text.lines().next().unwrap_or_default());
    if line.chars().count() <= limit {
        line.into_owned()
    } else {
        line.chars().take(limit - 1).chain(['…']).collect()
    }
}

/// A text in one line of at most `limit` characters. The middle of a longer text is omitted.
pub(crate) fn truncate_middle(text: &str, limit: usize) -> String {
    let line = printable::line(text);
    let count = line.chars().count();
    if count <= limit {
        return line.into_owned();
    }
    let kept = limit - 1;
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    line.chars().take(head).chain(['…']).chain(line.chars().skip(count - tail)).collect()
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
    fn a_long_text_loses_its_middle() {
        for (text, expected) in [
            ("", ""),
            ("12345", "12345"),
            ("123456", "12…56"),
            ("1234567", "12…67"),
            ("äöüßéè", "äö…éè"),
            ("a\u{1b}bcdef", "a\\…ef"),
        ] {
            assert_eq!(truncate_middle(text, 5), expected);
        }
        assert_eq!(truncate_middle("12345", 4), "12…5");
    }

    #[test]
    fn a_missing_value_is_a_dash() {
        assert_eq!((optional(None::<&str>), digest(None), list([""; 0])), ("-".into(), "-".into(), "-".into()));
        assert_eq!(table(&["A"], &[] as &[&str], |_| Vec::new()), "none");
    }
}
