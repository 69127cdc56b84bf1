//! What is wrong with a bus.

use sandbus_host::bus::Settlement;
use sandbus_host::outcome::{Effects, Reads, Write};
use sandbus_host::retry::Verdict;

macro_rules! faults {
    ($($(#[$what:meta])+ $fault:ident => $case:literal,)*) => {
        /// A promise that a bus breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$what])+ $fault,)*
        }

        impl Fault {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$fault),*];

            /// The case of the suite that notices it.
            #[must_use]
            pub fn caught_by(self) -> &'static str {
                match self {
                    $(Self::$fault => $case,)*
                }
            }
        }
    };
}

faults! {
    /// It stores an event again whose source and id are in the log.
    StoresDuplicates => "publishing::what_is_published_is_there_after_a_crash_and_stored_once",
    /// It acknowledges what it has not stored.
    AcknowledgesUnstored => "publishing::what_is_published_is_there_after_a_crash_and_stored_once",
    /// A crash takes back what was acknowledged.
    ForgetsInCrash => "publishing::what_is_published_is_there_after_a_crash_and_stored_once",
    /// Events that are to come later come at once.
    DeliversEarly => "scheduling::a_scheduled_event_enters_the_log_when_it_is_due",
    /// It says that it has taken back an event that was to come later, and has not.
    CancelsNothing => "scheduling::a_scheduled_event_is_cancelled",
    /// The schedules of a plugin that no longer runs go on.
    IgnoresWithdrawal => "scheduling::a_schedule_rests_while_its_plugin_does_not_run",
    /// It keeps old events for ever.
    DeletesNothing => "retention::old_events_are_deleted_but_never_what_is_needed",
    /// A subscription that is to start in the future starts now.
    StartsNowInsteadOfLater => "subscribing::a_start_in_the_future_is_refused",
    /// A client gets the reply that another one waits for.
    RepliesToOthers => "publishing::a_reply_comes_to_nobody_else",
    /// An ack is answered and not committed.
    AcksWithoutCommit => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// An ack is committed without the state that the handler wrote.
    LosesStateWrites => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// An ack is committed without the events that the handler published.
    LosesPublishedEvents => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// What a failed attempt wrote is committed.
    CommitsFailedAttempts => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// A delivery is dead at its first failure.
    NeverRetries => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// A delivery that was given back has lost an attempt.
    CountsGivenBack => "delivery::a_claim_that_is_dropped_is_delivered_again_as_the_same_attempt",
    /// What comes after the outcome is committed as well.
    CommitsLateOutcomes => "delivery::an_outcome_that_comes_twice_is_refused",
    /// Some deliveries are never made.
    DropsDeliveries => "delivery::a_backlog_is_delivered_whole_and_in_order",
    /// A paused subscription goes on.
    IgnoresPauses => "delivery::a_paused_subscription_delivers_nothing_until_it_is_resumed",
    /// An endpoint that wants no requests gets some.
    IgnoresHolds => "endpoints::an_endpoint_is_left_alone_until_its_time_across_a_crash",
    /// Events of one ordering key are delivered at the same time.
    BreaksKeyOrder => "ordering::a_failing_event_holds_back_its_own_key_only",
    /// Dead letters are gone.
    LosesDeadLetters => "dead_letters::dead_letters_are_redriven_by_cause",
    /// It redrives no dead letter.
    RedrivesNothing => "dead_letters::dead_letters_are_redriven_by_cause",
    /// No history is delivered again.
    ReplaysNothing => "replay::history_is_delivered_again_beside_live_events",
    /// It commits what was made of state that others have changed.
    IgnoresConflicts => "state::a_read_that_others_changed_is_a_conflict_and_changes_nothing",
    /// The reads of one handler are of different moments.
    ReadsMovingState => "state::what_is_read_is_of_one_moment",
    /// An addition takes the place of those before it.
    OverwritesAdditions => "state::additions_merge",
    /// A sequence gives a number twice.
    RepeatsNumbers => "state::a_sequence_gives_each_number_once_also_after_a_crash",
    /// It acknowledges what a store that cannot be reached has not taken.
    HidesOutages => "outages::what_the_store_cannot_take_has_not_happened",
}

impl Fault {
    pub(crate) fn alter_effects(self, effects: &mut Effects) {
        match self {
            Self::LosesStateWrites => effects.writes.clear(),
            Self::LosesPublishedEvents => effects.publishes.clear(),
            Self::IgnoresConflicts => effects.reads = Reads::default(),
            Self::OverwritesAdditions => {
                for write in effects.writes.values_mut() {
                    if let Write::Add(delta) = write {
                        *write = Write::Set(delta.to_string().into_bytes());
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn alter_settlement(self, settlement: &mut Settlement) {
        if let Some((_, effects)) = &mut settlement.effects {
            self.alter_effects(effects);
        }
        let verdict = &mut settlement.record.verdict;
        if let (Self::NeverRetries, Verdict::RetryAfter { failure, .. }) = (self, &verdict) {
            *verdict = Verdict::DeadLetter { failure: failure.clone(), exhausted: true };
        }
    }
}

pub(crate) fn is_ack(settlement: &Settlement) -> bool {
    matches!(settlement.record.verdict, Verdict::Ack)
}
