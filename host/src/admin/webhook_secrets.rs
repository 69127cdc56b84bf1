//! Replaces the secret of a webhook. The former secret also signs for a while, so that the receiver can switch.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::{Body, Path};
use super::precondition::{IfMatch, IfMatchHeader};
use super::{Admin, subscriptions};
use crate::api::{SecretRequest, SecretRotationResult};
use crate::clock::MAX_DELAY;
use crate::problem::Problem;
use crate::subscription::{Secret, Start, SubscriptionId, Target};

/// How long a former secret also signs by default.
const OVERLAP: Duration = Duration::from_hours(24);

/// Replace the secret of a webhook
///
/// The former secret also signs for a while, so that the receiver can switch.
#[utoipa::path(
    post,
    path = "/subscriptions/{owner}/{name}/secret",
    operation_id = "rotate_secret",
    tag = "subscriptions",
    params(("owner" = String, Path, description = "The owner: a plugin, or `operator`."),
            ("name" = String, Path, description = "The name of the subscription."), IfMatchHeader),
    request_body(content = SecretRequest),
    responses((status = 200, body = SecretRotationResult, description = "The new secret signs."))
)]
pub(super) async fn rotate(
    State(admin): State<Admin>,
    Path((owner, name)): Path<(String, String)>,
    condition: IfMatch,
    Body(request): Body<SecretRequest>,
) -> Result<Json<SecretRotationResult>, Problem> {
    let id = SubscriptionId { owner, name };
    let _lock = subscriptions::lock(&admin, &condition, &id).await?;
    let found = admin.bus.catalogue().borrow().subscription(&id).map(|entry| (*entry.definition).clone());
    let mut definition = found.ok_or_else(|| Problem::not_found(format!("there is no subscription `{id}`")))?;
    let Target::Webhook(webhook) = &mut definition.target else {
        return Err(unfit(format!("the subscription `{id}` delivers to a plugin, so it has no secret")));
    };
    let overlap = request.overlap.unwrap_or(OVERLAP);
    if overlap > MAX_DELAY {
        return Err(unfit("`overlap` is longer than 100 years".to_owned()));
    }
    let generated = request.secret.is_none();
    let secret = request.secret.map_or_else(Secret::generate, Ok).map_err(|error| {
        let detail = format!("the host cannot generate a secret: {error}; set `secret`");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host-failed", detail)
    })?;
    let now = admin.clock.now();
    webhook.rotate(secret.clone(), now.after(overlap), now);
    let former_secrets_until = webhook.former_secrets.iter().map(|former| former.until.to_string()).collect();
    admin.bus.subscribe(id.clone(), definition, Start::Now).await?;
    // A generated secret is shown only once.
    let secret = generated.then_some(secret);
    Ok(Json(SecretRotationResult { id: id.to_string(), former_secrets_until, secret }))
}

fn unfit(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-secret", detail)
}
