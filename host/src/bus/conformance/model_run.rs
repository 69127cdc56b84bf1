//! Compares a bus with the model: random actions, each followed by a check of what must hold.

use std::collections::BTreeMap;
use std::time::Instant;

use super::model::{DeliveryState, Model, NAMES, rules};
use super::*;
use crate::bus::{
    DeliveryFilter, DeliveryKind, DeliveryReport, DeliveryState as Shown, FeedId, Overview, Replay, Retention,
};
use crate::outcome::Outcome;
use crate::retry;

/// A step of a model test. A number selects a key, a feed or a claim, modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Publishes an event, with one of the keys or without a key.
    Publish(u8),
    /// Publishes an event that is due in three seconds.
    PublishLater(u8),
    /// Claims a delivery from a feed, if it has one.
    Claim(u8),
    /// Settles a claim as handled.
    Ack(u8),
    /// Fails the attempt of a claim.
    Retry(u8),
    /// Rejects the event of a claim.
    Reject(u8),
    /// Gives a claim back.
    GiveBack(u8),
    /// Redrives the dead letters of a subscription.
    Redrive(u8),
    /// Drops the dead letters of a subscription.
    Drop(u8),
    /// Pauses a subscription.
    Pause(u8),
    /// Resumes a subscription.
    Resume(u8),
    /// Replays a subscription from the beginning of the log.
    Replay(u8),
    /// Stops a subscription's replays.
    StopReplays(u8),
    /// Declares all subscriptions again.
    Redeclare,
    /// Deletes events that the retention rules no longer keep.
    Compact,
    /// Advances the clock by a number of seconds.
    PassTime(u8),
    /// Sets the clock back by an hour.
    SetClockBack,
    /// Crashes the host and opens its store again.
    Crash,
    /// Closes the bus and opens it again.
    Restart,
}

/// A claim that the test has not settled yet.
struct ClaimInFlight {
    name: &'static str,
    id: usize,
    replay: Option<FeedId>,
    claim: Claim,
}

struct ModelRun {
    harness: Harness,
    model: Model,
    claims: Vec<ClaimInFlight>,
    /// How often each replay has handled each event.
    replayed: BTreeMap<(FeedId, usize), u32>,
    replays: BTreeMap<FeedId, u64>,
}

/// Performs actions on a bus and on the model, compares the two after each one, and finally handles everything that is
/// left.
pub async fn run_against_model(fixture: &dyn BusFixture, actions: Vec<Action>) {
    let retention = Retention { max_age: Some(Duration::from_secs(30)), ..Retention::default() };
    let harness = open(fixture, Settings { retention, ..Settings::default() }).await;
    declare_all(&harness).await;
    let (claims, replayed, replays) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut run = ModelRun { harness, model: Model::default(), claims, replayed, replays };
    for action in actions {
        run = run.action(action).await;
        run.check().await;
    }
    run.finish().await;
}

async fn declare_all(harness: &Harness) {
    let subscriptions = NAMES.map(|name| (name.to_owned(), rules(name), Start::Now)).to_vec();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
}

fn number_of(report: &DeliveryReport) -> usize {
    report.logged.event.id.parse().unwrap()
}

fn number(claim: &Claim) -> usize {
    claim.event().id.parse().unwrap()
}

fn chosen(number: u8) -> &'static str {
    NAMES[usize::from(number) % NAMES.len()]
}

fn all_of(name: &str) -> DeadLetterFilter {
    DeadLetterFilter { subscription: Some(id(name)), ..DeadLetterFilter::default() }
}

impl ModelRun {
    async fn action(mut self, action: Action) -> Self {
        match action {
            Action::Publish(key) => self.publish(key, None).await,
            Action::PublishLater(key) => self.publish(key, Some(Duration::from_secs(3))).await,
            Action::Claim(which) => self.claim(which).await,
            Action::Ack(which) => self.settle(which, Settle::Ack).await,
            Action::Retry(which) => self.settle(which, Settle::Retry).await,
            Action::Reject(which) => self.settle(which, Settle::Reject).await,
            Action::GiveBack(which) => {
                if let Some(taken) = self.take(which) {
                    self.return_claim(&taken);
                }
            }
            Action::Redrive(which) => self.redrive(chosen(which)).await,
            Action::Drop(which) => self.drop_dead(chosen(which)).await,
            Action::Pause(which) => {
                self.harness.bus().pause(id(chosen(which)), true).await.unwrap();
                self.model.paused.insert(chosen(which));
            }
            Action::Resume(which) => {
                self.harness.bus().pause(id(chosen(which)), false).await.unwrap();
                self.model.paused.remove(chosen(which));
            }
            Action::Replay(which) => {
                let begun = self
                    .harness
                    .bus()
                    .replay(id(chosen(which)), ReplayScope::from_start(Start::Beginning))
                    .await
                    .unwrap();
                if let Replay { feed: Some(feed), events } = begun {
                    self.replays.insert(feed, events);
                }
            }
            Action::StopReplays(which) => {
                let name = chosen(which);
                self.harness.bus().stop_replays(id(name)).await.unwrap();
                self.claims.retain(|other| other.replay.is_none() || other.name != name);
            }
            Action::Redeclare => declare_all(&self.harness).await,
            Action::Compact => drop(self.harness.bus().compact().await.unwrap()),
            Action::PassTime(seconds) => self.pass_time(Duration::from_secs(u64::from(seconds))).await,
            Action::SetClockBack => self.harness.clock().set(Timestamp(self.harness.clock().now().0 - 3_600_000)),
            Action::Crash => self = self.reopened(Harness::crash).await,
            Action::Restart => self = self.reopened(Harness::restart).await,
        }
        self
    }

    async fn publish(&mut self, key: u8, delay: Option<Duration>) {
        let number = self.model.next;
        self.model.next += 1;
        let key = [None, Some('a'), Some('b')][usize::from(key) % 3];
        let event = Event { subject: key.map(String::from), ..event(&number.to_string()) };
        let due = delay.map(|delay| self.harness.clock().now().after(delay));
        let accepted = self.harness.bus().publish(vec![Publish { event, due }]).await.unwrap();
        assert!(!accepted[0].duplicate);
        self.model.keys.insert(number, key);
        while delay.is_none() && !self.model.log.contains(&number) {
            self.read_log().await;
        }
    }

    /// Advances the clock, and reads from the log which due events entered it, and in which order.
    async fn pass_time(&mut self, time: Duration) {
        self.harness.clock().advance(time);
        self.read_log().await;
    }

    async fn read_log(&mut self) {
        // Events after the head have not been offered yet.
        let beyond = Position(self.harness.bus().head().0 + 1);
        for logged in self.harness.bus().events(Some(beyond), 1_000).await.unwrap().iter().rev() {
            let number = logged.event.id.parse().unwrap();
            if !self.model.log.contains(&number) {
                self.model.published(number);
            }
        }
    }

    async fn claim(&mut self, which: u8) {
        let all = feeds(&self.harness);
        if self.claims.len() >= 8 || all.is_empty() {
            return;
        }
        let feed = &all[usize::from(which) % all.len()];
        let name = NAMES.into_iter().find(|name| *name == feed.id().name).unwrap();
        let Ok(claimed) = tokio::time::timeout(self.harness.claim_time(), feed.claim()).await else { return };
        let claim = claimed.unwrap();
        while !self.model.log.contains(&number(&claim)) {
            self.read_log().await;
        }
        let (id, replay) = (number(&claim), feed.overview().replay.map(|replay| replay.feed));
        match replay {
            None => self.model.claimed(name, id, claim.delivery().attempt),
            Some(number) => {
                assert_eq!(claim.delivery().kind, DeliveryKind::Replay(number));
                assert!(!self.model.paused.contains(name), "{name} is paused, and {id} was replayed");
                let again = self.claims.iter().any(|other| other.replay == replay && other.id == id);
                assert!(!again && !self.replayed.contains_key(&(number, id)), "{id} was replayed twice");
            }
        }
        self.claims.push(ClaimInFlight { name, id, replay, claim });
    }

    fn take(&mut self, which: u8) -> Option<ClaimInFlight> {
        if self.claims.is_empty() {
            return None;
        }
        let index = usize::from(which) % self.claims.len();
        Some(self.claims.swap_remove(index))
    }

    fn return_claim(&mut self, taken: &ClaimInFlight) {
        if taken.replay.is_none()
            && let Some(DeliveryState::InFlight { attempts }) = self.model.fates.get(&(taken.name, taken.id)).copied()
        {
            self.model.fates.insert((taken.name, taken.id), DeliveryState::Unclaimed { attempts });
        }
    }

    async fn settle(&mut self, which: u8, how: Settle) {
        let Some(mut taken) = self.take(which) else { return };
        let effects = match taken.replay {
            None => add(&format!("{}/{}", taken.name, taken.id), 1),
            Some(number) => add(&format!("replay/{number}/{}", taken.id), 1),
        };
        let verdict = how.verdict(taken.claim.delivery().attempt);
        let settled = settle(&mut taken.claim, verdict, effects).await.unwrap();
        if let Some(number) = taken.replay {
            let again = self.replayed.insert((number, taken.id), 1);
            assert!(again.is_none());
            if settled != SettledStatus::Handled {
                // The model does not track the retries of a replay.
                self.replayed.insert((number, taken.id), 0);
                if matches!(settled, SettledStatus::Waiting(_)) {
                    self.replayed.remove(&(number, taken.id));
                }
            }
            return;
        }
        let DeliveryState::InFlight { attempts } = self.model.fates[&(taken.name, taken.id)] else { unreachable!() };
        match settled {
            SettledStatus::Handled => {
                self.model.done(taken.name, taken.id);
                self.model.fates.insert((taken.name, taken.id), DeliveryState::Handled);
            }
            SettledStatus::Waiting(_) => {
                assert!(attempts + 1 < 3);
                self.model.fates.insert((taken.name, taken.id), DeliveryState::Unclaimed { attempts: attempts + 1 });
            }
            SettledStatus::Dead => self.model.died(taken.name, taken.id),
        }
    }

    async fn redrive(&mut self, name: &'static str) {
        self.forget_replays_dead(name).await;
        let dead = self.model.count(name, |fate| fate == DeliveryState::Dead);
        assert_eq!(self.harness.bus().redrive(all_of(name), 1_000).await, Ok(dead));
        for ((other, id), fate) in &mut self.model.fates {
            if *other == name && *fate == DeliveryState::Dead {
                *fate = DeliveryState::Unclaimed { attempts: 0 };
                if name == "parked" {
                    self.model.parked.retain(|_, parked| parked != id);
                }
            }
        }
    }

    async fn drop_dead(&mut self, name: &'static str) {
        self.harness.bus().drop_dead_letters(all_of(name), 1_000).await.unwrap();
        for ((other, id), fate) in &mut self.model.fates {
            if *other == name && *fate == DeliveryState::Dead {
                *fate = DeliveryState::Dropped;
                if name == "parked" {
                    self.model.parked.retain(|_, parked| parked != id);
                }
            }
        }
    }

    /// Drops the dead letters of replays, which the model does not track.
    async fn forget_replays_dead(&self, name: &str) {
        for letter in self.harness.bus().dead_letters(all_of(name), None, 1_000).await.unwrap() {
            if letter.replay {
                let this = DeadLetterFilter { number: Some(letter.number), ..DeadLetterFilter::default() };
                assert_eq!(self.harness.bus().drop_dead_letters(this, 1).await, Ok(1));
            }
        }
    }

    async fn reopened<F: Future<Output = Harness>>(self, how: impl FnOnce(Harness) -> F) -> Self {
        let Self { harness, mut model, claims, replayed, replays } = self;
        let harness = how(harness).await;
        // A delivery that the former process had claimed is pending again.
        drop(claims);
        for fate in model.fates.values_mut() {
            if let DeliveryState::InFlight { attempts } = *fate {
                *fate = DeliveryState::Unclaimed { attempts };
            }
        }
        let mut run = Self { harness, model, claims: Vec::new(), replayed, replays };
        run.read_log().await;
        run
    }

    async fn check(&mut self) {
        for name in NAMES {
            self.forget_replays_dead(name).await;
            let overview = self.settled_overview(name).await;
            assert_eq!(overview.backlog, self.model.backlog(name) as u64, "the backlog of {name}");
            assert_eq!(overview.paused.is_some(), self.model.paused.contains(name), "whether {name} is paused");
            let dead = self.model.count(name, |fate| fate == DeliveryState::Dead);
            let letters = self.harness.bus().count_dead_letters(all_of(name)).await.unwrap();
            assert_eq!(letters, dead as u64, "the dead letters of {name}");
            self.check_pending(name).await;
            let counts = self.harness.bus().dead_letter_counts().await.unwrap();
            assert_eq!(counts.get(&id(name)).copied().unwrap_or(0), letters, "the dead letters of {name} among all");
        }
    }

    /// Checks that the list of pending deliveries has each of them, and no other.
    async fn check_pending(&mut self, name: &'static str) {
        let filter = DeliveryFilter { subscription: Some(id(name)), ..DeliveryFilter::default() };
        let page = loop {
            self.read_log().await;
            let known = self.model.log.len();
            let page = self.harness.bus().deliveries(filter.clone(), None, None, 1_000).await.unwrap();
            self.read_log().await;
            if self.model.log.len() == known {
                break page;
            }
        };
        assert!(page.next.is_none());
        let own = page.deliveries.into_iter().filter(|report| !report.replayed);
        let mut listed: BTreeMap<usize, _> = own.map(|report| (number_of(&report), report.state)).collect();
        for ((_, id), fate) in self.model.fates.iter().filter(|((other, _), _)| *other == name) {
            let state = listed.remove(id);
            let key = self.model.keys[id];
            let fits = match (fate, &state) {
                (DeliveryState::InFlight { attempts }, Some(Shown::InFlight { attempt })) => *attempt == attempts + 1,
                (DeliveryState::Unclaimed { attempts }, Some(Shown::Retrying { attempts: shown, .. })) => {
                    shown == attempts
                }
                (DeliveryState::Unclaimed { .. }, Some(Shown::BehindKey { .. })) => name != "plain" && key.is_some(),
                (DeliveryState::Unclaimed { .. }, Some(Shown::Parked { .. })) => {
                    name == "parked" && key.is_some_and(|key| self.model.parked.contains_key(&key))
                }
                (DeliveryState::Unclaimed { .. }, Some(Shown::NotReached { .. } | Shown::Ready)) => true,
                (DeliveryState::Dead | DeliveryState::Dropped | DeliveryState::Handled, None) => true,
                _ => false,
            };
            assert!(fits, "{id} is {fate:?} for {name}, and is shown as {state:?}");
        }
        assert!(listed.is_empty(), "{name}: {listed:?}");
    }

    /// A subscription's overview, taken while no due event entered the log. A due event counts in the backlog just
    /// before it is seen in the log, so a difference only counts if it stays.
    async fn settled_overview(&mut self, name: &'static str) -> Overview {
        let started = Instant::now();
        loop {
            self.read_log().await;
            let known = self.model.log.len();
            let overview = subscription(&self.harness, name).overview();
            self.read_log().await;
            let is_settled = self.model.log.len() == known && overview.backlog == self.model.backlog(name) as u64;
            if is_settled || started.elapsed() > Duration::from_secs(5) {
                return overview;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Handles everything that is left. Every subscription handles each event once, unless it was dropped.
    async fn finish(mut self) {
        self.claims.clear();
        for fate in self.model.fates.values_mut() {
            if let DeliveryState::InFlight { attempts } = *fate {
                *fate = DeliveryState::Unclaimed { attempts };
            }
        }
        for name in NAMES {
            self.harness.bus().pause(id(name), false).await.unwrap();
            self.model.paused.remove(name);
            self.redrive(name).await;
        }
        // The clock may have been set back by some hours after events were scheduled.
        self.harness.clock().advance(Duration::from_hours(400));
        while self.model.log.len() < self.model.keys.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.read_log().await;
        }
        for name in NAMES {
            self.finish_replays(name).await;
            let feed = subscription(&self.harness, name);
            while feed.overview().backlog > 0 {
                let mut claim = claim(&feed).await;
                let number = number(&claim);
                self.model.claimed(name, number, claim.delivery().attempt);
                ack(&mut claim, add(&format!("{name}/{number}"), 1)).await.unwrap();
                self.model.done(name, number);
                self.model.fates.insert((name, number), DeliveryState::Handled);
            }
        }
        for ((name, id), fate) in &self.model.fates {
            let times = value(&self.harness, &format!("{name}/{id}"));
            match fate {
                DeliveryState::Handled => {
                    assert_eq!(times.as_deref(), Some(&b"1"[..]), "the effects of {id} for {name}")
                }
                DeliveryState::Dropped => assert_eq!(times, None, "the effects of {id} for {name}"),
                other => panic!("{id} is {other:?} for {name} at the end"),
            }
        }
    }

    async fn finish_replays(&mut self, name: &str) {
        while let Some(feed) = replay_of(&self.harness, name) {
            let mut claim = claim(&feed).await;
            let DeliveryKind::Replay(replay) = claim.delivery().kind else { panic!("{claim:?} is not a replay") };
            let id = number(&claim);
            ack(&mut claim, add(&format!("replay/{replay}/{id}"), 1)).await.unwrap();
            assert!(self.replayed.insert((replay, id), 1).is_none(), "{id} was replayed twice");
        }
        for ((replay, id), times) in &self.replayed {
            let count = value(&self.harness, &format!("replay/{replay}/{id}"));
            assert_eq!(count.is_some(), *times == 1, "the effects of {id} in the replay {replay}");
        }
        for (replay, events) in &self.replays {
            let seen = self.replayed.keys().filter(|(other, _)| other == replay).count() as u64;
            assert!(seen <= *events, "{seen} of {events} events were replayed");
        }
    }
}

#[derive(Clone, Copy)]
enum Settle {
    Ack,
    Retry,
    Reject,
}

impl Settle {
    /// The third attempt is the last.
    fn verdict(self, attempt: u32) -> Verdict {
        let outcome = match self {
            Self::Ack => Outcome::Ack,
            Self::Retry => Outcome::Retry { after: None, failure: failure(Cause::Retry) },
            Self::Reject => Outcome::Reject(failure(Cause::Rejected)),
        };
        retry::decide(&definition("a.b", 3).retry, attempt, outcome, 1.0)
    }
}
