//! The history as a test: a new generation handles the events that the running one handled, and what comes out
//! differently is told. Nothing comes of it but the report: effects are recorded and not applied.
//!
//! Both handle each event in the same world: the state as it is now, the time at which the event was stored, and
//! chance that is drawn from the event. Requests to the outside are refused to both. So what differs is the code.
//!
//! What comes out alike is another matter. A handler that reads state which it wrote when it handled the event may
//! return at once, whatever its code is. Such a delivery proves nothing, and is counted apart.

mod compare;
mod report;
mod shared_state;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bus::{Bus, StoreError};
use crate::event::{IdSeed, LoggedEvent, Position};
use crate::plugin::{Call, CanaryResult, Generation};
use crate::subscription::Definition;
use crate::threads::{Capacity, Panicked, Priority, Ticket};
pub use compare::Difference;
pub use report::{CanaryReport, DifferingDelivery, Usage};

use self::report::Comparison;
use self::shared_state::{RecordingState, SharedState};

/// How many events of the log are examined for each one that is asked for, before it is left at those found.
const SEARCH: usize = 100;
/// How many events are read from the log at a time.
const PAGE: usize = 500;

/// What a rehearsal needs.
#[derive(Debug)]
pub struct Canary<'a> {
    /// The history, and the state.
    pub bus: &'a dyn Bus,
    /// Where handlers run.
    pub capacity: &'a Capacity,
    /// The generation that runs.
    pub live: Arc<Generation>,
    /// The one that is to take over.
    pub new: Arc<Generation>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A handler ended with a mistake in the host.
    #[error("the host failed to run a handler: {0}")]
    Failed(#[from] Panicked),
}

/// A delivery of the past.
#[derive(Clone, Debug)]
struct PastDelivery {
    logged: LoggedEvent,
    subscription: String,
    definition: Arc<Definition>,
}

impl Canary<'_> {
    /// Lets both generations handle the last events that the running one has handled, oldest first.
    ///
    /// # Errors
    /// If the log cannot be read. How handlers end is in the report.
    pub async fn run(&self, max_events: usize) -> Result<CanaryReport, CanaryError> {
        let past = self.find_past_deliveries(max_events).await?;
        let mut report = CanaryReport::new(&self.live, &self.new);
        for (index, past) in past.into_iter().enumerate() {
            report.add(self.compare_delivery(past, index % 2 == 0).await?);
        }
        Ok(report.finish())
    }

    /// The last deliveries of the subscriptions that the running generation declares.
    async fn find_past_deliveries(&self, max_events: usize) -> Result<Vec<PastDelivery>, StoreError> {
        let subscriptions = self.declared_subscriptions();
        let (mut found, mut before, mut examined) = (Vec::new(), None, 0);
        while found.len() < max_events && examined < max_events.saturating_mul(SEARCH) && !subscriptions.is_empty() {
            let page = self.bus.events(before, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            (before, examined) = (Some(oldest.position), examined + page.len());
            for logged in page {
                let takes = |definition: &Definition| {
                    definition.pattern.matches(&logged.event.event_type) && definition.filters.matches(&logged.event)
                };
                let fitting = subscriptions
                    .iter()
                    .filter(|(_, (cursor, definition))| logged.position <= *cursor && takes(definition));
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

    /// The declared subscriptions, each with its cursor: what lies beyond it is not handled yet.
    fn declared_subscriptions(&self) -> BTreeMap<String, (Position, Arc<Definition>)> {
        let catalogue = Arc::clone(&self.bus.catalogue().borrow());
        let own = catalogue.subscriptions().filter(|one| one.id.owner == *self.live.name && !one.dynamic);
        let declared = own.filter(|one| self.live.declares(&one.id.name));
        let overviews = declared.filter_map(|one| Some(self.bus.feed(one.feed)?.overview()));
        overviews.map(|one| (one.id.name, (one.cursor, one.definition))).collect()
    }

    /// Lets both handle a delivery, in the one order or in the other: who comes second finds warmer caches.
    async fn compare_delivery(&self, past: PastDelivery, live_first: bool) -> Result<Comparison, CanaryError> {
        let state = SharedState::new(self.bus.state(&self.live.name));
        let (of_live, of_new) = (RecordingState::new(state.clone()), RecordingState::new(state));
        let (live, new) = if live_first {
            let live = self.handle(&self.live, &past, &of_live).await?;
            (live, self.handle(&self.new, &past, &of_new).await?)
        } else {
            let new = self.handle(&self.new, &past, &of_new).await?;
            (self.handle(&self.live, &past, &of_live).await?, new)
        };
        let event = past.logged.position;
        let met_later = of_live.met_later(&live.handled, event) || of_new.met_later(&new.handled, event);
        Ok(Comparison::new(&past.logged, past.subscription, [&live, &new], met_later))
    }

    async fn handle(
        &self,
        generation: &Arc<Generation>,
        past: &PastDelivery,
        state: &RecordingState,
    ) -> Result<CanaryResult, Panicked> {
        let place = Arc::clone(&self.capacity.permits).acquire_owned().await.map_err(|_| Panicked)?;
        let (state, generation, past) = (Box::new(state.clone()), Arc::clone(generation), past.clone());
        // It is one of many, and nobody's delivery must wait for it.
        let handled = self.capacity.threads.run(Ticket::new(Priority::Bulk), move || {
            let PastDelivery { logged, subscription, .. } = &past;
            let ids = IdSeed::of_canary(logged);
            let call = Call { logged, subscription, attempt: 1, replay: false, ids };
            // What it logs is no news.
            let quiet = tracing::subscriber::NoSubscriber::default();
            let rehearsed = tracing::subscriber::with_default(quiet, || {
                generation.handle_for_canary(&call, past.definition.timeout, state, past.logged.stored_at)
            });
            drop(place);
            rehearsed
        });
        handled.await
    }
}
