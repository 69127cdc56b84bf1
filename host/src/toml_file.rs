//! Reads TOML files of operators. Errors name the place and the key, but never repeat a value, since a sidecar may
//! contain secrets.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::spelling;

mod renamed;
mod schema;

pub(crate) use schema::schema;

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

impl Malformed {
    /// An error of the whole file.
    pub(crate) fn whole(what: String) -> Self {
        Self { place: None, key: None, what }
    }

    /// An error of a key, at its place in the text if it stands there.
    pub(crate) fn at(text: &str, key: &str, what: String) -> Self {
        let document = DeTable::parse(text).ok();
        let entries = document.map(|document| entries(document.get_ref())).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.key == key);
        let place = entry.map(|entry| place(text, entry.spans[0].start));
        Self { place, key: Some(key.to_owned()), what }
    }

    /// The line and the column, both from 1.
    pub(crate) fn place(&self) -> Option<(usize, usize)> {
        self.place
    }

    /// The key, such as `limits.timeout`.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What is wrong.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }
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
    match DeTable::parse(text) {
        Ok(document) => Err(located(text, &error, innermost(&entries(document.get_ref()), &error))),
        Err(_) => Err(not_toml(text, &error)),
    }
}

/// Parses a file as far as possible: the value without its faulty entries, and all errors. There is no value if the
/// file is not TOML, or if what is left of it is still not enough.
pub(crate) fn parse_all<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Malformed>) {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut faults: Vec<_> = errors.iter().map(|error| not_toml(text, error)).collect();
        faults.sort_by_key(Malformed::place);
        return (None, faults);
    }
    let (mut faults, mut removed) = (Vec::new(), Vec::new());
    // Each pass removes an entry, so this ends.
    loop {
        let error = match T::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(value) => return (Some(value), faults),
            Err(error) => error,
        };
        let entries = entries(document.get_ref());
        let entry = innermost(&entries, &error);
        if !misses_removed(&error, entry, &removed) {
            let items = entry.map(|entry| faulty_items::<T>(text, &document, entry)).unwrap_or_default();
            let faulty = if items.is_empty() { vec![located(text, &error, entry)] } else { items };
            faults.extend(faulty);
        }
        let Some(entry) = entry else { return (None, faults) };
        note_removed(&mut removed, &entry.path);
        remove(document.get_mut(), &entry.path);
    }
}

/// The errors of the items of an array, if it has several. Serde stops at the first.
fn faulty_items<T: DeserializeOwned>(
    text: &str,
    document: &toml::Spanned<DeTable<'_>>,
    entry: &Entry,
) -> Vec<Malformed> {
    let mut faults = Vec::new();
    for (index, span) in entry.items.iter().enumerate().filter(|_| entry.items.len() > 1) {
        let mut alone = document.clone();
        if let Some(DeValue::Array(items)) = value_at(alone.get_mut(), &entry.path) {
            let mut only = DeArray::new();
            items.iter().skip(index).take(1).for_each(|item| only.push(item.clone()));
            *items = only;
        }
        let Err(error) = T::deserialize(toml::Deserializer::from(alone.clone())) else { continue };
        let entries = entries(alone.get_ref());
        let concerned = innermost(&entries, &error).filter(|other| other.path == entry.path);
        faults.extend(
            concerned
                .map(|entry| Malformed { place: Some(place(text, span.start)), ..located(text, &error, Some(entry)) }),
        );
    }
    faults
}

/// The value at a path.
fn value_at<'a, 'i>(table: &'a mut DeTable<'i>, path: &[Step]) -> Option<&'a mut DeValue<'i>> {
    let (Step::Key(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get_mut(first.as_str())?.get_mut(), |value, step| match (value, step) {
        (DeValue::Table(table), Step::Key(name)) => table.get_mut(name.as_str()).map(toml::Spanned::get_mut),
        (DeValue::Array(items), Step::Item(index)) => items.get_mut(*index).map(toml::Spanned::get_mut),
        _ => None,
    })
}

/// Notes the path of an entry that is about to be removed. The items behind a removed item of an array move up.
fn note_removed(removed: &mut Vec<Vec<Step>>, path: &[Step]) {
    removed.retain(|other| !other.starts_with(path));
    if let Some((Step::Item(index), array)) = path.split_last() {
        for other in removed.iter_mut().filter(|other| other.starts_with(array)) {
            match other.get_mut(array.len()) {
                Some(Step::Item(place)) if *place > *index => *place -= 1,
                _ => {}
            }
        }
        return;
    }
    removed.push(path.to_vec());
}

/// Whether an entry lacks a key only because it was faulty and has been removed.
fn misses_removed(error: &toml::de::Error, entry: Option<&Entry>, removed: &[Vec<Step>]) -> bool {
    let missing = error.message().strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let (Some(missing), Some(entry)) = (missing, entry) else { return false };
    removed.contains(&[&entry.path[..], &[Step::Key(missing.to_owned())]].concat())
}

/// The TOML parser's own messages are constant.
fn not_toml(text: &str, error: &toml::de::Error) -> Malformed {
    let place = error.span().map(|span| place(text, span.start));
    Malformed { place, key: None, what: error.message().to_owned() }
}

/// Of all entries that contain the position of an error, the innermost, which starts last.
fn innermost<'a>(entries: &'a [Entry], error: &toml::de::Error) -> Option<&'a Entry> {
    let holds = |entry: &&Entry| error.span().is_some_and(|span| entry.holds(&span));
    // The first item of an array of tables starts where the array does.
    entries.iter().filter(holds).max_by_key(|entry| (entry.from, entry.path.len()))
}

fn located(text: &str, error: &toml::de::Error, entry: Option<&Entry>) -> Malformed {
    let place = error.span().map(|span| place(text, span.start));
    let what = match unknown_key(error.message()) {
        Some(advice) => entry.and_then(|entry| renamed::advice(&entry.key)).unwrap_or(advice),
        None => described(error.message(), entry.map_or(&[], |entry| &entry.texts)),
    };
    Malformed { place, key: entry.map(|entry| entry.key.clone()), what }
}

/// The message for an unknown key, with the key that was probably meant, or else all keys that are known here.
fn unknown_key(message: &str) -> Option<String> {
    let (name, expected) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let expected: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    Some(match spelling::nearest(name, expected.iter().copied()) {
        Some(nearest) => format!("unknown key; did you mean `{nearest}`?"),
        None => format!("unknown key; expected one of `{}`", expected.join("`, `")),
    })
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

/// A step of the path from the top of a document to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// A key of a document or an item of an array of tables, with its position and the strings in its value.
struct Entry {
    key: String,
    path: Vec<Step>,
    from: usize,
    spans: [Range<usize>; 2],
    texts: Vec<String>,
    /// The positions of the items of an array that is not one of tables.
    items: Vec<Range<usize>>,
}

impl Entry {
    fn holds(&self, span: &Range<usize>) -> bool {
        self.spans.iter().any(|own| own.start <= span.start && span.end <= own.end)
    }
}

fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    collect("", &[], table, &mut entries);
    entries
}

fn collect(above: &str, path: &[Step], table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let name_text = name.get_ref();
        let key = if above.is_empty() { name_text.to_string() } else { format!("{above}.{name_text}") };
        let mut found = Vec::new();
        texts(value.get_ref(), &mut found);
        let path = [path, &[Step::Key(name_text.to_string())]].concat();
        within(&key, &path, value.get_ref(), entries);
        // A table's span is its header, which precedes its entries.
        let (from, spans) = (value.span().start, [name.span(), value.span()]);
        let items = match value.get_ref() {
            DeValue::Array(items) if !items.iter().any(|item| item.get_ref().is_table()) => {
                items.iter().map(toml::Spanned::span).collect()
            }
            _ => Vec::new(),
        };
        entries.push(Entry { key, path, from, spans, texts: found, items });
    }
}

fn within(key: &str, path: &[Step], value: &DeValue<'_>, entries: &mut Vec<Entry>) {
    match value {
        DeValue::Table(table) => collect(key, path, table, entries),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = [path, &[Step::Item(index)]].concat();
                within(key, &path, item.get_ref(), entries);
                if item.get_ref().is_table() {
                    let spans = [item.span(), item.span()];
                    entries.push(Entry {
                        key: key.to_owned(),
                        path,
                        from: item.span().start,
                        spans,
                        texts: Vec::new(),
                        items: Vec::new(),
                    });
                }
            }
        }
        _ => {}
    }
}

/// Removes the value at a path, and an array that becomes empty by it.
fn remove(table: &mut DeTable<'_>, path: &[Step]) {
    let Some((Step::Key(name), rest)) = path.split_first() else { return };
    let is_gone = match table.get_mut(name.as_str()) {
        Some(value) if !rest.is_empty() => remove_within(value.get_mut(), rest),
        _ => true,
    };
    if is_gone {
        table.remove(name.as_str());
    }
}

/// Removes the value at a path; returns whether nothing is left.
fn remove_within(value: &mut DeValue<'_>, path: &[Step]) -> bool {
    match (value, path) {
        (DeValue::Table(table), path) => {
            remove(table, path);
            false
        }
        (DeValue::Array(items), [Step::Item(index)]) => {
            let mut rest = DeArray::new();
            let kept = items.iter().enumerate().filter(|(other, _)| other != index);
            kept.for_each(|(_, item)| rest.push(item.clone()));
            *items = rest;
            items.is_empty()
        }
        (DeValue::Array(items), [Step::Item(index), rest @ ..]) => {
            if let Some(item) = items.get_mut(*index) {
                remove_within(item.get_mut(), rest);
            }
            false
        }
        _ => true,
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
            return wanted(prefix == "invalid type: ", expected, kind(found));
        }
    }
    match expected {
        Some((found, expected)) if found.starts_with("unknown variant ") => format!("expected {expected}"),
        _ => hidden(message, texts),
    }
}

/// The message for a value of the wrong type, or out of range.
fn wanted(is_wrong_type: bool, expected: &str, found: &str) -> String {
    let nonzero = expected.strip_prefix("a nonzero ");
    let (least, number) = if nonzero.is_some() { ("1", nonzero) } else { ("0", Some(expected)) };
    let most = match number.unwrap_or_default() {
        "u8" => Some(u64::from(u8::MAX)),
        "u16" => Some(u64::from(u16::MAX)),
        "u32" => Some(u64::from(u32::MAX)),
        _ => None,
    };
    let to_write = match (number.unwrap_or_default(), most) {
        (_, Some(most)) => format!("a whole number from {least} to {most}"),
        ("u64" | "usize", None) => format!("a whole number from {least}"),
        ("f32" | "f64", _) => "a number".to_owned(),
        ("a string" | "string" | "path string", _) => "a string".to_owned(),
        ("a boolean", _) => "true or false".to_owned(),
        ("a map", _) => "a table".to_owned(),
        ("a sequence", _) => "an array".to_owned(),
        (name, _) if name.starts_with("struct ") => "a table".to_owned(),
        (other, _) => return format!("expected {other}, found {found}"),
    };
    if is_wrong_type { format!("found {found}; write {to_write}") } else { format!("write {to_write}") }
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

/// The length of a text that is not hidden in messages. It cannot be a secret, but it occurs in many words.
const SHORT_BYTES: usize = 2;

/// A message without the given strings, plain or debug-escaped. The longest are removed first, since one may contain
/// another.
fn hidden(message: &str, texts: &[String]) -> String {
    let mut texts: Vec<_> = texts.iter().filter(|text| text.len() > SHORT_BYTES).collect();
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
            ("[config]\ntoken = { value = \"SECRET\" }\n", (2, 11), Some("config.token.value")),
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
    fn an_unknown_key_has_the_nearest_name_or_all_names() {
        let shown = |text: &str| parse::<Sidecar>(text).unwrap_err().to_string();
        assert_eq!(
            shown("[limits]\nmemory_byte = 1\n"),
            "line 2, column 1: `limits.memory_byte`: unknown key; did you mean `memory_bytes`?"
        );
        assert_eq!(shown("[rollback]\nx = 1\n").matches('`').count() % 2, 0);
        assert!(shown("[grants]\nfiles = 1\n").contains("unknown key; expected one of `publish`, `subscribe`, "));
    }

    #[test]
    fn all_mistakes_are_found_and_what_is_left_is_read() {
        let text = "enabled = \"S3cret\"\nnam = \"a\"\nroutes = [\"GET /\"]\n[limits]\ntimeout = \"S3cret\"\nconcurrency = 2\n[sub.x]\ny = 1\n[subscriptions.a]\nmax_attempt = 1\nconcurrency = 3\n";
        let (sidecar, faults) = parse_all::<Sidecar>(text);
        let mut keys: Vec<_> = faults.iter().map(|fault| fault.key().unwrap()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["enabled", "limits.timeout", "nam", "sub", "subscriptions.a.max_attempt"]);
        let sidecar = sidecar.unwrap();
        assert_eq!(sidecar.routes, ["GET /"]);
        assert_eq!(sidecar.limits.concurrency.map(u32::from), Some(2));
        assert_eq!(sidecar.subscriptions["a"].concurrency.map(u32::from), Some(3));
        assert!(!format!("{faults:?}").contains("S3cret"), "{faults:?}");
        assert_eq!(parse_all::<Sidecar>("[limits]\n").1, []);
        assert!(parse_all::<Sidecar>("a = \nb = ]\n").1.len() >= 2);
    }

    #[test]
    fn the_same_mistake_is_found_in_each_item_of_an_array() {
        let places = |text: &str| {
            let (_, faults) = parse_all::<Sidecar>(text);
            faults.iter().map(|fault| (fault.place().unwrap(), fault.key().unwrap().to_owned())).collect::<Vec<_>>()
        };
        let publish = |line, column| ((line, column), "grants.publish".to_owned());
        assert_eq!(places("[grants]\npublish = [\"a..b\", \"c\", \"d..e\"]\n"), [publish(2, 12), publish(2, 25)]);
        assert_eq!(places("[grants]\npublish = [\"a..b\"]\n"), [publish(2, 11)]);
        assert_eq!(places("[grants]\npublish = [1, \"c\", 2]\n"), [publish(2, 12), publish(2, 20)]);
        // The first table lacks its origins because they were faulty, and the second has none.
        let two = "[[cors]]\norigins = 1\n[[cors]]\ncredentials = true\n[[cors]]\norigins = [2]\n";
        let keys: Vec<_> = places(two).into_iter().map(|((line, _), key)| (line, key)).collect();
        let [first, second, third] = [(2, "cors.origins"), (3, "cors"), (6, "cors.origins")];
        assert_eq!(keys, [first, second, third].map(|(line, key)| (line, key.to_owned())));
    }

    #[test]
    fn a_wrong_value_comes_with_what_to_write() {
        for (text, expected) in [
            ("[limits]\nconcurrency = 0\n", "write a whole number from 1 to 4294967295"),
            ("[limits]\nconcurrency = \"x\"\n", "found a string; write a whole number from 1 to 4294967295"),
            ("[limits]\nconcurrency = 1.5\n", "found a number with a point; write a whole number from 1 to 4294967295"),
            ("[limits]\nmemory_bytes = -1\n", "write a whole number from 0"),
            ("[limits]\nmax_backlog = 0\n", "write a whole number from 1"),
            ("limits = 1\n", "found an integer; write a table"),
            ("routes = 1\n", "found an integer; write an array"),
            ("enabled = 1\n", "found an integer; write true or false"),
            ("name = 1\n", "found an integer; write a string"),
            ("[subscriptions.a]\njitter = \"x\"\n", "found a string; write a number"),
        ] {
            assert_eq!(parse::<Sidecar>(text).unwrap_err().what(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_and_quoted_texts_are_not_repeated_either() {
        let shown = parse::<Sidecar>("[config]\npin = 271828\n").unwrap_err().to_string();
        assert_eq!(
            shown,
            "line 2, column 7: `config.pin`: expected a string, or a table with `file`, `env` or `credential`, found an integer"
        );
        let shown = parse::<Sidecar>("[config]\na = { file = \"a\", env = \"b\" }\n").unwrap_err().to_string();
        assert!(shown.ends_with("`config.a`: write exactly one of `file`, `env` and `credential`"), "{shown}");
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
