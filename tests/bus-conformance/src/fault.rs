//! The faults of a bus.

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
            /// All faults.
            pub const ALL: &[Self] = &[$(Self::$fault),*];

            /// The case that detects the fault.
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
    /// Stores an event again whose source and id are in the log.
    StoresDuplicates => "publishing::published_events_survive_a_crash_and_are_stored_once",
    /// Acknowledges an event without storing it.
    AcknowledgesUnstored => "publishing::published_events_survive_a_crash_and_are_stored_once",
    /// Loses acknowledged changes in a crash.
    ForgetsInCrash => "publishing::published_events_survive_a_crash_and_are_stored_once",
    /// Delivers scheduled events at once.
    DeliversEarly => "scheduling::a_scheduled_event_enters_the_log_when_it_is_due",
    /// Reports that a scheduled event was cancelled, and does not cancel it.
    CancelsNothing => "scheduling::a_scheduled_event_is_cancelled",
    /// Continues the schedules of a plugin that no longer runs.
    IgnoresWithdrawal => "scheduling::a_schedule_is_suspended_while_its_plugin_does_not_run",
    /// Reports the newest event as the oldest one.
    HidesOldEnd => "publishing::the_log_tells_how_far_it_reaches",
    /// Keeps old events forever.
    DeletesNothing => "retention::old_events_are_deleted_unless_they_are_needed",
    /// Starts a subscription now that is to start in the future.
    StartsNowInsteadOfLater => "subscribing::a_start_in_the_future_is_refused",
    /// Sends a client the reply that another one waits for.
    RepliesToOthers => "publishing::a_reply_reaches_nobody_else",
    /// Reports an ack without committing it.
    AcksWithoutCommit => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// Commits an ack without the state that the handler wrote.
    LosesStateWrites => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// Commits an ack without the events that the handler published.
    LosesPublishedEvents => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// Commits the effects of a failed attempt.
    CommitsFailedAttempts => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// Makes a dead letter of a delivery at its first failure.
    NeverRetries => "delivery::effects_are_committed_with_the_ack_or_not_at_all",
    /// Counts an attempt for a delivery that was given back.
    CountsGivenBack => "delivery::a_claim_that_is_dropped_is_delivered_again_as_the_same_attempt",
    /// Commits a second outcome of a delivery.
    CommitsLateOutcomes => "delivery::a_second_outcome_is_refused",
    /// Never makes some deliveries.
    DropsDeliveries => "delivery::a_backlog_is_delivered_completely_and_in_order",
    /// Leaves deliveries waiting that are to be retried now.
    RetriesLater => "delivery::a_waiting_delivery_is_retried_now",
    /// Ignores that a subscription is paused.
    IgnoresPauses => "delivery::a_paused_subscription_delivers_nothing_until_it_is_resumed",
    /// Leaves out the first event of a cause tree.
    ForgetsFirstOfTree => "inspection::the_events_of_a_cause_tree_are_found_in_order",
    /// Reports a delivery as ready that waits for its ordering key.
    ReportsWaitingAsReady => "inspection::each_delivery_shows_where_it_stands",
    /// Ends the list of pending deliveries after one page.
    ListsOnePage => "inspection::pending_deliveries_are_listed_once_in_pages",
    /// Lists deliveries in any state.
    IgnoresStates => "inspection::pending_deliveries_are_selected",
    /// Keeps the limits that it was opened with.
    KeepsOldLimits => "limits::limits_and_retention_can_change",
    /// Finds events with other subjects.
    IgnoresSubjects => "inspection::events_are_searched_newest_first",
    /// Ignores the hold of an endpoint.
    IgnoresHolds => "endpoints::a_hold_lasts_until_its_time_across_a_crash",
    /// Delivers events of one ordering key concurrently.
    BreaksKeyOrder => "ordering::a_failing_event_holds_back_its_own_key_only",
    /// Loses dead letters.
    LosesDeadLetters => "dead_letters::dead_letters_are_redriven_by_cause",
    /// Redrives no dead letters.
    RedrivesNothing => "dead_letters::dead_letters_are_redriven_by_cause",
    /// Redrives a dead letter with its original data.
    RedrivesUnedited => "dead_letters::a_dead_letter_is_redriven_with_edited_data",
    /// Groups dead letters by their causes alone.
    GroupsByCause => "dead_letters::dead_letters_that_failed_alike_are_grouped",
    /// Leaves a group resolved that fails again.
    ResolvesForGood => "dead_letters::a_resolved_group_is_open_when_it_recurs_and_an_ignored_one_is_not",
    /// Replays no events.
    ReplaysNothing => "replay::history_is_delivered_in_addition_to_live_events",
    /// Replays events beyond the end of a replay.
    ReplaysWithoutEnd => "replay::a_replay_has_an_end_and_a_filter",
    /// Commits effects based on state that has changed.
    IgnoresConflicts => "state::a_changed_read_is_a_conflict_and_changes_nothing",
    /// Reads state of different moments in one handler.
    ReadsMovingState => "state::all_reads_see_one_moment",
    /// Lets an addition overwrite earlier ones.
    OverwritesAdditions => "state::additions_merge",
    /// Draws a number of a sequence twice.
    RepeatsNumbers => "state::a_sequence_gives_each_number_once_also_after_a_crash",
    /// Acknowledges changes that an unreachable store has refused.
    HidesOutages => "outages::changes_that_the_store_refuses_leave_no_trace",
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
