//! Finds scenario files.

use std::path::{Path, PathBuf};

use super::ScenarioError;

/// Files of other tools in test directories.
const NOT_SCENARIOS: [&str; 5] = ["Cargo.toml", "package.json", "package-lock.json", "pyproject.toml", "tsconfig.json"];

/// The paths at which the scenarios of a project are: its directory `tests`, and the files that are named after its
/// script. They may not exist.
#[must_use]
pub fn project_scenarios(home: &Path, script: Option<&Path>) -> Vec<PathBuf> {
    let mut paths = vec![home.join("tests")];
    // A directory with several scripts may have a scenario file for each.
    paths.extend(
        script
            .iter()
            .flat_map(|script| ["scenarios.toml", "scenarios.json"].map(|extension| script.with_extension(extension))),
    );
    paths
}

/// The scenario files at a path, which may not exist.
///
/// # Errors
/// If a directory cannot be read.
pub fn scenario_files(path: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    if path.is_dir() {
        let files = files_with_extension(path, &["toml", "json"])?;
        // A test directory may be a project itself.
        Ok(files.into_iter().filter(|file| !NOT_SCENARIOS.iter().any(|other| file.ends_with(other))).collect())
    } else {
        Ok(path.is_file().then(|| path.to_owned()).into_iter().collect())
    }
}

/// The scenario files of a directory of plugins, which are for several of them: `scenarios.toml`, and those in `tests`.
/// Other files are ignored there, since the directory may be anything.
///
/// # Errors
/// If a directory cannot be read.
pub fn shared_files(directory: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for path in shared_paths(directory) {
        found.extend(scenario_files(&path)?);
    }
    found.retain(|file| mentions_scenarios(&std::fs::read_to_string(file).unwrap_or_default()));
    Ok(found)
}

/// The paths at which a directory of plugins has scenario files. They may not exist.
#[must_use]
pub fn shared_paths(directory: &Path) -> Vec<PathBuf> {
    ["scenarios.toml", "scenarios.json", "tests"].map(|name| directory.join(name)).to_vec()
}

/// Whether the text of a TOML or JSON file has scenarios.
pub(super) fn mentions_scenarios(text: &str) -> bool {
    text.contains("[[scenario]]") || text.contains("\"scenario\"")
}

/// The files in a directory with one of the extensions, sorted.
///
/// # Errors
/// If the directory cannot be read.
pub fn files_with_extension(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ScenarioError> {
    let unreadable = |error| ScenarioError::Read { path: directory.to_owned(), error };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let ends_so = path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one));
        if ends_so && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
