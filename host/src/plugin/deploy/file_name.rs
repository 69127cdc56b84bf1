//! The names of plugin files. The archive makes a directory from the stem of a name, and the log and the admin
//! interface show it, so it must be printable, short, and distinct on every file system.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use crate::printable;

/// The longest stem, in bytes.
const MAX_STEM_BYTES: usize = 128;

/// Checks the stem of a file's name.
///
/// # Errors
/// Why it cannot name a plugin's files.
pub(crate) fn check_stem(stem: &OsStr) -> Result<&str, &'static str> {
    let Some(stem) = stem.to_str() else { return Err("its name is not UTF-8; rename it") };
    if stem.chars().any(printable::is_unprintable) {
        return Err("its name has a control character or an invisible one; rename it");
    }
    if stem.contains('/') {
        return Err("its name has a slash; rename it");
    }
    if stem.is_empty() || stem.starts_with('.') {
        return Err("its name is empty or begins with a dot, which hides the file; rename it");
    }
    if stem.starts_with('-') {
        return Err("its name begins with `-`, so a command line would read it as an option; rename it");
    }
    if stem.trim() != stem {
        return Err("its name has white space at an end; rename it");
    }
    if stem.len() > MAX_STEM_BYTES {
        return Err("its name is longer than 128 bytes without .wasm; rename it");
    }
    Ok(stem)
}

/// A file's name for people: bytes that are not UTF-8, and unprintable characters, are escaped. Different names stay
/// different unless one contains an escape itself.
pub(crate) fn printable(name: &OsStr) -> String {
    match name.to_str() {
        Some(name) => printable::line(name).into_owned(),
        None => name.as_encoded_bytes().escape_ascii().to_string(),
    }
}

/// The stems that differ from an accepted one only in case, each with the accepted one. `previous` stems are accepted
/// first.
pub(crate) fn case_conflicts<'a>(
    stems: impl Iterator<Item = &'a str>,
    previous: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut groups = BTreeMap::<String, Vec<&str>>::new();
    for stem in stems {
        groups.entry(stem.to_lowercase()).or_default().push(stem);
    }
    let mut conflicts = BTreeMap::new();
    for group in groups.into_values().filter(|group| group.len() > 1) {
        let accepted = group.iter().copied().find(|stem| previous.contains(*stem)).unwrap_or(group[0]);
        let others = group.iter().filter(|stem| **stem != accepted);
        conflicts.extend(others.map(|stem| ((*stem).to_owned(), accepted.to_owned())));
    }
    conflicts
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn stems_that_could_harm_a_log_a_terminal_or_a_directory_are_refused() {
        let (longest, too_long) = ("a".repeat(MAX_STEM_BYTES), "a".repeat(MAX_STEM_BYTES + 1));
        for stem in ["a", "a-b_c.d", "Order handler (2)", "gr\u{fc}\u{df}e", "a..b", "a-", "\\", &longest] {
            assert_eq!(check_stem(OsStr::new(stem)), Ok(stem));
        }
        for (stem, words) in [
            ("a\nb", "control character"),
            ("a\u{1b}[31m", "control character"),
            ("a\u{7f}", "control character"),
            ("a\u{9b}", "control character"),
            ("a\u{202e}", "invisible"),
            ("a\u{200b}", "invisible"),
            ("", "empty"),
            (".", "dot"),
            ("..", "dot"),
            (".hidden", "dot"),
            ("a/b", "slash"),
            ("../a", "slash"),
            ("a\0", "control character"),
            ("-rf", "option"),
            ("--", "option"),
            (" a", "white space"),
            ("a ", "white space"),
            ("a\u{a0}", "white space"),
            (&too_long, "longer than 128"),
        ] {
            let reason = check_stem(OsStr::new(stem)).unwrap_err();
            assert!(reason.contains(words) && reason.ends_with("rename it"), "{stem:?}: {reason}");
        }
        assert!(check_stem(OsStr::from_bytes(b"a\xff")).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn names_are_escaped_for_people() {
        for (name, shown) in [
            (&b"a.wasm"[..], "a.wasm"),
            (b"a\n.wasm", "a\\n.wasm"),
            (b"a\x1b[2J", "a\\u{1b}[2J"),
            (b"a\xff.wasm", "a\\xff.wasm"),
            (b"a\xfe.wasm", "a\\xfe.wasm"),
        ] {
            assert_eq!(printable(OsStr::from_bytes(name)), shown);
        }
    }

    #[test]
    fn of_names_that_differ_in_case_the_known_one_is_accepted() {
        let conflicts = |stems: &[&str], known: &[&str]| {
            let known = known.iter().map(|stem| (*stem).to_owned()).collect();
            let conflicts = case_conflicts(stems.iter().copied(), &known);
            conflicts.into_iter().map(|(stem, accepted)| format!("{stem} < {accepted}")).collect::<Vec<_>>()
        };
        assert!(conflicts(&["a", "b"], &[]).is_empty());
        assert_eq!(conflicts(&["A", "a", "b"], &[]), ["a < A"]);
        assert_eq!(conflicts(&["A", "a", "b"], &["a"]), ["A < a"]);
        assert_eq!(conflicts(&["\u{c4}", "\u{e4}"], &["b"]), ["\u{e4} < \u{c4}"]);
    }
}
