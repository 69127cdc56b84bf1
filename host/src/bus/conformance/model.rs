//! A bus against a model of it: random acts, and after each one what must be so.
//!
//! The model knows, for each of three subscriptions and for each event, what has become of the delivery. It
//! does not know how a bus does it: only that no event is lost, that effects are there once, that a key is
//! kept in order, that nothing comes to a paused subscription, and that dead letters are accounted for.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::bus::{DeliveryKind, FeedId, Overview, Replay, Retention};
use crate::outcome::Outcome;
use crate::retry;
use crate::subscription::DeadLetterPolicy;

/// What a test does to the bus. Numbers choose among what there is, counted round.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Publishes an event, with one of the keys or with none.
    Publish(u8),
    /// The same for three seconds later.
    PublishLater(u8),
    /// Claims from one of the feeds, if there is something.
    Claim(u8),
    /// Handles one of what is claimed.
    Ack(u8),
    /// Fails it.
    Retry(u8),
    /// Fails it for good.
    Reject(u8),
    /// Gives it back.
    GiveBack(u8),
    /// Redrives the dead letters of a subscription.
    Redrive(u8),
    /// Drops them.
    Drop(u8),
    /// Pauses a subscription.
    Pause(u8),
    /// Resumes it.
    Resume(u8),
    /// Begins a replay of all that it had.
    Replay(u8),
    /// Stops its replays.
    StopReplays(u8),
    /// Declares all subscriptions again.
    Redeclare,
    /// Deletes what is old enough.
    Compact,
    /// Lets so many seconds pass.
    PassTime(u8),
    /// Sets the clock back by an hour.
    SetClockBack,
    /// Crashes.
    Crash,
    /// Ends and starts again.
    Restart,
}

/// The subscriptions: without order, in order, and in order where a dead letter parks its key.
const NAMES: [&str; 3] = ["plain", "keyed", "parked"];

fn rules(name: &str) -> Definition {
    let retention_safe = Definition { concurrency: NonZeroU32::new(8).unwrap(), ..ordered_by("subject") };
    match name {
        "plain" => Definition { ordering_key: None, ..retention_safe },
        "parked" => Definition { dead_letter_policy: DeadLetterPolicy::Park, ..retention_safe },
        _ => retention_safe,
    }
}

/// What has become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryState {
    ClaimHandle { attempts: u32 },
    InFlight { attempts: u32 },
    Dead,
    Dropped,
    Handled,
}

#[derive(Default)]
struct Model {
    /// The key of each event, by its id.
    keys: BTreeMap<usize, Option<char>>,
    /// The ids in the order of the log.
    log: Vec<usize>,
    fates: BTreeMap<(&'static str, usize), DeliveryState>,
    paused: BTreeSet<&'static str>,
    /// Whose turn it is, for each key: it keeps it until it is handled or dead, also if an earlier one is
    /// redriven meanwhile.
    turns: BTreeMap<(&'static str, char), usize>,
    /// Who keeps a key of `parked` waiting.
    parked: BTreeMap<char, usize>,
    next: usize,
}

impl Model {
    fn published(&mut self, id: usize) {
        self.log.push(id);
        for name in NAMES {
            self.fates.insert((name, id), DeliveryState::ClaimHandle { attempts: 0 });
        }
    }

    fn backlog(&self, name: &'static str) -> usize {
        self.count(name, |fate| matches!(fate, DeliveryState::ClaimHandle { .. } | DeliveryState::InFlight { .. }))
    }

    fn count(&self, name: &str, is: impl Fn(DeliveryState) -> bool) -> usize {
        self.fates.iter().filter(|((other, _), fate)| *other == name && is(**fate)).count()
    }

    /// A delivery has come: it must be one that may come now.
    fn claimed(&mut self, name: &'static str, id: usize, attempt: u32) {
        assert!(!self.paused.contains(name), "{name} is paused, and {id} was delivered");
        let fate = self.fates[&(name, id)];
        let DeliveryState::ClaimHandle { attempts } = fate else {
            panic!("{id} is {fate:?} for {name}, and was delivered")
        };
        assert_eq!(attempt, attempts + 1, "{id} for {name}");
        if let Some(key) = self.keys[&id].filter(|_| name != "plain") {
            let before: Vec<_> = self.log.iter().copied().take_while(|other| *other != id).collect();
            for other in self.log.iter().copied().filter(|other| *other != id && self.keys[other] == Some(key)) {
                let fate = self.fates[&(name, other)];
                assert!(
                    !matches!(fate, DeliveryState::InFlight { .. }),
                    "{other} is in flight for {name}, and {id} beside it"
                );
                let has_turn = self.turns.get(&(name, key)) == Some(&id);
                let is_before =
                    !has_turn && before.contains(&other) && matches!(fate, DeliveryState::ClaimHandle { .. });
                assert!(!is_before, "{other} is open for {name}, and {id} went before it");
            }
            if name == "parked" {
                let parked = self.parked.get(&key);
                assert!(parked.is_none_or(|other| *other == id), "the key {key} is parked, and {id} was delivered");
            }
            self.turns.insert((name, key), id);
        }
        self.fates.insert((name, id), DeliveryState::InFlight { attempts });
    }

    fn done(&mut self, name: &'static str, id: usize) {
        self.turns.retain(|(other, _), turn| *other != name || *turn != id);
    }

    fn died(&mut self, name: &'static str, id: usize) {
        self.done(name, id);
        self.fates.insert((name, id), DeliveryState::Dead);
        if let (Some(key), "parked") = (self.keys[&id], name) {
            self.parked.insert(key, id);
        }
    }
}

/// A claim of the test's.
struct OpenClaim {
    name: &'static str,
    id: usize,
    replay: Option<FeedId>,
    claim: Claim,
}

struct ModelRun {
    harness: Harness,
    model: Model,
    claims: Vec<OpenClaim>,
    /// How often each replay has handled each event.
    replayed: BTreeMap<(FeedId, usize), u32>,
    replays: BTreeMap<FeedId, u64>,
}

/// Plays acts, and then lets everything come to its end.
pub async fn run_against_model(engine: &dyn Engine, actions: Vec<Action>) {
    let retention = Retention { max_age: Some(Duration::from_secs(30)), ..Retention::default() };
    let harness = open(engine, Settings { retention, ..Settings::default() }).await;
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
                if let Some(claims) = self.take(which) {
                    self.reopen(&claims);
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
                let begun = self.harness.bus().replay(id(chosen(which)), Start::Beginning, None).await.unwrap();
                if let Replay { number: Some(number), events } = begun {
                    self.replays.insert(number, events);
                }
            }
            Action::StopReplays(which) => {
                let name = chosen(which);
                self.harness.bus().stop_replays(id(name)).await.unwrap();
                self.claims.retain(|claims| claims.replay.is_none() || claims.name != name);
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

    /// Time passes, and what is due enters the log in an order that the log itself tells.
    async fn pass_time(&mut self, time: Duration) {
        self.harness.clock().advance(time);
        self.read_log().await;
    }

    async fn read_log(&mut self) {
        // What lies beyond the head is not offered yet.
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
        let Ok(claimed) = tokio::time::timeout(Duration::from_millis(3), feed.claim()).await else { return };
        let claim = claimed.unwrap();
        while !self.model.log.contains(&number(&claim)) {
            self.read_log().await;
        }
        let (id, replay) = (number(&claim), feed.overview().replay.map(|replay| replay.number));
        match replay {
            None => self.model.claimed(name, id, claim.delivery().attempt),
            Some(number) => {
                assert_eq!(claim.delivery().kind, DeliveryKind::Replay(number));
                assert!(!self.model.paused.contains(name), "{name} is paused, and {id} was replayed");
                let again = self.claims.iter().any(|claims| claims.replay == replay && claims.id == id);
                assert!(!again && !self.replayed.contains_key(&(number, id)), "{id} was replayed twice");
            }
        }
        self.claims.push(OpenClaim { name, id, replay, claim });
    }

    fn take(&mut self, which: u8) -> Option<OpenClaim> {
        if self.claims.is_empty() {
            return None;
        }
        let index = usize::from(which) % self.claims.len();
        Some(self.claims.swap_remove(index))
    }

    fn reopen(&mut self, claims: &OpenClaim) {
        if claims.replay.is_none()
            && let Some(DeliveryState::InFlight { attempts }) = self.model.fates.get(&(claims.name, claims.id)).copied()
        {
            self.model.fates.insert((claims.name, claims.id), DeliveryState::ClaimHandle { attempts });
        }
    }

    async fn settle(&mut self, which: u8, how: Settle) {
        let Some(mut claims) = self.take(which) else { return };
        let effects = match claims.replay {
            None => add(&format!("{}/{}", claims.name, claims.id), 1),
            Some(number) => add(&format!("replay/{number}/{}", claims.id), 1),
        };
        let verdict = how.verdict(claims.claim.delivery().attempt);
        let settled = settle(&mut claims.claim, verdict, effects).await.unwrap();
        if let Some(number) = claims.replay {
            let again = self.replayed.insert((number, claims.id), 1);
            assert!(again.is_none());
            if settled != DeliveryStatus::Handled {
                // What becomes of it is not followed any further.
                self.replayed.insert((number, claims.id), 0);
                if matches!(settled, DeliveryStatus::Waiting(_)) {
                    self.replayed.remove(&(number, claims.id));
                }
            }
            return;
        }
        let DeliveryState::InFlight { attempts } = self.model.fates[&(claims.name, claims.id)] else { unreachable!() };
        match settled {
            DeliveryStatus::Handled => {
                self.model.done(claims.name, claims.id);
                self.model.fates.insert((claims.name, claims.id), DeliveryState::Handled);
            }
            DeliveryStatus::Waiting(_) => {
                assert!(attempts + 1 < 3);
                self.model
                    .fates
                    .insert((claims.name, claims.id), DeliveryState::ClaimHandle { attempts: attempts + 1 });
            }
            DeliveryStatus::Dead => self.model.died(claims.name, claims.id),
        }
    }

    async fn redrive(&mut self, name: &'static str) {
        self.forget_replays_dead(name).await;
        let dead = self.model.count(name, |fate| fate == DeliveryState::Dead);
        assert_eq!(self.harness.bus().redrive(all_of(name), 1_000).await, Ok(dead));
        for ((other, id), fate) in &mut self.model.fates {
            if *other == name && *fate == DeliveryState::Dead {
                *fate = DeliveryState::ClaimHandle { attempts: 0 };
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

    /// Drops the dead letters of replays, which the model does not follow.
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
        // Whoever held them is gone; so are those of the process before.
        drop(claims);
        for fate in model.fates.values_mut() {
            if let DeliveryState::InFlight { attempts } = *fate {
                *fate = DeliveryState::ClaimHandle { attempts };
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
            let counts = self.harness.bus().dead_letter_counts().await.unwrap();
            assert_eq!(counts.get(&id(name)).copied().unwrap_or(0), letters, "the dead letters of {name} among all");
        }
    }

    /// What a subscription looks like while nothing enters the log: what is due does so by itself.
    async fn settled_overview(&mut self, name: &str) -> Overview {
        loop {
            self.read_log().await;
            let known = self.model.log.len();
            let overview = subscription(&self.harness, name).overview();
            self.read_log().await;
            if self.model.log.len() == known {
                return overview;
            }
        }
    }

    /// Handles all that is left: every event is handled once by every subscription, unless it was dropped.
    async fn finish(mut self) {
        self.claims.clear();
        for fate in self.model.fates.values_mut() {
            if let DeliveryState::InFlight { attempts } = *fate {
                *fate = DeliveryState::ClaimHandle { attempts };
            }
        }
        for name in NAMES {
            self.harness.bus().pause(id(name), false).await.unwrap();
            self.model.paused.remove(name);
            self.redrive(name).await;
        }
        // The clock may have been set back by some hours after events were told to come later.
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
                other => panic!("{id} is {other:?} for {name} in the end"),
            }
        }
    }

    async fn finish_replays(&mut self, name: &str) {
        while let Some(feed) = replay_of(&self.harness, name) {
            let mut claim = claim(&feed).await;
            let DeliveryKind::Replay(replay) = claim.delivery().kind else { panic!("{claim:?} is no replay") };
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
