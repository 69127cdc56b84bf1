//! Who waits for a reply: the first event of a type in a flow.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::bus::{CommitError, Reply};
use crate::event::{CauseTreeId, Event, LoggedEvent};
use crate::pattern::Pattern;

/// In how many flows replies are waited for at a time.
const LIMIT: usize = 16_384;
/// How many may wait in one flow.
const FLOW_LIMIT: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct ReplyWaiters {
    waiting: Mutex<HashMap<CauseTreeId, Vec<ReplyWaiter>>>,
}

#[derive(Debug)]
struct ReplyWaiter {
    /// The id and the source of the event that is replied to: it does not answer itself.
    asked: (String, String),
    pattern: Pattern,
    sender: oneshot::Sender<LoggedEvent>,
}

impl ReplyWaiters {
    /// Begins to wait.
    pub(crate) fn expect(&self, event: &Event, pattern: Pattern) -> Result<Reply, CommitError> {
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
        let flow = waiting.entry(event.cause_tree()).or_default();
        flow.retain(|one| !one.sender.is_closed());
        if flow.len() >= FLOW_LIMIT {
            return Err(CommitError::Busy);
        }
        flow.push(ReplyWaiter { asked: (event.id.clone(), event.source.clone()), pattern, sender });
        Ok(Reply(receiver))
    }

    /// Hands an event that has entered the log to those that wait for it.
    pub(crate) fn offer(&self, logged: &LoggedEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let flow = logged.event.cause_tree();
        let Some(all) = waiting.get_mut(&flow) else { return };
        let is_asked = |one: &ReplyWaiter| one.asked.0 == logged.event.id && one.asked.1 == logged.event.source;
        let is_reply = |one: &ReplyWaiter| one.pattern.matches(&logged.event.event_type) && !is_asked(one);
        let (takes, rest) = std::mem::take(all).into_iter().partition(is_reply);
        *all = rest;
        if all.is_empty() {
            waiting.remove(&flow);
        }
        drop(waiting);
        let takes: Vec<ReplyWaiter> = takes;
        for one in takes {
            // Whoever waited may have given up.
            drop(one.sender.send(logged.clone()));
        }
    }
}
