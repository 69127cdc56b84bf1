//! Who may call an operation: authenticates tokens, checks their roles and plugins, hides payloads, and records changes
//! in the audit log.

mod limiter;
mod payloads;
mod permissions;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio_util::task::TaskTracker;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{OpenApi, PathItem};

use limiter::FailureLimiter;

use super::Admin;
use super::audit::{self, ChangeRecord};
use super::cookies;
use super::operation_inputs::{self, Operations};
use super::plugin_target::target;
use crate::access::{AuditLog, Permission, RejectedToken, Role, TokenRecord, TokenStore};
use crate::api;
use crate::problem::Problem;
use crate::server::{Query, percent_decode};

/// The tokens, the audit log, and whether callers need tokens.
#[derive(Debug)]
pub struct Access {
    /// The tokens.
    pub tokens: TokenStore,
    /// The audit log.
    pub audit: AuditLog,
    /// Whether every caller on the address needs a token. Otherwise a caller without one may do everything.
    pub requires_tokens: bool,
    /// The running changes. They outlive the connections of their callers, so that a shutdown can wait for them.
    pub changes: TaskTracker,
    failures: FailureLimiter,
    denials: FailureLimiter,
}

/// How often the token of an open stream is checked.
const REVALIDATION: Duration = Duration::from_secs(1);

impl Access {
    /// Access with tokens and an audit log.
    #[must_use]
    pub fn new(tokens: TokenStore, audit: AuditLog, requires_tokens: bool) -> Self {
        Self {
            tokens,
            audit,
            requires_tokens,
            changes: TaskTracker::new(),
            failures: FailureLimiter::new("requests with invalid tokens"),
            denials: FailureLimiter::new("requests that a token does not permit"),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Somebody without a token, where none is required.
    Local,
    /// Somebody without a token, on the Unix socket.
    Socket,
    /// The holder of a token.
    Token(Arc<TokenRecord>),
}

impl Caller {
    /// The caller's name in the audit log, and in records that say who did something.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::Socket => "socket".to_owned(),
            Self::Token(token) => match &token.name {
                Some(name) => format!("token {} ({name})", token.id),
                None => format!("token {}", token.id),
            },
        }
    }

    /// The role. A caller who needs no token may do everything.
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Local | Self::Socket => Role::Admin,
            Self::Token(token) => token.role,
        }
    }

    pub(super) fn hides_payloads(&self) -> bool {
        matches!(self, Self::Token(token) if token.hide_payloads)
    }

    /// The only plugin that the caller may see and change.
    pub(super) fn plugin(&self) -> Option<&str> {
        match self {
            Self::Local | Self::Socket => None,
            Self::Token(token) => token.plugin.as_deref(),
        }
    }
}

/// The operations with their permissions.
#[derive(Debug)]
pub(super) struct Guard {
    operations: Operations<GuardedOperation>,
    /// The caller who sends no token. None if callers need one.
    tokenless: Option<Caller>,
    pub(super) admin: Admin,
}

/// An operation and what it needs.
#[derive(Clone, Debug)]
struct GuardedOperation {
    id: String,
    permission: Permission,
}

impl Guard {
    pub(super) fn new(document: &OpenApi, tokenless: Option<Caller>, admin: &Admin) -> Self {
        let operations = Operations::of(document, |operation| {
            let id = operation.operation_id.clone().unwrap_or_default();
            GuardedOperation { permission: permissions::required(&id), id }
        });
        Self { operations, tokenless, admin: admin.clone() }
    }

    /// Identifies the caller by the token in the header. None if a required token is missing.
    async fn authenticate(&self, credential: Credential) -> Result<Option<Caller>, RejectedToken> {
        let presented = match credential {
            Credential::None => return Ok(self.tokenless.clone()),
            Credential::Malformed => return Err(RejectedToken::Unknown),
            Credential::Header(token) => token,
            Credential::Cookie(token) => {
                let authenticated = self.authenticate_token(token).await;
                // An old cookie must not lock anybody out where no token is required.
                return authenticated.or_else(|rejected| self.tokenless.clone().map(Some).ok_or(rejected));
            }
        };
        self.authenticate_token(presented).await
    }

    async fn authenticate_token(&self, presented: String) -> Result<Option<Caller>, RejectedToken> {
        let (access, now) = (Arc::clone(&self.admin.access), self.admin.clock.now());
        let authenticated = tokio::task::spawn_blocking(move || access.tokens.authenticate(&presented, now)).await;
        let record = authenticated.unwrap_or(Err(RejectedToken::Unreadable))?;
        Ok(Some(Caller::Token(Arc::new(record))))
    }
}

/// The token that a request carries.
enum Credential {
    None,
    Malformed,
    /// In the header `Authorization`.
    Header(String),
    /// In the cookie of a session.
    Cookie(String),
}

impl Credential {
    fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(AUTHORIZATION) {
            return bearer_of(headers).map_or(Self::Malformed, Self::Header);
        }
        cookies::cookie_of(headers, cookies::SESSION_COOKIE).map_or(Self::None, Self::Cookie)
    }
}

/// The token in the header `Authorization` of a request.
pub(super) fn bearer_of(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION)?.to_str().ok().and_then(bearer).map(str::to_owned)
}

/// The token of an `Authorization` header (RFC 6750, section 2.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Passes a request on if its caller may make it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let operation = guard.operations.find(request.method(), &path).cloned();
    let Some(operation) = operation else {
        // The router refuses the method. A path that is not documented is a bug.
        return match guard.operations.has_path(&path) {
            true => next.run(request).await,
            false => missing_token().into_response(),
        };
    };
    if operation.permission == Permission::Open {
        return next.run(request).await;
    }
    let credential = Credential::of(request.headers());
    if matches!(credential, Credential::Cookie(_))
        && is_change(request.method())
        && !cookies::is_from_own_page(request.headers())
    {
        let detail = "a request with the cookie of a session must come from a page of this host, and this one has neither `Origin` nor `Sec-Fetch-Site`; programs send `Authorization: Bearer TOKEN`";
        return Problem::new(StatusCode::FORBIDDEN, "foreign-caller", detail).into_response();
    }
    let caller = match guard.authenticate(credential).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return missing_token().into_response(),
        Err(rejected) if operation.id == "delete_session" => {
            // The session is invalid. Without this header, the browser would keep the cookie.
            let cookie = [(SET_COOKIE, cookies::no_session(guard.admin.is_secure))];
            return (cookie, guard.reject(&rejected)).into_response();
        }
        Err(rejected) => return guard.reject(&rejected).into_response(),
    };
    let authorized = authorize(&caller, &operation, &path, &request).and_then(|()| guard.check_file(&caller, &path));
    if let Err(problem) = authorized {
        let record = ChangeRecord::of(&operation.id, caller.describe(), &request);
        guard.note_denied(record, &problem).await;
        return problem.into_response();
    }
    request.extensions_mut().insert(caller.clone());
    let record = is_change(request.method()).then(|| ChangeRecord::of(&operation.id, caller.describe(), &request));
    let response = match record {
        None => next.run(request).await,
        Some(record) => guard.change(record, next.run(request)).await,
    };
    match caller {
        Caller::Token(token) if matches!(operation.id.as_str(), "follow_stream" | "create_backup") => {
            guard.while_valid(token, response)
        }
        caller if caller.hides_payloads() => payloads::hide(&operation.id, response).await,
        _ => response,
    }
}

/// Whether an operation needs no permission, by its id.
pub(super) fn is_open(operation: &str) -> bool {
    permissions::required(operation) == Permission::Open
}

/// All operations, in the order of the document.
#[derive(Clone, Debug)]
pub(super) struct OperationIds(Arc<[ListedOperation]>);

#[derive(Debug)]
struct ListedOperation {
    id: String,
    /// Whether a caller that is restricted to a plugin may use the operation: because a request can name the plugin, or
    /// because the operation is for everybody.
    is_for_plugins: bool,
}

impl OperationIds {
    /// The operations of a document.
    pub(super) fn of(document: &OpenApi) -> Self {
        let listed = |(path, item): (&String, &PathItem)| {
            let names_plugin = is_below(path, PLUGIN) || is_below(path, SUBSCRIPTION);
            let for_everybody = permissions::is_for_everybody(path);
            let listed = operation_inputs::operations(item).filter_map(move |(_, operation)| {
                let id = operation.operation_id.clone()?;
                let mut query = operation_inputs::parameters(operation, &ParameterIn::Query);
                let has_scope = query.any(|name| ["plugin", "subscription"].contains(&name));
                let is_for_plugins = names_plugin || has_scope || for_everybody || is_open(&id);
                Some(ListedOperation { id, is_for_plugins })
            });
            listed.collect::<Vec<_>>()
        };
        Self(document.paths.paths.iter().flat_map(listed).collect())
    }

    /// The ids of those that the caller may use. A caller who is restricted to a plugin must name it.
    pub(super) fn permitted_to(&self, caller: &Caller) -> Vec<String> {
        let is_permitted = |ListedOperation { id, is_for_plugins }: &&ListedOperation| {
            caller.role().permits(permissions::required(id))
                && !(caller.hides_payloads() && permissions::reveals_payloads(id))
                && (*is_for_plugins || caller.plugin().is_none())
        };
        self.0.iter().filter(is_permitted).map(|operation| operation.id.clone()).collect()
    }
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Checks the role and the plugin of a token.
fn authorize(caller: &Caller, operation: &GuardedOperation, path: &str, request: &Request) -> Result<(), Problem> {
    let Caller::Token(token) = caller else { return Ok(()) };
    let permission = operation.permission;
    let forbidden = |code, detail| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
    if !token.role.permits(permission) {
        let roles: Vec<_> = permission.roles().into_iter().map(|role| role.as_str()).collect();
        let (role, roles) = (token.role, roles.join(" or "));
        let detail = format!("this operation needs the role {roles}, and the token {} has the role {role}", token.id);
        return forbidden("forbidden", detail);
    }
    if token.hide_payloads && permissions::reveals_payloads(&operation.id) {
        let detail =
            format!("the token {} may not see payloads, which this operation returns or sends elsewhere", token.id);
        return forbidden("payloads-hidden", detail);
    }
    let Some(plugin) = &token.plugin else { return Ok(()) };
    match scope(path, request.uri())? {
        Some(named) if named == *plugin => Ok(()),
        Some(named) => forbidden(
            "other-plugin",
            format!("the token {} is for the plugin `{plugin}`, and the request names `{named}`", token.id),
        ),
        None if permissions::is_for_everybody(path) => Ok(()),
        None => forbidden(
            "other-plugin",
            format!(
                "the token {} is for the plugin `{plugin}`, and the request may concern others; name the plugin in the path or with `plugin` or `subscription`",
                token.id
            ),
        ),
    }
}

/// The parameters that restrict an operation to a plugin.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScopeQuery {
    plugin: Option<String>,
    subscription: Option<String>,
}

/// The resources whose paths name a plugin.
const PLUGIN: &str = "/plugins/{name}";
const SUBSCRIPTION: &str = "/subscriptions/{owner}";

fn is_below(path: &str, resource: &str) -> bool {
    path.strip_prefix(api::ROOT).is_some_and(|rest| rest.starts_with(resource))
}

/// The plugin that a request is restricted to. None if it may concern several.
fn scope(path: &str, uri: &Uri) -> Result<Option<String>, Problem> {
    if is_below(path, PLUGIN) || is_below(path, SUBSCRIPTION) {
        // The root, the resource and the name.
        let segment = uri.path().split('/').nth(3).unwrap_or_default();
        return Ok(percent_decode(segment));
    }
    // Other paths have no parameters, and ignore what they get.
    if !path.starts_with(api::ROOT) {
        return Ok(None);
    }
    let Query(ScopeQuery { plugin, subscription }) = Query::of(uri)?;
    let owner = subscription.map(|id| id.split_once('/').map_or_else(|| id.clone(), |(owner, _)| owner.to_owned()));
    Ok(match (plugin, owner) {
        (Some(plugin), Some(owner)) if plugin != owner => None,
        (plugin, owner) => plugin.or(owner),
    })
}

/// The response if a change panicked.
fn failed(error: &tokio::task::JoinError) -> Response {
    tracing::error!(%error, "a change through the admin interface failed");
    let detail = "the host failed while it made the change; see its log";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
}

fn challenge(problem: Problem) -> Problem {
    problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sandbus\""))
}

pub(super) fn missing_token() -> Problem {
    let detail = "this host requires a token: send `Authorization: Bearer TOKEN`, or set SANDBUS_TOKEN for the command line; `sandbus token create --data DIRECTORY` on the machine of the host creates one";
    challenge(Problem::new(StatusCode::UNAUTHORIZED, "token-required", detail))
}

impl Guard {
    /// Makes a change and records it, even if the client closes the connection before the end.
    async fn change(&self, record: ChangeRecord, change: impl Future<Output = Response> + Send + 'static) -> Response {
        let admin = self.admin.clone();
        // The end of a change is recorded even if the change panics.
        let changes = self.admin.access.changes.clone();
        let change = async move { changes.spawn(change).await.unwrap_or_else(|error| failed(&error)) };
        let recorded = async move { audit::recorded(&admin, record, change).await };
        self.admin.access.changes.spawn(recorded).await.unwrap_or_else(|error| failed(&error))
    }

    /// Records a denied request. At most a fixed number per minute are recorded, so that they cannot displace other
    /// entries of the audit log.
    async fn note_denied(&self, record: ChangeRecord, problem: &Problem) {
        match self.admin.access.denials.note(self.admin.clock.now()) {
            Ok(()) => audit::denied(&self.admin, record, problem.status()).await,
            Err(_) => tracing::debug!("a denied request is not recorded in the audit log: {}", problem.detail()),
        }
    }

    /// Ends a response when its token is revoked or expires.
    fn while_valid(&self, token: Arc<TokenRecord>, response: Response) -> Response {
        let admin = self.admin.clone();
        let ended = async move {
            loop {
                tokio::time::sleep(REVALIDATION).await;
                let (access, token, now) = (Arc::clone(&admin.access), Arc::clone(&token), admin.clock.now());
                let is_valid = tokio::task::spawn_blocking(move || access.tokens.is_valid(&token, now)).await;
                if !is_valid.unwrap_or(false) {
                    return;
                }
            }
        };
        response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(ended))))
    }

    /// Checks that the file named after the caller's plugin does not contain another plugin.
    fn check_file(&self, caller: &Caller, path: &str) -> Result<(), Problem> {
        let Some(plugin) = caller.plugin().filter(|_| is_below(path, PLUGIN)) else { return Ok(()) };
        match target(&self.admin, plugin)?.plugin {
            Some(other) if other != plugin => {
                let detail =
                    format!("the file `{plugin}.wasm` contains the plugin `{other}`, and the token is for `{plugin}`");
                Err(Problem::new(StatusCode::FORBIDDEN, "other-plugin", detail))
            }
            _ => Ok(()),
        }
    }

    fn reject(&self, rejected: &RejectedToken) -> Problem {
        if *rejected == RejectedToken::Unreadable {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tokens-unreadable", rejected.to_string());
        }
        match self.admin.access.failures.note(self.admin.clock.now()) {
            Ok(()) => {
                tracing::warn!("a request to the admin interface was rejected: {rejected}");
                challenge(Problem::new(StatusCode::UNAUTHORIZED, "token-rejected", rejected.to_string()))
            }
            Err(seconds) => {
                let detail = "too many requests had invalid tokens; valid tokens still work";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-failures", detail).retry_after(seconds)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_are_read() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["abc", "Basic abc", "Bearerabc", ""] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }

    #[test]
    fn a_request_is_restricted_to_the_plugin_that_it_names() {
        let scope = |path: &str, uri: &str| super::scope(path, &uri.parse().unwrap()).ok();
        let some = |plugin: &str| Some(Some(plugin.to_owned()));
        let plugin = "/v1/plugins/{name}/state/{key}";
        assert_eq!(scope(plugin, "/v1/plugins/a/state/b"), some("a"));
        assert_eq!(scope(plugin, "/v1/plugins/a%2Fb/state/b"), some("a/b"));
        assert_eq!(scope(plugin, "/v1/plugins/%61/state/b"), some("a"));
        assert_eq!(scope("/v1/subscriptions/{owner}/{name}", "/v1/subscriptions/a/b?plugin=c"), some("a"));
        let list = "/v1/attempts";
        assert_eq!(scope(list, "/v1/attempts?plugin=a"), some("a"));
        assert_eq!(scope(list, "/v1/attempts?subscription=a/b&limit=1"), some("a"));
        assert_eq!(scope(list, "/v1/attempts?subscription=a%2Fb"), some("a"));
        assert_eq!(scope(list, "/v1/attempts?plugin=a&subscription=b/c"), Some(None));
        assert_eq!(scope(list, "/v1/attempts"), Some(None));
        assert_eq!(scope(list, "/v1/attempts?plugin=a&plugin=b"), None, "an ambiguous query is refused");
    }
}
