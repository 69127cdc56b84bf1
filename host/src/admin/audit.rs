//! Records changes in the audit log, publishes them as events, and lists them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::body::Query;
use super::cursor::List;
use super::{Admin, Page, page_size};
use crate::access::{AuditEntry, AuditError, AuditOutcome, TOKEN_PREFIX};
use crate::api::{AuditEntryView, AuditLogPage, AuditLogQuery};
use crate::bus::SharedBus;
use crate::event::{Data, Event};
use crate::outcome::Publish;
use crate::pattern::Pattern;
use crate::problem::Problem;

/// The beginning of the types of the host's own events, and of audit events. Only the host publishes them.
const HOST_TYPES: &str = "sandbus.";
const TYPE_PREFIX: &str = "sandbus.audit.";
/// The source of audit events.
const SOURCE: &str = "/sandbus/audit";
/// The largest page.
const LIMIT: usize = 1_000;
/// The largest number of characters of a request that are recorded.
const MAX_REQUEST_CHARACTERS: usize = 1_024;

/// A change before it is recorded.
#[derive(Clone, Debug)]
pub(super) struct ChangeRecord {
    actor: String,
    operation: String,
    request: String,
}

impl ChangeRecord {
    /// A change that is not one of a caller with a token.
    pub(super) fn new(operation: &str, actor: String, request: &str) -> Self {
        Self { actor, operation: operation.to_owned(), request: request.to_owned() }
    }

    pub(super) fn of(operation: &str, actor: String, request: &Request) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let request = format!("{} {target}", request.method());
        let request = redact(&request).chars().take(MAX_REQUEST_CHARACTERS).collect();
        Self { actor, operation: operation.to_owned(), request }
    }
}

/// Removes tokens from a request. A client may have put one into the URL by mistake.
fn redact(request: &str) -> String {
    let mut parts = request.split(TOKEN_PREFIX);
    let mut redacted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter)));
        redacted.push_str(TOKEN_PREFIX);
        redacted.push('…');
        redacted.push_str(end.map_or("", |end| &part[end..]));
    }
    redacted
}

/// Writes an entry on a thread that may block.
async fn append(
    admin: &Admin,
    record: ChangeRecord,
    outcome: AuditOutcome,
) -> Result<(AuditEntry, String), AuditError> {
    let (access, now) = (Arc::clone(&admin.access), admin.clock.now());
    let appended = tokio::task::spawn_blocking(move || {
        let ChangeRecord { actor, operation, request } = record;
        access.audit.append(now, &actor, &operation, &request, outcome)
    });
    appended.await.expect("writing an entry does not panic")
}

/// Makes a change if its beginning can be recorded, and records how it ended.
pub(super) async fn recorded(admin: &Admin, record: ChangeRecord, change: impl Future<Output = Response>) -> Response {
    let begun = match append(admin, record.clone(), AuditOutcome::Begun).await {
        Ok((entry, _)) => entry.sequence,
        Err(error) => {
            tracing::error!(%error, "a change was refused, because it cannot be recorded");
            let detail = format!("the change was not made, because it cannot be recorded: {error}");
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable", detail).into_response();
        }
    };
    let response = change.await;
    let status = response.status().as_u16();
    finish(admin, record, AuditOutcome::Ended { begun, status }).await;
    response
}

/// Records that a caller may not do something.
pub(super) async fn denied(admin: &Admin, record: ChangeRecord, status: StatusCode) {
    finish(admin, record, AuditOutcome::Denied { status: status.as_u16() }).await;
}

async fn finish(admin: &Admin, record: ChangeRecord, outcome: AuditOutcome) {
    match append(admin, record, outcome).await {
        Ok((entry, hash)) => publish(&admin.bus, &entry, &hash).await,
        Err(error) => tracing::error!(%error, "the end of a change cannot be recorded"),
    }
}

/// Whether a pattern selects audit events explicitly. A subscription to `>` does not.
pub(super) fn names_audit_events(pattern: &Pattern) -> bool {
    let text = pattern.to_string();
    text.starts_with(TYPE_PREFIX) || text.starts_with(HOST_TYPES) && pattern.matches(&format!("{TYPE_PREFIX}any"))
}

/// The data of an audit event.
#[derive(Debug, Serialize)]
struct AuditEventData<'a> {
    #[serde(flatten)]
    entry: &'a AuditEntry,
    hash: &'a str,
}

/// Publishes an entry if a subscription selects audit events explicitly. If publishing fails, the audit log is still
/// complete.
async fn publish(bus: &SharedBus, entry: &AuditEntry, hash: &str) {
    let data = serde_json::to_vec(&AuditEventData { entry, hash }).expect("an entry can be written as JSON");
    let event = Event {
        id: format!("{}-{hash}", entry.sequence),
        source: SOURCE.to_owned(),
        event_type: format!("{TYPE_PREFIX}{}", entry.operation.replace('_', "-")),
        subject: Some(entry.actor.clone()),
        time: Some(entry.at.to_string()),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(Data::json(data)),
        ..Event::default()
    };
    let is_selected = bus.catalogue().borrow().subscriptions().any(|entry| {
        let definition = &entry.definition;
        names_audit_events(&definition.pattern) && definition.selects(&event)
    });
    if is_selected && let Err(error) = bus.publish(vec![Publish { event, due: None }]).await {
        tracing::warn!(%error, "the event of an audit entry cannot be published");
    }
}

/// List changes that were made through this API, newest first
///
/// Each has an entry for its beginning and one for its end.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_audit",
    tag = "access",
    params(AuditLogQuery),
    responses((status = 200, body = AuditLogPage, description = "A page of the list."))
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(query): Query<AuditLogQuery>,
) -> Result<Json<AuditLogPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    let before = admin.parse_cursor(List::Audit, query.after.as_deref())?;
    let access = Arc::clone(&admin.access);
    let to_read = Page::<AuditEntry>::to_read(limit);
    let read = tokio::task::spawn_blocking(move || access.audit.read(before, to_read)).await;
    let read = read
        .expect("reading the audit log does not panic")
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable", error.to_string()))?;
    let page = Page::of(read.entries, limit);
    let next = page.next(|(entry, _)| admin.cursor(List::Audit, &entry.sequence.to_string()));
    Ok(Json(AuditLogPage { entries: page.items.iter().map(view).collect(), next }))
}

fn view((entry, hash): &(AuditEntry, String)) -> AuditEntryView {
    let (kind, begun, status) = match entry.outcome {
        AuditOutcome::Begun => ("begun", None, None),
        AuditOutcome::Ended { begun, status } => ("ended", Some(begun), Some(status)),
        AuditOutcome::Denied { status } => ("denied", None, Some(status)),
    };
    AuditEntryView {
        sequence: entry.sequence,
        at: entry.at.to_string(),
        actor: entry.actor.clone(),
        operation: entry.operation.clone(),
        request: entry.request.clone(),
        outcome: kind.to_owned(),
        begun,
        status,
        hash: hash.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_to_everything_does_not_ask_for_audit_events() {
        for (pattern, expected) in [
            ("sandbus.audit.>", true),
            ("sandbus.audit.drop-dead-letters", true),
            ("sandbus.>", true),
            ("sandbus.*.*", true),
            ("sandbus.*", false),
            ("sandbus.dead-letter", false),
            (">", false),
            ("*.audit.>", false),
        ] {
            assert_eq!(names_audit_events(&Pattern::parse(pattern).unwrap()), expected, "{pattern}");
        }
    }

    #[test]
    fn no_token_is_recorded() {
        for (request, expected) in [
            ("GET /v1/tokens", "GET /v1/tokens"),
            ("GET /v1/tokens?token=sbt_12ab34cd_Zm9v-_x&a=b", "GET /v1/tokens?token=sbt_…&a=b"),
            ("GET /v1/plugins/sbt_1_2/state?x=sbt_3", "GET /v1/plugins/sbt_…/state?x=sbt_…"),
            ("GET /sbt_", "GET /sbt_…"),
        ] {
            assert_eq!(redact(request), expected);
        }
    }
}
