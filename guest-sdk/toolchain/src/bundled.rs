//! The files that are bundled with the binary, in the trees that `build.rs` lists.

mod standalone_manifest;

use std::borrow::Cow;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::files::write_file;
use crate::{Error, cache};

/// Files by their paths.
pub(crate) type Tree = &'static [(&'static str, &'static str)];

include!(concat!(env!("OUT_DIR"), "/trees.rs"));

/// The workspace's manifest, from which the manifests of the Rust SDK inherit.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// The JSON Schemas of the TOML files in projects, which the SDKs contain for editors. The host writes them.
pub(crate) const SCHEMAS: Tree = &[
    ("schemas/scenario.json", include_str!("../../../docs/schemas/scenario.json")),
    ("schemas/sidecar.json", include_str!("../../../docs/schemas/sidecar.json")),
];

/// Writes a tree below a directory.
pub(crate) fn write(tree: Tree, directory: &Path) -> Result<(), Error> {
    tree.iter().try_for_each(|(path, text)| write_file(&directory.join(path), text))
}

/// Writes the Rust SDK into a directory, and its macros into a subdirectory. The written manifests do not inherit from
/// a workspace, so that the crates build anywhere.
pub(crate) fn write_rust_sdk(directory: &Path) -> Result<(), Error> {
    rust_sdk_files()?.iter().try_for_each(|(path, text)| write_file(&directory.join(path), text))
}

/// The files of the Rust SDK, as they are written.
pub(crate) fn rust_sdk_files() -> Result<Vec<(PathBuf, Cow<'static, str>)>, Error> {
    const MACROS: &str = "macros";
    let mut files = Vec::new();
    for (tree, place) in [(RUST_SDK, ""), (RUST_MACROS, MACROS)] {
        for (path, text) in tree {
            let text = match *path {
                "Cargo.toml" => {
                    standalone_manifest::resolve_inheritance(text, WORKSPACE, &|_| MACROS.to_owned())?.into()
                }
                _ => Cow::from(*text),
            };
            files.push((Path::new(place).join(path), text));
        }
    }
    Ok(files)
}

/// Whether a directory has the bundled Rust SDK, unchanged.
pub(crate) fn is_rust_sdk(directory: &Path) -> bool {
    rust_sdk_files().is_ok_and(|files| {
        files.iter().all(|(path, text)| fs::read(directory.join(path)).is_ok_and(|present| present == text.as_bytes()))
    })
}

/// The unpacked SDKs and contract, for the tools of the languages.
#[derive(Clone, Debug)]
pub(crate) struct UnpackedSdk {
    root: PathBuf,
}

impl UnpackedSdk {
    /// Unpacks them into the user's cache directory, unless they are there. The directory's name contains the digest.
    pub(crate) fn ensure() -> Result<Self, Error> {
        let root = cache::once(&format!("sdk-{:016x}", digest()), |root| {
            let unpacked = Self { root: root.to_owned() };
            CONTRACT
                .iter()
                .try_for_each(|(path, text)| write_file(&unpacked.contract().join(as_unpacked(path)), text))?;
            CONTRACT.iter().try_for_each(|(path, text)| {
                write_file(&unpacked.runtime_contract().join(as_unpacked_for_runtimes(path)), text)
            })?;
            write(JAVASCRIPT, &unpacked.javascript())?;
            write(PYTHON, &unpacked.python())
        })?;
        Ok(Self { root })
    }

    /// The directory of the contract's WIT.
    pub(crate) fn contract(&self) -> PathBuf {
        self.root.join("wit")
    }

    /// The directory of the WIT of prepared runtimes.
    pub(crate) fn runtime_contract(&self) -> PathBuf {
        self.root.join("wit-runtime")
    }

    /// The npm package, in a directory where node resolves it.
    pub(crate) fn javascript(&self) -> PathBuf {
        self.root.join("node_modules/@sandbus/sdk")
    }

    /// The parent directory of the Python package.
    pub(crate) fn python(&self) -> PathBuf {
        self.root.join("python")
    }
}

/// The path of a file of the contract for tools that take one directory: the newest version of the package on top, and
/// the included version among its dependencies.
fn as_unpacked(path: &str) -> PathBuf {
    match (path.strip_prefix("0.2.0/"), path) {
        (Some(newest), _) => newest.into(),
        (None, "plugin.wit") => "deps/sandbus-plugin-0.1.0/plugin.wit".into(),
        (None, "runtime/runtime.wit") => "deps/sandbus-runtime/runtime.wit".into(),
        (None, dependency) => dependency.into(),
    }
}

/// The same for the package of prepared runtimes, with both versions of the contract among its dependencies.
fn as_unpacked_for_runtimes(path: &str) -> PathBuf {
    match path.strip_prefix("runtime/") {
        Some(own) => own.into(),
        None if path.starts_with("0.2.0/") => "deps/sandbus-plugin-0.2.0/plugin.wit".into(),
        None => as_unpacked(path),
    }
}

/// The digest of all bundled files.
pub(crate) fn digest() -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    [CONTRACT, JAVASCRIPT, PYTHON].hash(&mut hasher);
    hasher.finish()
}
