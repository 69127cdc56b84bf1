//! Keys that had another name in an earlier version. A file that still has one gets the new name in the error.

use crate::retry::RENAMED_RULES;

/// A former key with the table that it was in, and the new key. A `*` stands for any name. The table of a key at the
/// top of a file is empty.
const RENAMED: &[(&str, &str, &str)] = &[
    ("", "grace", "shutdown_grace_period"),
    ("bus", "retain_past_cursors", "retain_delete_unhandled"),
    ("sandbox", "memory_ceiling_bytes", "max_memory_bytes"),
    ("sandbox", "patience", "admission_timeout"),
    ("canary", "last", "events"),
    ("canary", "differences", "max_differences"),
    ("canary", "proving", "min_conclusive"),
    ("rollback", "of", "min_invocations"),
    ("rollback", "within", "window"),
    ("limits", "backlog", "max_backlog"),
    ("limits", "log_bytes", "max_log_bytes"),
    ("limits", "reuse", "calls_per_instance"),
    ("subscriptions.*", "batch", "deliveries_per_instance"),
];

/// The advice for a key that is unknown now; none if it was never known.
pub(super) fn advice(key: &str) -> Option<String> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let rule = RENAMED_RULES.iter().find(|(old, _)| *old == name && is_same_table("subscriptions.*", table));
    let new = match rule {
        Some((_, new)) => (*new).to_owned(),
        None => {
            let (.., new) = RENAMED.iter().find(|(of, old, _)| *old == name && is_same_table(of, table))?;
            format!("`{new}`")
        }
    };
    Some(format!("the key is now called {new}"))
}

fn is_same_table(pattern: &str, table: &str) -> bool {
    match pattern.split_once(".*") {
        Some((parent, _)) => table.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};
    use crate::plugin::Sidecar;

    /// The error of a file with one key, or nothing. `sandbus.toml` has some tables; sidecars have the others.
    fn refusal(table: &str, key: &str) -> String {
        let head = if table.is_empty() { String::new() } else { format!("[{}]\n", table.replace('*', "orders")) };
        let text = format!("{head}{key} = 1\n");
        if !["", "bus", "sandbox"].contains(&table) {
            return Sidecar::parse(&text).err().unwrap_or_default();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
        Config::load(&overrides).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_former_key_is_refused_with_the_new_name() {
        let rules = RENAMED_RULES.iter().map(|(old, new)| ("subscriptions.*", *old, new.split('`').nth(1).unwrap()));
        for (table, old, new) in RENAMED.iter().copied().chain(rules) {
            let refused = refusal(table, old);
            assert!(refused.contains(&format!("the key is now called `{new}`")), "{table} {old}: {refused}");
            let known = refusal(table, new);
            assert!(!known.contains("unknown key"), "{table} {new}: {known}");
        }
        assert_eq!(advice("limits.attempts"), None);
        assert_eq!(advice("subscriptions"), None);
    }
}
