//! The answer of the guests that a benchmark compares.

use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Answer {
    name: &'static str,
    words: [&'static str; 4],
    number: u32,
}

pub(crate) const ANSWER: Answer =
    Answer { name: "a service that answers", words: ["with", "a", "few", "words"], number: 42 };
