//! Logs people in: through an OpenID provider, or with a token that a page keeps in a cookie.
//!
//! A login creates a token with the role of the person, which expires and can be revoked like any other. The browser
//! keeps it in a cookie that scripts cannot read.

use axum::extract::{Request, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::Admin;
use super::access::{Caller, bearer_of, missing_token};
use super::audit::{self, ChangeRecord};
use super::cookies::{LOGIN_COOKIE, SESSION_COOKIE, cookie, cookie_of, no_session};
use super::tokens::with_tokens;
use crate::access::{NewToken, TokenRecord};
use crate::api::LoginMethodsView;
use crate::login::{Callback, CompletedLogin, Login, LoginError, OidcConfig, ProviderError};
use crate::problem::Problem;
use crate::server::Query;

/// How long a browser keeps the secret of a login that has begun, in seconds.
const LOGIN_SECONDS: u64 = 600;

/// The query of a login.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoginQuery {
    return_to: String,
}

/// Show how people can log in
#[utoipa::path(
    get,
    path = "/login/methods",
    operation_id = "get_login_methods",
    tag = "access",
    responses((status = 200, body = LoginMethodsView, description = "The ways to log in."))
)]
pub(super) async fn methods(State(admin): State<Admin>) -> Json<LoginMethodsView> {
    Json(LoginMethodsView { openid: admin.login.is_some() })
}

/// Begin a login through the OpenID provider
///
/// Sends a browser to the provider.
#[utoipa::path(
    get,
    path = "/login",
    operation_id = "begin_login",
    tag = "access",
    params(("return_to" = Option<String>, Query, description = "The path to continue at after the login.")),
    responses((status = 303, description = "The provider's login."))
)]
pub(super) async fn begin(State(admin): State<Admin>, request: Request) -> Result<Response, Problem> {
    let login = provider(&admin)?;
    let Query(LoginQuery { return_to }) = Query::of(request.uri())?;
    let (url, secret) = login.begin(&return_to, admin.clock.now()).await?;
    let cookie = cookie(LOGIN_COOKIE, &secret, "/v1/login", LOGIN_SECONDS, login.config().is_secure());
    Ok(redirect(&url, [cookie]))
}

/// Complete a login through the OpenID provider
///
/// The provider sends the browser here.
#[utoipa::path(
    get,
    path = "/login/callback",
    operation_id = "complete_login",
    tag = "access",
    params(
        ("code" = Option<String>, Query, description = "The code of the provider."),
        ("state" = Option<String>, Query, description = "The state of the login."),
        ("error" = Option<String>, Query, description = "Why the provider refused the login."),
        ("error_description" = Option<String>, Query, description = "The reason for people.")
    ),
    responses((status = 303, description = "The page at which the login began."))
)]
pub(super) async fn complete(State(admin): State<Admin>, request: Request) -> Result<Response, Problem> {
    let login = provider(&admin)?;
    let Query(callback) = Query::<Callback>::of(request.uri())?;
    let secret = cookie_of(request.headers(), LOGIN_COOKIE).unwrap_or_default();
    let completed = login.complete(callback, &secret, admin.clock.now()).await?;
    let record = ChangeRecord::new("complete_login", format!("login of {}", completed.name), "GET /v1/login/callback");
    let change =
        async { start_session(&admin, login.config(), completed).await.unwrap_or_else(Problem::into_response) };
    Ok(audit::recorded(&admin, record, change).await)
}

/// Keep a token in a cookie
///
/// For pages: scripts cannot read the cookie. Send the token in the header `Authorization`.
#[utoipa::path(
    post,
    path = "/session",
    operation_id = "create_session",
    tag = "access",
    responses((status = 204, description = "The cookie is set."))
)]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = bearer_of(&headers).filter(|_| matches!(caller, Caller::Token(_)));
    let token = token.ok_or_else(missing_token)?;
    let seconds = match &caller {
        Caller::Token(record) => seconds_left(record, &admin),
        Caller::Local | Caller::Socket => 0,
    };
    let cookie = cookie(SESSION_COOKIE, &token, "/", seconds, admin.is_secure);
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// Log out
///
/// Removes the cookie. A token that a login has created is revoked.
#[utoipa::path(
    delete,
    path = "/session",
    operation_id = "delete_session",
    tag = "access",
    responses((status = 204, description = "The cookie is removed."))
)]
pub(super) async fn delete(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    if let Caller::Token(record) = caller
        && record.is_login()
    {
        let id = record.id.clone();
        with_tokens(&admin, move |access| access.tokens.revoke(&id)).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, no_session(admin.is_secure))]).into_response())
}

/// How long a browser keeps the cookie of a token that does not expire, in seconds: thirty days.
const LONGEST_SECONDS: u64 = 30 * 24 * 3_600;

fn seconds_left(token: &TokenRecord, admin: &Admin) -> u64 {
    let left = token.expires_at.map(|at| at.since(admin.clock.now()).as_secs());
    left.map_or(LONGEST_SECONDS, |left| left.min(LONGEST_SECONDS))
}

fn provider(admin: &Admin) -> Result<&Login, Problem> {
    let detail = "no OpenID provider is configured; add [access.oidc] to sandbus.toml, or use a token";
    admin.login.as_deref().ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "login-off", detail))
}

/// Creates the token of a login, and gives it to the browser.
async fn start_session(admin: &Admin, config: &OidcConfig, completed: CompletedLogin) -> Result<Response, Problem> {
    let return_to = completed.return_to.clone();
    let token = create_token(admin, config, completed).await?;
    let (is_secure, seconds) = (config.is_secure(), config.session.as_secs());
    let session = cookie(SESSION_COOKIE, &token, "/", seconds, is_secure);
    Ok(redirect(&return_to, [session, cookie(LOGIN_COOKIE, "", "/v1/login", 0, is_secure)]))
}

/// Creates the token of a login.
async fn create_token(admin: &Admin, config: &OidcConfig, login: CompletedLogin) -> Result<String, Problem> {
    let now = admin.clock.now();
    let name: String = login.name.chars().filter(|letter| !letter.is_control()).take(100).collect();
    let token = NewToken {
        name: Some(name).filter(|name| !name.is_empty()),
        role: login.role.role,
        plugin: login.role.plugin,
        hide_payloads: login.role.hide_payloads,
        expires_at: None,
        created_by: TokenRecord::LOGIN.to_owned(),
    };
    let token = token.checked(Some(config.session), now);
    let token = token.map_err(|error| failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))?;
    let (secret, record) = with_tokens(admin, move |access| access.tokens.create(token, now)).await?;
    tracing::info!(name = record.name, role = %record.role, token = %record.id, "somebody has logged in");
    Ok(secret.expose().to_owned())
}

fn redirect<const N: usize>(url: &str, cookies: [HeaderValue; N]) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // A URL in ASCII is a header value.
    let location = HeaderValue::from_str(url).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn failed(status: StatusCode, detail: &str) -> Problem {
    Problem::new(status, "login-failed", detail)
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let detail = error.to_string();
        match error {
            // Anybody can cause these.
            LoginError::NotPending | LoginError::Busy => tracing::debug!("a login failed: {detail}"),
            _ => tracing::warn!("a login failed: {detail}"),
        }
        match error {
            LoginError::Busy => failed(StatusCode::SERVICE_UNAVAILABLE, &detail).retry_after(1),
            LoginError::NoRandomNumbers(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, &detail),
            LoginError::Provider(ProviderError::Identity(_)) | LoginError::Refused(_) => {
                failed(StatusCode::FORBIDDEN, &detail)
            }
            LoginError::Provider(_) => failed(StatusCode::BAD_GATEWAY, &detail),
            LoginError::NotPending => failed(StatusCode::BAD_REQUEST, &detail),
            LoginError::NoRole(_) => Self::new(StatusCode::FORBIDDEN, "no-role", detail),
        }
    }
}
