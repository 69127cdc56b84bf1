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
pub enum Act {
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
enum Fate {
    Open { attempts: u32 },
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
    fates: BTreeMap<(&'static str, usize), Fate>,
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
            self.fates.insert((name, id), Fate::Open { attempts: 0 });
        }
    }

    fn backlog(&self, name: &'static str) -> usize {
        self.count(name, |fate| matches!(fate, Fate::Open { .. } | Fate::InFlight { .. }))
    }

    fn count(&self, name: &str, is: impl Fn(Fate) -> bool) -> usize {
        self.fates.iter().filter(|((other, _), fate)| *other == name && is(**fate)).count()
    }

    /// A delivery has come: it must be one that may come now.
    fn claimed(&mut self, name: &'static str, id: usize, attempt: u32) {
        assert!(!self.paused.contains(name), "{name} is paused, and {id} was delivered");
        let fate = self.fates[&(name, id)];
        let Fate::Open { attempts } = fate else { panic!("{id} is {fate:?} for {name}, and was delivered") };
        assert_eq!(attempt, attempts + 1, "{id} for {name}");
        if let Some(key) = self.keys[&id].filter(|_| name != "plain") {
            let before: Vec<_> = self.log.iter().copied().take_while(|other| *other != id).collect();
            for other in self.log.iter().copied().filter(|other| *other != id && self.keys[other] == Some(key)) {
                let fate = self.fates[&(name, other)];
                assert!(!matches!(fate, Fate::InFlight { .. }), "{other} is in flight for {name}, and {id} beside it");
                let has_turn = self.turns.get(&(name, key)) == Some(&id);
                let is_before = !has_turn && before.contains(&other) && matches!(fate, Fate::Open { .. });
                assert!(!is_before, "{other} is open for {name}, and {id} went before it");
            }
            if name == "parked" {
                let parked = self.parked.get(&key);
                assert!(parked.is_none_or(|other| *other == id), "the key {key} is parked, and {id} was delivered");
            }
            self.turns.insert((name, key), id);
        }
        self.fates.insert((name, id), Fate::InFlight { attempts });
    }

    fn done(&mut self, name: &'static str, id: usize) {
        self.turns.retain(|(other, _), turn| *other != name || *turn != id);
    }

    fn died(&mut self, name: &'static str, id: usize) {
        self.done(name, id);
        self.fates.insert((name, id), Fate::Dead);
        if let (Some(key), "parked") = (self.keys[&id], name) {
            self.parked.insert(key, id);
        }
    }
}

/// A claim of the test's.
struct Held {
    name: &'static str,
    id: usize,
    replay: Option<FeedId>,
    claim: Claim,
}

struct Play {
    stage: Stage,
    model: Model,
    held: Vec<Held>,
    /// How often each replay has handled each event.
    replayed: BTreeMap<(FeedId, usize), u32>,
    replays: BTreeMap<FeedId, u64>,
}

/// Plays acts, and then lets everything come to its end.
pub async fn play(engine: &dyn Engine, acts: Vec<Act>) {
    let retention = Retention { max_age: Some(Duration::from_secs(30)), ..Retention::default() };
    let stage = open(engine, Settings { retention, ..Settings::default() }).await;
    declare_all(&stage).await;
    let (held, replayed, replays) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut play = Play { stage, model: Model::default(), held, replayed, replays };
    for act in acts {
        play = play.act(act).await;
        play.check().await;
    }
    play.finish().await;
}

async fn declare_all(stage: &Stage) {
    let subscriptions = NAMES.map(|name| (name.to_owned(), rules(name), Start::Now)).to_vec();
    stage.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
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

impl Play {
    async fn act(mut self, act: Act) -> Self {
        match act {
            Act::Publish(key) => self.publish(key, None).await,
            Act::PublishLater(key) => self.publish(key, Some(Duration::from_secs(3))).await,
            Act::Claim(which) => self.claim(which).await,
            Act::Ack(which) => self.settle(which, Settle::Ack).await,
            Act::Retry(which) => self.settle(which, Settle::Retry).await,
            Act::Reject(which) => self.settle(which, Settle::Reject).await,
            Act::GiveBack(which) => {
                if let Some(held) = self.take(which) {
                    self.reopen(&held);
                }
            }
            Act::Redrive(which) => self.redrive(chosen(which)).await,
            Act::Drop(which) => self.drop_dead(chosen(which)).await,
            Act::Pause(which) => {
                self.stage.bus().pause(id(chosen(which)), true).await.unwrap();
                self.model.paused.insert(chosen(which));
            }
            Act::Resume(which) => {
                self.stage.bus().pause(id(chosen(which)), false).await.unwrap();
                self.model.paused.remove(chosen(which));
            }
            Act::Replay(which) => {
                let begun = self.stage.bus().replay(id(chosen(which)), Start::Beginning, None).await.unwrap();
                if let Replay { number: Some(number), events } = begun {
                    self.replays.insert(number, events);
                }
            }
            Act::StopReplays(which) => {
                let name = chosen(which);
                self.stage.bus().stop_replays(id(name)).await.unwrap();
                self.held.retain(|held| held.replay.is_none() || held.name != name);
            }
            Act::Redeclare => declare_all(&self.stage).await,
            Act::Compact => drop(self.stage.bus().compact().await.unwrap()),
            Act::PassTime(seconds) => self.pass_time(Duration::from_secs(u64::from(seconds))).await,
            Act::SetClockBack => self.stage.clock().set(Timestamp(self.stage.clock().now().0 - 3_600_000)),
            Act::Crash => self = self.reopened(Stage::crash).await,
            Act::Restart => self = self.reopened(Stage::restart).await,
        }
        self
    }

    async fn publish(&mut self, key: u8, delay: Option<Duration>) {
        let number = self.model.next;
        self.model.next += 1;
        let key = [None, Some('a'), Some('b')][usize::from(key) % 3];
        let event = Event { subject: key.map(String::from), ..event(&number.to_string()) };
        let due = delay.map(|delay| self.stage.clock().now().after(delay));
        let accepted = self.stage.bus().publish(vec![Publish { event, due }]).await.unwrap();
        assert!(!accepted[0].duplicate);
        self.model.keys.insert(number, key);
        while delay.is_none() && !self.model.log.contains(&number) {
            self.see_log().await;
        }
    }

    /// Time passes, and what is due enters the log in an order that the log itself tells.
    async fn pass_time(&mut self, time: Duration) {
        self.stage.clock().advance(time);
        self.see_log().await;
    }

    async fn see_log(&mut self) {
        // What lies beyond the head is not offered yet.
        let beyond = Position(self.stage.bus().head().0 + 1);
        for logged in self.stage.bus().events(Some(beyond), 1_000).await.unwrap().iter().rev() {
            let number = logged.event.id.parse().unwrap();
            if !self.model.log.contains(&number) {
                self.model.published(number);
            }
        }
    }

    async fn claim(&mut self, which: u8) {
        let all = feeds(&self.stage);
        if self.held.len() >= 8 || all.is_empty() {
            return;
        }
        let feed = &all[usize::from(which) % all.len()];
        let name = NAMES.into_iter().find(|name| *name == feed.id().name).unwrap();
        let Ok(claimed) = tokio::time::timeout(Duration::from_millis(3), feed.claim()).await else { return };
        let claim = claimed.unwrap();
        while !self.model.log.contains(&number(&claim)) {
            self.see_log().await;
        }
        let (id, replay) = (number(&claim), feed.overview().replay.map(|replay| replay.number));
        match replay {
            None => self.model.claimed(name, id, claim.delivery().attempt),
            Some(number) => {
                assert_eq!(claim.delivery().kind, DeliveryKind::Replay(number));
                assert!(!self.model.paused.contains(name), "{name} is paused, and {id} was replayed");
                let again = self.held.iter().any(|held| held.replay == replay && held.id == id);
                assert!(!again && !self.replayed.contains_key(&(number, id)), "{id} was replayed twice");
            }
        }
        self.held.push(Held { name, id, replay, claim });
    }

    fn take(&mut self, which: u8) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let index = usize::from(which) % self.held.len();
        Some(self.held.swap_remove(index))
    }

    fn reopen(&mut self, held: &Held) {
        if held.replay.is_none()
            && let Some(Fate::InFlight { attempts }) = self.model.fates.get(&(held.name, held.id)).copied()
        {
            self.model.fates.insert((held.name, held.id), Fate::Open { attempts });
        }
    }

    async fn settle(&mut self, which: u8, how: Settle) {
        let Some(mut held) = self.take(which) else { return };
        let effects = match held.replay {
            None => add(&format!("{}/{}", held.name, held.id), 1),
            Some(number) => add(&format!("replay/{number}/{}", held.id), 1),
        };
        let verdict = how.verdict(held.claim.delivery().attempt);
        let settled = settle(&mut held.claim, verdict, effects).await.unwrap();
        if let Some(number) = held.replay {
            let again = self.replayed.insert((number, held.id), 1);
            assert!(again.is_none());
            if settled != Settled::Handled {
                // What becomes of it is not followed any further.
                self.replayed.insert((number, held.id), 0);
                if matches!(settled, Settled::Waiting(_)) {
                    self.replayed.remove(&(number, held.id));
                }
            }
            return;
        }
        let Fate::InFlight { attempts } = self.model.fates[&(held.name, held.id)] else { unreachable!() };
        match settled {
            Settled::Handled => {
                self.model.done(held.name, held.id);
                self.model.fates.insert((held.name, held.id), Fate::Handled);
            }
            Settled::Waiting(_) => {
                assert!(attempts + 1 < 3);
                self.model.fates.insert((held.name, held.id), Fate::Open { attempts: attempts + 1 });
            }
            Settled::Dead => self.model.died(held.name, held.id),
        }
    }

    async fn redrive(&mut self, name: &'static str) {
        self.forget_replays_dead(name).await;
        let dead = self.model.count(name, |fate| fate == Fate::Dead);
        assert_eq!(self.stage.bus().redrive(all_of(name), 1_000).await, Ok(dead));
        for ((other, id), fate) in &mut self.model.fates {
            if *other == name && *fate == Fate::Dead {
                *fate = Fate::Open { attempts: 0 };
                if name == "parked" {
                    self.model.parked.retain(|_, parked| parked != id);
                }
            }
        }
    }

    async fn drop_dead(&mut self, name: &'static str) {
        self.stage.bus().drop_dead_letters(all_of(name), 1_000).await.unwrap();
        for ((other, id), fate) in &mut self.model.fates {
            if *other == name && *fate == Fate::Dead {
                *fate = Fate::Dropped;
                if name == "parked" {
                    self.model.parked.retain(|_, parked| parked != id);
                }
            }
        }
    }

    /// Drops the dead letters of replays, which the model does not follow.
    async fn forget_replays_dead(&self, name: &str) {
        for letter in self.stage.bus().dead_letters(all_of(name), None, 1_000).await.unwrap() {
            if letter.replay {
                let this = DeadLetterFilter { number: Some(letter.number), ..DeadLetterFilter::default() };
                assert_eq!(self.stage.bus().drop_dead_letters(this, 1).await, Ok(1));
            }
        }
    }

    async fn reopened<F: Future<Output = Stage>>(self, how: impl FnOnce(Stage) -> F) -> Self {
        let Self { stage, mut model, held, replayed, replays } = self;
        let stage = how(stage).await;
        // Whoever held them is gone; so are those of the process before.
        drop(held);
        for fate in model.fates.values_mut() {
            if let Fate::InFlight { attempts } = *fate {
                *fate = Fate::Open { attempts };
            }
        }
        let mut play = Self { stage, model, held: Vec::new(), replayed, replays };
        play.see_log().await;
        play
    }

    async fn check(&mut self) {
        for name in NAMES {
            self.forget_replays_dead(name).await;
            let overview = self.settled_overview(name).await;
            assert_eq!(overview.backlog, self.model.backlog(name) as u64, "the backlog of {name}");
            assert_eq!(overview.paused.is_some(), self.model.paused.contains(name), "whether {name} is paused");
            let dead = self.model.count(name, |fate| fate == Fate::Dead);
            let letters = self.stage.bus().count_dead_letters(all_of(name)).await.unwrap();
            assert_eq!(letters, dead as u64, "the dead letters of {name}");
            let counts = self.stage.bus().dead_letter_counts().await.unwrap();
            assert_eq!(counts.get(&id(name)).copied().unwrap_or(0), letters, "the dead letters of {name} among all");
        }
    }

    /// What a subscription looks like while nothing enters the log: what is due does so by itself.
    async fn settled_overview(&mut self, name: &str) -> Overview {
        loop {
            self.see_log().await;
            let known = self.model.log.len();
            let overview = subscription(&self.stage, name).overview();
            self.see_log().await;
            if self.model.log.len() == known {
                return overview;
            }
        }
    }

    /// Handles all that is left: every event is handled once by every subscription, unless it was dropped.
    async fn finish(mut self) {
        self.held.clear();
        for fate in self.model.fates.values_mut() {
            if let Fate::InFlight { attempts } = *fate {
                *fate = Fate::Open { attempts };
            }
        }
        for name in NAMES {
            self.stage.bus().pause(id(name), false).await.unwrap();
            self.model.paused.remove(name);
            self.redrive(name).await;
        }
        // The clock may have been set back by some hours after events were told to come later.
        self.stage.clock().advance(Duration::from_hours(400));
        while self.model.log.len() < self.model.keys.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.see_log().await;
        }
        for name in NAMES {
            self.finish_replays(name).await;
            let feed = subscription(&self.stage, name);
            while feed.overview().backlog > 0 {
                let mut claim = claim(&feed).await;
                let number = number(&claim);
                self.model.claimed(name, number, claim.delivery().attempt);
                ack(&mut claim, add(&format!("{name}/{number}"), 1)).await.unwrap();
                self.model.done(name, number);
                self.model.fates.insert((name, number), Fate::Handled);
            }
        }
        for ((name, id), fate) in &self.model.fates {
            let times = value(&self.stage, &format!("{name}/{id}"));
            match fate {
                Fate::Handled => assert_eq!(times.as_deref(), Some(&b"1"[..]), "the effects of {id} for {name}"),
                Fate::Dropped => assert_eq!(times, None, "the effects of {id} for {name}"),
                other => panic!("{id} is {other:?} for {name} in the end"),
            }
        }
    }

    async fn finish_replays(&mut self, name: &str) {
        while let Some(feed) = replay_of(&self.stage, name) {
            let mut claim = claim(&feed).await;
            let DeliveryKind::Replay(replay) = claim.delivery().kind else { panic!("{claim:?} is no replay") };
            let id = number(&claim);
            ack(&mut claim, add(&format!("replay/{replay}/{id}"), 1)).await.unwrap();
            assert!(self.replayed.insert((replay, id), 1).is_none(), "{id} was replayed twice");
        }
        for ((replay, id), times) in &self.replayed {
            let count = value(&self.stage, &format!("replay/{replay}/{id}"));
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
