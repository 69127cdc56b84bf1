//! The file of a plugin that a request names, and the tag of the plugin.

use axum::http::StatusCode;

use super::Admin;
use super::precondition::EntityTag;
use crate::plugin::FileStatus;
use crate::problem::Problem;
use crate::subscription;

/// The file of a plugin.
pub(super) struct TargetFile {
    /// Its name without `.wasm`.
    pub(super) stem: String,
    /// Whether there is such a file.
    pub(super) exists: bool,
    /// The plugin in the file, if it is known.
    pub(super) plugin: Option<String>,
}

/// The file of a plugin, by the name of the plugin or of the file. A new file has the name of the plugin.
pub(super) fn target(admin: &Admin, name: &str) -> Result<TargetFile, Problem> {
    let statuses = admin.reconciler.statuses();
    let of_plugin = statuses.iter().find(|(_, status)| {
        [&status.plugin, &status.disabled_plugin].into_iter().any(|plugin| plugin.as_deref() == Some(name))
    });
    if let Some((stem, status)) = of_plugin.or_else(|| statuses.get_key_value(name)) {
        let plugin = status.plugin.clone().or_else(|| status.disabled_plugin.clone());
        return Ok(TargetFile { stem: stem.clone(), exists: true, plugin });
    }
    if !subscription::is_valid_name(name) {
        let detail = format!(
            "`{name}` cannot be the name of a new plugin; use 1 to 128 letters, digits, `-` and `_`, not beginning with `-`"
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-plugin-name", detail));
    }
    Ok(TargetFile { stem: name.to_owned(), exists: false, plugin: None })
}

/// The name of the plugin in a file that is disabled. If the plugin was not loaded since the start, its name is assumed
/// to be the name of the file.
pub(super) fn disabled_plugin<'a>(stem: &'a str, status: &'a FileStatus) -> Option<&'a str> {
    status.disabled.then(|| status.disabled_plugin.as_deref().unwrap_or(stem))
}

/// Why a plugin is not running, and what to do.
pub(super) fn absence(admin: &Admin, plugin: &str) -> String {
    let is_disabled =
        admin.reconciler.statuses().iter().any(|(stem, status)| disabled_plugin(stem, status) == Some(plugin));
    match is_disabled {
        true => format!("the plugin `{plugin}` is disabled; run `sandbus plugins enable {plugin}`"),
        false => format!(
            "the plugin `{plugin}` is not loaded; put {plugin}.wasm into the plugin folder, or see `sandbus plugins`"
        ),
    }
}

/// The tag of the properties of a plugin that clients can change: its files, and whether it is drained. None if there
/// is no component.
pub(super) async fn tag_of(admin: &Admin, target: &TargetFile, name: &str) -> Result<Option<EntityTag>, Problem> {
    let revision = admin.reconciler.revision(&target.stem).await.map_err(unreadable)?;
    let drained = if admin.bus.is_drained(name) { "drained" } else { "" };
    Ok(revision.map(|revision| EntityTag::of(format!("{revision} {drained}").as_bytes())))
}

#[allow(clippy::needless_pass_by_value, reason = "passed as a function")]
pub(super) fn unreadable(error: std::io::Error) -> Problem {
    let detail = format!("cannot read the plugin folder: {error}; check its permissions");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "folder-unreadable", detail)
}
