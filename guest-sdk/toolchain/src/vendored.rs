//! The SDKs that projects contain: where they are, whether they were changed, and their upgrade to the SDK of
//! this program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::discover::Discovery;
use crate::error::at;
use crate::sdk::{GO_VENDOR, Record, Sdk};
use crate::shared_workspace::SharedWorkspace;

/// An SDK in a project or workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendoredSdk {
    sdk: Sdk,
    /// Its directory.
    pub directory: PathBuf,
}

/// The state of a vendored SDK before its upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeState {
    /// It is the SDK of this program.
    Current {
        /// Its version.
        version: String,
    },
    /// It is the SDK of another version, without changes by hand.
    Outdated {
        /// Its version.
        from: String,
        /// The version of this program's SDK.
        to: String,
    },
    /// Some of its files were changed, added or removed.
    Changed {
        /// Their paths in its directory.
        files: Vec<String>,
    },
    /// It has no record of its files, so nobody can tell whether they were changed.
    Unrecorded,
}

impl VendoredSdk {
    /// The vendored SDKs of the projects below a path, and of the workspaces that they belong to.
    ///
    /// # Errors
    /// If the path does not exist or cannot be read.
    pub fn below(path: &Path) -> Result<Vec<Self>, Error> {
        let found = Discovery::of(path)?;
        let mut homes: Vec<PathBuf> = found.visited.clone();
        homes.extend(found.projects.iter().map(|project| project.directory.clone()));
        homes.extend(found.projects.iter().filter_map(|project| Some(project.cargo_workspace()?.0.to_owned())));
        homes.extend(SharedWorkspace::around(path).map(|workspace| workspace.root().to_owned()));
        homes.sort();
        homes.dedup();
        let mut all = Vec::new();
        for home in homes {
            let vendor = home.join("vendor");
            let places = Sdk::ALL.into_iter().map(|sdk| (sdk, vendor.join(sdk.directory())));
            // The directory `vendor` of a Go module belongs to Go's own tools.
            let of_go = (Sdk::Go, home.join(GO_VENDOR).join(Sdk::Go.directory()));
            // Older projects in a cargo workspace share an SDK at its root.
            let shared = (Sdk::Rust, home.join(Sdk::Rust.directory()));
            let is_there = |(sdk, directory): &(Sdk, PathBuf)| sdk.is_in(directory);
            all.extend(places.chain([of_go, shared]).filter(is_there).map(|(sdk, directory)| Self { sdk, directory }));
        }
        Ok(all)
    }

    /// Compares it with the SDK of this program.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn state(&self) -> Result<UpgradeState, Error> {
        let bundled = Record::of(&self.sdk.files()?);
        if bundled.changed(&self.directory).is_empty() {
            return Ok(UpgradeState::Current { version: bundled.name() });
        }
        let Some(record) = Record::read(&self.directory)? else { return Ok(UpgradeState::Unrecorded) };
        let files = record.changed(&self.directory);
        match files.is_empty() {
            true => Ok(UpgradeState::Outdated { from: record.name(), to: bundled.name() }),
            false => Ok(UpgradeState::Changed { files }),
        }
    }

    /// Replaces it by the SDK of this program, whose version is returned. A failure leaves the former one.
    ///
    /// # Errors
    /// If its directory cannot be written.
    pub fn replace(&self) -> Result<String, Error> {
        let (new, old) = (self.sibling_path("new"), self.sibling_path("old"));
        for leftover in [&new, &old] {
            if leftover.exists() {
                fs::remove_dir_all(leftover).map_err(at(leftover))?;
            }
        }
        self.sdk.write_to(&new)?;
        fs::rename(&self.directory, &old).map_err(at(&self.directory))?;
        fs::rename(&new, &self.directory).map_err(at(&self.directory))?;
        fs::remove_dir_all(&old).map_err(at(&old))?;
        Ok(Record::of(&self.sdk.files()?).name())
    }

    /// The path of a hidden directory next to its own.
    fn sibling_path(&self, purpose: &str) -> PathBuf {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        self.directory.with_file_name(format!(".{name}.{purpose}"))
    }

    /// Whether installed packages refer to it, so that its package manager has to be run.
    #[must_use]
    pub fn is_installed_by_npm(&self) -> bool {
        self.sdk == Sdk::JavaScript
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::RECORD;
    use crate::{Handler, Template};

    #[test]
    fn an_sdk_is_upgraded_unless_it_was_changed() {
        for template in [Template::Rust, Template::JavaScript, Template::Python, Template::Go] {
            let home = tempfile::tempdir().unwrap();
            let project = home.path().join("orders");
            template.create(&project, "orders", &[Handler::Event("order.placed".to_owned())]).unwrap();
            let all = VendoredSdk::below(&project).unwrap();
            let [sdk] = all.as_slice() else { panic!("{template:?}: {all:?}") };
            assert!(matches!(sdk.state().unwrap(), UpgradeState::Current { .. }), "{template:?}");

            // An older version: a file less, and the record of that.
            let mut record = Record::read(&sdk.directory).unwrap().unwrap();
            let (path, _) = record.files.pop_last().unwrap();
            record.version = "0.0.9".to_owned();
            fs::remove_file(sdk.directory.join(&path)).unwrap();
            fs::write(sdk.directory.join(RECORD), serde_json::to_string(&record).unwrap()).unwrap();
            let UpgradeState::Outdated { from, to } = sdk.state().unwrap() else { panic!("{:?}", sdk.state()) };
            assert!(from.starts_with("0.0.9 (") && to.starts_with(env!("CARGO_PKG_VERSION")), "{from} {to}");

            let (first, _) = record.files.first_key_value().unwrap();
            fs::write(sdk.directory.join("notes.txt"), "mine").unwrap();
            fs::write(sdk.directory.join(first), "mine").unwrap();
            assert_eq!(
                sdk.state().unwrap(),
                UpgradeState::Changed { files: vec![first.clone(), "notes.txt".to_owned()] }
            );
            fs::remove_file(sdk.directory.join(RECORD)).unwrap();
            assert_eq!(sdk.state().unwrap(), UpgradeState::Unrecorded);

            assert_eq!(sdk.replace().unwrap(), to);
            assert_eq!(sdk.state().unwrap(), UpgradeState::Current { version: to });
            assert!(sdk.directory.join(path).exists() && !sdk.directory.join("notes.txt").exists());
        }
    }

    #[test]
    fn the_sdks_of_a_workspace_are_found_from_its_root_and_from_a_plugin() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap().join("shop");
        let workspace = SharedWorkspace::create(&root, "shop").unwrap();
        let plugin = workspace.plugins().join("orders");
        Template::JavaScript.create(&plugin, "orders", &[Handler::Event("order.placed".to_owned())]).unwrap();
        for path in [&root, &plugin] {
            let found = VendoredSdk::below(path).unwrap();
            let found: Vec<_> = found.iter().map(|sdk| sdk.directory.strip_prefix(&root).unwrap()).collect();
            assert_eq!(
                found,
                ["vendor/sandbus-sdk", "vendor/@sandbus/sdk", "vendor/sandbus", "vendor/sandbus-go"].map(Path::new)
            );
        }
    }
}
