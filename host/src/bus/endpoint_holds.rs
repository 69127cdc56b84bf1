//! The endpoints that are held, in memory. The store has a copy.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::bus::EndpointHold;
use crate::clock::Timestamp;
use crate::subscription::{Definition, Target};

#[derive(Debug)]
pub(crate) struct EndpointHolds(RwLock<HashMap<String, EndpointHold>>);

impl EndpointHolds {
    pub(crate) fn new(holds: Vec<(String, EndpointHold)>) -> Self {
        Self(RwLock::new(holds.into_iter().collect()))
    }

    /// The hold of an endpoint, if there is one now.
    pub(crate) fn get(&self, endpoint: &str, now: Timestamp) -> Option<EndpointHold> {
        let holds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        holds.get(endpoint).filter(|hold| hold.until > now).cloned()
    }

    /// The hold of a subscription's endpoint, if there is one now.
    pub(crate) fn of(&self, definition: &Definition, now: Timestamp) -> Option<EndpointHold> {
        match &definition.target {
            Target::Webhook(webhook) => self.get(&webhook.url, now),
            Target::Plugin(_) => None,
        }
    }

    /// Begins or ends a hold, and removes those that have expired.
    pub(crate) fn set(&self, endpoint: String, hold: Option<EndpointHold>, now: Timestamp) {
        let mut holds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        holds.retain(|_, hold| hold.until > now);
        match hold {
            Some(hold) => drop(holds.insert(endpoint, hold)),
            None => drop(holds.remove(&endpoint)),
        }
    }

    /// Moves all holds after the clock was set back.
    pub(crate) fn shift(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let mut holds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for hold in holds.values_mut() {
            hold.until = Timestamp(hold.until.0.saturating_sub(by));
        }
    }
}
