//! Why a delivery waits.

use std::sync::Arc;

use super::Admin;
use super::plugin_target::absence;
use crate::api::WaitReasonView;
use crate::bus::{DeliveryReport, DeliveryState, NO_LONGER_DECLARED, Overview, Reachability, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;

/// A reason that has no end time and names no event.
fn reason(code: &str, detail: String) -> WaitReasonView {
    WaitReasonView { code: code.to_owned(), detail, ..WaitReasonView::default() }
}

/// The reasons why a delivery waits, the most important first. Empty if it does not wait.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn reasons(admin: &Admin, report: &DeliveryReport) -> Result<Vec<WaitReasonView>, StoreError> {
    let overview = admin.bus.feed(report.feed).map(|feed| feed.overview());
    let (mut reasons, busy) = match &report.state {
        DeliveryState::DeadLetter { .. } | DeliveryState::Handled => return Ok(Vec::new()),
        DeliveryState::InFlight { attempt } => return Ok(vec![running(*attempt)]),
        state => blocking(admin, overview.as_ref(), state),
    };
    match &report.state {
        DeliveryState::NotReached { ahead } => reasons.extend(backlog(*ahead)),
        DeliveryState::Retrying { attempts, due, last } => {
            let failure = last.as_ref().map(|last| format!(": {}", first_line(&last.reason))).unwrap_or_default();
            let detail = format!("attempt {attempts} failed{failure}; attempt {} is due at {due}", attempts + 1);
            reasons.push(WaitReasonView { until: Some(due.to_string()), ..reason("retry", detail) });
        }
        DeliveryState::BehindKey { key, behind } => reasons.push(behind_key(admin, report, key, *behind).await?),
        DeliveryState::Parked { key, letter } => {
            let number = letter.number();
            let detail = format!(
                "the dead letter {number} parks the ordering key `{key}`; redrive it with `sandbus dead-letters redrive {number}`, or drop it"
            );
            reasons.push(reason("parked-key", detail));
        }
        DeliveryState::Ready
        | DeliveryState::InFlight { .. }
        | DeliveryState::DeadLetter { .. }
        | DeliveryState::Handled => {}
    }
    reasons.extend(busy);
    Ok(reasons)
}

/// What blocks the deliveries of the subscription, the most important first. Reads no store.
pub(super) fn blocked_by(admin: &Admin, report: &DeliveryReport) -> Vec<WaitReasonView> {
    match &report.state {
        DeliveryState::DeadLetter { .. } | DeliveryState::Handled | DeliveryState::InFlight { .. } => Vec::new(),
        state => {
            let overview = admin.bus.feed(report.feed).map(|feed| feed.overview());
            let (stopped, busy) = blocking(admin, overview.as_ref(), state);
            stopped.into_iter().chain(busy).collect()
        }
    }
}

/// The reasons that stop the subscription, or else the permit that a delivery in this state waits for.
fn blocking(
    admin: &Admin,
    overview: Option<&Overview>,
    state: &DeliveryState,
) -> (Vec<WaitReasonView>, Option<WaitReasonView>) {
    let stopped = stopped(admin, overview);
    let needs_permit = matches!(state, DeliveryState::Ready | DeliveryState::NotReached { .. });
    let busy = overview.filter(|_| stopped.is_empty() && needs_permit).and_then(|overview| permits(admin, overview));
    (stopped, busy)
}

fn running(attempt: u32) -> WaitReasonView {
    reason("running", format!("attempt {attempt} runs, or its outcome is being committed"))
}

fn backlog(ahead: u64) -> Option<WaitReasonView> {
    let detail = match ahead {
        0 => return None,
        1 => "one earlier event is delivered first".to_owned(),
        ahead => format!("up to {ahead} earlier events are delivered first"),
    };
    Some(reason("backlog", detail))
}

/// What stops all deliveries of the subscription.
fn stopped(admin: &Admin, overview: Option<&Overview>) -> Vec<WaitReasonView> {
    let mut reasons = Vec::new();
    if let Reachability::Unreachable { reason: why } = &*admin.bus.reachable().borrow() {
        reasons.push(reason("store-unreachable", format!("the store is unreachable: {why}")));
    }
    let Some(overview) = overview else { return reasons };
    let handler = without_handler(admin, overview);
    // The reason `not-declared` of `handler` says the same, and also what to do.
    let is_said = |why: &str| why == NO_LONGER_DECLARED && handler.as_ref().is_some_and(|it| it.code == "not-declared");
    if let Some(why) = overview.paused.as_deref().filter(|why| !is_said(why)) {
        let detail = format!("the subscription is paused: {why}");
        reasons.push(reason("paused", detail));
    }
    if let Some(hold) = &overview.endpoint_hold {
        let detail = format!("the endpoint is on hold: {}", hold.reason);
        reasons.push(WaitReasonView { until: Some(hold.until.to_string()), ..reason("endpoint-hold", detail) });
    }
    reasons.extend(handler);
    reasons
}

/// Why the plugin does not take deliveries.
fn without_handler(admin: &Admin, overview: &Overview) -> Option<WaitReasonView> {
    let plugin = overview.handler()?;
    if admin.bus.is_drained(plugin) {
        let detail = format!("the plugin `{plugin}` is drained; run `sandbus plugins resume {plugin}`");
        return Some(reason("drained", detail));
    }
    let snapshot = admin.registry.snapshot();
    let Some(generation) = snapshot.plugins.get(plugin) else {
        return Some(reason("no-plugin", absence(admin, plugin)));
    };
    let name = &overview.id.name;
    let is_declared = overview.dynamic || generation.declares(name);
    (!is_declared).then(|| {
        let detail = format!(
            "the running version of `{plugin}` does not declare the subscription `{name}`; load a version that does, or run `sandbus subscriptions delete {}`",
            overview.id
        );
        reason("not-declared", detail)
    })
}

/// Which permit a delivery waits for, if all permits of a kind are in use.
fn permits(admin: &Admin, overview: &Overview) -> Option<WaitReasonView> {
    let parallelism = overview.definition.parallelism();
    if overview.in_flight >= parallelism {
        let detail = format!("all permits of the subscription are in use ({parallelism})");
        return Some(reason("no-permit", detail));
    }
    let generation = admin.registry.snapshot().plugins.get(overview.handler()?).map(Arc::clone)?;
    let (running, limit) = (generation.limiter.running(), generation.limiter.limit());
    if running >= limit {
        let detail = format!("all invocation permits of the plugin `{}` are in use ({limit})", generation.name);
        return Some(reason("no-permit", detail));
    }
    let is_host_full = admin.capacity.permits.available_permits() == 0;
    is_host_full.then(|| reason("no-permit", "all invocation permits of the host are in use".to_owned()))
}

/// Why the event that holds the key is not finished.
async fn behind_key(
    admin: &Admin,
    report: &DeliveryReport,
    key: &str,
    behind: Position,
) -> Result<WaitReasonView, StoreError> {
    let reports = admin.bus.deliveries_of(behind).await?;
    let Some(holder) = reports.into_iter().find(|other| other.feed == report.feed) else {
        let detail = format!("another event holds the ordering key `{key}`");
        return Ok(reason("ordering-key", detail));
    };
    let (state, until) = holder_state(&holder.state);
    let event = &holder.logged.event;
    let detail = format!("the ordering key `{key}` is held by {} {}{state}", event.event_type, event.id);
    let until = until.map(|until| until.to_string());
    Ok(WaitReasonView { until, event: Some(event.id.clone()), ..reason("ordering-key", detail) })
}

/// The state of the delivery that holds a key, and how long it lasts if that is known.
fn holder_state(state: &DeliveryState) -> (String, Option<Timestamp>) {
    match state {
        DeliveryState::InFlight { attempt } => (format!(", whose attempt {attempt} runs"), None),
        DeliveryState::Retrying { attempts, due, .. } => {
            (format!(", whose attempt {} is due at {due}", attempts + 1), Some(*due))
        }
        DeliveryState::Ready | DeliveryState::NotReached { .. } => (", which is delivered next".to_owned(), None),
        DeliveryState::BehindKey { behind, .. } => (format!(", which itself waits for position {}", behind.0), None),
        DeliveryState::Parked { letter, .. } => (format!(", which the dead letter {} parks", letter.number()), None),
        DeliveryState::DeadLetter { .. } | DeliveryState::Handled => (String::new(), None),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
