//! Walks a directory tree and collects the manifests in it, closest to the root first.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::SkippedDirectory;
use crate::Error;
use crate::error::at;
use crate::language::Language;
use crate::tool_directories::TOOL_DIRECTORIES;

/// The reason why a tool's directory is skipped.
pub(super) const BY_TOOLS: &str = "installed or built by tools";

/// Files that mark a tool's own directory: a cache (<https://bford.info/cachedir>), or a Python environment (PEP 405).
const MARKERS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

/// The maximum number of directories to visit. A larger tree was probably not intended.
const MAX_DIRECTORIES: usize = 20_000;

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The manifests, by their languages.
    pub(super) manifests: Vec<(Language, PathBuf)>,
    /// The directories that were visited, closest to the root first.
    pub(super) visited: Vec<PathBuf>,
    /// The directories that were not visited, and why.
    pub(super) skipped: Vec<SkippedDirectory>,
}

impl Walk {
    /// Walks the tree below a directory, whose path is canonical.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub(super) fn through(root: &Path) -> Result<Self, Error> {
        Self::bounded(root, MAX_DIRECTORIES)
    }

    fn bounded(root: &Path, most: usize) -> Result<Self, Error> {
        fs::read_dir(root).map_err(at(root))?;
        let mut walk = Self::default();
        let mut seen = BTreeSet::from([root.to_owned()]);
        let mut queue = VecDeque::from([root.to_owned()]);
        while let Some(directory) = queue.pop_front() {
            if walk.visited.len() == most {
                let reason = format!("more than {most} directories; give the path of one with projects");
                walk.skipped.push(SkippedDirectory { path: directory, reason });
                break;
            }
            for below in walk.look_into(&directory) {
                if seen.insert(below.clone()) {
                    queue.push_back(below);
                }
            }
            walk.visited.push(directory);
        }
        Ok(walk)
    }

    /// Collects the manifests in a directory. Returns the subdirectories to visit.
    fn look_into(&mut self, directory: &Path) -> Vec<PathBuf> {
        self.manifests.extend(manifests_in(directory));
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries.flatten(),
            Err(error) => {
                self.skip(directory, &format!("it cannot be read: {error}"));
                return Vec::new();
            }
        };
        let mut below: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        below.sort();
        below.into_iter().filter_map(|path| self.enter(path)).collect()
    }

    /// The path to visit for a directory, with links resolved. None if the directory is skipped.
    fn enter(&mut self, path: PathBuf) -> Option<PathBuf> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            // Most hidden directories belong to tools. Only one with a manifest is worth a report.
            if holds_manifest(&path) {
                self.skip(&path, "hidden");
            }
            return None;
        }
        if TOOL_DIRECTORIES.contains(&&*name) || MARKERS.iter().any(|marker| path.join(marker).is_file()) {
            self.skip(&path, BY_TOOLS);
            return None;
        }
        if !path.is_symlink() {
            return Some(path);
        }
        // A link to a project is followed. Any other link is not, because it could lead to a whole disk.
        let target = path.canonicalize().ok()?;
        if manifests_in(&target).is_empty() {
            self.skip(&path, "a link to a directory without a manifest");
            return None;
        }
        Some(target)
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        self.skipped.push(SkippedDirectory { path: path.to_owned(), reason: reason.to_owned() });
    }
}

/// Whether a directory or one of its subdirectories contains a manifest.
fn holds_manifest(directory: &Path) -> bool {
    let below = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(directory.to_owned()).chain(below).any(|directory| !manifests_in(&directory).is_empty())
}

/// The manifests of a directory.
pub(super) fn manifests_in(directory: &Path) -> Vec<(Language, PathBuf)> {
    let all = Language::ALL.into_iter().map(|language| (language, directory.join(language.manifest())));
    all.filter(|(_, path)| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_file;

    #[test]
    fn a_tree_without_end_is_left_after_so_many_directories() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..10 {
            fs::create_dir_all(root.path().join(format!("{number}/deeper"))).unwrap();
        }
        let walk = Walk::bounded(root.path(), 5).unwrap();
        assert_eq!(walk.visited.len(), 5);
        assert!(walk.skipped[0].reason.contains("more than 5 directories"), "{:?}", walk.skipped);
    }

    #[test]
    fn links_that_lead_upwards_or_nowhere_end_the_walk() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        write_file(&root.join("package.json"), "{}").unwrap();
        fs::create_dir(root.join("a")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("a/up")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", root.join("a/nowhere")).unwrap();
        std::os::unix::fs::symlink("/", root.join("a/disk")).unwrap();
        let walk = Walk::through(&root).unwrap();
        assert_eq!(walk.manifests.len(), 1);
        assert_eq!(walk.skipped.len(), 1, "{:?}", walk.skipped);
        assert!(walk.skipped[0].path.ends_with("a/disk"));
    }
}
