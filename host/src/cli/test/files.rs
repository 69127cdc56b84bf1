//! Finds the plugins that scenario files are for.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::plugins::{Candidate, add_candidate};
use crate::projects::join_names;
use crate::scenario::ScenarioFile;

/// The plugins of a scenario file for several plugins, as indices of candidates. Plugins at other paths are built, and
/// become candidates.
pub(super) fn plugins_of(
    scenario_file: &ScenarioFile,
    file: &Path,
    candidates: &mut Vec<Candidate>,
) -> anyhow::Result<Vec<usize>> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut indices = Vec::new();
    for entry in &scenario_file.plugins {
        let index = match is_name(entry) {
            true => candidates.iter().position(|candidate| candidate.name == *entry).ok_or_else(|| {
                let names = join_names(candidates.iter().map(|candidate| candidate.name.as_str()));
                anyhow::anyhow!(
                    "{}: `{entry}` in `plugins` is not tested; the tested plugins are {names}. Write the path of its \
                     project or component, such as \"../{entry}\", or test a directory that contains it",
                    file.display()
                )
            })?,
            false => add_candidate(&folder.join(entry), candidates)
                .with_context(|| format!("{}: cannot use `{entry}` in `plugins`", file.display()))?,
        };
        if indices.iter().any(|one: &usize| candidates[*one].name == candidates[index].name) {
            bail!("{}: `plugins` has several plugins named `{}`", file.display(), candidates[index].name);
        }
        indices.push(index);
    }
    Ok(indices)
}

/// Whether an entry of `plugins` is a name rather than a path.
fn is_name(entry: &str) -> bool {
    let path = Path::new(entry);
    let is_file = path.extension().is_some_and(|extension| extension == "wasm") || sandbus_toolchain::is_script(path);
    !entry.contains(['/', '\\']) && !is_file && !entry.starts_with('.')
}

/// Whether a scenario file is for a plugin: the plugin that it names, else the plugin whose project contains it, else
/// the only plugin.
pub(super) fn applies_to(
    scenario_file: &ScenarioFile,
    candidate: &Candidate,
    all: &[Candidate],
    file: &Path,
) -> anyhow::Result<bool> {
    if let Some(plugin) = &scenario_file.plugin {
        return Ok(*plugin == candidate.name);
    }
    if all.len() == 1 {
        return Ok(true);
    }
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let directories =
        all.iter().filter_map(|one| one.directory.as_deref().filter(|directory| file.starts_with(directory)));
    match directories.max_by_key(|directory| directory.components().count()) {
        Some(nearest) => Ok(candidate.directory.as_deref() == Some(nearest)),
        None => bail!("{} does not name its plugin; begin it with plugin = \"NAME\"", file.display()),
    }
}
