//! Results of earlier builds, which are reused while their inputs are unchanged.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::error::at;
use crate::files::{self, write_file};
use crate::{Error, bundled};

/// The name of a project's directory for build results.
const RESULTS: &str = ".sandbus";
/// The directory for the program of a script.
const PROGRAM: &str = ".sandbus/program";

/// A project's directory for build results. It has its own `.gitignore`.
pub(crate) struct BuildCache {
    directory: PathBuf,
    component: PathBuf,
    /// The hash of the project's files when the build began.
    project: String,
}

impl BuildCache {
    /// Opens the cache of a project for a recipe. The recipe's name changes with the versions of the tools.
    pub(crate) fn open(project: &Path, recipe: &str) -> Result<Self, Error> {
        Self::open_in(project, project.join(RESULTS), recipe)
    }

    /// Opens the cache of a project's program for a prepared runtime.
    pub(crate) fn open_for_program(project: &Path, recipe: &str) -> Result<Self, Error> {
        Self::open_in(project, project.join(PROGRAM), recipe)
    }

    fn open_in(project: &Path, directory: PathBuf, recipe: &str) -> Result<Self, Error> {
        results_in(project)?;
        fs::create_dir_all(&directory).map_err(at(&directory))?;
        let mut hasher = DefaultHasher::new();
        (recipe, bundled::digest()).hash(&mut hasher);
        hash(project, project, &mut BTreeSet::new(), &mut hasher)?;
        let project = format!("{:016x}", hasher.finish());
        Ok(Self { component: directory.join("plugin.wasm"), directory, project })
    }

    /// The directory for files of the build.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of the component.
    pub(crate) fn component(&self) -> &Path {
        &self.component
    }

    /// Whether the component was built from the current sources.
    pub(crate) fn is_current(&self) -> bool {
        self.component.is_file() && fs::read_to_string(self.stamp()).is_ok_and(|inputs| inputs == self.inputs())
    }

    /// Records that the component was built from the sources as they were when the cache was opened.
    pub(crate) fn mark_current(&self) -> Result<(), Error> {
        let stamp = self.stamp();
        fs::write(&stamp, self.inputs()).map_err(at(&stamp))
    }

    /// Records files outside of the project that a build reads.
    pub(crate) fn record_read(&self, paths: &[PathBuf]) -> Result<(), Error> {
        let list = serde_json::Value::from_iter(paths.iter().map(|path| path.to_string_lossy().into_owned()));
        write_file(&self.directory.join(READ), &list.to_string())
    }

    /// The hash of the project's files, and that of all files that the last build read, including imported files
    /// outside of the project and installed packages.
    fn inputs(&self) -> String {
        let paths = read_by_last_build(&self.directory);
        let mut hasher = DefaultHasher::new();
        for path in &paths {
            (path, files::read(path).ok()).hash(&mut hasher);
        }
        format!("{} {:016x}", self.project, hasher.finish())
    }

    fn stamp(&self) -> PathBuf {
        self.directory.join("inputs")
    }
}

/// The directory for build results in a project, or next to a script. Version control ignores it.
pub(crate) fn results_in(directory: &Path) -> Result<PathBuf, Error> {
    let results = directory.join(RESULTS);
    write_file(&results.join(".gitignore"), "*\n")?;
    Ok(results)
}

/// The list of the files that the last build read.
const READ: &str = "read.json";

/// The files that the last build with results in a directory read.
fn read_by_last_build(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read(directory.join(READ)).unwrap_or_default();
    serde_json::from_slice(&read).unwrap_or_default()
}

/// The files that the last builds of a script project read.
pub(crate) fn inputs_of(project: &Path) -> Vec<PathBuf> {
    [RESULTS, PROGRAM].iter().flat_map(|results| read_by_last_build(&project.join(results))).collect()
}

/// The hash of the files of a directory.
pub(crate) fn hash_directory(directory: &Path) -> Result<u64, Error> {
    let mut hasher = DefaultHasher::new();
    hash(directory, directory, &mut BTreeSet::new(), &mut hasher)?;
    Ok(hasher.finish())
}

/// Hashes the files of a project that a build may read, with their paths. Lock files stand for installed packages.
fn hash(
    project: &Path,
    directory: &Path,
    seen: &mut BTreeSet<PathBuf>,
    hasher: &mut DefaultHasher,
) -> Result<(), Error> {
    const LEFT_OUT: [&str; 2] = ["node_modules", "__pycache__"];
    /// Names that are left out only in the project's own directory.
    const LEFT_OUT_ON_TOP: [&str; 4] = ["dist", "test", "tests", "target"];
    // Links may form a cycle.
    if !seen.insert(directory.canonicalize().map_err(at(directory))?) {
        return Ok(());
    }
    let mut paths: Vec<_> =
        fs::read_dir(directory).map_err(at(directory))?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_left_out = LEFT_OUT.contains(&&*name) || directory == project && LEFT_OUT_ON_TOP.contains(&&*name);
        if name.starts_with('.') || is_left_out {
            continue;
        }
        if path.is_dir() {
            hash(project, &path, seen, hasher)?;
        } else {
            // Broken links and pipes are not read. If a build needs one, its tool reports the error.
            (path.strip_prefix(project).unwrap_or(&path), files::read(&path).ok()).hash(hasher);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_current_until_a_source_outside_of_the_project_changes() {
        let project = std::env::temp_dir().join(format!("sandbus-build-cache-beside-{}", std::process::id()));
        let shared = project.join("shared.js");
        let project = project.join("plugin");
        write_file(&shared, "one").unwrap();
        write_file(&project.join("src/plugin.js"), "one").unwrap();
        let build_cache = || BuildCache::open(&project, "js-1").unwrap();
        fs::write(build_cache().component(), "").unwrap();
        write_file(&build_cache().directory().join("read.json"), &format!("[{shared:?}]")).unwrap();
        build_cache().mark_current().unwrap();
        assert!(build_cache().is_current());
        fs::write(&shared, "two").unwrap();
        assert!(!build_cache().is_current());
        fs::remove_dir_all(project.parent().unwrap()).unwrap();
    }

    #[test]
    fn pipes_and_cyclic_links_among_the_sources_do_not_block() {
        let project = tempfile::tempdir().unwrap();
        write_file(&project.path().join("src/plugin.js"), "one").unwrap();
        let at = |name: &str| project.path().join("src").join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for (link, target) in [("round", project.path()), ("back", &at("")), ("nowhere", Path::new("/nowhere"))] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let build_cache = || BuildCache::open(project.path(), "js-1").unwrap().project;
        let before = build_cache();
        assert_eq!(build_cache(), before);
        fs::write(at("plugin.js"), "two").unwrap();
        assert_ne!(build_cache(), before);
    }

    #[test]
    fn a_component_is_current_until_a_source_or_the_recipe_changes() {
        let project = std::env::temp_dir().join(format!("sandbus-build-cache-{}", std::process::id()));
        let source = project.join("src/plugin.js");
        write_file(&source, "one").unwrap();
        let build_cache = |recipe| BuildCache::open(&project, recipe).unwrap();
        assert!(!build_cache("js-1").is_current());
        fs::write(build_cache("js-1").component(), "").unwrap();
        build_cache("js-1").mark_current().unwrap();
        assert!(build_cache("js-1").is_current());
        assert!(!build_cache("js-2").is_current());
        for (ignored, text) in [("dist/a.wasm", "a"), ("node_modules/a/index.js", "a"), ("src/.plugin.js.swp", "a")] {
            write_file(&project.join(ignored), text).unwrap();
            assert!(build_cache("js-1").is_current(), "{ignored}");
        }
        write_file(&project.join("src/target/webhook.js"), "one").unwrap();
        assert!(!build_cache("js-1").is_current());
        build_cache("js-1").mark_current().unwrap();
        fs::rename(project.join("src/target"), project.join("src/other")).unwrap();
        assert!(!build_cache("js-1").is_current(), "a file has moved");
        build_cache("js-1").mark_current().unwrap();
        fs::write(&source, "two").unwrap();
        assert!(!build_cache("js-1").is_current());
        fs::remove_dir_all(&project).unwrap();
    }
}
