//! The model that a bus is compared with.
//!
//! The model tracks the state of each delivery of three subscriptions. It knows nothing about how a bus works: only
//! that no event is lost, that effects are committed once, that each ordering key keeps its order, that a paused
//! subscription receives nothing, and that dead letters are accounted for.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::subscription::DeadLetterPolicy;

/// The subscriptions: unordered, ordered, and ordered with dead letters that park their key.
pub(super) const NAMES: [&str; 3] = ["plain", "keyed", "parked"];

pub(super) fn rules(name: &str) -> Definition {
    let retention_safe = Definition { concurrency: NonZeroU32::new(8).unwrap(), ..ordered_by("subject") };
    match name {
        "plain" => Definition { ordering_key: None, ..retention_safe },
        "parked" => Definition { dead_letter_policy: DeadLetterPolicy::Park, ..retention_safe },
        _ => retention_safe,
    }
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryState {
    Unclaimed { attempts: u32 },
    InFlight { attempts: u32 },
    Dead,
    Dropped,
    Handled,
}

#[derive(Default)]
pub(super) struct Model {
    /// The key of each event, by its id.
    pub(super) keys: BTreeMap<usize, Option<char>>,
    /// The ids in the order of the log.
    pub(super) log: Vec<usize>,
    pub(super) fates: BTreeMap<(&'static str, usize), DeliveryState>,
    pub(super) paused: BTreeSet<&'static str>,
    /// The event at the head of each key. It keeps its turn until it is handled or dead-lettered, even if an earlier
    /// event of the key is redriven in the meantime.
    pub(super) turns: BTreeMap<(&'static str, char), usize>,
    /// The dead letter that parks each key of the subscription `parked`.
    pub(super) parked: BTreeMap<char, usize>,
    pub(super) next: usize,
}

impl Model {
    pub(super) fn published(&mut self, id: usize) {
        self.log.push(id);
        for name in NAMES {
            self.fates.insert((name, id), DeliveryState::Unclaimed { attempts: 0 });
        }
    }

    pub(super) fn backlog(&self, name: &'static str) -> usize {
        self.count(name, |fate| matches!(fate, DeliveryState::Unclaimed { .. } | DeliveryState::InFlight { .. }))
    }

    pub(super) fn count(&self, name: &str, is: impl Fn(DeliveryState) -> bool) -> usize {
        self.fates.iter().filter(|((other, _), fate)| *other == name && is(**fate)).count()
    }

    /// Records a claim, and checks that the delivery was ready.
    pub(super) fn claimed(&mut self, name: &'static str, id: usize, attempt: u32) {
        assert!(!self.paused.contains(name), "{name} is paused, and {id} was delivered");
        let fate = self.fates[&(name, id)];
        let DeliveryState::Unclaimed { attempts } = fate else {
            panic!("{id} is {fate:?} for {name}, and was delivered")
        };
        assert_eq!(attempt, attempts + 1, "{id} for {name}");
        if let Some(key) = self.keys[&id].filter(|_| name != "plain") {
            let before: Vec<_> = self.log.iter().copied().take_while(|other| *other != id).collect();
            for other in self.log.iter().copied().filter(|other| *other != id && self.keys[other] == Some(key)) {
                let fate = self.fates[&(name, other)];
                assert!(
                    !matches!(fate, DeliveryState::InFlight { .. }),
                    "{other} is in flight for {name}, and {id} was claimed as well"
                );
                let has_turn = self.turns.get(&(name, key)) == Some(&id);
                let is_before = !has_turn && before.contains(&other) && matches!(fate, DeliveryState::Unclaimed { .. });
                assert!(!is_before, "{other} is pending for {name}, and {id} was claimed before it");
            }
            if name == "parked" {
                let parked = self.parked.get(&key);
                assert!(parked.is_none_or(|other| *other == id), "the key {key} is parked, and {id} was delivered");
            }
            self.turns.insert((name, key), id);
        }
        self.fates.insert((name, id), DeliveryState::InFlight { attempts });
    }

    pub(super) fn done(&mut self, name: &'static str, id: usize) {
        self.turns.retain(|(other, _), turn| *other != name || *turn != id);
    }

    pub(super) fn died(&mut self, name: &'static str, id: usize) {
        self.done(name, id);
        self.fates.insert((name, id), DeliveryState::Dead);
        if let (Some(key), "parked") = (self.keys[&id], name) {
            self.parked.insert(key, id);
        }
    }
}
