//! Reads TOML files of operators. Errors name the place and the key, but never repeat a value, since a sidecar may
//! contain secrets.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

mod renamed;

/// An error in a TOML file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The line and the column, both from 1; none for the whole file.
    place: Option<(usize, usize)>,
    /// The key, such as `limits.timeout`; none if the file is not valid TOML, since then a key cannot be told from a
    /// value.
    key: Option<String>,
    what: String,
}

impl std::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        if let Some(key) = &self.key {
            write!(formatter, "`{key}`: ")?;
        }
        formatter.write_str(&self.what)
    }
}

/// Parses a file.
///
/// # Errors
/// The error and its place, without values.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    let error = match toml::from_str(text) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let place = error.span().map(|span| place(text, span.start));
    let Ok(document) = DeTable::parse(text) else {
        // The TOML parser's own messages are constant.
        return Err(Malformed { place, key: None, what: error.message().to_owned() });
    };
    let mut entries = Vec::new();
    collect("", document.get_ref(), &mut entries);
    // Of all entries that contain the position, the innermost starts last.
    let holds = |entry: &&Entry| error.span().is_some_and(|span| entry.holds(&span));
    let entry = entries.iter().filter(holds).max_by_key(|entry| entry.from);
    let is_unknown = error.message().starts_with("unknown field ");
    let what = entry
        .filter(|_| is_unknown)
        .and_then(|entry| renamed::advice(&entry.key))
        .unwrap_or_else(|| described(error.message(), entry.map_or(&[], |entry| &entry.texts)));
    Err(Malformed { place, key: entry.map(|entry| entry.key.clone()), what })
}

/// Sets a key at the top level of a valid document, and keeps the rest of the text.
#[must_use]
pub(crate) fn with_top_level(text: &str, key: &str, value: &str) -> String {
    let present = DeTable::parse(text).ok().and_then(|document| Some(document.get_ref().get(key)?.span()));
    match present {
        Some(span) => format!("{}{value}{}", &text[..span.start], &text[span.end..]),
        // Keys of the top level precede all tables.
        None => format!("{key} = {value}\n{text}"),
    }
}

/// A key of a document, with its position and the strings in its value.
struct Entry {
    key: String,
    from: usize,
    spans: [Range<usize>; 2],
    texts: Vec<String>,
}

impl Entry {
    fn holds(&self, span: &Range<usize>) -> bool {
        self.spans.iter().any(|own| own.start <= span.start && span.end <= own.end)
    }
}

fn collect(above: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let name_text = name.get_ref();
        let key = if above.is_empty() { name_text.to_string() } else { format!("{above}.{name_text}") };
        let mut found = Vec::new();
        texts(value.get_ref(), &mut found);
        // A table's span is its header, which precedes its entries.
        entries.push(Entry {
            key: key.clone(),
            from: value.span().start,
            spans: [name.span(), value.span()],
            texts: found,
        });
        within(&key, value.get_ref(), entries);
    }
}

fn within(key: &str, value: &DeValue<'_>, entries: &mut Vec<Entry>) {
    match value {
        DeValue::Table(table) => collect(key, table, entries),
        DeValue::Array(items) => items.iter().for_each(|item| within(key, item.get_ref(), entries)),
        _ => {}
    }
}

fn texts(value: &DeValue<'_>, found: &mut Vec<String>) {
    match value {
        DeValue::String(text) => found.push(text.to_string()),
        DeValue::Array(items) => items.iter().for_each(|item| texts(item.get_ref(), found)),
        DeValue::Table(table) => table.iter().for_each(|(_, value)| texts(value.get_ref(), found)),
        _ => {}
    }
}

/// Serde's message without values. Messages of `serde::de::Error` have a known form ("invalid type: string "…",
/// expected …"); any other message comes from a custom deserializer and may quote the value.
fn described(message: &str, texts: &[String]) -> String {
    let expected = message.rsplit_once(", expected ").map(|(found, expected)| (found, expected.trim_end()));
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = expected
            && let Some(found) = found.strip_prefix(prefix)
        {
            return format!("expected {expected}, found {}", kind(found));
        }
    }
    match expected {
        Some((found, expected)) if found.starts_with("unknown variant ") => format!("expected {expected}"),
        _ => hidden(message, texts),
    }
}

/// The kind of a value. The text of `serde::de::Unexpected` starts with the kind.
fn kind(found: &str) -> &'static str {
    const KINDS: [(&str, &str); 7] = [
        ("string", "a string"),
        ("integer", "an integer"),
        ("floating point", "a number with a point"),
        ("boolean", "a boolean"),
        ("map", "a table"),
        ("sequence", "an array"),
        ("datetime", "a date"),
    ];
    KINDS.iter().find(|(word, _)| found.starts_with(word)).map_or("something else", |(_, kind)| kind)
}

/// A message without the given strings, plain or debug-escaped. The longest are removed first, since one may contain
/// another.
fn hidden(message: &str, texts: &[String]) -> String {
    let mut texts: Vec<_> = texts.iter().filter(|text| !text.is_empty()).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts.into_iter().fold(message.trim_end().to_owned(), |message, text| {
        message.replace(&text.escape_debug().to_string(), "…").replace(text.as_str(), "…")
    })
}

/// The line and column of a byte offset, both from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::plugin::Sidecar;

    use super::*;

    #[test]
    fn a_key_at_the_top_level_is_set_and_the_rest_is_kept() {
        for (text, expected) in [
            ("", "enabled = false\n"),
            ("# note\n[limits]\nenabled = 1\n", "enabled = false\n# note\n[limits]\nenabled = 1\n"),
            ("name = \"a\"\nenabled = true # why\n", "name = \"a\"\nenabled = false # why\n"),
            ("\"enabled\"=true\r\n[grants]\r\n", "\"enabled\"=false\r\n[grants]\r\n"),
        ] {
            assert_eq!(with_top_level(text, "enabled", "false"), expected);
        }
    }

    const SECRET: &str = "whsec_S3cret/x==";

    #[test]
    fn a_mistake_is_placed_and_no_value_is_repeated() {
        for (text, place, key) in [
            // Not TOML.
            ("[config]\ntoken = \"SECRET\n", (2, 26), None),
            ("[config]\ntoken = SECRET\n", (2, 23), None),
            ("[config]\nSECRET\n", (2, 16), None),
            ("[config]\ntoken = \"SECRET\" extra\n", (2, 28), None),
            ("[config]\ntoken = \"\"\"a\nSECRET\n", (4, 1), None),
            ("[config]\ntoken = \"SECRET\"\ntoken = \"SECRET\"\n", (3, 1), None),
            ("[config\ntoken = \"SECRET\"\n", (1, 8), None),
            ("config = { token = \"SECRET\"", (1, 38), None),
            ("[config]\ntoken = \"\\SECRET\"\n", (2, 11), None),
            // Not what a sidecar has.
            ("[config]\n\ntoken = [\"SECRET\"]\n", (3, 9), Some("config.token")),
            ("[config]\ntoken = { value = \"SECRET\" }\n", (2, 9), Some("config.token")),
            ("config = \"SECRET\"\n", (1, 10), Some("config")),
            ("enabled = \"SECRET\"\n", (1, 11), Some("enabled")),
            ("[limits]\ntimeout = \"SECRET\"\n", (2, 11), Some("limits.timeout")),
            ("[limits]\nmemory_bytes = \"SECRET\"\n", (2, 16), Some("limits.memory_bytes")),
            ("[limits]\nsecret = \"SECRET\"\n", (2, 1), Some("limits.secret")),
            ("[grants]\npublish = [\"SECRET..\"]\n", (2, 11), Some("grants.publish")),
            (
                "[subscriptions.a]\ndead_letter_policy = \"SECRET\"\n",
                (2, 22),
                Some("subscriptions.a.dead_letter_policy"),
            ),
            ("[subscriptions.a]\nmax_attempts = \"SECRET\"\n", (2, 16), Some("subscriptions.a.max_attempts")),
        ] {
            let text = text.replace("SECRET", SECRET);
            let error = parse::<Sidecar>(&text).unwrap_err();
            let shown = error.to_string();
            assert!(!shown.contains("S3cret"), "{shown}");
            assert!(!format!("{error:?}").contains("S3cret"), "{error:?}");
            assert_eq!(error.key.as_deref(), key, "{text}: {shown}");
            assert_eq!(error.place, Some(place), "{text}: {shown}");
            let refused = Sidecar::parse(&text).unwrap_err();
            assert!(refused.contains(&format!("line {}", place.0)) && !refused.contains("S3cret"), "{refused}");
        }
    }

    #[test]
    fn numbers_and_quoted_texts_are_not_repeated_either() {
        let shown = parse::<Sidecar>("[config]\npin = 271828\n").unwrap_err().to_string();
        assert_eq!(shown, "line 2, column 7: `config.pin`: expected a string, found an integer");
        let shown = parse::<Sidecar>("[limits]\nconcurrency = \"a\\\"S3cret, expected b\"\n").unwrap_err().to_string();
        assert!(!shown.contains("S3cret") && shown.contains("found a string"), "{shown}");
    }

    #[test]
    fn the_configuration_of_the_host_is_read_alike() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["log = [\"S3cret\"]\n", "[bus]\nwebhook_origin = \"S3cret\n"] {
            std::fs::write(file.path(), text).unwrap();
            let overrides = crate::config::Overrides {
                config: Some(file.path().to_owned()),
                ..crate::config::Overrides::default()
            };
            let shown = format!("{:#}", Config::load(&overrides).unwrap_err());
            assert!(!shown.contains("S3cret") && shown.contains("line "), "{shown}");
        }
    }
}
