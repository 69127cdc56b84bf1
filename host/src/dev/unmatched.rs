//! Hints about event types that no subscription matches.

use std::collections::BTreeSet;

use crate::bus::{Catalogue, FeedEntry};
use crate::plugin::RegistrySnapshot;
use crate::subscription::Target;

/// The number of subscriptions that a hint names.
const MAX_SUGGESTIONS: usize = 3;

/// The event types that no subscription matches, each reported once.
#[derive(Debug, Default)]
pub(super) struct UnmatchedTypes {
    reported: BTreeSet<String>,
}

impl UnmatchedTypes {
    /// The hint about a type that no subscription matches, with the subscriptions whose patterns are similar. None if a
    /// subscription matches, or if the type was reported.
    pub(super) fn hint(&mut self, event_type: &str, subscriptions: &[&FeedEntry]) -> Option<String> {
        if is_matched(event_type, subscriptions) {
            // A subscription that is deleted later makes a new report.
            self.reported.remove(event_type);
            return None;
        }
        self.reported.insert(event_type.to_owned()).then(|| describe(event_type, subscriptions))
    }
}

/// The subscriptions, without those that a running plugin no longer declares: no handler receives their events.
pub(super) fn handled<'a>(catalogue: &'a Catalogue, registry: &RegistrySnapshot) -> Vec<&'a FeedEntry> {
    let is_handled = |entry: &&FeedEntry| match &entry.definition.target {
        Target::Plugin(plugin) if !entry.dynamic => {
            registry.plugins.get(plugin).is_none_or(|generation| generation.declares(&entry.id.name))
        }
        _ => true,
    };
    catalogue.subscriptions().map(|entry| &**entry).filter(is_handled).collect()
}

/// Whether a subscription matches a type.
pub(super) fn is_matched(event_type: &str, subscriptions: &[&FeedEntry]) -> bool {
    subscriptions.iter().any(|entry| entry.definition.pattern.matches(event_type))
}

fn describe(event_type: &str, subscriptions: &[&FeedEntry]) -> String {
    let all = subscriptions.iter().map(|entry| (entry.definition.pattern.as_str(), entry.id.to_string()));
    let similar = similar(event_type, all);
    let similar: Vec<_> = similar.into_iter().map(|(pattern, id)| format!("{pattern} ({id})")).collect();
    match similar.as_slice() {
        [] => format!("no subscription matches the type {event_type}"),
        found => format!("no subscription matches the type {event_type}; similar: {}", found.join(", ")),
    }
}

/// The subscriptions whose patterns are similar to a type, most similar first.
fn similar<'a>(event_type: &str, all: impl Iterator<Item = (&'a str, String)>) -> Vec<(&'a str, String)> {
    let mut found: Vec<_> =
        all.filter_map(|(pattern, id)| Some((distance(event_type, pattern)?, pattern, id))).collect();
    found.sort();
    found.into_iter().take(MAX_SUGGESTIONS).map(|(_, pattern, id)| (pattern, id)).collect()
}

/// How far a type is from matching a pattern, as the number of other words and of wrong letters; none if they have
/// little in common. One word at the end may be missing or additional, or one of several words may be another one.
fn distance(event_type: &str, pattern: &str) -> Option<(usize, usize)> {
    let (written, wanted): (Vec<_>, Vec<_>) = (event_type.split('.').collect(), pattern.split('.').collect());
    let plain = wanted.strip_suffix(&[">"]).unwrap_or(&wanted);
    let surplus = if plain.len() < wanted.len() { 0 } else { written.len().abs_diff(plain.len()) };
    let (mut others, mut letters, mut has_equal) = (0, surplus, false);
    for (written, wanted) in written.iter().zip(plain).filter(|(_, wanted)| **wanted != "*") {
        let wrong = edit_distance(&written.to_lowercase(), &wanted.to_lowercase());
        has_equal |= wrong == 0;
        letters += wrong;
        others += usize::from(wrong > wanted.len().max(3) / 3);
    }
    let is_similar = match others {
        0 => surplus <= 1 && (has_equal || letters > 0),
        1 => surplus == 0 && has_equal,
        _ => false,
    };
    is_similar.then_some((others, letters))
}

/// The number of letters to insert, delete or replace (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_patterns_are_found() {
        let patterns = ["order.placed", "order.cancelled", "payment.captured", "user.*", "stock.>", ">"];
        let cases: [(&str, &[&str]); 9] = [
            ("payment.capturd", &["payment.captured"]),
            ("Order.Placed", &["order.placed", "order.cancelled"]),
            ("order.paid", &["order.placed", "order.cancelled"]),
            ("order.placed.v2", &["order.placed"]),
            ("order", &["order.cancelled", "order.placed"]),
            ("user.account.closed", &["user.*"]),
            ("stok.reserved.late", &["stock.>"]),
            ("invoice.sent", &[]),
            ("", &[]),
        ];
        for (event_type, expected) in cases {
            let found = similar(event_type, patterns.into_iter().map(|pattern| (pattern, String::new())));
            let found: Vec<_> = found.into_iter().map(|(pattern, _)| pattern).collect();
            assert_eq!(found, expected, "{event_type}");
        }
    }
}
