//! The numbers that invocations draw from sequences. After a crash, a sequence skips numbers, so a run with a crash has
//! other numbers than a run without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::event::Position;
use crate::outcome::{Listing, NextNumber, StateError, StateRead, StateView, Version};

/// The name of a sequence, with the plugin that owns it.
type SequenceId = (String, String);
/// The numbers that each invocation drew from each sequence, in the order of the invocations.
pub(super) type DrawnNumbers = BTreeMap<SequenceId, Vec<Vec<u64>>>;

/// Records the numbers that the invocations of a run draw.
#[derive(Clone, Debug, Default)]
pub(super) struct DrawRecorder(Arc<Mutex<Vec<RecordedInvocation>>>);

#[derive(Debug)]
struct RecordedInvocation {
    /// The delivery or request.
    subject: String,
    drawn: Vec<(SequenceId, u64)>,
}

impl DrawRecorder {
    /// Returns a view of a plugin's state that records the draws of an invocation. If the same delivery or request runs
    /// again, the numbers of the last time replace the earlier ones.
    pub(super) fn record(&self, subject: &str, plugin: &str, state: Box<dyn StateView>) -> Box<dyn StateView> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|invocation| invocation.subject == subject).unwrap_or_else(|| {
            all.push(RecordedInvocation { subject: subject.to_owned(), drawn: Vec::new() });
            all.len() - 1
        });
        all[index].drawn.clear();
        Box::new(RecordedState { state, recorder: self.clone(), index, plugin: plugin.to_owned() })
    }

    /// The numbers that were drawn so far.
    pub(super) fn drawn(&self) -> DrawnNumbers {
        let mut numbers = DrawnNumbers::new();
        for invocation in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let mut of_invocation: BTreeMap<&SequenceId, Vec<u64>> = BTreeMap::new();
            for (sequence, number) in &invocation.drawn {
                of_invocation.entry(sequence).or_default().push(*number);
            }
            for (sequence, drawn) in of_invocation {
                numbers.entry(sequence.clone()).or_default().push(drawn);
            }
        }
        numbers
    }
}

/// A plugin's state during an invocation.
struct RecordedState {
    state: Box<dyn StateView>,
    recorder: DrawRecorder,
    index: usize,
    plugin: String,
}

impl StateView for RecordedState {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        self.state.get(key)
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.state.keys(after, limit)
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        self.state.changed_up_to(read)
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        let (drawing, recorder, index) = (self.state.draw(sequence), self.recorder.clone(), self.index);
        let sequence = (self.plugin.clone(), sequence.to_owned());
        Box::pin(async move {
            let number = drawing.await?;
            let mut all = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
            all[index].drawn.push((sequence, number));
            Ok(number)
        })
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        self.state.unreserved(sequence)
    }
}

/// The numbers of a run with a crash that stand for other numbers of the run without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Renumbering {
    /// A number with the crash, and the number in its place without.
    pairs: BTreeSet<(u64, u64)>,
    /// The first pair of each sequence, by the sequence's name.
    examples: BTreeMap<String, (u64, u64)>,
}

impl Renumbering {
    /// Compares the numbers of two runs, invocation by invocation.
    pub(super) fn between(without: &DrawnNumbers, with: &DrawnNumbers) -> Self {
        let mut renumbering = Self::default();
        for ((plugin, sequence), with) in with {
            let without = without.get(&(plugin.clone(), sequence.clone())).map_or(&[][..], Vec::as_slice);
            let numbers = |(with, without): (&Vec<u64>, &Vec<u64>)| {
                with.iter().copied().zip(without.iter().copied()).collect::<Vec<_>>()
            };
            let differing = with.iter().zip(without).flat_map(numbers).filter(|(with, without)| with != without);
            for pair in differing {
                renumbering.pairs.insert(pair);
                renumbering.examples.entry(sequence.clone()).or_insert(pair);
            }
        }
        renumbering
    }

    /// Whether a value equals the expected one, apart from the numbers.
    pub(super) fn accepts(&self, expected: &Value, actual: &Value) -> bool {
        match (expected, actual) {
            (Value::Number(expected), Value::Number(actual)) => {
                let pair = actual.as_u64().zip(expected.as_u64());
                pair.is_some_and(|pair| self.pairs.contains(&pair))
            }
            (Value::String(expected), Value::String(actual)) => self.accepts_text(expected, actual),
            _ => false,
        }
    }

    /// The names in a map that may stand for the expected one: those with other numbers, and then the same.
    pub(super) fn names_for<'a>(
        &self,
        expected: &str,
        names: impl Iterator<Item = &'a String> + Clone,
    ) -> Vec<&'a str> {
        let renamed = names.clone().filter(|name| *name != expected && self.accepts_text(expected, name));
        renamed.chain(names.filter(|name| *name == expected)).map(String::as_str).collect()
    }

    /// Whether a name can stand only for the expected one.
    pub(super) fn stands_only_for(&self, expected: &str, name: &str) -> bool {
        let is_clear = |number: u64| self.pairs.iter().filter(|(with, _)| *with == number).count() < 2;
        parts(expected)
            .into_iter()
            .zip(parts(name))
            .all(|(expected, part)| part == expected || part.parse().is_ok_and(is_clear))
    }

    /// Whether two texts are equal, apart from decimal numbers in them.
    fn accepts_text(&self, expected: &str, actual: &str) -> bool {
        if self.pairs.is_empty() {
            return expected == actual;
        }
        let (expected, actual) = (parts(expected), parts(actual));
        let is_accepted = |(expected, actual): (&&str, &&str)| {
            let pair = actual.parse().ok().zip(expected.parse().ok());
            expected == actual || pair.is_some_and(|pair| self.pairs.contains(&pair))
        };
        expected.len() == actual.len() && expected.iter().zip(&actual).all(is_accepted)
    }

    /// Describes the numbers that differ, because they may be the reason of another difference.
    pub(super) fn describe(&self) -> Option<String> {
        let one = |(sequence, (with, without)): (&String, &(u64, u64))| {
            format!("the sequence `{sequence}` gave {with} instead of {without}")
        };
        let all: Vec<_> = self.examples.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("after the crash, {}: sequences skip numbers", all.join(", ")))
    }
}

/// Splits a text into numbers and what is between them.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|character: char| character.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawn(sequence: &str, numbers: &[&[u64]]) -> DrawnNumbers {
        let numbers = numbers.iter().map(|numbers| numbers.to_vec()).collect();
        DrawnNumbers::from([(("shop".to_owned(), sequence.to_owned()), numbers)])
    }

    #[test]
    fn only_drawn_numbers_may_differ_in_values_and_texts() {
        let numbers = Renumbering::between(&drawn("orders", &[&[1], &[2, 3]]), &drawn("orders", &[&[1], &[17, 18]]));
        for (expected, actual, accepted) in [
            (json!(2), json!(17), true),
            (json!(3), json!(18), true),
            (json!(2), json!(18), false),
            (json!(1), json!(17), false),
            (json!(17), json!(2), false),
            (json!(-2), json!(17), false),
            (json!("order/2"), json!("order/17"), true),
            (json!("2 of 3"), json!("17 of 18"), true),
            (json!("order/0002"), json!("order/0017"), true),
            (json!("order/2"), json!("order/2"), true),
            (json!("order/2"), json!("bill/17"), false),
            (json!("order/2"), json!("order/17/1"), false),
            (json!("2"), json!(17), false),
        ] {
            assert_eq!(numbers.accepts(&expected, &actual), accepted, "{expected} {actual}");
        }
        let names = ["order/1", "order/17", "order/18"].map(str::to_owned);
        for (expected, found) in
            [("order/1", &["order/1"][..]), ("order/2", &["order/17"]), ("order/17", &["order/17"]), ("order/4", &[])]
        {
            assert_eq!(numbers.names_for(expected, names.iter()), found);
        }
        let note = "after the crash, the sequence `orders` gave 17 instead of 2: sequences skip numbers";
        assert_eq!(numbers.describe().as_deref(), Some(note));
    }

    #[test]
    fn a_number_of_two_sequences_has_two_meanings() {
        let [mut without, mut with] = [drawn("orders", &[&[1]]), drawn("orders", &[&[17]])];
        without.extend(drawn("bills", &[&[2]]));
        with.extend(drawn("bills", &[&[17]]));
        let numbers = Renumbering::between(&without, &with);
        let names = ["order/17".to_owned()];
        assert_eq!(numbers.names_for("order/1", names.iter()), ["order/17"]);
        assert_eq!(numbers.names_for("order/2", names.iter()), ["order/17"]);
        assert!(!numbers.stands_only_for("order/2", "order/17") && numbers.stands_only_for("order/5", "order/5"));
    }

    #[test]
    fn equal_runs_need_no_renumbering() {
        let same = drawn("orders", &[&[1], &[2]]);
        let numbers = Renumbering::between(&same, &same);
        assert_eq!((numbers.describe(), numbers.accepts_text("a1", "a2")), (None, false));
        assert_eq!(Renumbering::between(&DrawnNumbers::new(), &same), Renumbering::default());
    }
}
