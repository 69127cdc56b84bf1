//! Compares a new build with the running generation on past events. Effects are recorded and discarded, so a canary has
//! no side effects.
//!
//! Both generations handle each event in the same environment: the current state, the time at which the event was
//! stored, and random numbers seeded by the event. Outgoing requests are denied. So different results are due to the
//! code.
//!
//! Equal results may be due to the state. A handler that reads state which its own first run has changed may return
//! early, even if its code has changed. Such a delivery is counted as inconclusive.

mod compare;
mod report;
mod shared_state;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bus::{Bus, StoreError};
use crate::event::{IdSeed, LoggedEvent, Position};
use crate::plugin::{CanaryResult, EventInvocation, Generation};
use crate::subscription::Definition;
use crate::threads::{Capacity, Panicked, Priority, Ticket};
pub use compare::Difference;
pub use report::{CanaryReport, DifferingDelivery, Measurement};

use self::report::Comparison;
use self::shared_state::{RecordingState, SharedState};

/// The search for past deliveries ends after this many events for each requested delivery.
const SEARCH: usize = 100;
/// The number of events of one read.
const PAGE: usize = 500;

/// A canary of a plugin.
#[derive(Debug)]
pub struct Canary<'a> {
    /// The bus with the past events and the state.
    pub bus: &'a dyn Bus,
    /// The permits and threads for handlers.
    pub capacity: &'a Capacity,
    /// The running generation.
    pub running: Arc<Generation>,
    /// The new build.
    pub new: Arc<Generation>,
}

/// Why a canary has no report.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// The log has no event with this id.
    #[error("the log has no event with the id `{0}`")]
    NoEvent(String),
    /// Several events have this id.
    #[error("the log has events of several sources with the id `{0}`; name the source")]
    AmbiguousId(String),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host panicked in a handler.
    #[error("the host failed to run a handler: {0}")]
    Failed(#[from] Panicked),
}

/// Which deliveries a canary compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanarySelection {
    /// At most this many of the most recent ones that were handled.
    Recent(usize),
    /// Those of one event.
    Event {
        /// Its id.
        id: String,
        /// Its source. Required if events of several sources have the id.
        source: Option<String>,
    },
}

/// A past delivery.
#[derive(Clone, Debug)]
struct PastDelivery {
    logged: LoggedEvent,
    subscription: String,
    definition: Arc<Definition>,
}

/// Whether a subscription selects an event.
fn selects(definition: &Definition, logged: &LoggedEvent) -> bool {
    definition.pattern.matches(&logged.event.event_type) && definition.filters.matches(&logged.event)
}

impl Canary<'_> {
    /// Runs the selected deliveries of the running generation through both generations, oldest first.
    ///
    /// # Errors
    /// If there is no such event, the log cannot be read, or the host panics. Failures of handlers are part of the
    /// report.
    pub async fn run(&self, selection: CanarySelection) -> Result<CanaryReport, CanaryError> {
        let past = match selection {
            CanarySelection::Recent(max_events) => self.find_past_deliveries(max_events).await?,
            CanarySelection::Event { id, source } => self.find_deliveries_of(id, source).await?,
        };
        let mut report = CanaryReport::new(&self.running, &self.new);
        for (index, past) in past.into_iter().enumerate() {
            report.add(self.compare_delivery(past, index % 2 == 0).await?);
        }
        Ok(report.finish())
    }

    /// The most recent deliveries of the subscriptions that the running generation declares.
    async fn find_past_deliveries(&self, max_events: usize) -> Result<Vec<PastDelivery>, StoreError> {
        let subscriptions = self.declared_subscriptions();
        let (mut found, mut before, mut examined) = (Vec::new(), None, 0);
        while found.len() < max_events && examined < max_events.saturating_mul(SEARCH) && !subscriptions.is_empty() {
            let page = self.bus.events(before, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            (before, examined) = (Some(oldest.position), examined + page.len());
            for logged in page {
                let fitting = subscriptions
                    .iter()
                    .filter(|(_, (cursor, definition))| logged.position <= *cursor && selects(definition, &logged));
                found.extend(fitting.map(|(name, (_, definition))| PastDelivery {
                    logged: logged.clone(),
                    subscription: name.clone(),
                    definition: Arc::clone(definition),
                }));
            }
        }
        found.truncate(max_events);
        found.reverse();
        Ok(found)
    }

    /// The deliveries of an event, also of those that have not been handled yet.
    async fn find_deliveries_of(&self, id: String, source: Option<String>) -> Result<Vec<PastDelivery>, CanaryError> {
        let mut events = self.bus.events_with_id(id.clone()).await?;
        events.retain(|logged| source.as_ref().is_none_or(|source| *source == logged.event.source));
        if events.len() > 1 {
            return Err(CanaryError::AmbiguousId(id));
        }
        let logged = events.pop().ok_or(CanaryError::NoEvent(id))?;
        let subscriptions = self.declared_subscriptions();
        let selects = subscriptions.into_iter().filter(|(_, (_, definition))| selects(definition, &logged));
        let found = selects.map(|(subscription, (_, definition))| PastDelivery {
            logged: logged.clone(),
            subscription,
            definition,
        });
        Ok(found.collect())
    }

    /// The declared subscriptions with their cursors. Events after the cursor are not handled yet.
    fn declared_subscriptions(&self) -> BTreeMap<String, (Position, Arc<Definition>)> {
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        let own = catalogue.subscriptions().filter(|one| one.id.owner == *self.running.name && !one.dynamic);
        let declared = own.filter(|one| self.running.declares(&one.id.name));
        let overviews = declared.filter_map(|one| Some(self.bus.feed(one.feed)?.overview()));
        overviews.map(|one| (one.id.name, (one.cursor, one.definition))).collect()
    }

    /// Runs a delivery through both generations. The order alternates, since the second one has warmer caches.
    async fn compare_delivery(&self, past: PastDelivery, running_first: bool) -> Result<Comparison, CanaryError> {
        let state = SharedState::new(self.bus.state(&self.running.name));
        let (of_running, of_new) = (RecordingState::new(state.clone()), RecordingState::new(state));
        let (running, new) = if running_first {
            let running = self.handle(&self.running, &past, &of_running).await?;
            (running, self.handle(&self.new, &past, &of_new).await?)
        } else {
            let new = self.handle(&self.new, &past, &of_new).await?;
            (self.handle(&self.running, &past, &of_running).await?, new)
        };
        let event = past.logged.position;
        let met_later = of_running.met_later(&running.handled, event) || of_new.met_later(&new.handled, event);
        Ok(Comparison::new(&past.logged, past.subscription, [&running, &new], met_later))
    }

    async fn handle(
        &self,
        generation: &Arc<Generation>,
        past: &PastDelivery,
        state: &RecordingState,
    ) -> Result<CanaryResult, Panicked> {
        let permit = Arc::clone(&self.capacity.permits).acquire_owned().await.map_err(|_| Panicked)?;
        let (state, generation, past) = (Box::new(state.clone()), Arc::clone(generation), past.clone());
        // Regular deliveries take precedence.
        let handled = self.capacity.threads.run(Ticket::new(Priority::Bulk), move || {
            let PastDelivery { logged, subscription, .. } = &past;
            let ids = IdSeed::of_canary(logged);
            let invocation = EventInvocation { logged, subscription, attempt: 1, replay: false, ids, trace: None };
            // Its log lines are repetitions.
            let quiet = tracing::subscriber::NoSubscriber::default();
            let rehearsed = tracing::subscriber::with_default(quiet, || {
                generation.handle_for_canary(&invocation, past.definition.timeout, state, past.logged.stored_at)
            });
            drop(permit);
            rehearsed
        });
        handled.await
    }
}
