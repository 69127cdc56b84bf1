//! Hints about event types that no subscription matches.

use std::collections::BTreeSet;

use crate::bus::Catalogue;

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
    pub(super) fn hint(&mut self, event_type: &str, catalogue: &Catalogue) -> Option<String> {
        if is_matched(event_type, catalogue) {
            // A subscription that is deleted later makes a new report.
            self.reported.remove(event_type);
            return None;
        }
        self.reported.insert(event_type.to_owned()).then(|| describe(event_type, catalogue))
    }
}

/// Whether a subscription matches a type.
pub(super) fn is_matched(event_type: &str, catalogue: &Catalogue) -> bool {
    catalogue.subscriptions().any(|entry| entry.definition.pattern.matches(event_type))
}

fn describe(event_type: &str, catalogue: &Catalogue) -> String {
    let all = catalogue.subscriptions().map(|entry| (entry.definition.pattern.as_str(), entry.id.to_string()));
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

/// How far a type is from matching a pattern; none if they have little in common. Words that are equal or match do not
/// count, misspelt words count by their letters, and one missing or additional word at the end counts as a misspelling.
fn distance(event_type: &str, pattern: &str) -> Option<usize> {
    let (written, wanted): (Vec<_>, Vec<_>) = (event_type.split('.').collect(), pattern.split('.').collect());
    let rest = wanted.last() == Some(&">");
    let wanted_plain = if rest { &wanted[..wanted.len() - 1] } else { &wanted[..] };
    let difference = if rest { 0 } else { written.len().abs_diff(wanted_plain.len()) };
    if difference > 1 {
        return None;
    }
    let mut total = difference;
    let mut has_equal = false;
    for (written, wanted) in written.iter().zip(wanted_plain) {
        if *wanted == "*" || written.eq_ignore_ascii_case(wanted) {
            has_equal |= *wanted != "*";
            total += usize::from(*wanted != "*" && written != wanted);
            continue;
        }
        let letters = edit_distance(written, wanted);
        // A different word: the others must be equal.
        total += if letters <= wanted.len().max(3) / 3 { letters } else { 100 };
    }
    // Of several words, one may be different.
    let is_similar = total < 100 || total < 200 && has_equal && written.len() == wanted_plain.len();
    (is_similar && (has_equal || total > 0)).then_some(total)
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
