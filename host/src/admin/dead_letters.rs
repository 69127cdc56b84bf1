//! Lists, shows, redrives and drops dead letters.

use axum::extract::State;
use axum::{Extension, Json};

use super::access::Caller;
use super::body::{self, Body, Path, Query};
use super::cursor::List;
use super::{Admin, Page, events, page_size, query};
use crate::api::{
    self, AttemptView, DeadLetterGroupPage, DeadLetterGroupQuery, DeadLetterGroupView, DeadLetterPage, DeadLetterQuery,
    DeadLetterSelection, DeadLetterView, DropResult, EditedRedriveRequest, GroupStatusQuery, GroupStatusRequest,
    RedriveResult,
};
use crate::bus::{DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterId, FailedAttempt, GroupStatus};
use crate::failure::Cause;
use crate::problem::Problem;

/// The largest page.
const LIMIT: usize = 1_000;
/// The number of dead letters that one commit redrives or drops. Other commits wait for it.
const CHUNK: usize = 500;

fn filter(subscription: Option<&str>, cause: Option<&str>) -> Result<DeadLetterFilter, Problem> {
    let subscription = query::subscription(subscription)?;
    check_cause(cause)?;
    Ok(DeadLetterFilter { subscription, cause: cause.map(str::to_owned), ..DeadLetterFilter::default() })
}

/// The conditions of a list or a selection. `like` stands for the group of a dead letter.
async fn conditions(
    admin: &Admin,
    subscription: Option<&str>,
    cause: Option<&str>,
    like: Option<i64>,
) -> Result<DeadLetterFilter, Problem> {
    let filter = filter(subscription, cause)?;
    let Some(number) = like else { return Ok(filter) };
    if subscription.is_some() || cause.is_some() {
        return Err(query::invalid("`like` cannot be combined with `subscription` or `cause`"));
    }
    Ok(find(admin, number).await?.group())
}

/// Checks that a cause to filter by exists.
pub(super) fn check_cause(cause: Option<&str>) -> Result<(), Problem> {
    let Some(unknown) = cause.filter(|cause| Cause::parse(cause).is_none()) else { return Ok(()) };
    let causes = Cause::ALL.map(Cause::as_str).join(", ");
    Err(query::invalid(format!("`{unknown}` is not a cause of failure; the causes are {causes}")))
}

/// The dead letters to redrive or drop. All of them only if the request says so.
async fn selected(admin: &Admin, selection: &DeadLetterSelection) -> Result<DeadLetterFilter, Problem> {
    let DeadLetterSelection { all, number, subscription, cause, like, limit: _ } = selection;
    let is_filtered = number.is_some() || subscription.is_some() || cause.is_some() || like.is_some();
    if selection.limit == Some(0) {
        return Err(query::invalid("`limit` is 0; select at least 1"));
    }
    query::check_selection(*all, is_filtered, "dead letters", "`number`, `like`, `subscription` or `cause`")?;
    let filter = conditions(admin, subscription.as_deref(), cause.as_deref(), *like).await?;
    Ok(DeadLetterFilter { number: number.map(DeadLetterId::new), ..filter })
}

/// List dead letters, oldest first
#[utoipa::path(
    get,
    path = "/dead-letters",
    operation_id = "list_dead_letters",
    tag = "dead-letters",
    params(DeadLetterQuery),
    responses((status = 200, body = DeadLetterPage, description = "A page of the list."))
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<DeadLetterPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    let after = admin.parse_cursor(List::DeadLetters, query.after.as_deref())?.map(DeadLetterId::new);
    let filter = conditions(&admin, query.subscription.as_deref(), query.cause.as_deref(), query.like).await?;
    let filter = DeadLetterFilter { number: query.number.map(DeadLetterId::new), ..filter };
    let letters = admin.bus.dead_letters(filter, after, Page::<DeadLetter>::to_read(limit)).await?;
    let page = Page::of(letters, limit);
    let next = page.next(|letter| admin.cursor(List::DeadLetters, &letter.number.number().to_string()));
    Ok(Json(DeadLetterPage { dead_letters: page.views(view)?, next }))
}

/// Group dead letters by failure, the largest groups first
///
/// The dead letters of a group have the subscription, the cause, the signature of the reason and the component of the last
/// attempt in common.
#[utoipa::path(
    get,
    path = "/dead-letters/groups",
    operation_id = "list_dead_letter_groups",
    tag = "dead-letters",
    params(DeadLetterGroupQuery),
    responses((status = 200, body = DeadLetterGroupPage, description = "The groups."))
)]
pub(super) async fn groups(
    State(admin): State<Admin>,
    Query(query): Query<DeadLetterGroupQuery>,
) -> Result<Json<DeadLetterGroupPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    let filter = filter(query.subscription.as_deref(), query.cause.as_deref())?;
    // The order of groups changes with their sizes, so the place is the number of groups before it.
    let before: usize = admin.parse_cursor(List::DeadLetterGroups, query.after.as_deref())?.unwrap_or_default();
    let to_read = Page::<DeadLetterGroup>::to_read(limit).saturating_add(before);
    let status = query.status.as_ref().map(status_of).transpose().map_err(query::invalid)?;
    let page = Page::of_following(admin.bus.dead_letter_groups(filter, status, to_read).await?, before, limit);
    let next = page.next(|_| admin.cursor(List::DeadLetterGroups, &(before + limit).to_string()));
    Ok(Json(DeadLetterGroupPage { groups: page.items.iter().map(group).collect(), next }))
}

/// Set the status of a group of dead letters
///
/// The group of the dead letter in the path. A resolved group is open again as soon as another dead letter joins it. An
/// ignored group stays ignored until somebody opens it.
#[utoipa::path(
    put,
    path = "/dead-letters/groups/{sample}/status",
    operation_id = "set_dead_letter_group_status",
    tag = "dead-letters",
    params(("sample" = i64, Path, description = "The number of a dead letter of the group."), GroupStatusQuery),
    request_body(content = GroupStatusRequest),
    responses((status = 200, body = DeadLetterGroupView, description = "The group."))
)]
pub(super) async fn set_group_status(
    State(admin): State<Admin>,
    Path(sample): Path<i64>,
    Query(query): Query<GroupStatusQuery>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<GroupStatusRequest>,
) -> Result<Json<DeadLetterGroupView>, Problem> {
    let status = status_of(&request.status).map_err(body::invalid)?;
    let letter = find(&admin, sample).await?;
    if query.subscription.is_some_and(|subscription| subscription != letter.subscription.to_string()) {
        return Err(not_found(sample));
    }
    // The group is read first, because its dead letters may be gone after the change.
    let groups = admin.bus.dead_letter_groups(letter.group(), None, 1).await?;
    let group_before = groups.first().ok_or_else(|| not_found(sample))?;
    admin.bus.set_group_status(letter.number, status, caller.describe()).await?;
    Ok(Json(DeadLetterGroupView {
        status: status_view(status),
        status_since: Some(admin.clock.now().to_string()),
        status_by: Some(caller.describe()),
        ..group(group_before)
    }))
}

/// The status that a request names.
fn status_of(status: &api::GroupStatus) -> Result<GroupStatus, String> {
    match status {
        api::GroupStatus::Open => Ok(GroupStatus::Open),
        api::GroupStatus::Resolved => Ok(GroupStatus::Resolved),
        api::GroupStatus::Ignored => Ok(GroupStatus::Ignored),
        api::GroupStatus::Other(other) => {
            Err(format!("`status` is `{other}`; a group is `open`, `resolved` or `ignored`"))
        }
    }
}

/// Show a dead letter and its attempts
#[utoipa::path(
    get,
    path = "/dead-letters/{number}",
    operation_id = "get_dead_letter",
    tag = "dead-letters",
    params(("number" = i64, Path, description = "The number of the dead letter.")),
    responses((status = 200, body = DeadLetterView, description = "The dead letter."))
)]
pub(super) async fn show(State(admin): State<Admin>, Path(number): Path<i64>) -> Result<Json<DeadLetterView>, Problem> {
    view(&find(&admin, number).await?).map(Json)
}

async fn find(admin: &Admin, number: i64) -> Result<DeadLetter, Problem> {
    let filter = DeadLetterFilter { number: Some(DeadLetterId::new(number)), ..DeadLetterFilter::default() };
    let letters = admin.bus.dead_letters(filter, None, 1).await?;
    letters.into_iter().next().ok_or_else(|| not_found(number))
}

fn not_found(number: i64) -> Problem {
    Problem::not_found(format!("there is no dead letter {number}"))
}

/// Deliver dead letters again
///
/// Select them with `number`, `like`, `subscription` or `cause`, or all of them with `all`.
#[utoipa::path(
    post,
    path = "/dead-letters/redrive",
    operation_id = "redrive_dead_letters",
    tag = "dead-letters",
    params(DeadLetterSelection),
    responses((status = 200, body = RedriveResult, description = "The dead letters are deliveries again."))
)]
pub(super) async fn redrive(
    State(admin): State<Admin>,
    Query(selection): Query<DeadLetterSelection>,
) -> Result<Json<RedriveResult>, Problem> {
    let filter = selected(&admin, &selection).await?;
    let mut redriven = 0;
    // Counted once, so that a delivery that dies again is not redriven in an endless loop.
    let mut left = count(&admin, &filter, selection.limit).await?;
    while left > 0 {
        let chunk = admin.bus.redrive(filter.clone(), left.min(CHUNK)).await?;
        redriven += chunk;
        left = if chunk == 0 { 0 } else { left - chunk };
    }
    ensure_found(&selection, redriven)?;
    Ok(Json(RedriveResult { redriven }))
}

/// Deliver a dead letter again, with other data
///
/// The event in the log stays as it is.
#[utoipa::path(
    post,
    path = "/dead-letters/{number}/redrive",
    operation_id = "redrive_edited_dead_letter",
    tag = "dead-letters",
    params(("number" = i64, Path, description = "The number of the dead letter.")),
    request_body(content = EditedRedriveRequest),
    responses((status = 200, body = RedriveResult, description = "The dead letter is a delivery again."))
)]
pub(super) async fn redrive_edited(
    State(admin): State<Admin>,
    Path(number): Path<i64>,
    Body(request): Body<EditedRedriveRequest>,
) -> Result<Json<RedriveResult>, Problem> {
    let plain = request.data.map(|data| data.get().as_bytes().to_vec());
    let data = body::either("data", plain, request.data_base64)?;
    let letter = find(&admin, number).await?;
    letter.logged.event.check_data(&data).map_err(body::invalid)?;
    admin.bus.redrive_edited(letter.number, data).await?;
    Ok(Json(RedriveResult { redriven: 1 }))
}

/// Delete dead letters
///
/// Select them with `number`, `like`, `subscription` or `cause`, or all of them with `all`.
#[utoipa::path(
    delete,
    path = "/dead-letters",
    operation_id = "drop_dead_letters",
    tag = "dead-letters",
    params(DeadLetterSelection),
    responses((status = 200, body = DropResult, description = "The dead letters are deleted."))
)]
pub(super) async fn drop_matching(
    State(admin): State<Admin>,
    Query(selection): Query<DeadLetterSelection>,
) -> Result<Json<DropResult>, Problem> {
    let filter = selected(&admin, &selection).await?;
    let mut dropped = 0;
    let mut left = count(&admin, &filter, selection.limit).await?;
    while left > 0 {
        let chunk = admin.bus.drop_dead_letters(filter.clone(), left.min(CHUNK)).await?;
        dropped += chunk;
        left = if chunk == 0 { 0 } else { left - chunk };
    }
    ensure_found(&selection, dropped)?;
    Ok(Json(DropResult { dropped }))
}

async fn count(admin: &Admin, filter: &DeadLetterFilter, limit: Option<usize>) -> Result<usize, Problem> {
    let count = admin.bus.count_dead_letters(filter.clone()).await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX).min(limit.unwrap_or(usize::MAX)))
}

/// A dead letter that is selected by its number must exist.
fn ensure_found(selection: &DeadLetterSelection, count: usize) -> Result<(), Problem> {
    match selection.number {
        Some(number) if count == 0 => Err(not_found(number)),
        _ => Ok(()),
    }
}

fn view(letter: &DeadLetter) -> Result<DeadLetterView, Problem> {
    Ok(DeadLetterView {
        number: letter.number.number(),
        subscription: letter.subscription.to_string(),
        cause: letter.cause.clone(),
        reason: letter.reason.clone(),
        attempts: letter.attempts,
        replay: letter.replay,
        parks: letter.parks.clone(),
        dead_lettered_at: letter.dead_at.to_string(),
        history: letter.history.iter().map(attempt).collect(),
        logged: events::view(&letter.logged)?,
        edited: letter.edited.as_deref().map(events::document).transpose()?,
    })
}

fn attempt(attempt: &FailedAttempt) -> AttemptView {
    AttemptView {
        attempt: attempt.attempt,
        at: attempt.at.to_string(),
        cause: attempt.cause.as_str().to_owned(),
        reason: attempt.reason.clone(),
        digest: attempt.digest.clone(),
    }
}

fn group(group: &DeadLetterGroup) -> DeadLetterGroupView {
    DeadLetterGroupView {
        subscription: group.subscription.to_string(),
        cause: group.cause.clone(),
        signature: group.signature.clone(),
        digest: group.digest.clone(),
        count: group.count,
        first_at: group.first.to_string(),
        last_at: group.last.to_string(),
        sample: group.sample.number(),
        status: status_view(group.status),
        status_since: group.status_since.map(|since| since.to_string()),
        status_by: group.status_by.clone(),
    }
}

fn status_view(status: GroupStatus) -> api::GroupStatus {
    match status {
        GroupStatus::Open => api::GroupStatus::Open,
        GroupStatus::Resolved => api::GroupStatus::Resolved,
        GroupStatus::Ignored => api::GroupStatus::Ignored,
    }
}
