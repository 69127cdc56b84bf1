//! The ids of events that plugins publish.
//!
//! A repeated attempt yields the same ids, and nobody else can predict them: they are derived from the delivery and
//! from a secret of the store. Anyone who could predict an id could publish an event under it first. Ids start with a
//! time, like UUIDs of version 7, so that events published at about the same time are close together in an index.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{LoggedEvent, Position};
use crate::clock::Timestamp;

/// The secret from which ids are derived.
#[derive(Clone)]
pub struct IdKey(Hmac<Sha256>);

impl std::fmt::Debug for IdKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("IdKey")
    }
}

impl IdKey {
    /// Creates a key from a secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The seed of a delivery. The number of a subscription or replay is never reused. Each redrive of a dead letter of
    /// a replay has its own number; other deliveries have zero.
    #[must_use]
    pub fn delivery(&self, logged: &LoggedEvent, subscription: i64, redriven: i64) -> IdSeed {
        let Position(position) = logged.position;
        let numbers = [subscription.to_le_bytes(), position.to_le_bytes(), redriven.to_le_bytes()];
        let mut mac = self.0.clone();
        mac.update(b"delivery");
        numbers.iter().for_each(|number| mac.update(number));
        IdSeed::new(logged.stored_at, &mac.finalize().into_bytes())
    }

    /// The id of the notification of a dead letter, whose number is never reused.
    #[must_use]
    pub fn dead_letter(&self, number: i64, at: Timestamp) -> String {
        let mut mac = self.0.clone();
        mac.update(b"dead letter");
        mac.update(&number.to_le_bytes());
        IdSeed::new(at, &mac.finalize().into_bytes()).id(0)
    }

    /// The id of the event that a schedule publishes for a time.
    #[must_use]
    pub fn tick(&self, plugin: &str, schedule: &str, due: Timestamp) -> String {
        let mut mac = self.0.clone();
        mac.update(b"schedule");
        for name in [plugin, schedule] {
            // Lengths distinguish ("ab", "c") from ("a", "bc").
            mac.update(&(name.len() as u64).to_le_bytes());
            mac.update(name.as_bytes());
        }
        mac.update(&due.0.to_le_bytes());
        IdSeed::new(due, &mac.finalize().into_bytes()).id(0)
    }
}

/// The seed for the ids of one invocation's events.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct IdSeed {
    time: [u8; 6],
    chance: [u8; 16],
}

impl IdSeed {
    fn new(time: Timestamp, hash: &[u8]) -> Self {
        let [_, _, time @ ..] = time.0.to_be_bytes();
        Self { time, chance: first_half(hash) }
    }

    /// A unique seed, for invocations that are not repeated.
    #[must_use]
    pub fn unique() -> Self {
        let [a, b, c, d, e, f, ..] = uuid::Uuid::now_v7().into_bytes();
        Self { time: [a, b, c, d, e, f], chance: uuid::Uuid::new_v4().into_bytes() }
    }

    /// The seed of a delivery in a canary, which is the same each time. Nothing is committed under it.
    #[must_use]
    pub fn of_canary(logged: &LoggedEvent) -> Self {
        let hash = Sha256::new().chain_update(logged.position.0.to_le_bytes()).finalize();
        Self::new(logged.stored_at, &hash)
    }

    /// The id of the event with this index, a UUID of version 8 (RFC 9562).
    #[must_use]
    pub fn id(&self, index: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(self.chance);
        hash.update(index.to_le_bytes());
        let mut id = first_half(&hash.finalize());
        id[..self.time.len()].copy_from_slice(&self.time);
        uuid::Uuid::new_v8(id).to_string()
    }
}

fn first_half(hash: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Event;

    fn logged(position: u64, stored_at: u64) -> LoggedEvent {
        LoggedEvent { position: Position(position), stored_at: Timestamp(stored_at), event: Arc::new(Event::default()) }
    }

    #[test]
    fn ids_depend_on_the_delivery_and_the_secret() {
        let key = IdKey::new(b"secret");
        let seed = key.delivery(&logged(1, 1_000), 7, 0);
        assert_eq!(seed.id(0), IdKey::new(b"secret").delivery(&logged(1, 1_000), 7, 0).id(0));
        let others = [
            seed.id(1),
            key.delivery(&logged(2, 1_000), 7, 0).id(0),
            key.delivery(&logged(1, 1_000), 8, 0).id(0),
            key.delivery(&logged(1, 1_000), 7, 1).id(0),
            IdKey::new(b"secret of another store").delivery(&logged(1, 1_000), 7, 0).id(0),
            IdSeed::of_canary(&logged(1, 1_000)).id(0),
        ];
        assert!(!others.contains(&seed.id(0)));
        assert!(seed.id(0) < key.delivery(&logged(1, 1_001), 7, 0).id(0), "ids sort by time first");
        assert_ne!(IdSeed::unique().id(0), IdSeed::unique().id(0));
    }

    #[test]
    fn a_tick_has_a_unique_id_that_starts_with_its_time() {
        let (key, other) = (IdKey::new(b"secret"), IdKey::new(b"other"));
        let (due, later) = (Timestamp(1_893_456_000_000), Timestamp(1_893_456_060_000));
        let id = key.tick("mailer", "digest", due);
        assert_eq!(id, key.tick("mailer", "digest", due));
        for different in [
            other.tick("mailer", "digest", due),
            key.tick("mailer", "digest", later),
            key.tick("mailerd", "igest", due),
            key.tick("mailer", "digests", due),
        ] {
            assert_ne!(id, different);
        }
        assert!(id < key.tick("mailer", "digest", later));
    }
}
