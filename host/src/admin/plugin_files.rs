//! Uploads, removes, enables and disables plugins, and reads and writes their sidecars. The changes are made in the
//! plugin folder, where an operator could make them, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::Admin;
use super::access::Caller;
use super::body::{self, Path, require_media_type};
use super::plugin_target::{TargetFile, tag_of, target, unreadable};
use super::plugins::{find, no_plugin};
use super::precondition::{EntityTag, IfMatch, IfMatchHeader};
use crate::access::Role;
use crate::api::{PluginStatus, PluginView, schemas};
use crate::plugin::{Digest, FileChange, FileChangeError, Sidecar};
use crate::problem::Problem;
use crate::server::MediaType;

/// The largest sidecar, in bytes.
const SIDECAR_LIMIT: usize = crate::plugin::SIDECAR_LIMIT_BYTES as usize;

/// Upload a plugin
///
/// Writes the component in the body to the plugin folder, and waits until it runs. If the host refuses it, for instance
/// because its canary fails, it restores the previous file. The name is that of the plugin or of its file.
#[utoipa::path(
    put,
    path = "/plugins/{name}/component",
    operation_id = "upload_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), IfMatchHeader),
    request_body(content((schemas::Component = "application/wasm"), (schemas::Component = "application/octet-stream")), description = "The component."),
    responses(
        (status = 200, body = PluginView, description = "The component has replaced the previous one, and runs."),
        (status = 201, body = PluginView, description = "The plugin is new, and runs."),
    )
)]
pub(super) async fn upload(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    condition: IfMatch,
    request: Request,
) -> Result<(StatusCode, Json<PluginView>), Problem> {
    let bytes = body::component(&admin, request).await?;
    let _lock = admin.changes.plugins.lock().await;
    let target = target(&admin, &name)?;
    check_condition(&admin, &condition, &target, &name).await?;
    let sidecar = admin.reconciler.sidecar(&target.stem).await.map_err(unreadable)?;
    let (bytes, uploaded) = check_component(&admin, &name, &target, bytes, sidecar.as_deref()).await?;
    admin
        .reconciler
        .change(&target.stem, FileChange::PutComponent(bytes))
        .await
        .map_err(|error| problem(&error, &name))?;
    let view = find(&admin, &name).ok_or_else(|| no_plugin(&admin, &name))?;
    if view.status != PluginStatus::Disabled && view.digest.as_deref() != Some(uploaded.as_str()) {
        let detail = format!(
            "the component is in the folder, but plugin `{name}` runs another component: the plugin was rolled back, or its file was changed at the same moment; see `sandbus plugins show {name}`"
        );
        return Err(Problem::new(StatusCode::CONFLICT, "change-superseded", detail));
    }
    Ok((if target.exists { StatusCode::OK } else { StatusCode::CREATED }, Json(view)))
}

/// Remove a plugin
///
/// Deletes its component and its sidecar from the plugin folder. Its state, its backlog and its dead letters are kept.
#[utoipa::path(
    delete,
    path = "/plugins/{name}",
    operation_id = "remove_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    let _lock = admin.changes.plugins.lock().await;
    let target = existing(&admin, &name)?;
    check_condition(&admin, &condition, &target, &name).await?;
    admin.reconciler.change(&target.stem, FileChange::RemovePlugin).await.map_err(|error| problem(&error, &name))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show a plugin's sidecar
#[utoipa::path(
    get,
    path = "/plugins/{name}/sidecar",
    operation_id = "get_sidecar",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin.")),
    responses((status = 200, body = String, content_type = "application/toml", description = "The sidecar.",
               headers(("ETag" = String, description = "Changes with the sidecar."))))
)]
pub(super) async fn sidecar(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Response, Problem> {
    let target = target(&admin, &name)?;
    let text = admin.reconciler.sidecar(&target.stem).await.map_err(unreadable)?;
    let text = text.ok_or_else(|| Problem::not_found(format!("the plugin `{name}` has no sidecar")))?;
    let tag = HeaderValue::try_from(sidecar_tag(&text).to_string()).expect("a tag has only digits and letters");
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/toml")), (ETAG, tag)], text).into_response())
}

/// Replace a plugin's sidecar
///
/// Waits until the plugin runs with it. If the host refuses it, it restores the previous sidecar. A plugin that does not
/// describe itself needs its sidecar before its component.
#[utoipa::path(
    put,
    path = "/plugins/{name}/sidecar",
    operation_id = "put_sidecar",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), IfMatchHeader),
    request_body(content = String, content_type = "application/toml", description = "The sidecar."),
    responses((status = 204, description = "The plugin runs with the sidecar."))
)]
pub(super) async fn put_sidecar(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    condition: IfMatch,
    request: Request,
) -> Result<StatusCode, Problem> {
    require_media_type(request.headers(), &["application/toml", "text/plain"])?;
    MediaType::of(request.headers())?.map_or(Ok(()), |media_type| media_type.require_utf8())?;
    let (parts, body) = request.into_parts();
    let bytes = admin.body_reader.up_to(SIDECAR_LIMIT).read(&parts.headers, body).await?;
    let text = String::from_utf8(bytes.into()).map_err(|_| invalid_sidecar("it is not UTF-8"))?;
    let _lock = admin.changes.plugins.lock().await;
    let target = target(&admin, &name)?;
    let present = admin.reconciler.sidecar(&target.stem).await.map_err(unreadable)?;
    check_sidecar_condition(&condition, &name, present.as_deref())?;
    check_secrets(&caller, present.as_deref(), &text)?;
    change_sidecar(&admin, &name, &target, text).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks that only administrators of the whole host let a plugin read another secret. Otherwise, a caller that may
/// deploy one plugin could read the secrets of all others.
fn check_secrets(caller: &Caller, current: Option<&str>, new: &str) -> Result<(), Problem> {
    if caller.role() == Role::Admin && caller.plugin().is_none() {
        return Ok(());
    }
    let new = Sidecar::parse(new).map_err(|error| invalid_sidecar(&error))?;
    // A current sidecar that cannot be parsed gives the plugin nothing.
    let current = current.and_then(|text| Sidecar::parse(text).ok()).unwrap_or_default();
    let granted: BTreeSet<_> = current.secrets().collect();
    match new.secrets().find(|source| !granted.contains(source)) {
        None => Ok(()),
        Some(source) => {
            let detail = format!(
                "the sidecar refers to another secret than before, {source}, and only an administrator may let a plugin read it; ask an administrator to change the sidecar"
            );
            Err(Problem::new(StatusCode::FORBIDDEN, "secret-forbidden", detail))
        }
    }
}

/// Remove a plugin's sidecar
///
/// Waits until the plugin runs without it. If the host refuses the plugin without a sidecar, the sidecar is restored.
#[utoipa::path(
    delete,
    path = "/plugins/{name}/sidecar",
    operation_id = "remove_sidecar",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn remove_sidecar(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    let _lock = admin.changes.plugins.lock().await;
    let target = target(&admin, &name)?;
    let present = admin.reconciler.sidecar(&target.stem).await.map_err(unreadable)?;
    check_sidecar_condition(&condition, &name, present.as_deref())?;
    admin.reconciler.change(&target.stem, FileChange::RemoveSidecar).await.map_err(|error| problem(&error, &name))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enable a plugin
///
/// Sets `enabled` in its sidecar, and waits until it runs.
#[utoipa::path(
    post,
    path = "/plugins/{name}/enable",
    operation_id = "enable_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin, or of its file."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn enable(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    set_enabled(&admin, &name, &condition, true).await
}

/// Disable a plugin
///
/// Sets `enabled = false` in its sidecar, and waits until it has stopped. Its state and its backlog are kept.
#[utoipa::path(
    post,
    path = "/plugins/{name}/disable",
    operation_id = "disable_plugin",
    tag = "plugins",
    params(("name" = String, Path, description = "The name of the plugin, or of its file."), IfMatchHeader),
    responses((status = 204, description = "Done."))
)]
pub(super) async fn disable(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, Problem> {
    set_enabled(&admin, &name, &condition, false).await
}

async fn set_enabled(admin: &Admin, name: &str, condition: &IfMatch, is_enabled: bool) -> Result<StatusCode, Problem> {
    let _lock = admin.changes.plugins.lock().await;
    let target = existing(admin, name)?;
    check_condition(admin, condition, &target, name).await?;
    let text = admin.reconciler.sidecar(&target.stem).await.map_err(unreadable)?.unwrap_or_default();
    let changed = Sidecar::with_enabled(&text, is_enabled).map_err(|error| invalid_sidecar(&error))?;
    if changed != text {
        change_sidecar(admin, name, &target, changed).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The file of a plugin that must exist.
fn existing(admin: &Admin, name: &str) -> Result<TargetFile, Problem> {
    let found = target(admin, name).ok().filter(|target| target.exists);
    found.ok_or_else(|| no_plugin(admin, name))
}

/// Writes a sidecar after checking it together with the component.
async fn change_sidecar(admin: &Admin, name: &str, target: &TargetFile, text: String) -> Result<(), Problem> {
    Sidecar::parse(&text).map_err(|error| invalid_sidecar(&error))?;
    let changed = admin.reconciler.change(&target.stem, FileChange::PutSidecar(text)).await;
    changed.map_err(|error| problem(&error, name))
}

/// Checks that a component can run with its sidecar as the plugin of this name. Returns its bytes and their digest.
async fn check_component(
    admin: &Admin,
    name: &str,
    target: &TargetFile,
    bytes: Vec<u8>,
    sidecar: Option<&str>,
) -> Result<(Vec<u8>, Digest), Problem> {
    let sidecar = Sidecar::parse(sidecar.unwrap_or_default()).map_err(|error| invalid_sidecar(&error))?;
    let sidecar = Sidecar { stem: target.stem.clone(), ..sidecar };
    let loader = Arc::clone(&admin.loader);
    let loaded = tokio::task::spawn_blocking(move || {
        let loaded = loader.load(&bytes, &sidecar).map(|generation| (generation.name.to_string(), generation.digest));
        (bytes, loaded)
    });
    let (bytes, loaded) = loaded.await.map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "host-failed",
            format!("the component was not checked: {error}"),
        )
    })?;
    let unloadable = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unloadable", detail);
    // The name may be that of the file. In that case, the expected plugin is the one in the file.
    let expected = target.plugin.as_deref().unwrap_or(name);
    match loaded {
        Ok((loaded, digest)) if loaded == expected => Ok((bytes, digest)),
        Ok((other, _)) => {
            Err(unloadable(format!("the component is the plugin `{other}`, not `{expected}`; upload it as `{other}`")))
        }
        Err(error) => Err(unloadable(format!("the component cannot be loaded: {error}"))),
    }
}

async fn check_condition(admin: &Admin, condition: &IfMatch, target: &TargetFile, name: &str) -> Result<(), Problem> {
    // To compute a tag, the files must be read.
    if *condition == IfMatch::Absent {
        return Ok(());
    }
    let tag = tag_of(admin, target, name).await?;
    condition.check(&format!("the plugin `{name}`"), tag.as_ref())
}

fn sidecar_tag(text: &str) -> EntityTag {
    EntityTag::of(text.as_bytes())
}

fn check_sidecar_condition(condition: &IfMatch, name: &str, present: Option<&str>) -> Result<(), Problem> {
    condition.check(&format!("the sidecar of plugin `{name}`"), present.map(sidecar_tag).as_ref())
}

fn invalid_sidecar(error: &str) -> Problem {
    let detail = format!("the sidecar is invalid: {error}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-sidecar", detail)
}

fn problem(error: &FileChangeError, name: &str) -> Problem {
    let detail = error.to_string();
    match error {
        FileChangeError::Name(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-plugin-name", detail),
        FileChangeError::NoFile(_) => Problem::not_found(detail),
        FileChangeError::Superseded => Problem::new(StatusCode::CONFLICT, "change-superseded", detail),
        FileChangeError::Busy => Problem::new(StatusCode::CONFLICT, "change-in-progress", detail),
        FileChangeError::Unwritable(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "folder-unwritable", detail),
        FileChangeError::Refused(_) => {
            let detail = format!("the host refused the change, so plugin `{name}` is unchanged: {detail}");
            Problem::new(StatusCode::CONFLICT, "change-refused", detail)
        }
        FileChangeError::Stopping => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail),
    }
}
