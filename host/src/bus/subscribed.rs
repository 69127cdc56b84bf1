//! A subscription as its worker sees it: deliveries are claimed here, and settled or given back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::command::{Command, Settled, Settlement};
use super::progress::{Step, Subscription};
use super::{Bus, CommitError, Shared, StoreError, rows};
use crate::clock::Timestamp;
use crate::event::{Event, Logged, Position};
use crate::outcome::{Effects, Outcome};
use crate::subscription::{Definition, SubscriptionId};

/// How many rows or events one read takes for a subscription.
const READ_LIMIT: usize = 128;

/// A subscription of the bus, from which deliveries are claimed.
#[derive(Clone, Debug)]
pub struct Subscribed {
    pub(super) bus: Bus,
    pub(super) subscription: Arc<Subscription>,
}

/// What a subscription looks like from outside.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its identity.
    pub id: SubscriptionId,
    /// Whether it was made at run time.
    pub dynamic: bool,
    /// Its rules.
    pub definition: Arc<Definition>,
    /// Why nothing is delivered, if the operator or a swap paused it.
    pub paused: Option<String>,
    /// The position up to which everything is handled, or waits for another attempt.
    pub cursor: Position,
    /// How many deliveries are neither handled nor dead.
    pub backlog: u64,
    /// How many are in flight.
    pub in_flight: usize,
    /// When the oldest event that is claimed or ready was stored: what the lag in time is counted from.
    pub oldest: Option<Timestamp>,
}

impl Subscribed {
    /// Its number, which no other subscription ever gets.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.subscription.number
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &SubscriptionId {
        &self.subscription.id
    }

    /// Its rules.
    #[must_use]
    pub fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.subscription.progress().definition)
    }

    /// Whether it is gone.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.subscription.progress().deleted
    }

    /// What it looks like from outside.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let progress = self.subscription.progress();
        let claimed = progress.claimed.values().map(|claimed| &claimed.logged);
        let oldest = claimed.chain(progress.ready.front()).map(|logged| logged.stored_at).min();
        Overview {
            id: self.subscription.id.clone(),
            dynamic: self.subscription.dynamic,
            definition: Arc::clone(&progress.definition),
            paused: progress.paused.clone(),
            cursor: progress.cursor,
            backlog: progress.backlog,
            in_flight: progress.claimed.len(),
            oldest,
        }
    }

    /// How many dead letters it has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        let number = self.subscription.number;
        self.bus.read(move |connection| rows::count_dead_letters(connection, number)).await
    }

    /// Waits for a delivery and claims it. Nothing is lost if the wait is given up, nor if the claim is
    /// dropped without being settled: then it is delivered again as the same attempt.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn claim(&self) -> Result<Claim, StoreError> {
        loop {
            // Registered before looking, so that no wake-up between looking and waiting is missed.
            let mut woken = std::pin::pin!(self.subscription.wake.notified());
            woken.as_mut().enable();
            let now = self.bus.shared.clock.now();
            let step = self.subscription.progress().step(now);
            match step {
                Step::Deliver(claimed) => {
                    let attempt = claimed.attempts + 1;
                    let claim = Claim { from: self.clone(), logged: claimed.logged, attempt, open: true };
                    return Ok(claim);
                }
                Step::Read => self.read_backlog().await?,
                Step::Wait(until) => {
                    // Once a second at least while something is due later: the clock may be set.
                    let wait = until.map_or(Duration::from_hours(1), |until| {
                        until.since(now).clamp(Duration::from_millis(1), Duration::from_secs(1))
                    });
                    tokio::select! {
                        () = woken => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Reads rows that are due, and events from the log if the subscription is behind. There is one
    /// claimer, and so nothing is claimed meanwhile.
    async fn read_backlog(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.bus.shared);
        let subscription = Arc::clone(&self.subscription);
        self.bus
            .read(move |connection| {
                read_due_rows(connection, &shared, &subscription)?;
                read_log(connection, &shared, &subscription)
            })
            .await
    }
}

fn read_due_rows(connection: &Connection, shared: &Shared, subscription: &Subscription) -> Result<(), StoreError> {
    let now = shared.clock.now();
    // What is in hand when the read begins may be settled while it runs: its row, as read, is stale.
    let in_hand: HashSet<Position> = {
        let mut progress = subscription.progress();
        if progress.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        progress.next_due = None;
        let due = progress.due.iter().map(|pending| pending.logged.position);
        due.chain(progress.claimed.keys().copied()).collect()
    };
    let limit = READ_LIMIT + in_hand.len();
    let read = || -> Result<_, StoreError> {
        let rows = rows::due_pending(connection, subscription.number, now, limit)?;
        let all = rows.len() < limit;
        let next = if all { rows::next_pending_after(connection, subscription.number, now)? } else { Some(now) };
        Ok((rows, next))
    };
    // What could not be read is still due.
    let (rows, next) = read().inspect_err(|_| subscription.progress().row_is_due(now))?;

    let mut progress = subscription.progress();
    progress.due.extend(rows.into_iter().filter(|row| !in_hand.contains(&row.logged.position)));
    if let Some(next) = next {
        progress.row_is_due(next);
    }
    Ok(())
}

fn read_log(connection: &Connection, shared: &Shared, subscription: &Subscription) -> Result<(), StoreError> {
    /// With more types than this, reading the log as a whole beats asking for each type.
    const TYPES_LIMIT: usize = 16;
    let (offered, pattern) = {
        let progress = subscription.progress();
        if !progress.is_behind() || !progress.ready.is_empty() {
            return Ok(());
        }
        (progress.offered, progress.definition.pattern.clone())
    };
    // The head before the types, and both before the log: whatever is read was offered and has its type.
    let head = shared.head();
    let types = shared.types().matching(&pattern);

    let (events, through) = if types.len() > TYPES_LIMIT || pattern.takes_everything() {
        let scanned = rows::events_after(connection, offered, READ_LIMIT)?;
        let through = if scanned.len() < READ_LIMIT { head } else { scanned.last().map_or(head, |last| last.position) };
        (scanned.into_iter().filter(|logged| pattern.matches(&logged.event.event_type)).collect(), through)
    } else {
        let mut found = Vec::new();
        for number in types {
            found.extend(rows::events_of_type(connection, number, offered, READ_LIMIT)?);
        }
        found.sort_by_key(|logged| logged.position);
        let complete = found.len() < READ_LIMIT;
        found.truncate(READ_LIMIT);
        let through = if complete { head } else { found.last().map_or(head, |last| last.position) };
        (found, through)
    };
    let through = through.min(head);
    let events: Vec<Logged> = events.into_iter().filter(|logged| logged.position <= through).collect();
    let mut progress = subscription.progress();
    if progress.definition.pattern == pattern {
        progress.refill(events, through);
    }
    Ok(())
}

/// A delivery in flight. Dropped without being settled, it is delivered again as the same attempt.
#[derive(Debug)]
pub struct Claim {
    from: Subscribed,
    logged: Logged,
    attempt: u32,
    open: bool,
}

impl Claim {
    /// The event.
    #[must_use]
    pub fn event(&self) -> &Arc<Event> {
        &self.logged.event
    }

    /// When the event was stored.
    #[must_use]
    pub fn stored_at(&self) -> Timestamp {
        self.logged.stored_at
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether its subscription was made at run time.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.from.subscription.dynamic
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> &SubscriptionId {
        &self.from.subscription.id
    }

    /// Commits the outcome, and with an ack the effects of the plugin that handled it, in one
    /// transaction. `jitter`, from 0 to 1, spreads the retry policy's delays.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the invocation must run again; otherwise if the store refuses. The
    /// claim is still open then.
    pub async fn settle(
        &mut self,
        outcome: Outcome,
        effects: Option<(String, Effects)>,
        digest: Option<String>,
        jitter: f64,
    ) -> Result<Settled, CommitError> {
        let settlement = Settlement {
            subscription: Arc::clone(&self.from.subscription),
            position: self.logged.position,
            outcome,
            effects,
            digest,
            jitter,
        };
        let settled = self.from.bus.ask(|reply| Command::Settle { settlement: Box::new(settlement), reply }).await?;
        self.open = false;
        Ok(settled)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.open {
            self.from.subscription.progress().release(self.logged.position);
            self.from.subscription.wake.notify_one();
        }
    }
}
