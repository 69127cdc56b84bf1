//! The permission that each operation needs. `docs/operating.md` has the same table for people.

use crate::access::Permission;

/// The permission that an operation requires, by its id in the OpenAPI document. An unknown operation is for
/// administrators.
pub(super) fn required(operation: &str) -> Permission {
    of(operation).unwrap_or(Permission::Admin)
}

/// The permission of an operation. None if the operation is unknown.
pub(super) fn of(operation: &str) -> Option<Permission> {
    Some(match operation {
        "get_health" | "get_readiness" | "get_login_methods" | "begin_login" | "complete_login" => Permission::Open,
        "get_metrics"
        | "get_openapi"
        | "get_access"
        | "create_session"
        | "delete_session"
        | "get_configuration"
        | "list_plugins"
        | "get_plugin"
        | "list_subscriptions"
        | "get_subscription"
        | "list_schedules"
        | "list_scheduled"
        | "list_events"
        | "get_events"
        | "list_samples"
        | "list_dead_letters"
        | "list_dead_letter_groups"
        | "get_dead_letter"
        | "list_deliveries"
        | "list_state_keys"
        | "get_state"
        | "get_cause_tree"
        | "list_attempts"
        | "list_requests"
        | "get_statistics"
        | "get_storage"
        | "list_minutes"
        | "follow_stream" => Permission::View,
        "put_subscription"
        | "delete_subscription"
        | "pause_subscription"
        | "resume_subscription"
        | "start_replay"
        | "stop_replays"
        | "rotate_secret"
        | "cancel_scheduled"
        | "publish_events"
        | "send_request"
        | "compact"
        | "redrive_dead_letters"
        | "redrive_edited_dead_letter"
        | "drop_dead_letters"
        | "set_dead_letter_group_status"
        | "retry_deliveries"
        | "put_state"
        | "delete_state" => Permission::Operate,
        "upload_plugin" | "remove_plugin" | "get_sidecar" | "put_sidecar" | "remove_sidecar" | "enable_plugin"
        | "disable_plugin" | "run_canary" | "roll_back_plugin" => Permission::Deploy,
        "drain_plugin" | "resume_plugin" => Permission::Drain,
        "list_tokens" | "create_token" | "revoke_token" | "list_audit" | "create_backup" => Permission::Admin,
        _ => return None,
    })
}

/// Whether an operation returns nothing but payloads, or lets them be sent elsewhere.
pub(super) fn reveals_payloads(operation: &str) -> bool {
    ["get_state", "get_sidecar", "put_subscription", "create_backup"].contains(&operation)
}

/// Whether an operation concerns no plugin, so that a token for one plugin may use it.
pub(super) fn is_for_everybody(path: &str) -> bool {
    ["/v1/access", "/v1/openapi.json", "/v1/session"].contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{openapi, operation_inputs};

    #[test]
    fn every_operation_has_a_permission() {
        let document = openapi::routes().into_openapi();
        for item in document.paths.paths.values() {
            for (_, operation) in operation_inputs::operations(item) {
                let id = operation.operation_id.as_deref().unwrap();
                assert!(of(id).is_some(), "{id} has no permission");
            }
        }
    }
}
