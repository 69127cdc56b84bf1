//! Watching a plugin's sources: its manifest and what is below `src`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Tells of every change of a source below the directories of some crates.
pub(super) fn watch(directories: &[PathBuf], changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(&event)) {
            changed.notify_one();
        }
    })?;
    for directory in directories {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        watcher.watch(&directory.join("src"), RecursiveMode::Recursive)?;
    }
    Ok(watcher)
}

/// Whether something was written, moved or removed that a build reads.
fn is_change(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| is_source(path))
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The files of editors come and go beside the sources.
    let of_an_editor = name.starts_with('.') || name.starts_with('#') || name.ends_with('~');
    // Python leaves what it compiled beside the sources.
    let compiled = path.components().any(|component| component.as_os_str() == "__pycache__");
    let in_src = path.components().any(|component| component.as_os_str() == "src");
    let manifest = ["Cargo.toml", "package.json", "pyproject.toml"].contains(&&*name);
    !of_an_editor && !compiled && (in_src || manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_what_lies_beside_them() {
        for source in ["a/src/lib.rs", "a/src/model/data.json", "a/Cargo.toml", "a/package.json", "a/pyproject.toml"] {
            assert!(is_source(Path::new(source)), "{source}");
        }
        for other in
            ["a/Cargo.lock", "a/src/.lib.rs.swp", "a/src/lib.rs~", "a/target", "a/README.md", "a/src/__pycache__/a.pyc"]
        {
            assert!(!is_source(Path::new(other)), "{other}");
        }
    }
}
