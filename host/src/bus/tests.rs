//! The bus by itself: what is acknowledged is there after a crash, and effects are there once. A crash is
//! a bus that is opened again from a copy of its files, taken while the first one still runs.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::event::Event;
use crate::outcome::{Cause, Failure, Outcome, SubscriptionChange, Write};
use crate::subscription::{RetryPolicy, Target};

const START: Timestamp = Timestamp(1_893_456_000_000);

struct Fixture {
    bus: Bus,
    clock: Clock,
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let bus = Bus::open(directory.path(), clock.clone(), Defaults::default()).unwrap();
        Self { bus, clock, directory }
    }

    /// Opens what a crash would leave: the files as they are now.
    fn crash(self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for name in ["bus.db", "bus.db-wal"] {
            let from = self.directory.path().join(name);
            if from.exists() {
                std::fs::copy(&from, copy.path().join(name)).unwrap();
            }
        }
        let bus = Bus::open(copy.path(), self.clock.clone(), Defaults::default()).unwrap();
        Self { bus, clock: self.clock, directory: copy }
    }

    async fn declare(&self, name: &str, definition: Definition) -> Subscribed {
        self.bus.declare("p", vec![(name.to_owned(), definition)]).await.unwrap();
        self.subscription(name)
    }

    fn subscription(&self, name: &str) -> Subscribed {
        self.bus.subscriptions().into_iter().find(|one| one.id().name == name).unwrap()
    }

    async fn publish(&self, id: &str) -> Accepted {
        let publish = Publish { event: event(id), due: None };
        self.bus.publish(vec![publish]).await.unwrap().remove(0)
    }
}

fn event(id: &str) -> Event {
    Event { id: id.to_owned(), source: "/t".to_owned(), event_type: "a.b".to_owned(), ..Event::default() }
}

fn definition(pattern: &str, attempts: u32) -> Definition {
    Definition {
        pattern: Pattern::parse(pattern).unwrap(),
        target: Target::Plugin("p".to_owned()),
        concurrency: NonZeroU32::new(4).unwrap(),
        ordering_key: None,
        retry: RetryPolicy {
            attempts: NonZeroU32::new(attempts).unwrap(),
            first_delay: Duration::from_secs(1),
            factor_percent: 200,
            max_delay: Duration::from_secs(60),
        },
        timeout: Duration::from_secs(1),
    }
}

fn retry() -> Outcome {
    Outcome::Retry { after: None, failure: Failure { cause: Cause::Retry, reason: "later".to_owned() } }
}

fn set(key: &str, value: &[u8]) -> Effects {
    Effects { writes: BTreeMap::from([(key.to_owned(), Write::Set(value.to_vec()))]), ..Effects::default() }
}

async fn ack(claim: &mut Claim, effects: Effects) -> Result<Settled, CommitError> {
    claim.settle(Outcome::Ack, Some(("p".to_owned(), effects)), None, 1.0).await
}

/// What can be claimed now, without waiting for time to pass.
async fn claim_now(subscription: &Subscribed) -> Option<Claim> {
    tokio::time::timeout(Duration::from_millis(50), subscription.claim()).await.ok().map(Result::unwrap)
}

#[tokio::test]
async fn what_is_published_is_there_after_a_crash_and_stored_once() {
    let fixture = Fixture::new();
    assert!(!fixture.publish("1").await.duplicate);
    let fixture = fixture.crash();
    assert!(fixture.publish("1").await.duplicate);
    assert!(!fixture.publish("2").await.duplicate);
    let events = fixture.bus.events(Position(u64::MAX >> 1), 10).await.unwrap();
    assert_eq!(events.iter().map(|logged| logged.event.id.as_str()).collect::<Vec<_>>(), ["2", "1"]);
}

#[tokio::test]
async fn effects_are_committed_with_the_ack_or_not_at_all() {
    let fixture = Fixture::new();
    let subscription = fixture.declare("s", definition("a.b", 5)).await;
    fixture.publish("1").await;

    let mut claim = subscription.claim().await.unwrap();
    let settled = claim.settle(retry(), Some(("p".to_owned(), set("k", b"lost"))), None, 1.0).await.unwrap();
    assert_eq!(settled, Settled::Waiting(START.after(Duration::from_secs(1))));
    assert_eq!(fixture.bus.state("p").get("k").unwrap().0, None);

    fixture.clock.advance(Duration::from_secs(1));
    let mut claim = subscription.claim().await.unwrap();
    assert_eq!(claim.attempt(), 2);
    let follow_up = Publish { event: Event { event_type: "a.c".to_owned(), ..event("2") }, due: None };
    let effects = Effects { publishes: vec![follow_up], ..set("k", b"kept") };
    assert_eq!(ack(&mut claim, effects).await.unwrap(), Settled::Handled);
    let fixture = fixture.crash();
    assert_eq!(fixture.bus.state("p").get("k").unwrap().0.as_deref(), Some(&b"kept"[..]));
    assert_eq!(fixture.bus.head(), Position(2));
    assert_eq!(fixture.subscription("s").overview().backlog, 0);
}

#[tokio::test]
async fn a_read_that_others_changed_is_a_conflict_and_changes_nothing() {
    let fixture = Fixture::new();
    let subscription = fixture.declare("s", definition("a.b", 5)).await;
    fixture.publish("1").await;
    let mut claim = subscription.claim().await.unwrap();
    let (_, version) = fixture.bus.state("p").get("k").unwrap();
    fixture.bus.commit("p", set("k", b"theirs")).await.unwrap();

    let mut effects = set("k", b"mine");
    effects.reads.keys.insert("k".to_owned(), version);
    assert_eq!(ack(&mut claim, effects).await, Err(CommitError::Conflict("k".to_owned())));
    let (value, version) = fixture.bus.state("p").get("k").unwrap();
    assert_eq!(value.as_deref(), Some(&b"theirs"[..]));

    let mut effects = set("k", b"mine");
    effects.reads.keys.insert("k".to_owned(), version);
    assert_eq!(ack(&mut claim, effects).await, Ok(Settled::Handled), "the claim was still open");
}

#[tokio::test]
async fn a_listing_that_others_changed_is_a_conflict() {
    let fixture = Fixture::new();
    let (_, listing) = fixture.bus.state("p").keys(None, 10).unwrap();
    let listed = || {
        let mut effects = set("mine", b"1");
        effects.reads.listing = Some(listing);
        effects
    };
    fixture.bus.commit("other", set("k", b"1")).await.unwrap();
    fixture.bus.commit("p", listed()).await.unwrap();
    assert!(matches!(fixture.bus.commit("p", listed()).await, Err(CommitError::Conflict(_))));
}

#[tokio::test]
async fn additions_merge() {
    let fixture = Fixture::new();
    let add = |delta| Effects { writes: BTreeMap::from([("n".to_owned(), Write::Add(delta))]), ..Effects::default() };
    for delta in [40, 3, -1] {
        fixture.bus.commit("p", add(delta)).await.unwrap();
    }
    assert_eq!(fixture.bus.state("p").get("n").unwrap().0.as_deref(), Some(&b"42"[..]));
    fixture.bus.commit("p", set("n", b"x")).await.unwrap();
    assert_eq!(fixture.bus.commit("p", add(1)).await, Err(CommitError::NotANumber("n".to_owned())));
}

#[tokio::test]
async fn a_claim_that_is_dropped_is_delivered_again_as_the_same_attempt() {
    let fixture = Fixture::new();
    let subscription = fixture.declare("s", definition("a.b", 5)).await;
    fixture.publish("1").await;
    fixture.publish("2").await;
    let first = subscription.claim().await.unwrap();
    let mut second = subscription.claim().await.unwrap();
    ack(&mut second, Effects::default()).await.unwrap();
    drop(first);
    let claim = subscription.claim().await.unwrap();
    assert_eq!((claim.event().id.as_str(), claim.attempt()), ("1", 1));
}

/// A worker gives up waiting whenever the set of subscriptions changes. What was being read goes on being
/// read, and must not come twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_given_up_while_the_backlog_is_read_repeats_nothing() {
    const EVENTS: usize = 600;
    let fixture = Fixture::new();
    fixture.declare("s", definition("a.b", 5)).await;
    let publishes = (0..EVENTS).map(|id| Publish { event: event(&id.to_string()), due: None });
    fixture.bus.publish(publishes.collect()).await.unwrap();
    let fixture = fixture.crash();
    let subscription = fixture.subscription("s");
    let mut seen = BTreeSet::new();
    while seen.len() < EVENTS {
        for _ in 0..3 {
            if let Some(claim) = look_once(&subscription) {
                settle_once(claim, &mut seen).await;
            }
        }
        settle_once(subscription.claim().await.unwrap(), &mut seen).await;
    }
    assert!(claim_now(&subscription).await.is_none(), "all is handled, and there is still something");
    assert_eq!(subscription.overview().backlog, 0);
}

/// Asks for a delivery and gives up at once.
fn look_once(subscription: &Subscribed) -> Option<Claim> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(subscription.claim()).poll(&mut context) {
        std::task::Poll::Ready(claim) => Some(claim.unwrap()),
        std::task::Poll::Pending => None,
    }
}

async fn settle_once(mut claim: Claim, seen: &mut BTreeSet<String>) {
    let id = claim.event().id.clone();
    assert!(seen.insert(id.clone()), "{id} was delivered twice");
    ack(&mut claim, Effects::default()).await.unwrap();
}

#[tokio::test]
async fn a_scheduled_event_enters_the_log_when_it_is_due() {
    let fixture = Fixture::new();
    let subscription = fixture.declare("s", definition("a.b", 5)).await;
    let due = Some(START.after(Duration::from_secs(3600)));
    let accepted = fixture.bus.publish(vec![Publish { event: event("1"), due }]).await.unwrap();
    assert!(!accepted[0].duplicate);
    assert!(fixture.publish("1").await.duplicate, "it is the same event");
    assert!(claim_now(&subscription).await.is_none());

    let fixture = fixture.crash();
    let subscription = fixture.subscription("s");
    assert!(claim_now(&subscription).await.is_none());
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(subscription.claim().await.unwrap().event().id, "1");
}

#[tokio::test]
async fn dead_letters_are_redriven_by_cause() {
    let fixture = Fixture::new();
    let subscription = fixture.declare("s", definition("a.b", 1)).await;
    for (id, cause) in [("1", Cause::Trap), ("2", Cause::Timeout)] {
        fixture.publish(id).await;
        let mut claim = subscription.claim().await.unwrap();
        let failure = Failure { cause, reason: format!("because of {id}") };
        let settled = claim.settle(Outcome::Reject(failure), None, Some("d1".to_owned()), 0.0).await.unwrap();
        assert_eq!(settled, Settled::Dead);
    }
    let fixture = fixture.crash();
    let letters = fixture.bus.dead_letters(DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(
        letters.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(),
        ["because of 1", "because of 2"]
    );
    assert_eq!(letters[0].history[0].digest.as_deref(), Some("d1"));
    let filter = DeadLetterFilter { cause: Some("trap".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(fixture.bus.redrive(filter, 10).await.unwrap(), 1);
    let subscription = fixture.subscription("s");
    assert_eq!(subscription.overview().backlog, 1);
    assert_eq!(subscription.claim().await.unwrap().event().id, "1");
}

#[tokio::test]
async fn an_ordering_key_keeps_later_events_behind_a_failing_one() {
    let fixture = Fixture::new();
    let ordered = Definition { ordering_key: Some("subject".to_owned()), ..definition("a.b", 3) };
    let subscription = fixture.declare("s", ordered).await;
    fixture.publish("1").await;
    fixture.publish("2").await;
    let mut first = subscription.claim().await.unwrap();
    assert!(claim_now(&subscription).await.is_none(), "one at a time");
    first.settle(retry(), None, None, 1.0).await.unwrap();
    assert!(claim_now(&subscription).await.is_none(), "the first one comes first");
    fixture.clock.advance(Duration::from_secs(1));
    let mut first = subscription.claim().await.unwrap();
    assert_eq!(first.event().id, "1");
    ack(&mut first, Effects::default()).await.unwrap();
    assert_eq!(subscription.claim().await.unwrap().event().id, "2");
}

#[tokio::test]
async fn a_plugin_makes_and_removes_its_own_subscriptions() {
    let fixture = Fixture::new();
    fixture.publish("before").await;
    let change = |change| Effects { subscriptions: vec![change], ..Effects::default() };
    let subscribe = SubscriptionChange::Subscribe {
        name: "own".to_owned(),
        pattern: Pattern::parse("a.>").unwrap(),
        target: Target::Webhook("http://example.com/".to_owned()),
    };
    fixture.bus.commit("p", change(subscribe)).await.unwrap();
    fixture.publish("after").await;
    let fixture = fixture.crash();
    let subscription = fixture.subscription("own");
    assert!(subscription.overview().dynamic);
    assert_eq!(subscription.claim().await.unwrap().event().id, "after");
    let unsubscribe = SubscriptionChange::Unsubscribe { name: "own".to_owned() };
    fixture.bus.commit("p", change(unsubscribe)).await.unwrap();
    assert!(subscription.is_deleted());
    assert!(fixture.bus.subscriptions().is_empty());
}

#[tokio::test]
async fn what_a_generation_no_longer_declares_is_paused_until_it_is_declared_again() {
    let fixture = Fixture::new();
    let subscription = fixture.declare("s", definition("a.b", 5)).await;
    let orphans = fixture.bus.declare("p", Vec::new()).await.unwrap();
    assert_eq!(orphans.len(), 1);
    fixture.publish("1").await;
    assert!(claim_now(&subscription).await.is_none());
    assert!(fixture.crash().subscription("s").overview().paused.is_some());
}

#[tokio::test]
async fn a_second_bus_on_the_directory_is_refused() {
    let fixture = Fixture::new();
    let second = Bus::open(fixture.directory.path(), Clock::System, Defaults::default());
    assert!(matches!(second, Err(OpenError::InUse { .. })));
}

#[tokio::test]
async fn a_closed_bus_takes_nothing() {
    let fixture = Fixture::new();
    fixture.bus.close().await;
    let refused = fixture.bus.publish(vec![Publish { event: event("1"), due: None }]).await;
    assert!(matches!(refused, Err(CommitError::Closed(_))));
    assert!(!Path::new(&fixture.directory.path().join("bus.db-wal")).metadata().is_ok_and(|log| log.len() > 0));
}

/// What a test does to the bus.
#[derive(Clone, Copy, Debug)]
enum Act {
    Publish,
    Claim,
    /// Settles the open claim at this place, counted round.
    Ack(usize),
    Retry(usize),
    Reject(usize),
    Release(usize),
    Redrive,
    PassTime,
    Crash,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Publish),
        6 => Just(Act::Claim),
        4 => (0..8_usize).prop_map(Act::Ack),
        2 => (0..8_usize).prop_map(Act::Retry),
        1 => (0..8_usize).prop_map(Act::Reject),
        1 => (0..8_usize).prop_map(Act::Release),
        1 => Just(Act::Redrive),
        2 => Just(Act::PassTime),
        1 => Just(Act::Crash),
    ];
    proptest::collection::vec(act, 1..60)
}

/// What must be so, kept beside the bus.
#[derive(Default)]
struct Model {
    published: BTreeSet<String>,
    acked: BTreeSet<String>,
}

/// Runs acts and then lets everything come to its end. Every published event is handled once, or has been
/// a dead letter and is redriven and then handled.
async fn play(acts: Vec<Act>) {
    let mut fixture = Fixture::new();
    let mut subscription = fixture.declare("s", definition("a.b", 3)).await;
    let mut model = Model::default();
    let mut claims: Vec<Claim> = Vec::new();
    for act in acts {
        match act {
            Act::Publish => {
                let id = model.published.len().to_string();
                assert!(!fixture.publish(&id).await.duplicate);
                model.published.insert(id);
            }
            Act::Claim => {
                let ready = tokio::time::timeout(Duration::from_millis(2), subscription.claim()).await;
                if let Ok(claim) = ready {
                    let claim = claim.unwrap();
                    let id = &claim.event().id;
                    assert!(!model.acked.contains(id), "{id} was handled and is delivered again");
                    assert!(claims.iter().all(|open| open.event().id != *id), "{id} is in flight twice");
                    claims.push(claim);
                }
            }
            Act::Ack(place) => {
                if let Some(mut claim) = take(&mut claims, place) {
                    let id = claim.event().id.clone();
                    let add = Effects {
                        writes: BTreeMap::from([(format!("acked/{id}"), Write::Add(1))]),
                        ..Effects::default()
                    };
                    assert_eq!(ack(&mut claim, add).await, Ok(Settled::Handled));
                    model.acked.insert(id);
                }
            }
            Act::Retry(place) => {
                if let Some(mut claim) = take(&mut claims, place) {
                    claim.settle(retry(), None, None, 0.5).await.unwrap();
                }
            }
            Act::Reject(place) => {
                if let Some(mut claim) = take(&mut claims, place) {
                    let failure = Failure { cause: Cause::Rejected, reason: "no".to_owned() };
                    assert_eq!(claim.settle(Outcome::Reject(failure), None, None, 0.5).await, Ok(Settled::Dead));
                }
            }
            Act::Release(place) => drop(take(&mut claims, place)),
            Act::Redrive => drop(fixture.bus.redrive(DeadLetterFilter::default(), 100).await.unwrap()),
            Act::PassTime => fixture.clock.advance(Duration::from_secs(1)),
            Act::Crash => {
                claims.clear();
                fixture = fixture.crash();
                subscription = fixture.subscription("s");
            }
        }
        let letters = fixture.bus.count_dead_letters(DeadLetterFilter::default()).await.unwrap();
        let open = model.published.len() - model.acked.len() - letters;
        assert_eq!(subscription.overview().backlog, open as u64, "what is neither handled nor dead is the backlog");
    }
    claims.clear();
    finish(&fixture, &subscription, &mut model).await;
}

fn take(claims: &mut Vec<Claim>, place: usize) -> Option<Claim> {
    if claims.is_empty() { None } else { Some(claims.swap_remove(place % claims.len())) }
}

/// Handles all that is left, after time enough for every retry.
async fn finish(fixture: &Fixture, subscription: &Subscribed, model: &mut Model) {
    fixture.bus.redrive(DeadLetterFilter::default(), 1_000).await.unwrap();
    fixture.clock.advance(Duration::from_hours(1));
    while subscription.overview().backlog > 0 {
        let mut claim = subscription.claim().await.unwrap();
        let id = claim.event().id.clone();
        let add = Effects { writes: BTreeMap::from([(format!("acked/{id}"), Write::Add(1))]), ..Effects::default() };
        assert_eq!(ack(&mut claim, add).await, Ok(Settled::Handled));
        assert!(model.acked.insert(id), "an event was handled twice");
    }
    assert_eq!(model.acked, model.published);
    for id in &model.acked {
        let count = fixture.bus.state("p").get(&format!("acked/{id}")).unwrap().0;
        assert_eq!(count.as_deref(), Some(&b"1"[..]), "the effects of {id} are there once");
    }
    assert_eq!(fixture.bus.count_dead_letters(DeadLetterFilter::default()).await.unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_event_is_handled_once(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(acts));
    }
}
