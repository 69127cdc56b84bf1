//! Watches the sources of plugins: files below `src`, manifests, sidecars and scripts next to them, and files elsewhere
//! that builds have read. Also watches the directories in which new projects may appear.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use sandbus_toolchain::{MANIFESTS, Project, overlay_of};
use tokio::sync::Notify;

/// The number of directories to watch for new projects, since the system limits watches. Those closest to the path come
/// first.
const MAX_DIRECTORIES: usize = 2_000;

/// The changes since the last build.
#[derive(Debug, Default)]
pub(super) struct Changes {
    changed: Notify,
    /// Whether projects may have been added or removed.
    projects_changed: AtomicBool,
}

impl Changes {
    /// Reports a change of a source.
    pub(super) fn notify_sources(&self) {
        self.changed.notify_one();
    }

    fn notify_projects(&self) {
        self.projects_changed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Waits for a change.
    pub(super) async fn wait(&self) {
        self.changed.notified().await;
    }

    /// Whether projects may have been added or removed since the last call.
    pub(super) fn take_projects_changed(&self) -> bool {
        self.projects_changed.swap(false, Ordering::AcqRel)
    }
}

/// The sources of a project.
#[derive(Clone, Debug)]
struct Sources {
    directory: PathBuf,
    /// The file name of its sidecar.
    sidecar: String,
}

/// Reports changes of the sources of projects and of files elsewhere that builds read, and projects that are added
/// to or removed from directories.
pub(super) fn watch(
    projects: &[Project],
    directories: &[PathBuf],
    inputs: &BTreeSet<PathBuf>,
    changes: &Arc<Changes>,
) -> notify::Result<notify::RecommendedWatcher> {
    let sources: Vec<_> = projects.iter().flat_map(sources_of).collect();
    let watched = Watched { projects: sources.clone(), inputs: inputs.clone() };
    let changes = Arc::clone(changes);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // A lost event may have been of any kind.
        let Ok(event) = event else { return changes.notify_projects() };
        if event.need_rescan() || is_move(&event) {
            changes.notify_projects();
        } else if watched.is_change(&event) {
            changes.notify_sources();
        }
    })?;
    for directory in directories.iter().take(MAX_DIRECTORIES) {
        // Its parent reports a directory that was removed in the meantime.
        drop(watcher.watch(directory, RecursiveMode::NonRecursive));
    }
    for directory in inputs.iter().filter_map(|path| path.parent()).collect::<BTreeSet<_>>() {
        // A directory that was removed makes the build fail, which says so.
        drop(watcher.watch(directory, RecursiveMode::NonRecursive));
    }
    for Sources { directory, .. } in &sources {
        let below = Some(directory.join("src")).filter(|below| below.is_dir());
        let watched = watcher.watch(directory, RecursiveMode::NonRecursive);
        let watched =
            watched.and_then(|()| below.map_or(Ok(()), |below| watcher.watch(&below, RecursiveMode::Recursive)));
        // Keep watching the others.
        if let Err(error) = watched {
            tracing::error!(%error, "cannot watch {}; restart `sandbus dev` after a change there", directory.display());
        }
    }
    Ok(watcher)
}

fn sources_of(project: &Project) -> Vec<Sources> {
    let sidecar = project.sidecar().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let all = std::iter::once(&project.directory).chain(&project.path_dependencies);
    all.map(|directory| Sources { directory: directory.clone(), sidecar: sidecar.clone() }).collect()
}

/// Whether a project may have been added or removed: a manifest was written, or a directory was moved.
fn is_move(event: &Event) -> bool {
    let is_manifest =
        |path: &PathBuf| MANIFESTS.iter().any(|manifest| path.file_name().is_some_and(|name| name == *manifest));
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    // A removed path without an extension may have been a directory.
    let is_directory =
        |path: &PathBuf| !is_hidden(path) && (path.is_dir() || path.extension().is_none() && !path.exists());
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(notify::event::ModifyKind::Name(_)) => {
            event.paths.iter().any(|path| is_manifest(path) || is_directory(path))
        }
        _ => event.paths.iter().any(is_manifest),
    }
}

/// What is watched.
#[derive(Debug)]
struct Watched {
    projects: Vec<Sources>,
    /// Further files that builds have read.
    inputs: BTreeSet<PathBuf>,
}

impl Watched {
    /// Whether an input of a build was written, moved or removed.
    fn is_change(&self, event: &Event) -> bool {
        !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| self.is_input(path))
    }

    fn is_input(&self, path: &Path) -> bool {
        let project = self.projects.iter().filter(|project| path.starts_with(&project.directory));
        let project = project.max_by_key(|project| project.directory.components().count());
        let within = project.and_then(|project| Some((path.strip_prefix(&project.directory).ok()?, &project.sidecar)));
        match within {
            Some((within, sidecar)) if is_source(within) || is_sidecar(within, Path::new(sidecar)) => true,
            _ if self.inputs.contains(path) => true,
            Some(_) => false,
            // The inputs of a failed build are unknown, so any script may be one.
            None => is_script(path) && !is_of_an_editor(path),
        }
    }
}

/// Whether a path within a project is its sidecar, or the overlay for development.
fn is_sidecar(path: &Path, sidecar: &Path) -> bool {
    path == sidecar || path == overlay_of(sidecar)
}

/// Whether a path within a project is a source. Those of Go lie next to the manifest.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Compiled Python code.
    let compiled = path.components().any(|component| component.as_os_str() == "__pycache__");
    let in_src = path.starts_with("src");
    let manifest = MANIFESTS.contains(&&*name);
    !is_of_an_editor(path) && !compiled && (in_src || manifest || is_script(path))
}

fn is_script(path: &Path) -> bool {
    const EXTENSIONS: [&str; 10] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "py", "go"];
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|script| extension == *script))
}

/// Whether a path is that of an editor's temporary file.
fn is_of_an_editor(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.starts_with('#') || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind, RemoveKind};

    use super::*;

    #[test]
    fn sources_are_told_from_what_lies_beside_them() {
        for source in [
            "src/lib.rs",
            "src/model/data.json",
            "Cargo.toml",
            "package.json",
            "pyproject.toml",
            "plugin.js",
            "main.go",
            "go.mod",
        ] {
            assert!(is_source(Path::new(source)), "{source}");
        }
        for other in ["Cargo.lock", "src/.lib.rs.swp", "src/lib.rs~", "target", "README.md", "src/__pycache__/a.pyc"] {
            assert!(!is_source(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn where_a_project_lies_makes_no_source() {
        let project = |directory: &str, sidecar: &str| Sources { directory: directory.into(), sidecar: sidecar.into() };
        let projects = [project("/home/ada/src/greeter", "greeter.toml"), project("/home/ada/src", "all.toml")];
        let inputs = ["/lib/data.json", "/home/ada/src/greeter/README.txt"].map(PathBuf::from);
        let watched = Watched { projects: projects.into(), inputs: inputs.into() };
        let is_change = |path: &str| watched.is_change(&Event::new(EventKind::Any).add_path(path.into()));
        assert!(is_change("/home/ada/src/greeter/src/lib.rs"));
        assert!(is_change("/home/ada/src/greeter/greeter.toml"), "it is the sidecar");
        assert!(is_change("/home/ada/src/greeter/greeter.dev.toml"), "it is the sidecar's overlay");
        assert!(!is_change("/home/ada/src/greeter/all.toml"));
        assert!(!is_change("/home/ada/src/greeter/README.md"));
        assert!(!is_change("/elsewhere/src/lib.rs"));
        assert!(is_change("/elsewhere/events.ts"), "a build that failed may have read it");
        assert!(is_change("/lib/data.json") && !is_change("/lib/other.json"));
        assert!(is_change("/home/ada/src/greeter/README.txt"), "the build includes it");
    }

    #[test]
    fn projects_that_come_and_go_are_told_from_files_that_change() {
        let home = tempfile::tempdir().unwrap();
        let is_move = |kind: EventKind, name: &str| is_move(&Event::new(kind).add_path(home.path().join(name)));
        std::fs::create_dir(home.path().join("orders")).unwrap();
        let (created, written) = (EventKind::Create(CreateKind::Any), EventKind::Modify(ModifyKind::Any));
        assert!(is_move(created, "orders"));
        assert!(is_move(created, "Cargo.toml") && is_move(written, "package.json"));
        assert!(is_move(EventKind::Remove(RemoveKind::Any), "mailer"));
        assert!(!is_move(created, "orders.rs") && !is_move(written, "orders.toml"));
        assert!(!is_move(EventKind::Access(notify::event::AccessKind::Any), "orders"));
    }
}
