//! Compiles the components of the plugin folder before a host loads them, so that a standby takes over faster.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::file_name::check_stem;
use super::folder::PluginFolder;
use super::reconciler::PluginPaths;
use crate::plugin::load::loader::Loader;

/// Compiles all components of the folder into the cache, until it is cancelled. Blocks for seconds. Files that cannot be
/// loaded are reported when the host loads the folder.
pub fn precompile(paths: &PluginPaths, loader: &Loader, cancelled: &CancellationToken) {
    let secrets = loader.host_settings().secrets.clone();
    let folder = PluginFolder::new(paths.plugins.clone(), &paths.link_roots, secrets);
    let entries = folder.path().read_dir().into_iter().flatten().filter_map(Result::ok);
    let components =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "wasm"));
    for path in components {
        if cancelled.is_cancelled() {
            return;
        }
        let stem = path.file_stem().and_then(|stem| check_stem(stem).ok());
        let Some(bytes) = stem.and_then(|stem| folder.read_component(stem).ok()) else { continue };
        if let Err(error) = loader.precompile(&bytes) {
            let file = path.file_name().map(Path::new).unwrap_or(&path).display();
            tracing::debug!(%file, %error, "a component cannot be compiled ahead of the takeover");
        }
    }
}
