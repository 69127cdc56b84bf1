//! Creates, lists and revokes tokens, and tells callers what they may do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::access::{Access, Caller, OperationIds};
use super::body::{Body, Path, invalid};
use super::{Admin, query};
use crate::access::{NewToken, Role, TokenId, TokenRecord, TokenStoreError};
use crate::api::{AccessView, CreatedTokenView, TokenList, TokenRequest, TokenView};
use crate::clock::Timestamp;
use crate::problem::Problem;

impl From<TokenStoreError> for Problem {
    fn from(error: TokenStoreError) -> Self {
        let detail = error.to_string();
        match error {
            TokenStoreError::NotFound(_) => Self::not_found(detail),
            TokenStoreError::TooMany => Self::new(StatusCode::CONFLICT, "too-many-tokens", detail),
            TokenStoreError::File { .. } | TokenStoreError::Malformed { .. } | TokenStoreError::NoRandomNumbers(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "tokens-unreadable", detail)
            }
        }
    }
}

/// Reads or changes the tokens on a thread that may block.
pub(super) async fn with_tokens<T: Send + 'static>(
    admin: &Admin,
    act: impl FnOnce(&Access) -> Result<T, TokenStoreError> + Send + 'static,
) -> Result<T, Problem> {
    let access = Arc::clone(&admin.access);
    let done = tokio::task::spawn_blocking(move || act(&access)).await;
    Ok(done.expect("a change of the tokens does not panic")?)
}

/// Show what the caller may do
#[utoipa::path(
    get,
    path = "/access",
    operation_id = "get_access",
    tag = "access",
    responses((status = 200, body = AccessView, description = "The caller's role."))
)]
pub(super) async fn access(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Extension(operations): Extension<OperationIds>,
) -> Json<AccessView> {
    let token = match &caller {
        Caller::Local | Caller::Socket => None,
        Caller::Token(token) => Some(view(token, admin.clock.now())),
    };
    let role = token.as_ref().map_or_else(|| Role::Admin.as_str().to_owned(), |token| token.role.clone());
    let tokens_required = admin.access.requires_tokens && !matches!(caller, Caller::Socket);
    let (plugin, hide_payloads) = (caller.plugin().map(str::to_owned), caller.hides_payloads());
    let operations = operations.permitted_to(&caller);
    Json(AccessView { role, plugin, operations, hide_payloads, token, tokens_required })
}

/// List tokens, oldest first
///
/// The host does not store the secrets, so the response does not contain them.
#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "list_tokens",
    tag = "access",
    responses((status = 200, body = TokenList, description = "The tokens."))
)]
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<TokenList>, Problem> {
    let tokens = with_tokens(&admin, |access| access.tokens.list()).await?;
    let now = admin.clock.now();
    Ok(Json(TokenList { tokens: tokens.iter().map(|token| view(token, now)).collect() }))
}

/// Create a token
///
/// The response is the only one that contains the token.
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "create_token",
    tag = "access",
    request_body(content = TokenRequest),
    responses((status = 201, body = CreatedTokenView, description = "The token."))
)]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<TokenRequest>,
) -> Result<(StatusCode, Json<CreatedTokenView>), Problem> {
    let now = admin.clock.now();
    let token = new_token(request, &caller.describe(), now)?;
    let (secret, record) = with_tokens(&admin, move |access| access.tokens.create(token, now)).await?;
    let created = CreatedTokenView { secret: secret.expose().to_owned(), token: view(&record, now) };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Checks a request for a token.
fn new_token(request: TokenRequest, created_by: &str, now: Timestamp) -> Result<NewToken, Problem> {
    let TokenRequest { name, role, plugin, hide_payloads, expires_in } = request;
    let role: Role = role.parse().map_err(|error| invalid(format!("`role`: {error}")))?;
    let token = NewToken { name, role, plugin, hide_payloads, expires_at: None, created_by: created_by.to_owned() };
    token.checked(expires_in, now).map_err(|error| invalid(error.to_string()))
}

/// Revoke a token
///
/// From then on, requests with the token are rejected.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    operation_id = "revoke_token",
    tag = "access",
    params(("id" = String, Path, description = "The id of the token.")),
    responses((status = 204, description = "The token is revoked."))
)]
pub(super) async fn revoke(State(admin): State<Admin>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id: TokenId = id.parse().map_err(|error| query::invalid(format!("{error}")))?;
    let _ = with_tokens(&admin, move |access| access.tokens.revoke(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token in the form of the API.
pub(crate) fn view(token: &TokenRecord, now: Timestamp) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        name: token.name.clone(),
        role: token.role.as_str().to_owned(),
        plugin: token.plugin.clone(),
        hide_payloads: token.hide_payloads,
        created_at: token.created_at.to_string(),
        created_by: token.created_by.clone(),
        expires_at: token.expires_at.map(|time| time.to_string()),
        expired: token.is_expired(now),
    }
}
