//! Finds the known name that a misspelt one probably stands for.

/// The shortest beginning of a name that stands for the name.
const MIN_PREFIX: usize = 4;

/// The known name that differs least from a word, or else one that begins with it; none if all differ too much.
#[must_use]
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    // A third of the characters may differ. Beyond that, the advice would be a guess.
    let most = (word.chars().count() / 3).max(1);
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let near = names.clone().into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= most);
    let near = near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name);
    let is_longer = |name: &&str| word.len() >= MIN_PREFIX && name.starts_with(word);
    near.or_else(|| names.into_iter().find(is_longer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_found() {
        let names = ["max_backlog", "max_log_bytes", "timeout", "one_in"];
        for (word, expected) in [
            ("timeout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("max_backlogs", Some("max_backlog")),
            ("maxlogbytes", Some("max_log_bytes")),
            ("one-in", Some("one_in")),
            ("max_log", Some("max_log_bytes")),
            ("max", None),
            ("memory", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
