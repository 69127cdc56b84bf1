//! Clients that wait for a reply: the first matching event of a cause tree.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::bus::{CommitError, PendingReply};
use crate::event::{CauseTreeId, Event, LoggedEvent};
use crate::pattern::Pattern;

/// The maximum number of cause trees in which a reply is awaited.
const LIMIT: usize = 16_384;
/// The maximum number of waiters per cause tree.
const TREE_LIMIT: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct ReplyWaiters {
    waiting: Mutex<HashMap<CauseTreeId, Vec<ReplyWaiter>>>,
}

#[derive(Debug)]
struct ReplyWaiter {
    /// The id and the source of the event that is replied to. An event is not its own reply.
    asked: (String, String),
    pattern: Pattern,
    sender: oneshot::Sender<LoggedEvent>,
}

impl ReplyWaiters {
    /// Registers a waiter.
    pub(crate) fn expect(&self, event: &Event, pattern: Pattern) -> Result<PendingReply, CommitError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= LIMIT {
            // Remove the waiters that have given up.
            waiting.retain(|_, all| {
                all.retain(|one| !one.sender.is_closed());
                !all.is_empty()
            });
        }
        if waiting.len() >= LIMIT {
            return Err(CommitError::Busy);
        }
        let (sender, receiver) = oneshot::channel();
        let tree = waiting.entry(event.cause_tree()).or_default();
        tree.retain(|one| !one.sender.is_closed());
        if tree.len() >= TREE_LIMIT {
            return Err(CommitError::Busy);
        }
        tree.push(ReplyWaiter { asked: (event.id.clone(), event.source.clone()), pattern, sender });
        Ok(PendingReply(receiver))
    }

    /// Sends an event that has entered the log to the waiters that it matches.
    pub(crate) fn offer(&self, logged: &LoggedEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let tree = logged.event.cause_tree();
        let Some(all) = waiting.get_mut(&tree) else { return };
        let is_asked = |one: &ReplyWaiter| one.asked.0 == logged.event.id && one.asked.1 == logged.event.source;
        let is_reply = |one: &ReplyWaiter| one.pattern.matches(&logged.event.event_type) && !is_asked(one);
        let (takes, rest) = std::mem::take(all).into_iter().partition(is_reply);
        *all = rest;
        if all.is_empty() {
            waiting.remove(&tree);
        }
        drop(waiting);
        let takes: Vec<ReplyWaiter> = takes;
        for one in takes {
            // The waiter may have given up.
            drop(one.sender.send(logged.clone()));
        }
    }
}
