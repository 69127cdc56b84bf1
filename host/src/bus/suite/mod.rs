//! What a bus means, as tests against the trait. Every implementation passes them: it says how it is set up
//! and how it crashes ([`Stage`]), and names itself to [`semantics!`].

pub(super) mod dead_letters;
pub(super) mod delivery;
pub(super) mod endpoints;
pub(super) mod lag;
pub(super) mod model;
pub(super) mod ordering;
pub(super) mod outages;
pub(super) mod publishing;
pub(super) mod replay;
pub(super) mod state;
pub(super) mod subscribing;

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Accepted, AttemptRecord, Bus, Claim, CommitError, DeadLetterFilter, ProducerLimit, Settings, Settled, Settlement,
    Subscribed,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Data, Event, Position};
use crate::outcome::{Cause, Effects, Failure, Publish, Write};
use crate::pattern::Pattern;
use crate::retry::Verdict;
use crate::subscription::{Declaration, Definition, RetryPolicy, Start, SubscriptionId, Target};

/// When every test begins.
pub(super) const START: Timestamp = Timestamp(1_893_456_000_000);

/// One implementation, set up for a test, with a clock that the test moves.
pub(super) trait Stage: Sized {
    /// An empty bus.
    fn open(settings: Settings) -> Self;

    /// What is found after a crash: everything that was acknowledged.
    fn crash(self) -> Self;

    /// What is found after it was closed and opened again.
    async fn restart(self) -> Self;

    /// Keeps the store from taking changes until the returned value is dropped: the bus finds it unavailable.
    fn cut_off(&self) -> Box<dyn Any + Send>;

    fn bus(&self) -> &dyn Bus;

    fn clock(&self) -> &Clock;
}

/// Makes a test of each meaning, for one implementation.
macro_rules! semantics {
    ($stage:ty: $($module:ident { $($name:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::bus::suite::$module::$name::<$stage>().await;
            })*
        })*
    };
}
pub(super) use model::{acts as model_acts, play};
pub(super) use semantics;

/// What every implementation is tested for.
macro_rules! all_semantics {
    ($stage:ty) => {
        $crate::bus::suite::semantics! { $stage:
            publishing {
                what_is_published_is_there_after_a_crash_and_stored_once,
                a_scheduled_event_enters_the_log_when_it_is_due,
                a_scheduled_event_is_cancelled,
                a_schedule_survives_restarts_and_publishes_each_time_once,
                a_schedule_rests_while_its_plugin_does_not_run,
                missed_times_run_once_or_are_caught_up_with,
                a_large_batch_is_stored_in_its_order_and_refused_as_a_whole,
                publishers_wait_for_a_full_subscription_and_handlers_do_not,
                publishers_wait_for_a_full_log,
                old_events_are_deleted_but_never_what_is_needed,
                large_logs_are_trimmed_past_cursors_only_when_told,
                events_are_kept_as_they_came_now_and_later,
                a_reply_comes_to_who_waits_for_it,
                what_one_plugin_publishes_is_bounded_and_keeps_nobody_out,
                a_plugins_delayed_events_count_as_its_own,
                what_one_producer_holds_is_bounded_and_keeps_nobody_out,
                what_comes_later_counts_as_what_is_in_the_log,
                one_plugin_introduces_half_of_the_types_at_most,
                types_are_bounded_and_forgotten_with_their_last_event,
                what_another_event_hides_is_an_error_and_leaves_no_trace,
                a_reply_comes_to_nobody_else,
            }
            delivery {
                effects_are_committed_with_the_ack_or_not_at_all,
                a_claim_that_is_dropped_is_delivered_again_as_the_same_attempt,
                an_outcome_that_comes_twice_is_refused,
                a_backlog_is_delivered_whole_and_in_order,
                a_wait_that_is_given_up_repeats_nothing,
                retries_follow_a_clock_that_is_set_back,
                filters_choose_by_attributes,
                a_paused_subscription_delivers_nothing_until_it_is_resumed,
                a_slow_subscription_slows_no_other,
            }
            lag {
                the_oldest_unhandled_event_counts_whatever_it_waits_for,
                it_is_known_after_a_crash_and_behind_a_long_backlog,
                filtered_events_do_not_count,
            }
            endpoints {
                an_endpoint_is_left_alone_until_its_time_across_a_crash,
                a_subscription_that_is_resumed_is_held_back_no_longer,
                what_is_held_back_follows_a_clock_that_is_set_back,
                an_endpoint_that_is_gone_gets_nothing_more,
            }
            ordering {
                a_failing_event_holds_back_its_own_key_only,
                a_key_with_a_long_backlog_holds_back_no_other,
                keys_are_found_in_the_data,
                order_is_kept_across_a_crash,
                a_dead_letter_releases_its_key,
                a_dead_letter_parks_its_key_where_that_is_wanted,
                a_dropped_dead_letter_lets_its_key_go,
                keys_are_released_when_dead_letters_park_no_longer,
                a_changed_key_orders_anew,
            }
            outages {
                what_the_store_cannot_take_has_not_happened,
                every_change_is_refused_while_the_store_is_unavailable,
                an_outage_shows_and_ends_by_itself,
            }
            dead_letters {
                dead_letters_are_redriven_by_cause,
                dead_letters_of_one_key_are_redriven_in_order,
                dropped_dead_letters_are_gone,
            }
            replay {
                history_is_delivered_again_beside_live_events,
                a_replay_goes_on_after_a_crash_and_ends,
                a_replay_keeps_its_pace,
                dead_letters_of_a_replay_are_the_subscriptions,
                a_replay_is_stopped,
            }
            state {
                a_read_that_others_changed_is_a_conflict_and_changes_nothing,
                a_listing_that_others_changed_is_a_conflict,
                additions_merge,
                a_sequence_gives_each_number_once_also_after_a_crash,
                a_plugin_has_so_many_sequences_and_no_more,
            }
            subscribing {
                a_plugin_makes_and_removes_its_own_subscriptions,
                what_a_generation_no_longer_declares_is_paused_until_it_is_declared_again,
                new_rules_of_the_same_key_keep_its_order_and_nothing_waiting,
                what_was_given_back_and_is_no_longer_taken_gives_its_turn_away,
                new_rules_that_come_with_events_count_them_once,
                names_that_are_in_use_and_not_changes_are_limited,
                a_handler_may_give_its_own_subscription_new_rules,
                a_subscription_begins_where_it_is_told,
                new_rules_apply_to_what_was_not_looked_at_yet,
                a_drained_plugin_stays_so,
                the_catalogue_shows_each_change_with_its_rules,
                a_thousand_subscriptions_get_each_event,
            }
        }
    };
}
pub(super) use all_semantics;

/// An event of type `a.b`.
pub(super) fn event(id: &str) -> Event {
    Event { id: id.to_owned(), source: "/t".to_owned(), event_type: "a.b".to_owned(), ..Event::default() }
}

/// The same about something.
fn about(id: &str, subject: &str) -> Event {
    Event { subject: Some(subject.to_owned()), ..event(id) }
}

pub(super) fn definition(pattern: &str, attempts: u32) -> Definition {
    Definition {
        pattern: Pattern::parse(pattern).unwrap(),
        filters: Default::default(),
        target: Target::Plugin("p".to_owned()),
        concurrency: NonZeroU32::new(4).unwrap(),
        ordering_key: None,
        dead_letter_policy: Default::default(),
        retry: RetryPolicy {
            attempts: NonZeroU32::new(attempts).unwrap(),
            first_delay: Duration::from_secs(1),
            factor_percent: 200,
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

pub(super) fn id(name: &str) -> SubscriptionId {
    SubscriptionId { owner: "p".to_owned(), name: name.to_owned() }
}

pub(super) async fn declare(stage: &impl Stage, name: &str, definition: Definition) -> Arc<dyn Subscribed> {
    declare_from(stage, name, definition, Start::Now).await
}

async fn declare_from(stage: &impl Stage, name: &str, definition: Definition, start: Start) -> Arc<dyn Subscribed> {
    let subscriptions = vec![(name.to_owned(), definition, start)];
    stage.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    subscription(stage, name)
}

/// All feeds of the catalogue.
pub(super) fn feeds(stage: &impl Stage) -> Vec<Arc<dyn Subscribed>> {
    let catalogue = Arc::clone(&stage.bus().catalogue().borrow());
    catalogue.feeds.iter().map(|entry| stage.bus().feed(entry.feed).unwrap()).collect()
}

pub(super) fn subscription(stage: &impl Stage, name: &str) -> Arc<dyn Subscribed> {
    feeds(stage).into_iter().find(|one| one.id().name == name && one.overview().replay.is_none()).unwrap()
}

fn replay_of(stage: &impl Stage, name: &str) -> Option<Arc<dyn Subscribed>> {
    feeds(stage).into_iter().find(|one| one.id().name == name && one.overview().replay.is_some())
}

pub(super) async fn publish(stage: &impl Stage, event: Event) -> Accepted {
    stage.bus().publish(vec![Publish { event, due: None }]).await.unwrap().remove(0)
}

pub(super) async fn publish_all(stage: &impl Stage, events: impl Iterator<Item = Event>) {
    let events: Vec<_> = events.map(|event| Publish { event, due: None }).collect();
    for part in events.chunks(500) {
        stage.bus().publish(part.to_vec()).await.unwrap();
    }
}

async fn settle(claim: &mut Claim, verdict: Verdict, effects: Effects) -> Result<Settled, CommitError> {
    let (delivery, digest) = (Arc::clone(claim.delivery()), Some("d1".into()));
    let record = AttemptRecord { delivery, verdict, digest, took: Duration::from_millis(1) };
    claim.settle(Settlement { record, effects: Some(("p".into(), effects)) }).await
}

fn failure(cause: Cause) -> Failure {
    Failure { cause, reason: format!("because of {}", cause.as_str()) }
}

pub(super) async fn ack(claim: &mut Claim, effects: Effects) -> Result<Settled, CommitError> {
    settle(claim, Verdict::Ack, effects).await
}

fn retry_after_a_second() -> Verdict {
    Verdict::RetryAfter { delay: Duration::from_secs(1), failure: failure(Cause::Retry) }
}

async fn retry(claim: &mut Claim) -> Settled {
    settle(claim, retry_after_a_second(), Effects::default()).await.unwrap()
}

/// The last attempt has failed.
async fn exhaust(claim: &mut Claim) -> Settled {
    let verdict = Verdict::DeadLetter { failure: failure(Cause::Retry), exhausted: true };
    settle(claim, verdict, Effects::default()).await.unwrap()
}

async fn reject(claim: &mut Claim) -> Settled {
    let verdict = Verdict::DeadLetter { failure: failure(Cause::Rejected), exhausted: false };
    settle(claim, verdict, Effects::default()).await.unwrap()
}

/// What is there to be claimed.
async fn claim(subscription: &Arc<dyn Subscribed>) -> Claim {
    let claim = tokio::time::timeout(Duration::from_secs(20), subscription.claim()).await;
    claim.unwrap_or_else(|_| panic!("there is nothing to claim: {subscription:#?}")).unwrap()
}

/// The ids that can be claimed one after the other, each handled at once.
async fn handle_all(subscription: &Arc<dyn Subscribed>) -> Vec<String> {
    let mut ids = Vec::new();
    while subscription.overview().backlog > 0 {
        let mut claim = claim(subscription).await;
        ids.push(claim.event().id.clone());
        ack(&mut claim, Effects::default()).await.unwrap();
    }
    ids
}

/// Nothing can be claimed now. Only an error could make it wait less long.
async fn assert_idle(subscription: &Arc<dyn Subscribed>) {
    let claim = tokio::time::timeout(Duration::from_millis(40), subscription.claim()).await;
    assert!(claim.is_err(), "{claim:?} was delivered");
}

fn set(key: &str, value: &[u8]) -> Effects {
    Effects { writes: BTreeMap::from([(key.to_owned(), Write::Set(value.to_vec()))]), ..Effects::default() }
}

fn add(key: &str, delta: i64) -> Effects {
    Effects { writes: BTreeMap::from([(key.to_owned(), Write::Add(delta))]), ..Effects::default() }
}

fn value(stage: &impl Stage, key: &str) -> Option<Vec<u8>> {
    stage.bus().state("p").get(key).unwrap().0
}

async fn dead_letters(stage: &impl Stage) -> u64 {
    stage.bus().count_dead_letters(DeadLetterFilter::default()).await.unwrap()
}

async fn logged_ids(stage: &impl Stage) -> Vec<String> {
    let logged = stage.bus().events(None, 1_000).await.unwrap();
    logged.iter().rev().map(|logged| logged.event.id.clone()).collect()
}
