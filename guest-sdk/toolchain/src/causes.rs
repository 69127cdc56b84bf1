//! Formats errors with their causes.

use std::error::Error;

/// Formats an error with its causes. Text that a cause shares with its error is not repeated.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    for cause in chain.map(ToString::to_string) {
        if parts.iter().any(|shown| shown.contains(&cause)) {
            continue;
        }
        if parts.last().is_some_and(|shown| cause.starts_with(&**shown)) {
            parts.pop();
        }
        parts.push(cause);
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        cause: Option<Box<Layer>>,
    }

    fn text_of(layers: &[&'static str]) -> String {
        let error = layers.iter().rev().fold(None, |cause, text| Some(Box::new(Layer { text, cause })));
        causes(&*error.unwrap())
    }

    #[test]
    fn causes_are_not_repeated() {
        for (layers, expected) in [
            (&["a"][..], "a"),
            (&["cannot start", "no disk"], "cannot start: no disk"),
            (&["refused: no routes", "no routes"], "refused: no routes"),
            (&["/typo", "/typo: no such file"], "/typo: no such file"),
            (&["same", "same", "same"], "same"),
            (&["outer", "a: b", "b", "c"], "outer: a: b: c"),
        ] {
            assert_eq!(text_of(layers), expected);
        }
    }
}
