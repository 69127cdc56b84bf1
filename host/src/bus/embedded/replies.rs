//! Who waits for a reply: the first event of a type in a flow.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::bus::{CommitError, Reply};
use crate::event::Logged;
use crate::pattern::Pattern;

/// How many may wait at a time.
const LIMIT: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: Mutex<HashMap<String, Vec<Expected>>>,
}

#[derive(Debug)]
struct Expected {
    pattern: Pattern,
    sender: oneshot::Sender<Logged>,
}

impl Replies {
    /// Begins to wait.
    pub(super) fn expect(&self, correlation_id: &str, pattern: Pattern) -> Result<Reply, CommitError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= LIMIT {
            // Those that have given up, first.
            waiting.retain(|_, all| {
                all.retain(|one| !one.sender.is_closed());
                !all.is_empty()
            });
        }
        if waiting.len() >= LIMIT {
            return Err(CommitError::Busy);
        }
        let (sender, receiver) = oneshot::channel();
        let flow = waiting.entry(correlation_id.to_owned()).or_default();
        flow.retain(|one| !one.sender.is_closed());
        flow.push(Expected { pattern, sender });
        Ok(Reply(receiver))
    }

    /// Hands an event that has entered the log to those that wait for it.
    pub(super) fn offer(&self, logged: &Logged) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let flow = logged.event.correlation_id();
        let Some(all) = waiting.get_mut(flow) else { return };
        let (takes, rest) =
            std::mem::take(all).into_iter().partition(|one| one.pattern.matches(&logged.event.event_type));
        *all = rest;
        if all.is_empty() {
            waiting.remove(flow);
        }
        drop(waiting);
        let takes: Vec<Expected> = takes;
        for one in takes {
            // Whoever waited may have given up.
            drop(one.sender.send(logged.clone()));
        }
    }
}
