//! Cargo's metadata about a workspace: its packages, its target directory, and path dependencies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::package::CargoPackage;
use super::remedy::explained;
use crate::{Error, run};

/// A cargo workspace, or a crate by itself.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    packages: Vec<Value>,
}

impl Workspace {
    /// The workspace that a manifest belongs to.
    ///
    /// # Errors
    /// If cargo cannot be started or rejects the manifest.
    pub(crate) fn of(manifest: &Path) -> Result<Self, Error> {
        let directory = manifest.parent().unwrap_or(Path::new("."));
        let misread = |what: String| Error::Metadata { path: directory.to_owned(), what };
        let mut cargo = Command::new("cargo");
        cargo.current_dir(directory).args(["metadata", "--no-deps", "--format-version=1"]);
        let said = run::output(&mut cargo).map_err(explained)?;
        let mut metadata: Value = serde_json::from_str(&said).map_err(|error| misread(error.to_string()))?;
        let path = |name: &str| metadata[name].as_str().map(PathBuf::from);
        let unnamed = |name: &str| misread(format!("it has no {name}"));
        let root = path("workspace_root").ok_or_else(|| unnamed("workspace root"))?;
        let target = path("target_directory").ok_or_else(|| unnamed("target directory"))?;
        let Value::Array(packages) = metadata["packages"].take() else { return Err(unnamed("list of packages")) };
        Ok(Self { root, target, packages })
    }

    /// The directory of the workspace's own manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The manifests of its packages.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &Path> {
        self.packages.iter().filter_map(|package| package["manifest_path"].as_str()).map(Path::new)
    }

    /// The directory of the member with a name.
    pub(crate) fn member(&self, name: &str) -> Option<&Path> {
        let package = self.packages.iter().find(|package| package["name"] == name)?;
        package["manifest_path"].as_str().and_then(|manifest| Path::new(manifest).parent())
    }

    /// The name and the package of a manifest, if its library is a `cdylib`.
    pub(crate) fn plugin(&self, manifest: &Path) -> Option<(String, CargoPackage)> {
        let package = self.package(manifest)?;
        let mut targets = package["targets"].as_array().into_iter().flatten();
        let library = targets.find(|target| lists(&target["kind"], "cdylib"))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (root, target) = (self.root.clone(), self.target.clone());
        let (id, lib_name) = (text(&package["id"])?, text(&library["name"])?);
        Some((text(&package["name"])?, CargoPackage { id, lib_name, workspace: root, target }))
    }

    /// The directories of a package's path dependencies, direct and indirect. Dependencies of packages outside this
    /// workspace are not followed.
    pub(crate) fn path_dependencies(&self, directory: &Path) -> Vec<PathBuf> {
        let (mut found, mut looked) = (vec![directory.to_owned()], 0);
        while let Some(next) = found.get(looked).cloned() {
            looked += 1;
            let package = self.package(&next.join("Cargo.toml"));
            let dependencies = package.and_then(|package| package["dependencies"].as_array()).into_iter().flatten();
            for path in dependencies.filter_map(|dependency| dependency["path"].as_str()) {
                if !found.iter().any(|known| known == Path::new(path)) {
                    found.push(PathBuf::from(path));
                }
            }
        }
        found.remove(0);
        found
    }

    fn package(&self, manifest: &Path) -> Option<&Value> {
        self.packages.iter().find(|package| package["manifest_path"].as_str().map(Path::new) == Some(manifest))
    }
}

/// Asks cargo for several workspaces at the same time.
pub(crate) fn workspaces(manifests: Vec<PathBuf>) -> BTreeMap<PathBuf, Result<Workspace, Error>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(manifests.len());
    let (queue, found) = (Mutex::new(manifests), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(manifest) = next else { return };
                    let workspace = Workspace::of(&manifest);
                    found.lock().unwrap_or_else(PoisonError::into_inner).insert(manifest, workspace);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a manifest is the root of a cargo workspace.
pub(crate) fn is_workspace(manifest: &Path) -> bool {
    let text = fs::read_to_string(manifest).unwrap_or_default();
    toml::from_str(&text).is_ok_and(|parsed: Value| parsed["workspace"].is_object())
}

/// Whether a manifest is the root of a cargo workspace with members. Their directories may lie elsewhere.
pub(crate) fn has_members(manifest: &Path) -> bool {
    let text = fs::read_to_string(manifest).unwrap_or_default();
    let parsed: Value = toml::from_str(&text).unwrap_or_default();
    parsed["workspace"]["members"].as_array().is_some_and(|members| !members.is_empty())
}

fn lists(list: &Value, word: &str) -> bool {
    list.as_array().into_iter().flatten().any(|item| item == word)
}
