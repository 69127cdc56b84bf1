//! Shows and changes the state of plugins.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::body::{self, Body, Path, Query};
use super::cursor::List;
use super::plugins::no_plugin;
use super::precondition::{EntityTag, IfMatch, IfMatchHeader, Tagged};
use super::{Admin, Page, page_size, precondition};
use crate::api::{StateKeyPage, StateKeyQuery, StateRequest, StateValueView};
use crate::bus::CommitError;
use crate::outcome::{Effects, Reads, StateError, StateView, Version, Write};
use crate::plugin::STATE_KEY_BYTES;
use crate::problem::Problem;

/// The largest page.
const LIMIT: usize = 1_000;

/// List the keys of a plugin's state
#[utoipa::path(
    get,
    path = "/plugins/{name}/state",
    operation_id = "list_state_keys",
    tag = "state",
    params(("name" = String, Path, description = "The name of the plugin."), StateKeyQuery),
    responses((status = 200, body = StateKeyPage, description = "A page of the list."))
)]
pub(super) async fn keys(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(query): Query<StateKeyQuery>,
) -> Result<Json<StateKeyPage>, Problem> {
    let limit = page_size(query.limit, 100, LIMIT)?;
    // Each plugin has a list of its own.
    let place = admin.decode_cursor(List::StateKeys, query.after.as_deref())?;
    let after = place.as_deref().map(|place| place.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('\n')));
    let other = || Problem::bad_request("invalid-cursor", "`after`: it is a cursor of another plugin's keys");
    let after = after.map(|key| key.map(str::to_owned).ok_or_else(other)).transpose()?;
    let read = move |state: &mut dyn StateView| state.keys(after.as_deref(), Page::<String>::to_read(limit));
    let (keys, listing) = read_state(&admin, &name, read).await?;
    if listing.count == 0 {
        require_plugin(&admin, &name)?;
    }
    let page = Page::of(keys, limit);
    let next = page.next(|key| admin.cursor(List::StateKeys, &format!("{name}\n{key}")));
    Ok(Json(StateKeyPage { keys: page.items, next }))
}

/// Show a value of a plugin's state
#[utoipa::path(
    get,
    path = "/plugins/{name}/state/{key}",
    operation_id = "get_state",
    tag = "state",
    params(("name" = String, Path, description = "The name of the plugin."),
            ("key" = String, Path, description = "The key.")),
    responses((status = 200, body = StateValueView, description = "The value.",
               headers(("ETag" = String, description = "The version, for `If-Match`."))))
)]
pub(super) async fn get(
    State(admin): State<Admin>,
    Path((name, key)): Path<(String, String)>,
) -> Result<Tagged<StateValueView>, Problem> {
    value(&admin, &name, &key).await?.map(tagged).ok_or_else(|| no_value(&name, &key))
}

fn tagged(value: StateValueView) -> Tagged<StateValueView> {
    Tagged(EntityTag::version(value.version), value)
}

/// Change a value of a plugin's state
///
/// With `version` or `If-Match`, only if the value still has that version.
#[utoipa::path(
    put,
    path = "/plugins/{name}/state/{key}",
    operation_id = "put_state",
    tag = "state",
    params(("name" = String, Path, description = "The name of the plugin."),
            ("key" = String, Path, description = "The key."), IfMatchHeader),
    request_body(content = StateRequest),
    responses((status = 200, body = StateValueView, description = "The new value.",
               headers(("ETag" = String, description = "The new version, for `If-Match`."))))
)]
pub(super) async fn put(
    State(admin): State<Admin>,
    Path((name, key)): Path<(String, String)>,
    condition: IfMatch,
    Body(request): Body<StateRequest>,
) -> Result<Tagged<StateValueView>, Problem> {
    let new = body::either("value", request.value.map(String::into_bytes), request.value_base64)?;
    if key.len() > STATE_KEY_BYTES {
        return Err(body::invalid(format!("a key may have at most {STATE_KEY_BYTES} bytes")));
    }
    // A plugin that is not loaded may still have state.
    let present = value(&admin, &name, &key).await?;
    if present.is_none() {
        require_plugin(&admin, &name)?;
    }
    let checked = condition.checked_version(&name, &key, present.as_ref())?;
    let version = request.version.map(Version).or(checked);
    commit(&admin, &name, &key, Write::Set(new), version).await.map_err(|error| match checked {
        Some(_) if matches!(error, CommitError::Conflict(_)) => precondition::changed(&resource(&name, &key)),
        _ => commit_problem(error, &key),
    })?;
    value(&admin, &name, &key).await?.map(tagged).ok_or_else(|| no_value(&name, &key))
}

/// Delete a value of a plugin's state
#[utoipa::path(
    delete,
    path = "/plugins/{name}/state/{key}",
    operation_id = "delete_state",
    tag = "state",
    params(("name" = String, Path, description = "The name of the plugin."),
            ("key" = String, Path, description = "The key."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn delete(
    State(admin): State<Admin>,
    Path((name, key)): Path<(String, String)>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    let present = value(&admin, &name, &key).await?;
    let checked = condition.checked_version(&name, &key, present.as_ref())?;
    if present.is_none() {
        return Err(no_value(&name, &key));
    }
    commit(&admin, &name, &key, Write::Delete, checked).await.map_err(|error| match error {
        CommitError::Conflict(_) => precondition::changed(&resource(&name, &key)),
        error => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

impl IfMatch {
    /// Checks the condition against a value, and returns the version that the commit must check again.
    fn checked_version(
        &self,
        plugin: &str,
        key: &str,
        present: Option<&StateValueView>,
    ) -> Result<Option<Version>, Problem> {
        let tag = present.map(|value| EntityTag::version(value.version));
        self.check(&resource(plugin, key), tag.as_ref())?;
        Ok(present.filter(|_| *self != Self::Absent).map(|value| Version(value.version)))
    }
}

fn resource(plugin: &str, key: &str) -> String {
    format!("the value of `{key}` of plugin `{plugin}`")
}

/// Commits one write. With a version, only if the value still has it.
async fn commit(
    admin: &Admin,
    plugin: &str,
    key: &str,
    write: Write,
    version: Option<Version>,
) -> Result<(), CommitError> {
    let keys = version.map(|version| (key.to_owned(), version)).into_iter().collect();
    let reads = Reads { keys, ..Reads::default() };
    let effects = Effects { reads, writes: [(key.to_owned(), write)].into(), ..Effects::default() };
    admin.bus.commit(plugin, effects).await
}

fn commit_problem(error: CommitError, key: &str) -> Problem {
    match error {
        CommitError::Conflict(_) => {
            let detail = format!("the value of `{key}` no longer has this version; read it again");
            Problem::new(StatusCode::CONFLICT, "state-changed", detail)
        }
        error => error.into(),
    }
}

fn no_value(plugin: &str, key: &str) -> Problem {
    Problem::not_found(format!("plugin `{plugin}` has no value for the key `{key}`"))
}

fn require_plugin(admin: &Admin, name: &str) -> Result<(), Problem> {
    let is_loaded = admin.registry.snapshot().plugins.contains_key(name);
    is_loaded.then_some(()).ok_or_else(|| no_plugin(admin, name))
}

async fn value(admin: &Admin, plugin: &str, key: &str) -> Result<Option<StateValueView>, Problem> {
    let wanted = key.to_owned();
    let (value, Version(version)) = read_state(admin, plugin, move |state| state.get(&wanted)).await?;
    Ok(value.map(|bytes| {
        let (value, value_base64) = match String::from_utf8(bytes) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
        };
        StateValueView { key: key.to_owned(), version, value, value_base64 }
    }))
}

/// Reads a plugin's state, on a thread that may block.
async fn read_state<T: Send + 'static>(
    admin: &Admin,
    plugin: &str,
    read: impl FnOnce(&mut dyn StateView) -> Result<T, StateError> + Send + 'static,
) -> Result<T, Problem> {
    let mut state = admin.bus.state(plugin);
    let failed = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", detail);
    let task = tokio::task::spawn_blocking(move || read(&mut *state));
    let result = task.await.map_err(|error| failed(error.to_string()))?;
    result.map_err(|error| failed(error.to_string()))
}
