//! What an invocation asks for, kept aside until it is committed or thrown away. Reads see the
//! invocation's own writes on top of the state as of one moment, and are remembered, so that the commit
//! can check that they still hold.

use std::collections::BTreeMap;

use super::limits::Limits;
use crate::clock::Timestamp;
use crate::event::Event;
use crate::outcome::{Effects, Publish, StateError, StateView, SubscriptionChange, Version, Write, add};

/// How many keys one page of a listing has.
const PAGE: usize = 256;
/// The longest key, in bytes.
const KEY_BYTES: usize = 1_024;
/// The most bytes of a subscription's rules, which stay in memory as long as it does.
const RULES_BYTES: usize = 32 << 10;
/// How many bytes of what was read are remembered; whatever is read beyond is read anew each time.
const SEEN_BYTES: usize = 8 << 20;

/// An invocation's effects so far.
pub(super) struct Buffer {
    state: Box<dyn StateView>,
    limits: Limits,
    effects: Effects,
    /// Values as they were read, so that the same read costs nothing again.
    seen: BTreeMap<String, Option<Vec<u8>>>,
    seen_bytes: usize,
    bytes: usize,
}

/// Why an effect or a read is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("an invocation may {0} at most {1}")]
    TooMany(&'static str, usize),
    #[error("the effects of an invocation may have {0} bytes together")]
    TooLarge(usize),
    #[error("the rules of a subscription have at most {RULES_BYTES} bytes")]
    Rules,
    #[error("a key has at most {KEY_BYTES} bytes")]
    Key,
    #[error("the value of `{0}` is no number, or the sum passes the range of i64")]
    NotANumber(String),
    #[error(transparent)]
    State(#[from] StateError),
}

impl Buffer {
    pub(super) fn new(state: Box<dyn StateView>, limits: Limits) -> Self {
        Self { state, limits, effects: Effects::default(), seen: BTreeMap::new(), seen_bytes: 0, bytes: 0 }
    }

    pub(super) fn into_effects(self) -> Effects {
        self.effects
    }

    /// Whether anything was asked for so far.
    pub(super) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// How many events were published so far.
    pub(super) fn published(&self) -> usize {
        self.effects.publishes.len()
    }

    pub(super) fn publish(&mut self, event: Event, due: Option<Timestamp>) -> Result<(), Refused> {
        if self.effects.publishes.len() >= self.limits.publishes {
            return Err(Refused::TooMany("publish events:", self.limits.publishes));
        }
        self.add_bytes(event.size_bytes())?;
        self.effects.publishes.push(Publish { event, due });
        Ok(())
    }

    /// Takes back what was published after the first `count`.
    pub(super) fn take_back_published(&mut self, count: usize) {
        for publish in self.effects.publishes.drain(count..) {
            self.bytes -= publish.event.size_bytes();
        }
    }

    /// Whether an event was published.
    pub(super) fn has_published(&self, id: &str) -> bool {
        self.effects.publishes.iter().any(|publish| publish.event.id == id)
    }

    /// Takes back an event that is to be published later, also if this invocation has published it.
    pub(super) fn cancel(&mut self, id: String) -> Result<(), Refused> {
        if self.effects.cancels.len() >= self.limits.publishes {
            return Err(Refused::TooMany("cancel events:", self.limits.publishes));
        }
        self.add_bytes(id.len())?;
        self.effects.publishes.retain(|publish| publish.event.id != id || publish.due.is_none());
        self.effects.cancels.push(id);
        Ok(())
    }

    pub(super) fn subscribe(&mut self, change: SubscriptionChange) -> Result<(), Refused> {
        if self.effects.subscriptions.len() >= self.limits.subscriptions {
            return Err(Refused::TooMany("change subscriptions:", self.limits.subscriptions));
        }
        let bytes = match &change {
            SubscriptionChange::Subscribe { definition, .. } => {
                serde_json::to_string(definition).map_or(0, |text| text.len())
            }
            SubscriptionChange::Unsubscribe { name } => name.len(),
        };
        if bytes > RULES_BYTES {
            return Err(Refused::Rules);
        }
        self.add_bytes(bytes)?;
        // Rules that are replaced at once are nobody's; where the subscription begins was said with the first.
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

    pub(super) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refused> {
        match self.effects.writes.get(key) {
            Some(Write::Set(value)) => Ok(Some(value.clone())),
            Some(Write::Delete) => Ok(None),
            Some(&Write::Add(delta)) => {
                let value = self.read(key)?;
                let sum = add(value.as_deref(), delta).ok_or_else(|| Refused::NotANumber(key.to_owned()))?;
                Ok(Some(sum.to_string().into_bytes()))
            }
            None => self.read(key),
        }
    }

    /// Reads the state below the invocation's own writes, and remembers the version.
    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refused> {
        let is_known = self.effects.reads.keys.contains_key(key);
        if let Some(value) = self.seen.get(key)
            && is_known
        {
            return Ok(value.clone());
        }
        if self.effects.reads.keys.len() >= self.limits.keys && !is_known {
            return Err(Refused::TooMany("read keys:", self.limits.keys));
        }
        let (value, version) = self.look(key)?;
        self.effects.reads.keys.insert(key.to_owned(), version);
        Ok(value)
    }

    /// Looks into the state, and remembers the value while there is room.
    fn look(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), Refused> {
        if key.len() > KEY_BYTES {
            return Err(Refused::Key);
        }
        let (value, version) = self.state.get(key)?;
        let size = 2 * size_of::<String>() + key.len() + value.as_ref().map_or(0, Vec::len);
        if self.seen_bytes + size <= SEEN_BYTES && !self.seen.contains_key(key) {
            self.seen_bytes += size;
            self.seen.insert(key.to_owned(), value.clone());
        }
        Ok((value, version))
    }

    pub(super) fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refused> {
        self.write(key, Write::Set(value))
    }

    pub(super) fn delete(&mut self, key: String) -> Result<(), Refused> {
        self.write(key, Write::Delete)
    }

    /// Adds to a number. The value below is looked at for the answer, and not remembered as read: others
    /// may add to it as well.
    pub(super) fn increment(&mut self, key: String, delta: i64) -> Result<i64, Refused> {
        let not_a_number = || Refused::NotANumber(key.clone());
        let (base, own) = match self.effects.writes.get(&key) {
            Some(Write::Set(value)) => (Some(value.clone()), None),
            Some(Write::Delete) => (None, None),
            Some(&Write::Add(before)) => (self.peek(&key)?, Some(before)),
            None => (self.peek(&key)?, Some(0)),
        };
        let total = own.unwrap_or(0).checked_add(delta).ok_or_else(not_a_number)?;
        let sum = add(base.as_deref(), total).ok_or_else(not_a_number)?;
        // To add nothing is to look.
        if total == 0 && !self.effects.writes.contains_key(&key) {
            return Ok(sum);
        }
        let write = if own.is_some() { Write::Add(total) } else { Write::Set(sum.to_string().into_bytes()) };
        self.write(key, write)?;
        Ok(sum)
    }

    fn peek(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refused> {
        if let Some(value) = self.seen.get(key) {
            return Ok(value.clone());
        }
        Ok(self.look(key)?.0)
    }

    fn write(&mut self, key: String, write: Write) -> Result<(), Refused> {
        if key.len() > KEY_BYTES {
            return Err(Refused::Key);
        }
        let writes = &self.effects.writes;
        if writes.len() >= self.limits.keys && !writes.contains_key(&key) {
            return Err(Refused::TooMany("write keys:", self.limits.keys));
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

    fn add_bytes(&mut self, count: usize) -> Result<(), Refused> {
        if self.bytes + count > self.limits.effect_bytes {
            return Err(Refused::TooLarge(self.limits.effect_bytes));
        }
        self.bytes += count;
        Ok(())
    }

    /// A page of keys after a key, and where the next page begins.
    pub(super) fn keys(&mut self, after: Option<&str>) -> Result<(Vec<String>, Option<String>), Refused> {
        let (below, listing) = self.state.keys(after, PAGE)?;
        self.effects.reads.listing = Some(listing);
        // Past the last key of a full page, the state may have keys that come before own ones.
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
}

#[cfg(test)]
mod tests {
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
    }

    fn buffer(pairs: &[(&str, &str)]) -> Buffer {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        Buffer::new(Box::new(Fixed(pairs.collect())), Limits { effect_bytes: 100, ..Limits::default() })
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
    fn increments_add_up_without_reading() {
        let mut buffer = buffer(&[("n", "40")]);
        assert_eq!(buffer.increment("n".into(), 1).unwrap(), 41);
        assert_eq!(buffer.increment("n".into(), 1).unwrap(), 42);
        let effects = buffer.into_effects();
        assert_eq!(effects.writes["n"], Write::Add(2));
        assert!(effects.reads.keys.is_empty());
    }

    #[test]
    fn an_increment_after_a_write_is_a_write() {
        let mut buffer = buffer(&[]);
        buffer.set("n".into(), b"5".to_vec()).unwrap();
        assert_eq!(buffer.increment("n".into(), 2).unwrap(), 7);
        assert_eq!(buffer.into_effects().writes["n"], Write::Set(b"7".to_vec()));
    }

    #[test]
    fn effects_are_bounded_together() {
        let mut buffer = buffer(&[]);
        buffer.set("a".into(), vec![0; 90]).unwrap();
        assert!(matches!(buffer.set("b".into(), vec![0; 90]), Err(Refused::TooLarge(_))));
        buffer.set("a".into(), vec![0; 9]).unwrap();
        buffer.set("b".into(), vec![0; 80]).unwrap();
    }

    #[test]
    fn reads_are_bounded_too() {
        let mut buffer = buffer(&[]);
        let long = "k".repeat(KEY_BYTES + 1);
        assert!(matches!(buffer.get(&long), Err(Refused::Key)));
        assert!(matches!(buffer.increment(long, 0), Err(Refused::Key)));

        let large = vec![b'x'; SEEN_BYTES / 3];
        let large: BTreeMap<_, _> = ["a", "b", "c", "d"].map(|key| (key.to_owned(), large.clone())).into();
        let mut buffer = Buffer::new(Box::new(Fixed(large)), Limits { keys: 4, ..Limits::default() });
        for key in ["a", "b", "c", "d", "d", "a"] {
            assert_eq!(buffer.get(key).unwrap().map(|value| value.len()), Some(SEEN_BYTES / 3), "{key}");
        }
        assert_eq!(buffer.seen.len(), 2, "what does not fit is read anew");
        assert!(matches!(buffer.get("e"), Err(Refused::TooMany(..))));
    }
}
