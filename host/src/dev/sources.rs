//! Watching a plugin's sources: what is below `src`, the manifest, and scripts that lie beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Tells of every change of a source below the directories of some crates.
pub(super) fn watch(directories: &[PathBuf], changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let projects = directories.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(&event, &projects)) {
            changed.notify_one();
        }
    })?;
    for directory in directories {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        let sources = directory.join("src");
        if sources.is_dir() {
            watcher.watch(&sources, RecursiveMode::Recursive)?;
        }
    }
    Ok(watcher)
}

/// Whether something was written, moved or removed that a build reads.
fn is_change(event: &Event, projects: &[PathBuf]) -> bool {
    let within = |path: &Path| {
        let project = projects.iter().filter(|project| path.starts_with(project));
        let project = project.max_by_key(|project| project.components().count())?;
        path.strip_prefix(project).ok().map(Path::to_owned)
    };
    !matches!(event.kind, EventKind::Access(_))
        && event.paths.iter().filter_map(|path| within(path)).any(|path| is_source(&path))
}

/// Whether a path within a project is that of a source.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The files of editors come and go beside the sources.
    let of_an_editor = name.starts_with('.') || name.starts_with('#') || name.ends_with('~');
    // Python leaves what it compiled beside the sources.
    let compiled = path.components().any(|component| component.as_os_str() == "__pycache__");
    let in_src = path.starts_with("src");
    let manifest = ["Cargo.toml", "package.json", "pyproject.toml"].contains(&&*name);
    let extension = path.extension().unwrap_or_default();
    let script = ["js", "mjs", "ts", "py"].iter().any(|script| extension == *script);
    !of_an_editor && !compiled && (in_src || manifest || script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_what_lies_beside_them() {
        for source in ["src/lib.rs", "src/model/data.json", "Cargo.toml", "package.json", "pyproject.toml", "plugin.js"]
        {
            assert!(is_source(Path::new(source)), "{source}");
        }
        for other in ["Cargo.lock", "src/.lib.rs.swp", "src/lib.rs~", "target", "README.md", "src/__pycache__/a.pyc"] {
            assert!(!is_source(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn where_a_project_lies_makes_no_source() {
        let projects = [PathBuf::from("/home/ada/src/greeter"), PathBuf::from("/home/ada/src")];
        let is_change = |path: &str| is_change(&Event::new(EventKind::Any).add_path(path.into()), &projects);
        assert!(is_change("/home/ada/src/greeter/src/lib.rs"));
        assert!(!is_change("/home/ada/src/greeter/README.md"));
        assert!(!is_change("/elsewhere/src/lib.rs"));
    }
}
