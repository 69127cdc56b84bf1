//! Lists pending deliveries, and retries those that wait for another attempt.

use axum::Json;
use axum::extract::State;

use super::body::Query;
use super::cursor::List;
use super::{Admin, events, page_size, query, waiting};
use crate::api::{DeliveryPage, DeliveryQuery, DeliverySelection, DeliveryStateView, DeliveryView, RetryResult};
use crate::bus::{DeliveryFilter, DeliveryReport, DeliveryState, DeliveryStateKind, FailedAttempt};
use crate::event::Position;
use crate::pattern::Pattern;
use crate::problem::Problem;

/// The largest page.
const LIMIT: usize = 1_000;

/// List pending deliveries, by subscription and in the order of the log
#[utoipa::path(
    get,
    path = "/deliveries",
    operation_id = "list_deliveries",
    tag = "deliveries",
    params(DeliveryQuery),
    responses((status = 200, body = DeliveryPage, description = "A page of the list."))
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<DeliveryPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    let after = admin.parse_cursor(List::Deliveries, query.after.as_deref())?;
    let state = query.state.as_deref().map(pending_state).transpose()?;
    let filter = filter(query.subscription.as_deref(), query.event, query.key, query.pattern)?;
    let page = admin.bus.deliveries(filter, state, after, limit).await?;
    let deliveries = page.deliveries.iter().map(|report| view(&admin, report)).collect::<Result<_, _>>()?;
    Ok(Json(DeliveryPage { deliveries, next: page.next.map(|next| admin.cursor(List::Deliveries, &next.to_string())) }))
}

/// Retry waiting deliveries at once
///
/// Select them with `subscription`, `event`, `key` or `type`, or all of them with `all`.
#[utoipa::path(
    post,
    path = "/deliveries/retry-now",
    operation_id = "retry_deliveries",
    tag = "deliveries",
    params(DeliverySelection),
    responses((status = 200, body = RetryResult, description = "The deliveries are due."))
)]
pub(super) async fn retry_now(
    State(admin): State<Admin>,
    Query(selection): Query<DeliverySelection>,
) -> Result<Json<RetryResult>, Problem> {
    let DeliverySelection { all, subscription, event, key, pattern } = selection;
    let is_filtered = subscription.is_some() || event.is_some() || key.is_some() || pattern.is_some();
    query::check_selection(all, is_filtered, "deliveries", "`subscription`, `event`, `key` or `type`")?;
    let filter = filter(subscription.as_deref(), event, key, pattern)?;
    Ok(Json(RetryResult { retried: admin.bus.retry_now(filter).await? }))
}

fn filter(
    subscription: Option<&str>,
    event: Option<u64>,
    key: Option<String>,
    pattern: Option<Pattern>,
) -> Result<DeliveryFilter, Problem> {
    let subscription = query::subscription(subscription)?;
    Ok(DeliveryFilter { subscription, event: event.map(Position), key, pattern })
}

/// Parses the state of a pending delivery.
fn pending_state(name: &str) -> Result<DeliveryStateKind, Problem> {
    let mut pending = DeliveryStateKind::PENDING.iter().copied();
    pending.find(|kind| kind.as_str() == name).ok_or_else(|| {
        let states: Vec<_> = DeliveryStateKind::PENDING.iter().map(|kind| kind.as_str()).collect();
        let states = states.join(", ");
        query::invalid(format!("`{name}` is not a state of pending deliveries; the states are {states}"))
    })
}

/// A delivery in the API's form.
pub(super) fn view(admin: &Admin, report: &DeliveryReport) -> Result<DeliveryView, Problem> {
    let view = DeliveryView {
        as_of: report.as_of.to_string(),
        subscription: report.subscription.to_string(),
        replay: report.replayed,
        state: DeliveryStateView::from(report.state.kind().as_str().to_owned()),
        blocked_by: waiting::blocked_by(admin, report),
        logged: events::view(&report.logged)?,
        ..DeliveryView::default()
    };
    Ok(match report.state.clone() {
        DeliveryState::NotReached { ahead } => DeliveryView { ahead: Some(ahead), ..view },
        DeliveryState::Ready | DeliveryState::Handled => view,
        DeliveryState::InFlight { attempt } => DeliveryView { attempts: Some(attempt), ..view },
        DeliveryState::Retrying { attempts, due, last } => {
            let (cause, reason) = last.map(|FailedAttempt { cause, reason, .. }| (cause, reason)).unzip();
            DeliveryView {
                attempts: Some(attempts),
                due: Some(due.to_string()),
                cause: cause.map(|cause| cause.as_str().to_owned()),
                reason,
                ..view
            }
        }
        DeliveryState::BehindKey { key, behind } => DeliveryView { key: Some(key), behind: Some(behind.0), ..view },
        DeliveryState::Parked { key, letter } => {
            DeliveryView { key: Some(key), dead_letter: Some(letter.number()), ..view }
        }
        DeliveryState::DeadLetter { number } => DeliveryView { dead_letter: Some(number.number()), ..view },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PENDING_STATES;

    #[test]
    fn the_api_names_the_states_of_pending_deliveries() {
        let kinds: Vec<_> = DeliveryStateKind::PENDING.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(kinds, PENDING_STATES);
        for kind in DeliveryStateKind::ALL {
            let view = DeliveryStateView::from(kind.as_str().to_owned());
            assert!(!matches!(view, DeliveryStateView::Other(_)), "{kind:?}");
        }
    }
}
