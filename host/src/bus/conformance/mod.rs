//! The conformance suite: what a bus must do, as tests against the traits. Every bus passes them.
//!
//! A [`BusFixture`] defines how a bus is opened, crashed and restarted; [`CASES`] lists the tests.
//! [`run_against_model`] compares it with a model, action by action. Nothing here depends on a kind of bus. A crate
//! that has one runs the suite from outside, with the feature `conformance`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, also where they are compiled for another crate's"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AttemptRecord, Claim, CommitError, DeadLetterFilter, ProducerLimit, PublishReceipt, ReplayScope, Settings,
    SettledStatus, Settlement, SubscriptionFeed,
};
use crate::clock::Timestamp;
use crate::event::{Data, Event, Position};
use crate::outcome::{Cause, Effects, Failure, Publish, Write};
use crate::pattern::Pattern;
use crate::percent::Percent;
use crate::retry::Verdict;
use crate::subscription::{Declaration, Definition, RetryPolicy, Start, SubscriptionId, Target};
use crate::usage::Usage;

/// The time at which every test begins.
pub const START: Timestamp = Timestamp(1_893_456_000_000);

mod cases;
mod harness;
mod model;
mod model_run;

mod cluster;
mod dead_letters;
mod delivery;
mod endpoints;
mod inspection;
mod lag;
mod limits;
mod ordering;
mod outages;
mod publishing;
mod replay;
mod retention;
mod scheduling;
mod state;
mod subscribing;

pub use cases::{CASES, CLUSTER_CASES, Case, CaseFuture};
pub(crate) use harness::HasBus;
pub use harness::{BusFixture, BusHost, Harness};

pub use model_run::{Action, run_against_model};

/// Opens an empty bus for a test.
async fn open(fixture: &dyn BusFixture, settings: Settings) -> Harness {
    Harness::open(fixture, settings).await
}

/// An event of type `a.b`.
pub(crate) fn event(id: &str) -> Event {
    Event { id: id.to_owned(), source: "/t".to_owned(), event_type: "a.b".to_owned(), ..Event::default() }
}

/// An event of type `a.b` with a subject.
fn about(id: &str, subject: &str) -> Event {
    Event { subject: Some(subject.to_owned()), ..event(id) }
}

pub(crate) fn definition(pattern: &str, attempts: u32) -> Definition {
    Definition {
        pattern: Pattern::parse(pattern).unwrap(),
        filters: Default::default(),
        target: Target::Plugin("p".to_owned()),
        concurrency: NonZeroU32::new(4).unwrap(),
        ordering_key: None,
        dead_letter_policy: Default::default(),
        retry: RetryPolicy {
            max_attempts: NonZeroU32::new(attempts).unwrap(),
            initial_delay: Duration::from_secs(1),
            backoff_multiplier: Percent(200),
            max_delay: Duration::from_secs(60),
            ..RetryPolicy::default()
        },
        max_backlog: None,
        timeout: Duration::from_secs(1),
    }
}

fn ordered_by(key: &str) -> Definition {
    Definition { ordering_key: Some(crate::ordering::OrderingKey::parse(key).unwrap()), ..definition("a.b", 3) }
}

pub(crate) fn id(name: &str) -> SubscriptionId {
    SubscriptionId { owner: "p".to_owned(), name: name.to_owned() }
}

pub(crate) async fn declare(harness: &impl HasBus, name: &str, definition: Definition) -> Arc<dyn SubscriptionFeed> {
    declare_from(harness, name, definition, Start::Now).await
}

async fn declare_from(
    harness: &impl HasBus,
    name: &str,
    definition: Definition,
    start: Start,
) -> Arc<dyn SubscriptionFeed> {
    let subscriptions = vec![(name.to_owned(), definition, start)];
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    subscription(harness, name)
}

/// All feeds of the catalogue.
pub(crate) fn feeds(harness: &impl HasBus) -> Vec<Arc<dyn SubscriptionFeed>> {
    let catalogue = Arc::clone(&harness.bus().catalogue().borrow());
    catalogue.feeds.iter().map(|entry| harness.bus().feed(entry.feed).unwrap()).collect()
}

pub(crate) fn subscription(harness: &impl HasBus, name: &str) -> Arc<dyn SubscriptionFeed> {
    feeds(harness).into_iter().find(|one| one.id().name == name && one.overview().replay.is_none()).unwrap()
}

fn replay_of(harness: &impl HasBus, name: &str) -> Option<Arc<dyn SubscriptionFeed>> {
    feeds(harness).into_iter().find(|one| one.id().name == name && one.overview().replay.is_some())
}

pub(crate) async fn publish(harness: &impl HasBus, event: Event) -> PublishReceipt {
    harness.bus().publish(vec![Publish { event, due: None }]).await.unwrap().remove(0)
}

pub(crate) async fn publish_all(harness: &impl HasBus, events: impl Iterator<Item = Event>) {
    let events: Vec<_> = events.map(|event| Publish { event, due: None }).collect();
    for part in events.chunks(500) {
        harness.bus().publish(part.to_vec()).await.unwrap();
    }
}

async fn settle(claim: &mut Claim, verdict: Verdict, effects: Effects) -> Result<SettledStatus, CommitError> {
    let (delivery, digest) = (Arc::clone(claim.delivery()), Some("d1".into()));
    let record = AttemptRecord { delivery, verdict, digest, took: Duration::from_millis(1), usage: Usage::default() };
    claim.settle(Settlement { record, effects: Some(("p".into(), effects)) }).await
}

fn failure(cause: Cause) -> Failure {
    Failure { cause, reason: format!("because of {}", cause.as_str()) }
}

/// Settles a claim as handled.
pub async fn ack(claim: &mut Claim, effects: Effects) -> Result<SettledStatus, CommitError> {
    settle(claim, Verdict::Ack, effects).await
}

fn retry_after_a_second() -> Verdict {
    Verdict::RetryAfter { delay: Duration::from_secs(1), failure: failure(Cause::Retry) }
}

async fn retry(claim: &mut Claim) -> SettledStatus {
    settle(claim, retry_after_a_second(), Effects::default()).await.unwrap()
}

/// Fails the last attempt of a claim.
async fn exhaust(claim: &mut Claim) -> SettledStatus {
    let verdict = Verdict::DeadLetter { failure: failure(Cause::Retry), exhausted: true };
    settle(claim, verdict, Effects::default()).await.unwrap()
}

pub(crate) async fn reject(claim: &mut Claim) -> SettledStatus {
    let verdict = Verdict::DeadLetter { failure: failure(Cause::Rejected), exhausted: false };
    settle(claim, verdict, Effects::default()).await.unwrap()
}

/// Claims a delivery, which must be there.
pub(crate) async fn claim(subscription: &Arc<dyn SubscriptionFeed>) -> Claim {
    let claim = tokio::time::timeout(Duration::from_secs(20), subscription.claim()).await;
    claim.unwrap_or_else(|_| panic!("there is nothing to claim: {subscription:#?}")).unwrap()
}

/// Handles all deliveries of a subscription, and returns the ids of their events.
async fn handle_all(subscription: &Arc<dyn SubscriptionFeed>) -> Vec<String> {
    let mut ids = Vec::new();
    while subscription.overview().backlog > 0 {
        let mut claim = claim(subscription).await;
        ids.push(claim.event().id.clone());
        ack(&mut claim, Effects::default()).await.unwrap();
    }
    ids
}

/// Checks that nothing can be claimed now. A longer wait could only reveal more errors.
async fn assert_idle(subscription: &Arc<dyn SubscriptionFeed>) {
    let claim = tokio::time::timeout(Duration::from_millis(40), subscription.claim()).await;
    assert!(claim.is_err(), "{claim:?} was delivered");
}

fn set(key: &str, value: &[u8]) -> Effects {
    Effects { writes: BTreeMap::from([(key.to_owned(), Write::Set(value.to_vec()))]), ..Effects::default() }
}

fn add(key: &str, delta: i64) -> Effects {
    Effects { writes: BTreeMap::from([(key.to_owned(), Write::Add(delta))]), ..Effects::default() }
}

fn value(harness: &Harness, key: &str) -> Option<Vec<u8>> {
    harness.bus().state("p").get(key).unwrap().0
}

async fn dead_letters(harness: &Harness) -> u64 {
    harness.bus().count_dead_letters(DeadLetterFilter::default()).await.unwrap()
}

async fn logged_ids(harness: &Harness) -> Vec<String> {
    let logged = harness.bus().events(None, 1_000).await.unwrap();
    logged.iter().rev().map(|logged| logged.event.id.clone()).collect()
}

fn of_plugin(id: &str) -> Event {
    Event { source: "/plugins/p".to_owned(), data: Some(Data::binary(vec![0; 1_000])), ..event(id) }
}

fn publishes(events: impl IntoIterator<Item = Event>) -> Effects {
    let publishes = events.into_iter().map(|event| Publish { event, due: None }).collect();
    Effects { publishes, ..Effects::default() }
}

async fn compact(harness: &Harness) {
    while harness.bus().compact().await.unwrap().examined > 0 {}
}
