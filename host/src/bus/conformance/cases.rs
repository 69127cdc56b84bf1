//! The table of all cases.

use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;

use super::{
    BusFixture, cluster, dead_letters, delivery, endpoints, inspection, lag, limits, ordering, outages, publishing,
    replay, retention, scheduling, state, subscribing,
};

/// A test that every bus passes.
#[derive(Clone, Copy)]
pub struct Case {
    /// The subject and the promise.
    pub name: &'static str,
    run: for<'a> fn(&'a dyn BusFixture) -> CaseFuture<'a>,
}

/// A running case. It panics if the bus breaks the promise.
pub type CaseFuture<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Case {
    /// Finds a case by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        CASES.iter().chain(CLUSTER_CASES).find(|case| case.name == name)
    }

    /// Tests a bus. The future must be polled in a runtime with several threads.
    ///
    /// # Panics
    /// If the bus breaks the promise.
    #[must_use]
    pub fn run(self, fixture: &dyn BusFixture) -> CaseFuture<'_> {
        (self.run)(fixture)
    }
}

impl Debug for Case {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Passes the table to a macro, with the fixture if there is one.
#[doc(hidden)]
#[macro_export]
macro_rules! with_bus_cases {
    (($($callback:tt)+) $(, $($fixture:tt)+)?) => {
        $($callback)+! { $($($fixture)+)? =>
            publishing {
                published_events_survive_a_crash_and_are_stored_once,
                a_large_batch_is_stored_in_its_order_and_refused_as_a_whole,
                events_are_stored_unchanged_now_and_later,
                a_reply_reaches_its_waiter,
                a_generated_id_that_is_taken_is_an_error_and_leaves_no_trace,
                a_reply_reaches_nobody_else,
                the_log_tells_how_far_it_reaches,
            }
            scheduling {
                a_scheduled_event_enters_the_log_when_it_is_due,
                a_scheduled_event_is_cancelled,
                a_schedule_survives_restarts_and_publishes_each_time_once,
                a_schedule_is_suspended_while_its_plugin_does_not_run,
                missed_times_run_once_or_are_caught_up_with,
            }
            limits {
                publishers_are_refused_by_a_full_subscription_and_handlers_are_not,
                publishers_are_refused_by_a_full_log,
                a_plugins_events_are_limited_and_block_nobody_else,
                a_plugins_delayed_events_count_as_its_own,
                a_producers_events_are_limited_and_block_nobody_else,
                delayed_events_count_like_events_in_the_log,
                a_plugin_introduces_at_most_half_of_the_types,
                types_of_delayed_events_count_as_their_holders_after_a_crash,
                types_are_bounded_and_forgotten_with_their_last_event,
                limits_and_retention_can_change,
            }
            retention {
                old_events_are_deleted_unless_they_are_needed,
                unhandled_events_are_deleted_only_if_configured,
            }
            delivery {
                effects_are_committed_with_the_ack_or_not_at_all,
                a_claim_that_is_dropped_is_delivered_again_as_the_same_attempt,
                a_second_outcome_is_refused,
                a_backlog_is_delivered_completely_and_in_order,
                a_cancelled_wait_repeats_nothing,
                retries_follow_a_clock_that_is_set_back,
                a_waiting_delivery_is_retried_now,
                waiting_deliveries_are_retried_by_event_key_and_type,
                filters_select_by_attributes,
                a_paused_subscription_delivers_nothing_until_it_is_resumed,
                a_slow_subscription_slows_no_other,
            }
            inspection {
                the_events_of_a_cause_tree_are_found_in_order,
                each_delivery_shows_where_it_stands,
                an_event_concerns_the_subscriptions_that_select_it,
                replays_show_their_own_deliveries,
                pending_deliveries_are_listed_once_in_pages,
                pending_deliveries_are_selected,
                a_sparse_backlog_is_listed_in_bounded_pages,
                events_are_searched_newest_first,
            }
            lag {
                the_oldest_unhandled_event_counts_whatever_it_waits_for,
                the_oldest_event_is_known_after_a_crash_and_behind_a_long_backlog,
                filtered_events_do_not_count,
            }
            endpoints {
                a_hold_lasts_until_its_time_across_a_crash,
                resuming_a_subscription_ends_the_hold,
                holds_follow_a_clock_that_is_set_back,
                an_endpoint_that_is_gone_gets_nothing_more,
            }
            ordering {
                a_failing_event_holds_back_its_own_key_only,
                a_key_with_a_long_backlog_holds_back_no_other,
                keys_are_found_in_the_data,
                order_is_kept_across_a_crash,
                a_dead_letter_releases_its_key,
                a_dead_letter_parks_its_key_if_the_policy_says_so,
                a_dropped_dead_letter_releases_its_key,
                keys_are_released_when_the_policy_no_longer_parks_them,
                a_changed_key_reorders_deliveries,
            }
            outages {
                changes_that_the_store_refuses_leave_no_trace,
                every_change_is_refused_while_the_store_is_unavailable,
                an_outage_is_reported_and_ends_by_itself,
            }
            dead_letters {
                dead_letters_are_redriven_by_cause,
                dead_letters_of_one_key_are_redriven_in_order,
                dropped_dead_letters_are_gone,
                dead_letters_that_failed_alike_are_grouped,
                a_resolved_group_is_open_when_it_recurs_and_an_ignored_one_is_not,
                a_dead_letter_is_redriven_with_edited_data,
                dead_letters_are_announced_by_events,
                a_full_log_stops_no_dead_letter,
            }
            replay {
                history_is_delivered_in_addition_to_live_events,
                a_replay_continues_after_a_crash_and_ends,
                a_replay_keeps_its_pace,
                dead_letters_of_a_replay_belong_to_the_subscription,
                a_replay_is_stopped,
                a_replay_has_an_end_and_a_filter,
            }
            state {
                a_changed_read_is_a_conflict_and_changes_nothing,
                a_changed_listing_is_a_conflict,
                all_reads_see_one_moment,
                additions_merge,
                a_sequence_gives_each_number_once_also_after_a_crash,
                the_number_of_a_plugins_sequences_is_limited,
            }
            subscribing {
                a_plugin_creates_and_deletes_its_own_subscriptions,
                a_subscription_that_is_no_longer_declared_is_paused_until_it_is_declared_again,
                a_redefinition_with_the_same_key_keeps_its_order,
                a_returned_delivery_that_no_longer_matches_passes_its_turn_on,
                a_redefinition_in_the_commit_of_events_counts_them_once,
                subscriptions_are_limited_and_their_changes_are_not,
                a_handler_can_redefine_its_own_subscription,
                a_subscription_starts_where_its_definition_says,
                a_start_in_the_future_is_refused,
                a_redefinition_applies_to_events_that_were_not_examined_yet,
                a_drained_plugin_stays_drained,
                the_catalogue_shows_each_change_with_its_definition,
                a_thousand_subscriptions_get_each_event,
            }
        }
    };
}

/// Passes the table of the cases with several hosts to a macro, with the fixture if there is one.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cluster_cases {
    (($($callback:tt)+) $(, $($fixture:tt)+)?) => {
        $($callback)+! { $($($fixture)+)? =>
            cluster {
                two_hosts_share_a_subscription,
                a_key_is_handled_by_one_host_at_a_time_and_in_order,
                a_serial_subscription_is_serial_on_all_hosts,
                the_concurrency_of_a_subscription_is_that_of_all_hosts,
                deliveries_of_a_host_that_is_cut_off_are_made_by_others_as_the_same_attempt,
                changes_of_one_host_reach_the_others,
                a_deleted_subscription_ends_the_claims_of_all_hosts,
                duplicates_are_recognised_and_replies_arrive_across_hosts,
                state_that_another_host_has_changed_is_a_conflict_and_additions_merge,
                each_host_shows_where_deliveries_stand,
            }
        }
    };
}

macro_rules! table {
    ($cases:ident => $($module:ident { $($name:ident),* $(,)? })*) => {
        /// All cases of a kind.
        pub const $cases: &[Case] = &[$($(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |fixture| Box::pin($module::$name(fixture)),
        }),*),*];
    };
}
with_bus_cases!((table), CASES);
with_cluster_cases!((table), CLUSTER_CASES);

/// Generates a test of each case for a fixture, which is given as an expression.
#[macro_export]
macro_rules! bus_conformance {
    ($fixture:expr) => {
        $crate::with_bus_cases!(($crate::bus_case_tests), $fixture);
    };
}

/// Generates a test of each case with several hosts for a fixture, which is given as an expression.
#[macro_export]
macro_rules! cluster_conformance {
    ($fixture:expr) => {
        $crate::with_cluster_cases!(($crate::bus_case_tests), $fixture);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! bus_case_tests {
    ($fixture:expr => $($module:ident { $($name:ident),* $(,)? })*) => {
        $(mod $module {
            #[allow(unused_imports, reason = "the fixture may be one of these, or a path of its own")]
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let name = concat!(stringify!($module), "::", stringify!($name));
                let case = $crate::bus::conformance::Case::find(name).expect("the table has it");
                case.run(&$fixture).await;
            })*
        })*
    };
}
