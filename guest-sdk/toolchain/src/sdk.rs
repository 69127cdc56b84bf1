//! The SDKs of this program, and the record that each copy in a project has of its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{at, manifest_error};
use crate::files::{digest, write_file};
use crate::{Error, bundled};

/// The SDK of a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    Rust,
    JavaScript,
    Python,
    Go,
}

/// The directory for the SDK in a Go project, whose `vendor` belongs to Go's own tools.
pub(crate) const GO_VENDOR: &str = "third_party";

/// The file in a vendored SDK that records its files as they were written.
pub(crate) const RECORD: &str = ".sandbus-sdk.json";

/// A vendored SDK as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: String,
    /// The digest of each file, in hexadecimal.
    pub(crate) files: BTreeMap<String, String>,
}

impl Sdk {
    pub(crate) const ALL: [Self; 4] = [Self::Rust, Self::JavaScript, Self::Python, Self::Go];

    /// Its directory in a project's `vendor`.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Rust => "sandbus-sdk",
            Self::JavaScript => "@sandbus/sdk",
            Self::Python => "sandbus",
            Self::Go => "sandbus-go",
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

    /// Whether a directory has this SDK. A plugin may have a package of the same name.
    pub(crate) fn is_in(self, directory: &Path) -> bool {
        let (file, sign) = match self {
            Self::Rust => ("Cargo.toml", "name = \"sandbus-sdk\""),
            Self::JavaScript => ("package.json", "\"@sandbus/sdk\""),
            Self::Python => ("_component.py", ""),
            Self::Go => ("go.mod", "module sandbus\n"),
        };
        fs::read_to_string(directory.join(file)).is_ok_and(|text| text.contains(sign))
    }

    /// The bundled files, by their paths in its directory.
    pub(crate) fn files(self) -> Result<BTreeMap<String, String>, Error> {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        let mut files: BTreeMap<_, _> = match self {
            Self::Rust => {
                let files = bundled::rust_sdk_files()?.into_iter();
                files.map(|(path, text)| (path.to_string_lossy().into_owned(), text.into_owned())).collect()
            }
            Self::JavaScript => bundled::JAVASCRIPT.iter().map(owned).collect(),
            Self::Go => bundled::GO.iter().map(owned).collect(),
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
    pub(crate) fn of(files: &BTreeMap<String, String>) -> Self {
        let files = files.iter().map(|(path, text)| (path.clone(), digest(text.as_bytes()))).collect();
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), files }
    }

    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(RECORD);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| manifest_error(&path, error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// The version, with a part of the digest of all files, since versions under development share a number.
    pub(crate) fn name(&self) -> String {
        let all: String = self.files.iter().flat_map(|(path, digest)| [path.as_str(), digest]).collect();
        format!("{} ({})", self.version, &digest(all.as_bytes())[..12])
    }

    /// The files in a directory that were changed, added or removed since the SDK was written.
    pub(crate) fn changed(&self, directory: &Path) -> Vec<String> {
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

/// Where a new project finds its SDK.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SdkPlace {
    /// Its path, from the project's directory.
    pub(crate) path: String,
    /// Whether only this project uses it.
    pub(crate) is_own: bool,
}
