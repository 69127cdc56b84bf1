//! Buffers the effects of an invocation until they are committed or discarded. Reads see the invocation's own writes on
//! top of a snapshot of the state, and are recorded, so that the commit can check that they still hold.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::outcome::{
    AddError, Effects, NextNumber, Publish, SequenceError, StateError, StateView, SubscriptionChange, Version, Write,
    add,
};
use crate::plugin::manifest::limits::Limits;

/// How many keys a page of a listing has.
const PAGE: usize = 256;
/// The longest key, in bytes.
pub(crate) const KEY_BYTES: usize = 1_024;
/// The largest definition of a subscription, in bytes. It stays in memory as long as the subscription exists.
const RULES_BYTES: usize = 32 << 10;
/// The size of the read cache. Values beyond it are read from the state each time.
const READ_CACHE_BYTES: usize = 8 << 20;

/// The effects of an invocation so far.
pub(crate) struct Buffer {
    state: Box<dyn StateView>,
    limits: Limits,
    effects: Effects,
    /// A cache of the values that were read.
    cache: BTreeMap<String, Option<Vec<u8>>>,
    cached_bytes: usize,
    bytes: usize,
}

/// Why an effect or a read is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BufferError {
    #[error("an invocation may {0} at most {1}")]
    TooMany(&'static str, usize),
    #[error("the effects of an invocation may have at most {0} bytes in total")]
    TooLarge(usize),
    #[error("the definition of a subscription may have at most {RULES_BYTES} bytes")]
    Rules,
    #[error("a key may have at most {KEY_BYTES} bytes")]
    Key,
    #[error("cannot add to `{0}`: {1}")]
    Add(String, AddError),
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl Buffer {
    pub(crate) fn new(state: Box<dyn StateView>, limits: Limits) -> Self {
        Self { state, limits, effects: Effects::default(), cache: BTreeMap::new(), cached_bytes: 0, bytes: 0 }
    }

    pub(crate) fn into_effects(self) -> Effects {
        self.effects
    }

    /// Whether there are any effects so far.
    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// How many events were published so far.
    pub(crate) fn published(&self) -> usize {
        self.effects.publishes.len()
    }

    pub(crate) fn publish(&mut self, event: Event, due: Option<Timestamp>) -> Result<(), BufferError> {
        if self.effects.publishes.len() >= self.limits.publishes {
            return Err(BufferError::TooMany("publish events:", self.limits.publishes));
        }
        self.add_bytes(event.size_bytes())?;
        self.effects.publishes.push(Publish { event, due });
        Ok(())
    }

    /// Removes all published events after the first `count`.
    pub(crate) fn truncate_published(&mut self, count: usize) {
        for publish in self.effects.publishes.drain(count..) {
            self.bytes -= publish.event.size_bytes();
        }
    }

    /// Whether an event with this id was published.
    pub(crate) fn has_published(&self, id: &str) -> bool {
        self.effects.publishes.iter().any(|publish| publish.event.id == id)
    }

    /// Cancels an event that is due later, even if this invocation published it.
    pub(crate) fn cancel(&mut self, id: String) -> Result<(), BufferError> {
        if self.effects.cancels.len() >= self.limits.publishes {
            return Err(BufferError::TooMany("cancel events:", self.limits.publishes));
        }
        self.add_bytes(id.len())?;
        self.effects.publishes.retain(|publish| publish.event.id != id || publish.due.is_none());
        self.effects.cancels.push(id);
        Ok(())
    }

    pub(crate) fn subscribe(&mut self, change: SubscriptionChange) -> Result<(), BufferError> {
        if self.effects.subscriptions.len() >= self.limits.subscriptions {
            return Err(BufferError::TooMany("change subscriptions:", self.limits.subscriptions));
        }
        let bytes = match &change {
            SubscriptionChange::Subscribe { definition, .. } => {
                serde_json::to_string(definition).map_or(0, |text| text.len())
            }
            SubscriptionChange::Unsubscribe { name } => name.len(),
        };
        if bytes > RULES_BYTES {
            return Err(BufferError::Rules);
        }
        self.add_bytes(bytes)?;
        // A definition that is replaced within the invocation never takes effect. The start of the first one counts.
        let last = self.effects.subscriptions.iter_mut().rev().find(|other| other.name() == change.name());
        match (last, change) {
            (
                Some(SubscriptionChange::Subscribe { definition: replaced, .. }),
                SubscriptionChange::Subscribe { definition, .. },
            ) => *replaced = definition,
            (_, change) => self.effects.subscriptions.push(change),
        }
        Ok(())
    }

    pub(crate) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, BufferError> {
        match self.effects.writes.get(key) {
            Some(Write::Set(value)) => Ok(Some(value.clone())),
            Some(Write::Delete) => Ok(None),
            Some(&Write::Add(delta)) => {
                let value = self.read(key)?;
                let sum = add(value.as_deref(), delta).map_err(|error| BufferError::Add(key.to_owned(), error))?;
                Ok(Some(sum.to_string().into_bytes()))
            }
            None => self.read(key),
        }
    }

    /// Reads the state below the invocation's own writes, and records the version.
    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, BufferError> {
        let is_recorded = self.effects.reads.keys.contains_key(key);
        if let Some(value) = self.cache.get(key)
            && is_recorded
        {
            return Ok(value.clone());
        }
        if self.effects.reads.keys.len() >= self.limits.keys && !is_recorded {
            return Err(BufferError::TooMany("read keys:", self.limits.keys));
        }
        let (value, version) = self.read_state(key)?;
        self.effects.reads.keys.insert(key.to_owned(), version);
        Ok(value)
    }

    /// Reads the state, and caches the value if it fits.
    fn read_state(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), BufferError> {
        if key.len() > KEY_BYTES {
            return Err(BufferError::Key);
        }
        let (value, version) = self.state.get(key)?;
        let size = 2 * size_of::<String>() + key.len() + value.as_ref().map_or(0, Vec::len);
        if self.cached_bytes + size <= READ_CACHE_BYTES && !self.cache.contains_key(key) {
            self.cached_bytes += size;
            self.cache.insert(key.to_owned(), value.clone());
        }
        Ok((value, version))
    }

    pub(crate) fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), BufferError> {
        self.write(key, Write::Set(value))
    }

    pub(crate) fn delete(&mut self, key: String) -> Result<(), BufferError> {
        self.write(key, Write::Delete)
    }

    /// Adds to a number and returns the sum. This is a read, so the commit checks that the value has not changed.
    pub(crate) fn increment(&mut self, key: String, delta: i64) -> Result<i64, BufferError> {
        let value = self.get(&key)?;
        let sum = add(value.as_deref(), delta).map_err(|error| BufferError::Add(key.clone(), error))?;
        // Adding zero is only a read.
        if delta != 0 {
            self.write(key, Write::Set(decimal(sum)))?;
        }
        Ok(sum)
    }

    /// Adds to a number without reading it, so that concurrent additions do not conflict. A value that this invocation
    /// has set is changed directly.
    pub(crate) fn add(&mut self, key: String, delta: i64) -> Result<(), BufferError> {
        let error = |error| BufferError::Add(key.clone(), error);
        let write = match self.effects.writes.get(&key) {
            Some(Write::Set(value)) => Write::Set(decimal(add(Some(value), delta).map_err(error)?)),
            Some(Write::Delete) => Write::Set(decimal(delta)),
            None | Some(Write::Add(_)) => Write::Add(self.merged(&key, delta)?),
        };
        if delta == 0 { Ok(()) } else { self.write(key, write) }
    }

    /// The total that this invocation adds to a key. The sum is checked against the value that is visible now; the
    /// commit checks it again.
    fn merged(&mut self, key: &str, delta: i64) -> Result<i64, BufferError> {
        let before = if let Some(Write::Add(before)) = self.effects.writes.get(key) { *before } else { 0 };
        let error = |error| BufferError::Add(key.to_owned(), error);
        let total = before.checked_add(delta).ok_or_else(|| error(AddError::OutOfRange))?;
        let base = self.read_untracked(key)?;
        if let Err(refusal) = add(base.as_deref(), total) {
            // The handler learns something about the value, which the commit must check like any read.
            self.read(key)?;
            return Err(error(refusal));
        }
        Ok(total)
    }

    /// Draws a number of a sequence. This is not an effect: the number is used up even if the invocation fails.
    pub(crate) fn draw(&mut self, sequence: &str) -> Result<NextNumber, BufferError> {
        if sequence.len() > KEY_BYTES {
            return Err(BufferError::Key);
        }
        Ok(self.state.draw(sequence))
    }

    fn read_untracked(&mut self, key: &str) -> Result<Option<Vec<u8>>, BufferError> {
        if let Some(value) = self.cache.get(key) {
            return Ok(value.clone());
        }
        Ok(self.read_state(key)?.0)
    }

    fn write(&mut self, key: String, write: Write) -> Result<(), BufferError> {
        if key.len() > KEY_BYTES {
            return Err(BufferError::Key);
        }
        let writes = &self.effects.writes;
        if writes.len() >= self.limits.keys && !writes.contains_key(&key) {
            return Err(BufferError::TooMany("write keys:", self.limits.keys));
        }
        let size = |write: &Write| if let Write::Set(value) = write { value.len() } else { 0 };
        let before = writes.get(&key).map_or(0, |before| key.len() + size(before));
        self.bytes -= before;
        if let Err(refused) = self.add_bytes(key.len() + size(&write)) {
            self.bytes += before;
            return Err(refused);
        }
        self.effects.writes.insert(key, write);
        Ok(())
    }

    fn add_bytes(&mut self, count: usize) -> Result<(), BufferError> {
        if self.bytes + count > self.limits.effect_bytes {
            return Err(BufferError::TooLarge(self.limits.effect_bytes));
        }
        self.bytes += count;
        Ok(())
    }

    /// A page of keys after a key, and the key after which the next page starts.
    pub(crate) fn keys(&mut self, after: Option<&str>) -> Result<(Vec<String>, Option<String>), BufferError> {
        let (below, listing) = self.state.keys(after, PAGE)?;
        self.effects.reads.listing = Some(listing);
        // If the page is full, the state may have more keys. Then the invocation's own keys beyond this page belong to
        // a later page.
        let end = (below.len() == PAGE).then(|| below.last().cloned()).flatten();
        let mut keys: std::collections::BTreeSet<String> = below.into_iter().collect();
        for (key, write) in &self.effects.writes {
            let within = after.is_none_or(|after| key.as_str() > after) && end.as_ref().is_none_or(|end| key <= end);
            match write {
                Write::Delete => drop(keys.remove(key)),
                Write::Set(_) | Write::Add(_) if within => drop(keys.insert(key.clone())),
                Write::Set(_) | Write::Add(_) => {}
            }
        }
        Ok((keys.into_iter().collect(), end))
    }

    /// A page of the keys that begin with a prefix. Keys and cursors are given and returned without the prefix.
    pub(crate) fn keys_with_prefix(
        &mut self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), BufferError> {
        if prefix.is_empty() {
            return self.keys(after);
        }
        let (page, next) = self.keys(Some(&format!("{prefix}{}", after.unwrap_or_default())))?;
        let mut keys: Vec<_> = page.iter().filter_map(|key| key.strip_prefix(prefix)).map(str::to_owned).collect();
        // The page has only keys after the prefix, and so lacks the key that equals it: the empty key.
        if after.is_none() && self.get(prefix)?.is_some() {
            keys.insert(0, String::new());
        }
        // Keys are sorted, so no key after this one has the prefix.
        let next = next.and_then(|key| key.strip_prefix(prefix).map(str::to_owned));
        Ok((keys, next))
    }
}

fn decimal(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Listing;

    struct Fixed(BTreeMap<String, Vec<u8>>);

    impl StateView for Fixed {
        fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
            let value = self.0.get(key).cloned();
            let version = Version(u64::from(value.is_some()));
            Ok((value, version))
        }

        fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
            let keys = self.0.keys().filter(|key| after.is_none_or(|after| key.as_str() > after));
            Ok((keys.take(limit).cloned().collect(), Listing::default()))
        }

        fn draw(&mut self, _: &str) -> NextNumber {
            Box::pin(async { Ok(1) })
        }

        fn unreserved(&mut self, _: &str) -> Result<u64, StateError> {
            Ok(1)
        }
    }

    fn buffer(pairs: &[(&str, &str)]) -> Buffer {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        Buffer::new(Box::new(Fixed(pairs.collect())), Limits { effect_bytes: 100, ..Limits::default() })
    }

    /// The Rust SDK tells the kinds of errors of `wasi:keyvalue` by the start of their texts.
    #[test]
    fn errors_of_the_state_start_as_the_sdk_expects() {
        let add = BufferError::Add("k".to_owned(), AddError::NotANumber).to_string();
        assert_eq!(add, "cannot add to `k`: its value is not a number");
        let unavailable = BufferError::State(StateError("gone".to_owned())).to_string();
        assert_eq!(unavailable, "the plugin's state cannot be read: gone");
    }

    #[test]
    fn reads_see_own_writes_and_are_remembered() {
        let mut buffer = buffer(&[("a", "1"), ("b", "2")]);
        assert_eq!(buffer.get("a").unwrap(), Some(b"1".to_vec()));
        buffer.set("a".into(), b"3".to_vec()).unwrap();
        assert_eq!(buffer.get("a").unwrap(), Some(b"3".to_vec()));
        buffer.delete("b".into()).unwrap();
        assert_eq!(buffer.get("b").unwrap(), None);
        assert_eq!(buffer.keys(None).unwrap().0, ["a"]);
        let reads = buffer.into_effects().reads;
        assert_eq!(reads.keys.keys().collect::<Vec<_>>(), ["a"], "a blind write reads nothing");
        assert!(reads.listing.is_some());
    }

    #[test]
    fn keys_with_a_prefix_are_listed_without_it() {
        let many: Vec<_> = (0..2 * PAGE).map(|number| format!("b/{number:04}")).collect();
        let mut pairs: Vec<_> = many.iter().map(|key| (key.as_str(), "")).collect();
        pairs.extend([("a/1", ""), ("b", ""), ("b/", ""), ("b-2/1", ""), ("c/1", "")]);
        let mut buffer = buffer(&pairs);
        buffer.set("b/9999".into(), Vec::new()).unwrap();
        buffer.set("d".into(), Vec::new()).unwrap();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let (keys, next) = buffer.keys_with_prefix("b/", cursor.as_deref()).unwrap();
            found.extend(keys);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<_> = many.iter().map(|key| key["b/".len()..].to_owned()).collect();
        assert_eq!(found, [vec![String::new()], expected, vec!["9999".to_owned()]].concat());
        assert_eq!(buffer.keys_with_prefix("a/", None).unwrap(), (vec!["1".to_owned()], None));
        assert_eq!(buffer.keys_with_prefix("x/", None).unwrap(), (Vec::new(), None));
        assert_eq!(buffer.keys_with_prefix("", Some("c")).unwrap(), buffer.keys(Some("c")).unwrap());
    }

    #[test]
    fn an_increment_is_a_read_and_a_write() {
        let mut buffer = buffer(&[("n", "40")]);
        assert_eq!(buffer.increment("n".into(), 1).unwrap(), 41);
        assert_eq!(buffer.increment("n".into(), 1).unwrap(), 42);
        let effects = buffer.into_effects();
        assert_eq!(effects.writes["n"], Write::Set(b"42".to_vec()));
        assert_eq!(effects.reads.keys["n"], Version(1));
    }

    #[test]
    fn additions_add_up_without_reading() {
        let mut buffer = buffer(&[("n", "40")]);
        for delta in [1, 0, 2] {
            buffer.add("n".into(), delta).unwrap();
        }
        buffer.add("other".into(), 0).unwrap();
        let effects = buffer.into_effects();
        assert_eq!(effects.writes, [("n".to_owned(), Write::Add(3))].into());
        assert!(effects.reads.keys.is_empty());
    }

    #[test]
    fn a_read_after_an_addition_is_recorded() {
        let mut buffer = buffer(&[("n", "40")]);
        buffer.add("n".into(), 1).unwrap();
        assert_eq!(buffer.get("n").unwrap(), Some(b"41".to_vec()));
        assert_eq!(buffer.increment("n".into(), 1).unwrap(), 42);
        let effects = buffer.into_effects();
        assert_eq!(effects.writes["n"], Write::Set(b"42".to_vec()));
        assert_eq!(effects.reads.keys["n"], Version(1));
    }

    #[test]
    fn a_refused_addition_changes_nothing_and_is_a_read() {
        let largest = i64::MAX.to_string();
        let mut buffer = buffer(&[("text", "x"), ("largest", &largest)]);
        for (key, expected) in [("text", AddError::NotANumber), ("largest", AddError::OutOfRange)] {
            assert!(matches!(buffer.add(key.into(), 1), Err(BufferError::Add(_, error)) if error == expected), "{key}");
            assert!(matches!(buffer.increment(key.into(), 1), Err(BufferError::Add(_, error)) if error == expected));
        }
        buffer.add("sum".into(), i64::MAX).unwrap();
        assert!(matches!(buffer.add("sum".into(), 1), Err(BufferError::Add(_, AddError::OutOfRange))));
        let effects = buffer.into_effects();
        assert_eq!(effects.writes, [("sum".to_owned(), Write::Add(i64::MAX))].into());
        assert_eq!(effects.reads.keys.keys().collect::<Vec<_>>(), ["largest", "text"]);
    }

    /// An operation of a handler on a key.
    #[derive(Clone, Debug)]
    enum Operation {
        Get,
        Set(Vec<u8>),
        Delete,
        Add(i64),
        Increment(i64),
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![Just("x".to_owned()), any::<i64>().prop_map(|number| number.to_string())];
        prop_oneof![Just("7".to_owned()), Just(i64::MAX.to_string()), text].prop_map(String::into_bytes)
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let delta = || prop_oneof![-2..3_i64, Just(i64::MAX), Just(i64::MIN)];
        prop_oneof![
            Just(Operation::Get),
            value().prop_map(Operation::Set),
            Just(Operation::Delete),
            delta().prop_map(Operation::Add),
            delta().prop_map(Operation::Increment),
        ]
    }

    /// The value that the commit stores for a write.
    fn committed(base: Option<Vec<u8>>, write: Option<&Write>) -> Option<Vec<u8>> {
        match write {
            None => base,
            Some(Write::Set(value)) => Some(value.clone()),
            Some(Write::Delete) => None,
            Some(Write::Add(delta)) => Some(decimal(add(base.as_deref(), *delta).unwrap())),
        }
    }

    proptest! {
        /// In any order of calls on one key, each call sees those before it, and the commit stores the last value. The
        /// one exception: additions alone must stay in range together, before they meet the value.
        #[test]
        fn calls_on_one_key_act_in_sequence(
            base in proptest::option::of(value()),
            operations in proptest::collection::vec(operation(), 0..8),
        ) {
            let state = base.iter().map(|value| ("k".to_owned(), value.clone())).collect();
            let mut buffer = Buffer::new(Box::new(Fixed(state)), Limits::default());
            let mut model = base.clone();
            for operation in operations {
                let merges = matches!(buffer.effects.writes.get("k"), None | Some(Write::Add(_)));
                match operation {
                    Operation::Get => {
                        let (seen, expected) = (buffer.get("k").unwrap(), model.clone());
                        prop_assert_eq!(seen, expected);
                        prop_assert!(!merges || buffer.effects.reads.keys.contains_key("k"));
                    }
                    Operation::Set(value) => {
                        buffer.set("k".into(), value.clone()).unwrap();
                        model = Some(value);
                    }
                    Operation::Delete => {
                        buffer.delete("k".into()).unwrap();
                        model = None;
                    }
                    Operation::Increment(delta) => match (buffer.increment("k".into(), delta), add(model.as_deref(), delta)) {
                        (Ok(sum), Ok(expected)) => {
                            prop_assert_eq!(sum, expected);
                            model = if delta == 0 { model } else { Some(decimal(sum)) };
                            prop_assert!(!merges || buffer.effects.reads.keys.contains_key("k"));
                        }
                        (Err(BufferError::Add(_, error)), Err(expected)) => prop_assert_eq!(error, expected),
                        (done, expected) => prop_assert!(false, "{done:?} and not {expected:?}"),
                    },
                    Operation::Add(delta) => {
                        let before = if let Some(Write::Add(before)) = buffer.effects.writes.get("k") { *before } else { 0 };
                        match (buffer.add("k".into(), delta), add(model.as_deref(), delta)) {
                            (Ok(()), Ok(sum)) => model = if delta == 0 { model } else { Some(decimal(sum)) },
                            (Err(BufferError::Add(_, error)), Err(expected)) => prop_assert_eq!(error, expected),
                            (Err(BufferError::Add(..)), Ok(_)) => prop_assert!(before.checked_add(delta).is_none()),
                            (done, expected) => prop_assert!(false, "{done:?} and not {expected:?}"),
                        }
                    }
                }
            }
            prop_assert_eq!(committed(base, buffer.into_effects().writes.get("k")), model);
        }
    }

    #[test]
    fn effects_are_bounded_together() {
        let mut buffer = buffer(&[]);
        buffer.set("a".into(), vec![0; 90]).unwrap();
        assert!(matches!(buffer.set("b".into(), vec![0; 90]), Err(BufferError::TooLarge(_))));
        buffer.set("a".into(), vec![0; 9]).unwrap();
        buffer.set("b".into(), vec![0; 80]).unwrap();
    }

    #[test]
    fn reads_are_bounded_too() {
        let mut buffer = buffer(&[]);
        let long = "k".repeat(KEY_BYTES + 1);
        assert!(matches!(buffer.get(&long), Err(BufferError::Key)));
        assert!(matches!(buffer.increment(long.clone(), 0), Err(BufferError::Key)));
        assert!(matches!(buffer.add(long.clone(), 1), Err(BufferError::Key)));
        assert!(matches!(buffer.draw(&long), Err(BufferError::Key)));

        let large = vec![b'x'; READ_CACHE_BYTES / 3];
        let large: BTreeMap<_, _> = ["a", "b", "c", "d"].map(|key| (key.to_owned(), large.clone())).into();
        let mut buffer = Buffer::new(Box::new(Fixed(large)), Limits { keys: 4, ..Limits::default() });
        for key in ["a", "b", "c", "d", "d", "a"] {
            assert_eq!(buffer.get(key).unwrap().map(|value| value.len()), Some(READ_CACHE_BYTES / 3), "{key}");
        }
        assert_eq!(buffer.cache.len(), 2, "values that do not fit are read again");
        assert!(matches!(buffer.get("e"), Err(BufferError::TooMany(..))));
    }
}
