//! Checks a plugin folder as the host would load it, but runs no handler and keeps nothing. All faults are reported,
//! not only the first.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::swap_error::SwapError;
use crate::plugin::deploy::folder::{self, PluginFolder};
use crate::plugin::deploy::registry::Registry;
use crate::plugin::deploy::route_ownership::RouteOwnership;
use crate::plugin::load::loader::{LoadError, Loader};
use crate::plugin::manifest::sidecar::Sidecar;
use crate::plugin::run::generation::Generation;
use crate::toml_file::{self, Malformed};

/// A fault of a file.
#[derive(Clone, Debug)]
pub(crate) struct FileFault {
    /// The name of the file in the folder.
    pub(crate) file: String,
    pub(crate) fault: Malformed,
}

/// The result of checking a folder.
#[derive(Debug, Default)]
pub(crate) struct FolderReport {
    /// The plugins that can be loaded, each with the stem of its file. Some can be loaded only if the faulty parts of
    /// their sidecars, or the plugins that they conflict with, are removed.
    pub(crate) loaded: Vec<(String, Arc<Generation>)>,
    /// The stems of the plugins that their sidecars disable.
    pub(crate) disabled: Vec<String>,
    pub(crate) faults: Vec<FileFault>,
}

/// Checks a folder. Blocks while components compile.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn check(path: &Path, link_roots: &[PathBuf], loader: &Loader) -> io::Result<FolderReport> {
    let folder = &PluginFolder::new(path.to_owned(), link_roots, loader.host_settings().secrets.clone());
    let scan = folder::scan(folder, &BTreeSet::new())?;
    let mut report = FolderReport::default();
    for (file, reason) in &scan.ignored {
        report.add(file, Malformed::whole(reason.clone()));
        if let Some(stem) = file.strip_suffix(".toml") {
            report.sidecar(folder, stem);
        }
    }
    let present: BTreeSet<String> = scan.found.keys().cloned().collect();
    for (stem, fingerprint) in &scan.found {
        if let Some(generation) = report.load(folder, stem, fingerprint.has_sidecar(), loader) {
            report.check_conflicts(stem, &generation, &present);
            report.loaded.push((stem.clone(), Arc::new(generation)));
        }
    }
    Ok(report)
}

impl FolderReport {
    fn add(&mut self, file: &str, fault: Malformed) {
        self.faults.push(FileFault { file: file.to_owned(), fault });
    }

    /// The sidecar without its faulty keys; `None` if it is not TOML or cannot be read. The flag says whether it has no
    /// faults.
    fn sidecar(&mut self, folder: &PluginFolder, stem: &str) -> (Option<Sidecar>, bool) {
        let file = format!("{stem}.toml");
        let text = match folder.read_sidecar(stem) {
            Ok(text) => text,
            Err(error) => {
                self.add(&file, Malformed::whole(SwapError::ReadSidecar(error).to_string()));
                return (None, false);
            }
        };
        let (sidecar, faults) = toml_file::parse_all::<Sidecar>(&text);
        let is_valid = faults.is_empty();
        faults.into_iter().for_each(|fault| self.add(&file, fault));
        (sidecar, is_valid)
    }

    /// The generation that the host would run; `None` if it would run none.
    fn load(&mut self, folder: &PluginFolder, stem: &str, has_sidecar: bool, loader: &Loader) -> Option<Generation> {
        let (sidecar, mut is_valid) = match has_sidecar {
            true => self.sidecar(folder, stem),
            false => (Some(Sidecar::default()), true),
        };
        let mut sidecar = sidecar.unwrap_or_default();
        stem.clone_into(&mut sidecar.stem);
        if sidecar.enabled == Some(false) {
            self.disabled.push(stem.to_owned());
            return None;
        }
        let component = format!("{stem}.wasm");
        let bytes = match folder.read_component(stem) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.add(&component, Malformed::whole(SwapError::from(error).to_string()));
                return None;
            }
        };
        // Loading stops at the first fault of the sidecar, and finds the next one without it. Compiled code is cached.
        loop {
            let error = match loader.load(&bytes, &sidecar) {
                Ok(generation) => return Some(generation),
                Err(error) => error,
            };
            let repaired = match &error {
                LoadError::Sidecar(error) => sidecar.without(error),
                _ => None,
            };
            // If faulty keys were removed, the component may lack them now. Such an error is not reported.
            if is_valid || repaired.is_some() || error.concerns_code() {
                let (file, what) = match &error {
                    LoadError::Sidecar(error) if has_sidecar => (format!("{stem}.toml"), error.to_string()),
                    _ => (component.clone(), error.to_string()),
                };
                self.add(&file, Malformed::whole(what));
            }
            sidecar = repaired?;
            // From now on, a missing key may be one that was removed.
            is_valid = false;
        }
    }

    /// Reports conflicts with the plugins whose files precede this one by name. A host that starts with an empty data
    /// directory loads them first.
    fn check_conflicts(&mut self, stem: &str, generation: &Generation, present: &BTreeSet<String>) {
        let mut conflicts = Vec::new();
        for (other_stem, other) in &self.loaded {
            if other.name == generation.name {
                let (name, other) = (generation.name.to_string(), other_stem.clone());
                conflicts.push(SwapError::NameTaken { name, other });
                continue;
            }
            let registry = Registry::default();
            registry.put(Arc::clone(other));
            let owners = RouteOwnership::in_memory().with(other_stem, other, present);
            let checked = registry.check_routes(&generation.name, &generation.descriptor.routes);
            let checked = checked.map_err(SwapError::from);
            let checked = checked.and_then(|()| Ok(owners.check(stem, generation, present)?));
            conflicts.extend(checked.err());
        }
        for conflict in conflicts {
            self.add(&format!("{stem}.wasm"), Malformed::whole(conflict.to_string()));
        }
    }
}
