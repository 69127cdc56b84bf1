//! A slice: one thread that runs deliveries of a parallel subscription one after the other, as long as there
//! are some and its time is not up, which comes sooner where others wait for the thread. A thread that goes on is
//! cheaper than one that is woken for each.
//!
//! Claims stay those of single deliveries. Each is settled by itself, and its commit is not waited for; what
//! hangs is given up by itself, and what was settled before stands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempts, Ran, given_up, handle, host_failed};
use super::worker::Places;
use crate::bus::{Claim, Delivery, Subscribed};
use crate::plugin::{Admission, Generation, Live};
use crate::threads::Lane;

/// After this time another slice has its turn, perhaps one of another plugin.
const TIME: Duration = Duration::from_millis(1);
/// After this time it has its turn if it waits for the thread.
const SHORT_TIME: Duration = Duration::from_micros(250);

pub(super) struct Slice {
    pub(super) attempts: Arc<Attempts>,
    pub(super) subscription: Arc<dyn Subscribed>,
    pub(super) unsettled: Arc<Semaphore>,
    pub(super) behind: Arc<Behind>,
    pub(super) cancelled: CancellationToken,
}

/// Whether a subscription had more to do than its last slice had time for. Then what its next one does is one of
/// many, and keeps no single one waiting.
#[derive(Debug, Default)]
pub(super) struct Behind(AtomicBool);

impl Behind {
    fn note(&self, ran_out_of_time: bool) {
        self.0.store(ran_out_of_time, Ordering::Relaxed);
    }

    fn lane(&self, lane: Lane) -> Lane {
        match lane {
            Lane::Quick if self.0.load(Ordering::Relaxed) => Lane::Many,
            lane => lane,
        }
    }
}

/// A delivery that runs. Whoever takes it out settles it: the thread when it has run, or the task that waits
/// for the thread when that hangs.
struct InHand {
    claim: Claim,
    places: Places,
    since: Instant,
}

#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Option<InHand>>>);

impl Hand {
    fn put(&self, claim: Claim, places: Places) {
        let in_hand = InHand { claim, places, since: Instant::now() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_hand);
    }

    /// What waited for a thread begins only now.
    fn begin(&self) {
        if let Some(in_hand) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            in_hand.since = Instant::now();
        }
    }

    fn take(&self) -> Option<InHand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes what has been in hand for too long, or tells when that will be.
    fn take_late(&self, patience: Duration) -> Result<InHand, Instant> {
        let mut hand = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = hand.as_ref().map_or_else(Instant::now, |in_hand| in_hand.since);
        match hand.take_if(|in_hand| in_hand.since.elapsed() >= patience) {
            Some(late) => Ok(late),
            None => Err(since + patience),
        }
    }
}

impl Slice {
    /// Begins with a claim. Its place to run is held until the end, and those for invocations until the thread
    /// is free, also if it is given up before.
    pub(super) async fn run(self, plugin: &str, claim: Claim, mut places: Places) {
        let running = places.take_running();
        let Some((generation, admission)) = self.attempts.admit(plugin, claim.delivery()).await else { return };
        let (attempts, patience, hand) =
            (Arc::clone(&self.attempts), self.attempts.patience(&generation), Hand::default());
        let delivery = Arc::clone(claim.delivery());
        hand.put(claim, places);
        let (code, in_thread) = (Arc::clone(&generation), hand.clone());
        let Admission { mut turn, places } = admission;
        turn.lane = self.behind.lane(turn.lane);
        let lane = turn.lane;
        let mut thread = attempts.dispatcher.capacity.threads.run(turn, move || {
            self.work(lane, &code, delivery, &in_thread);
            drop(places);
        });
        let mut look = Instant::now() + patience;
        let (in_hand, handled) = loop {
            tokio::select! {
                ended = &mut thread => match (ended, hand.take()) {
                    (Err(error), Some(in_hand)) => break (in_hand, host_failed(error)),
                    _ => return,
                },
                () = tokio::time::sleep_until(look.into()) => match hand.take_late(patience) {
                    Ok(in_hand) => break (in_hand, given_up()),
                    Err(next) => look = next,
                },
            }
        };
        drop(running);
        let ran = Ran::of(&generation, handled, in_hand.since.elapsed());
        attempts.settle_alone(in_hand.claim, in_hand.places, &generation, ran).await;
    }

    /// What the thread does.
    fn work(&self, lane: Lane, generation: &Arc<Generation>, mut delivery: Arc<Delivery>, hand: &Hand) {
        let began = Instant::now();
        let batch = generation.batch(&delivery.subscription.name);
        let (mut live, mut in_row): (Option<Live>, u32) = (None, 0);
        hand.begin();
        let ran_out_of_time = loop {
            let started = Instant::now();
            let bus = &*self.attempts.dispatcher.bus;
            let timeout = self.attempts.definition.timeout;
            let ran = self.attempts.too_far(&delivery).unwrap_or_else(|| {
                let handled = handle(bus, generation, &delivery, timeout, &mut live);
                Ran::of(generation, handled, started.elapsed())
            });
            in_row = if live.is_some() { in_row + 1 } else { 0 };
            if in_row >= batch {
                generation.keep(live.take());
                in_row = 0;
            }
            let Some(InHand { claim, places, .. }) = hand.take() else { return };
            self.attempts.settle_then(claim, places, generation, ran);
            if !self.has_time(lane, began.elapsed()) {
                break true;
            }
            let Some((claim, places)) = self.next(generation, &delivery) else { break false };
            delivery = Arc::clone(claim.delivery());
            hand.put(claim, places);
        };
        self.behind.note(ran_out_of_time);
        generation.keep(live);
    }

    fn has_time(&self, lane: Lane, took: Duration) -> bool {
        took < SHORT_TIME || took < TIME && !self.attempts.dispatcher.capacity.threads.is_awaited(lane)
    }

    /// The next delivery, if one is at hand and everything is as it was.
    fn next(&self, generation: &Arc<Generation>, last: &Delivery) -> Option<(Claim, Places)> {
        let dispatcher = &self.attempts.dispatcher;
        let current = self.attempts.generation(&generation.name, last)?;
        if self.cancelled.is_cancelled()
            || !Arc::ptr_eq(&current, generation)
            || !Arc::ptr_eq(&self.subscription.definition(), &self.attempts.definition)
            || dispatcher.bus.drained().contains(&*generation.name)
        {
            return None;
        }
        let unsettled = Arc::clone(&self.unsettled).try_acquire_owned().ok()?;
        Some((self.subscription.try_claim()?, Places::unsettled(unsettled)))
    }
}
