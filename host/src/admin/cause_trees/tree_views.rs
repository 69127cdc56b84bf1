//! The parts of a cause tree in the API's form.

use std::collections::BTreeMap;

use crate::admin::{Admin, ledger_views as views, waiting};
use crate::api::{
    DelayedEventView, DeliveryOutcomeView, DeliveryStateView, RecordedAttemptView, TreeDeadLetterView,
    TreeDeliveryView, TreeEventView, VerdictView,
};
use crate::bus::{DeadLetter, DeadLetterFilter, DeadLetterId, DeliveryReport, DeliveryState, StoreError};
use crate::clock::Timestamp;
use crate::event::{CAUSATION_ID, CAUSATION_SOURCE, CauseTreeId, Event, LoggedEvent, Position};
use crate::ledger::AttemptEntry;

/// Attempts by the source and the id of their events.
pub(super) type AttemptsByEvent<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a AttemptEntry>>;

pub(super) fn by_event(attempts: &[AttemptEntry]) -> AttemptsByEvent<'_> {
    let mut by_event = AttemptsByEvent::new();
    for attempt in attempts {
        by_event.entry((&attempt.event_source, &attempt.event_id)).or_default().push(attempt);
    }
    by_event
}

/// An event of the log, without its deliveries.
pub(super) fn tree_event(logged: &LoggedEvent) -> TreeEventView {
    let event = &logged.event;
    TreeEventView {
        position: Some(logged.position.0),
        stored_at: logged.stored_at.to_string(),
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        subject: event.subject.clone(),
        causation: event.attribute(CAUSATION_ID).map(str::to_owned),
        causation_source: event.attribute(CAUSATION_SOURCE).map(str::to_owned),
        correlation: event.cause_tree().id,
        omitted: 0,
        deliveries: Vec::new(),
    }
}

/// An event that retention has deleted, from its attempts. None if there are no attempts.
pub(super) fn deleted_event(tree: &CauseTreeId, attempts: &[&AttemptEntry]) -> Option<TreeEventView> {
    let [first, ..] = attempts else { return None };
    Some(TreeEventView {
        position: None,
        stored_at: first.stored_at.to_string(),
        id: first.event_id.clone(),
        source: first.event_source.clone(),
        event_type: first.event_type.clone(),
        correlation: tree.id.clone(),
        ..TreeEventView::default()
    })
}

/// The delayed events of a tree.
pub(super) fn delayed_events(tree: &CauseTreeId, delayed: &[(Timestamp, Event)]) -> Vec<DelayedEventView> {
    let of_tree = delayed.iter().filter(|(_, event)| event.cause_tree() == *tree);
    let view = |(due, event): &(Timestamp, Event)| DelayedEventView {
        due: due.to_string(),
        causation: event.attribute(CAUSATION_ID).map(str::to_owned),
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
    };
    of_tree.map(view).collect()
}

/// The deliveries of the event at a position, with its recorded attempts. An event without a position is not in the log
/// any more.
pub(super) async fn deliveries(
    admin: &Admin,
    position: Option<u64>,
    attempts: &[&AttemptEntry],
) -> Result<Vec<TreeDeliveryView>, StoreError> {
    let mut attempts = by_subscription(attempts);
    let mut deliveries = Vec::new();
    let reports = match position {
        Some(position) => admin.bus.deliveries_of(Position(position)).await?,
        None => Vec::new(),
    };
    for report in reports {
        let key = (report.subscription.to_string(), report.replayed);
        deliveries.push(delivery(admin, &report, attempts.remove(&key).unwrap_or_default()).await?);
    }
    // Deliveries of replays that have ended, and of subscriptions that were deleted.
    deliveries.extend(attempts.into_iter().map(|((subscription, replayed), attempts)| TreeDeliveryView {
        subscription,
        replayed,
        outcome: recorded_outcome(&attempts),
        attempts,
        ..TreeDeliveryView::default()
    }));
    Ok(deliveries)
}

/// The attempts by their subscription, and whether they belong to a replay.
fn by_subscription(attempts: &[&AttemptEntry]) -> BTreeMap<(String, bool), Vec<RecordedAttemptView>> {
    let mut by_subscription: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for attempt in attempts {
        let key = (format!("{}/{}", attempt.owner, attempt.subscription), attempt.is_replay);
        by_subscription.entry(key).or_default().push(views::attempt(attempt));
    }
    by_subscription
}

async fn delivery(
    admin: &Admin,
    report: &DeliveryReport,
    attempts: Vec<RecordedAttemptView>,
) -> Result<TreeDeliveryView, StoreError> {
    let letter = match &report.state {
        DeliveryState::DeadLetter { number } => dead_letter(admin, *number).await?,
        _ => None,
    };
    let edited = report.edited || letter.as_ref().is_some_and(|letter| letter.edited.is_some());
    let outcome = match &report.state {
        DeliveryState::DeadLetter { .. } => Some(DeliveryOutcomeView::DeadLetter),
        DeliveryState::Handled => Some(recorded_outcome(&attempts).unwrap_or(DeliveryOutcomeView::NotRecorded)),
        _ => None,
    };
    Ok(TreeDeliveryView {
        subscription: report.subscription.to_string(),
        replayed: report.replayed,
        state: Some(DeliveryStateView::from(report.state.kind().as_str().to_owned())),
        redriven_at: report.redriven_at.map(|time| time.to_string()),
        edited,
        outcome,
        waits_for: waiting::reasons(admin, report).await?,
        dead_letter: letter.map(|letter| TreeDeadLetterView {
            number: letter.number.number(),
            cause: letter.cause,
            reason: letter.reason,
        }),
        attempts,
    })
}

/// How a delivery that is neither pending nor a dead letter ended, from its recorded attempts. None if the last attempt
/// is not recorded.
fn recorded_outcome(attempts: &[RecordedAttemptView]) -> Option<DeliveryOutcomeView> {
    match attempts.last()?.verdict {
        VerdictView::Handled => Some(DeliveryOutcomeView::Handled),
        VerdictView::Dead => Some(DeliveryOutcomeView::Dropped),
        VerdictView::Retried => None,
    }
}

/// A dead letter, unless it was redriven or dropped in the meantime.
async fn dead_letter(admin: &Admin, number: DeadLetterId) -> Result<Option<DeadLetter>, StoreError> {
    let filter = DeadLetterFilter { number: Some(number), ..DeadLetterFilter::default() };
    Ok(admin.bus.dead_letters(filter, None, 1).await?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_is_claimed_only_if_it_is_recorded() {
        let attempt =
            |verdict: &VerdictView| RecordedAttemptView { verdict: *verdict, ..RecordedAttemptView::default() };
        for (verdicts, expected) in [
            (&[][..], None),
            (&[VerdictView::Retried], None),
            (&[VerdictView::Retried, VerdictView::Dead], Some(DeliveryOutcomeView::Dropped)),
            (&[VerdictView::Dead, VerdictView::Handled], Some(DeliveryOutcomeView::Handled)),
            (&[VerdictView::Dead, VerdictView::Retried], None),
        ] {
            let attempts: Vec<_> = verdicts.iter().map(attempt).collect();
            assert_eq!(recorded_outcome(&attempts), expected, "{verdicts:?}");
        }
    }
}
