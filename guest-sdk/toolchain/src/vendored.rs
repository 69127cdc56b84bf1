//! The SDKs that projects contain: which ones there are, whether they were changed, and their upgrade to the SDK of
//! this program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bundled::{self, write_file};
use crate::run::{at, digest, manifest_error};
use crate::{Discovery, Error, SharedWorkspace};

/// The SDK of a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    Rust,
    JavaScript,
    Python,
}

/// The file in a vendored SDK that records its files as they were written.
const RECORD: &str = ".sandbus-sdk.json";

/// A vendored SDK as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: String,
    /// The digest of each file, in hexadecimal.
    files: BTreeMap<String, String>,
}

impl Sdk {
    pub(crate) const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// Its directory in a project's `vendor`.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Rust => "sandbus-sdk",
            Self::JavaScript => "@sandbus/sdk",
            Self::Python => "sandbus",
        }
    }

    /// Writes it below a `vendor` directory.
    pub(crate) fn write(self, vendor: &Path) -> Result<(), Error> {
        self.write_to(&vendor.join(self.directory()))
    }

    /// Writes it to its own directory, with a record of its files.
    pub(crate) fn write_to(self, directory: &Path) -> Result<(), Error> {
        let files = self.files()?;
        files.iter().try_for_each(|(path, text)| write_file(&directory.join(path), text))?;
        let record = serde_json::to_string_pretty(&Record::of(&files)).unwrap_or_default();
        write_file(&directory.join(RECORD), &format!("{record}\n"))
    }

    /// The bundled files, by their paths in its directory.
    fn files(self) -> Result<BTreeMap<String, String>, Error> {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        let mut files: BTreeMap<_, _> = match self {
            Self::Rust => {
                let files = bundled::rust_sdk_files()?.into_iter();
                files.map(|(path, text)| (path.to_string_lossy().into_owned(), text.into_owned())).collect()
            }
            Self::JavaScript => bundled::JAVASCRIPT.iter().map(owned).collect(),
            Self::Python => {
                let files = bundled::PYTHON.iter().map(owned);
                files.filter_map(|(path, text)| Some((path.strip_prefix("sandbus/")?.to_owned(), text))).collect()
            }
        };
        files.extend(bundled::SCHEMAS.iter().map(owned));
        Ok(files)
    }
}

impl Record {
    fn of(files: &BTreeMap<String, String>) -> Self {
        let files = files.iter().map(|(path, text)| (path.clone(), digest(text.as_bytes()))).collect();
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), files }
    }

    fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(RECORD);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| manifest_error(&path, error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// The version, with a part of the digest of all files, since versions under development share a number.
    fn name(&self) -> String {
        let all: String = self.files.iter().flat_map(|(path, digest)| [path.as_str(), digest]).collect();
        format!("{} ({})", self.version, &digest(all.as_bytes())[..12])
    }

    /// The files in a directory that were changed, added or removed since the SDK was written.
    fn changed(&self, directory: &Path) -> Vec<String> {
        let is_same =
            |path: &str, expected: &str| fs::read(directory.join(path)).is_ok_and(|bytes| digest(&bytes) == expected);
        let mut changed: Vec<_> =
            self.files.iter().filter(|(path, digest)| !is_same(path, digest)).map(|(path, _)| path.clone()).collect();
        let known = |path: &String| self.files.contains_key(path) || path == RECORD;
        changed.extend(files_below(directory, directory).into_iter().filter(|path| !known(path)));
        changed
    }
}

/// The files below a directory that a person may have written.
fn files_below(root: &Path, directory: &Path) -> Vec<String> {
    const OF_TOOLS: [&str; 4] = ["__pycache__", "node_modules", "target", "Cargo.lock"];
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths =
        entries.filter(|entry| !OF_TOOLS.iter().any(|name| entry.file_name() == *name)).map(|entry| entry.path());
    let within = |path: PathBuf| match path.is_dir() {
        true => files_below(root, &path),
        false => vec![path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned()],
    };
    paths.flat_map(within).collect()
}

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
    /// It is another one, and unchanged.
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
            // Older projects in a cargo workspace share an SDK at its root.
            let shared = (Sdk::Rust, home.join(Sdk::Rust.directory()));
            let is_there = |(sdk, directory): &(Sdk, PathBuf)| sdk.is_in(directory);
            all.extend(places.chain([shared]).filter(is_there).map(|(sdk, directory)| Self { sdk, directory }));
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

impl Sdk {
    /// Whether a directory has this SDK. A plugin may have a package of the same name.
    fn is_in(self, directory: &Path) -> bool {
        let (file, sign) = match self {
            Self::Rust => ("Cargo.toml", "name = \"sandbus-sdk\""),
            Self::JavaScript => ("package.json", "\"@sandbus/sdk\""),
            Self::Python => ("_component.py", ""),
        };
        fs::read_to_string(directory.join(file)).is_ok_and(|text| text.contains(sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Handler, Template};

    #[test]
    fn an_sdk_is_upgraded_unless_it_was_changed() {
        for template in [Template::Rust, Template::JavaScript, Template::Python] {
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
            assert_eq!(found, ["vendor/sandbus-sdk", "vendor/@sandbus/sdk", "vendor/sandbus"].map(Path::new));
        }
    }
}
