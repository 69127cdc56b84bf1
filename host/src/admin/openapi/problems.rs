//! The problems that each operation may respond with. Every problem has a status and a stable code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::response::Response;
use utoipa::openapi::{OpenApi, Ref, RefOr};

use crate::admin::{access, operation_inputs};
use crate::api::schemas;

/// The status and the code of a problem.
type Code = (u16, &'static str);

/// Problems of any request: it is not valid HTTP, or the host is not able to answer.
const ANY: &[Code] = &[
    (400, "host-malformed"),
    (400, "host-missing"),
    (400, "host-repeated"),
    (400, "invalid-query"),
    (400, "malformed-request"),
    (400, "precondition-unsupported"),
    (400, "request-incomplete"),
    (400, "target-malformed"),
    (400, "transfer-encoding"),
    (403, "foreign-caller"),
    (408, "head-too-slow"),
    (414, "target-too-long"),
    (417, "expectation"),
    (431, "head-too-large"),
    (500, "internal"),
    (501, "method-not-implemented"),
    (501, "transfer-encoding"),
    (503, "standby"),
    (503, "starting"),
    (503, "stopping"),
    (503, "too-many-connections"),
    (505, "http-version"),
];
/// Problems of operations that need a permission.
const ACCESS: &[Code] = &[
    (401, "token-rejected"),
    (401, "token-required"),
    (403, "forbidden"),
    (403, "other-plugin"),
    (403, "payloads-hidden"),
    (429, "too-many-failures"),
    (503, "tokens-unreadable"),
];
/// Problems of changes, which are recorded.
const AUDIT: &[Code] = &[(503, "audit-unavailable")];
/// Problems of changes with a condition.
const CONDITION: &[Code] = &[(400, "invalid-precondition"), (412, "precondition-failed")];
/// Problems of requests that take no body.
const NO_BODY: &[Code] = &[(400, "body-unreadable"), (400, "unexpected-body"), (408, "body-too-slow")];
/// Problems of requests that take a body.
const BODY: &[Code] = &[
    (400, "body-unreadable"),
    (400, "invalid-content-type"),
    (400, "repeated-header"),
    (408, "body-too-slow"),
    (413, "body-too-large"),
    (415, "content-encoding"),
];
/// Problems of bodies in JSON.
const JSON: &[Code] = &[(415, "unsupported-charset"), (415, "unsupported-media-type"), (422, "invalid-body")];
/// Problems of paths that name something that may not exist.
const NAMED: &[Code] = &[(400, "invalid-path"), (404, "not-found")];
/// Problems of lists.
const PAGE: &[Code] = &[(400, "invalid-cursor")];
/// Problems of naming or reading the files of a plugin.
const FILES: &[Code] = &[(422, "invalid-plugin-name"), (500, "folder-unreadable")];
/// Problems of changing the files of a plugin.
const CHANGE: &[Code] = &[
    (409, "change-in-progress"),
    (409, "change-refused"),
    (409, "change-superseded"),
    (422, "invalid-sidecar"),
    (500, "folder-unwritable"),
    (503, "not-ready"),
];
/// Problems of reading the store.
const READ: &[Code] = &[(503, "store-unavailable"), (503, "store-unreadable")];
/// Problems of changing the store.
const COMMIT: &[Code] = &[
    (429, "bus-busy"),
    (500, "too-many-subscriptions"),
    (503, "bus-closed"),
    (503, "log-full"),
    (503, "store-unavailable"),
    (504, "in-doubt"),
    (507, "disk-full"),
];
/// Problems of reading the ledger.
const LEDGER: &[Code] = &[(503, "ledger-unavailable")];
/// Problems of reading and changing the tokens.
const TOKENS: &[Code] = &[(503, "tokens-unreadable")];
/// Problems of logins through the provider.
const LOGIN: &[Code] = &[
    (400, "login-failed"),
    (403, "login-failed"),
    (404, "login-off"),
    (500, "login-failed"),
    (502, "login-failed"),
    (503, "login-failed"),
];
/// Problems of writing events as JSON.
const WRITE: &[Code] = &[(500, "host-failed")];
/// Problems of selecting dead letters.
const SELECTION: &[Code] = &[(400, "invalid-subscription"), (400, "selection-required"), (404, "not-found")];
/// Problems of publishing events.
const PUBLISH: &[Code] = &[
    (400, "invalid-batch"),
    (400, "invalid-event"),
    (403, "correlation-not-allowed"),
    (403, "reply-not-allowed"),
    (403, "reserved-attribute"),
    (403, "reserved-source"),
    (403, "reserved-type"),
    (409, "already-published"),
    (415, "not-a-cloudevent"),
    (415, "unsupported-charset"),
    (422, "batch-too-long"),
    (429, "backlog-full"),
    (429, "producer-full"),
    (500, "host-failed"),
    (503, "too-many-types"),
    (504, "no-reply"),
];

/// The problems of an operation, except for those of any request and of its body; none if the operation is unknown.
fn of(operation: &str) -> Option<Vec<&'static [Code]>> {
    Some(match operation {
        "get_configuration" | "get_health" | "get_login_methods" | "get_metrics" | "get_openapi" => vec![],
        "get_access" => vec![],
        "begin_login" => vec![LOGIN],
        "complete_login" => vec![LOGIN, TOKENS, AUDIT, &[(403, "no-role"), (409, "too-many-tokens")]],
        "create_session" => vec![],
        "delete_session" => vec![TOKENS],
        "list_tokens" => vec![TOKENS],
        "create_token" => vec![JSON, TOKENS, &[(409, "too-many-tokens")]],
        "revoke_token" => vec![NAMED, TOKENS],
        "list_audit" => vec![PAGE, &[(503, "audit-unavailable")]],
        "create_backup" => {
            vec![&[
                (409, "backup-in-progress"),
                (409, "backup-of-database"),
                (500, "backup-failed"),
                (503, "store-unavailable"),
                (507, "disk-full"),
            ]]
        }
        "list_plugins" => vec![PAGE],
        "get_readiness" => vec![&[(503, "not-ready")]],
        "get_plugin" => vec![NAMED, FILES],
        "upload_plugin" => {
            vec![NAMED, FILES, CHANGE, &[(415, "unsupported-media-type"), (422, "unloadable"), (500, "host-failed")]]
        }
        "get_sidecar" => vec![NAMED, FILES],
        "put_sidecar" => vec![
            NAMED,
            FILES,
            CHANGE,
            &[(403, "secret-forbidden"), (415, "unsupported-charset"), (415, "unsupported-media-type")],
        ],
        "remove_plugin" | "remove_sidecar" | "enable_plugin" | "disable_plugin" => vec![NAMED, FILES, CHANGE],
        "drain_plugin" | "resume_plugin" => vec![NAMED, COMMIT],
        "roll_back_plugin" => {
            vec![NAMED, &[(409, "generation-unloadable"), (409, "no-generation"), (503, "not-ready")]]
        }
        "run_canary" => {
            vec![
                NAMED,
                READ,
                &[
                    (400, "ambiguous-id"),
                    (400, "component-required"),
                    (409, "generation-unloadable"),
                    (409, "no-generation"),
                    (415, "unsupported-media-type"),
                    (422, "unloadable"),
                    (500, "canary-failed"),
                ],
            ]
        }
        "list_subscriptions" | "list_schedules" | "list_scheduled" | "list_events" => vec![PAGE, READ, WRITE],
        "put_subscription" => vec![JSON, COMMIT, &[(422, "invalid-start"), (422, "invalid-subscription")]],
        "get_subscription" => vec![NAMED, READ],
        "delete_subscription" => vec![NAMED, COMMIT, &[(409, "subscription-declared")]],
        "pause_subscription" | "resume_subscription" | "stop_replays" => vec![NAMED, COMMIT],
        "start_replay" => vec![NAMED, JSON, COMMIT, &[(422, "invalid-start")]],
        "rotate_secret" => vec![NAMED, JSON, COMMIT, WRITE, &[(422, "invalid-secret")]],
        "cancel_scheduled" => vec![COMMIT, &[(404, "not-found")]],
        "get_events" | "get_dead_letter" => vec![NAMED, READ, WRITE],
        "publish_events" => vec![COMMIT, PUBLISH],
        "list_samples" => vec![WRITE],
        "send_request" => vec![JSON, &[(504, "no-response")]],
        "compact" => vec![COMMIT],
        "list_dead_letter_groups" => vec![PAGE, READ, &[(400, "invalid-subscription")]],
        "list_dead_letters" => {
            vec![PAGE, READ, WRITE, &[(400, "invalid-subscription"), (404, "not-found")]]
        }
        "redrive_edited_dead_letter" => {
            vec![NAMED, JSON, READ, COMMIT, &[(409, "delivery-open")]]
        }
        "set_dead_letter_group_status" => vec![NAMED, JSON, READ, COMMIT],
        "list_deliveries" => vec![PAGE, READ, WRITE, &[(400, "invalid-subscription")]],
        "retry_deliveries" => vec![COMMIT, SELECTION],
        "list_state_keys" => vec![PAGE, NAMED, READ],
        "get_state" => vec![NAMED, READ],
        "delete_state" => vec![NAMED, READ, COMMIT],
        "put_state" => vec![NAMED, JSON, READ, COMMIT, &[(409, "state-changed")]],
        "get_cause_tree" => vec![NAMED, READ, &[(400, "ambiguous-id")]],
        "list_attempts" | "list_requests" | "list_minutes" => vec![PAGE, LEDGER],
        "get_statistics" | "get_storage" => vec![READ],
        "follow_stream" => vec![LEDGER, &[(400, "invalid-event-id")]],
        "redrive_dead_letters" | "drop_dead_letters" => vec![READ, COMMIT, SELECTION],
        _ => return None,
    })
}

/// Adds the problems of each operation to its responses.
pub(super) fn add(document: &mut OpenApi) {
    let shared = by_status([ANY, NO_BODY]).into_iter().filter(|(status, _)| is_shared(*status));
    let shared = shared.map(|(status, codes)| (shared_name(status), response(&codes)));
    document.components.get_or_insert_default().responses.extend(shared);
    for item in document.paths.paths.values_mut() {
        item.get.iter_mut().for_each(|operation| add_to(operation, false));
        let changes = [&mut item.post, &mut item.put, &mut item.delete];
        changes.into_iter().flatten().for_each(|operation| add_to(operation, true));
    }
}

fn add_to(operation: &mut Operation, is_change: bool) {
    let body = if operation.request_body.is_some() { BODY } else { NO_BODY };
    let name = operation.operation_id.clone().unwrap_or_default();
    let name = name.as_str();
    let own = of(name).expect("each operation is in the table above");
    // The only documented header is `If-Match`.
    let condition = operation_inputs::has_parameter(operation, &ParameterIn::Header).then_some(CONDITION);
    let access = (!access::is_open(name)).then_some(ACCESS);
    let audit = is_change.then_some(AUDIT);
    let groups = [ANY, body].into_iter().chain(access).chain(audit).chain(condition).chain(own);
    for (status, codes) in by_status(groups) {
        let response = match is_shared(status) {
            true => RefOr::Ref(Ref::from_response_name(shared_name(status))),
            false => response(&codes),
        };
        operation.responses.responses.insert(status.to_string(), response);
    }
}

/// The codes of each status.
fn by_status(groups: impl IntoIterator<Item = &'static [Code]>) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut by_status = BTreeMap::<u16, BTreeSet<_>>::new();
    for (status, code) in groups.into_iter().flatten() {
        by_status.entry(*status).or_default().insert(*code);
    }
    by_status
}

/// Whether all operations have the same problems with a status, so that the document has them once.
fn is_shared(status: u16) -> bool {
    [408, 414, 417, 431, 501, 505].contains(&status)
}

fn shared_name(status: u16) -> String {
    format!("Problem{status}")
}

fn response(codes: &BTreeSet<&str>) -> RefOr<Response> {
    let description = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
    let one_of_these = json!({ "type": "object", "properties": { "code": { "type": "string", "enum": codes } } });
    let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/ProblemView" }, one_of_these] });
    let content = json!({ "application/problem+json": { "schema": schema } });
    schemas::parse(json!({ "description": description, "content": content }))
}
