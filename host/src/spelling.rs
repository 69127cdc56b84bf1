//! Finds the known name that a misspelt one probably stands for.

/// The known name that differs least from a word; none if all differ too much.
#[must_use]
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the characters may differ. Beyond that, the advice would be a guess.
    let most = (word.chars().count() / 3).max(1);
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let near = known.into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_found() {
        let known = ["max_backlog", "max_log_bytes", "timeout", "one_in"];
        for (word, expected) in [
            ("timeout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("max_backlogs", Some("max_backlog")),
            ("maxlogbytes", Some("max_log_bytes")),
            ("one-in", Some("one_in")),
            ("memory", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
