//! What the binary carries with it: trees of files, as `build.rs` lists them.

use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::run::at;
use crate::{Error, cache, standalone_manifest};

/// Files by their paths.
pub(crate) type Tree = &'static [(&'static str, &'static str)];

include!(concat!(env!("OUT_DIR"), "/trees.rs"));

/// The workspace's manifest, which those of the Rust SDK inherit from.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// Writes a tree below a directory.
pub(crate) fn write(tree: Tree, directory: &Path) -> Result<(), Error> {
    tree.iter().try_for_each(|(path, text)| write_file(&directory.join(path), text))
}

pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    fs::write(path, text).map_err(at(path))
}

/// Writes the Rust SDK into a directory, and its macros into one below. Its crates stand on their own: they inherit
/// nothing, so that they build in any workspace and outside of all.
pub(crate) fn write_rust_sdk(directory: &Path) -> Result<(), Error> {
    const MACROS: &str = "macros";
    for (tree, place) in [(RUST_SDK, ""), (RUST_MACROS, MACROS)] {
        for (path, text) in tree {
            let file = directory.join(place).join(path);
            match *path {
                "Cargo.toml" => {
                    write_file(
                        &file,
                        &standalone_manifest::resolve_inheritance(text, WORKSPACE, &|_| MACROS.to_owned())?,
                    )?;
                }
                _ => write_file(&file, text)?,
            }
        }
    }
    Ok(())
}

/// The SDKs and the contract on the disk, where the languages' tools find them.
#[derive(Clone, Debug)]
pub(crate) struct UnpackedSdk {
    root: PathBuf,
}

impl UnpackedSdk {
    /// Unpacks them into the user's cache directory, unless they are there. Another content gets another place.
    pub(crate) fn ensure() -> Result<Self, Error> {
        let root = cache::once(&format!("sdk-{:016x}", digest()), |root| {
            let unpacked = Self { root: root.to_owned() };
            CONTRACT
                .iter()
                .try_for_each(|(path, text)| write_file(&unpacked.contract().join(as_unpacked(path)), text))?;
            write(JAVASCRIPT, &unpacked.javascript())?;
            write(PYTHON, &unpacked.python())
        })?;
        Ok(Self { root })
    }

    /// The directory of the contract's WIT.
    pub(crate) fn contract(&self) -> PathBuf {
        self.root.join("wit")
    }

    /// The npm package, in a place where node's rules of resolution find it.
    pub(crate) fn javascript(&self) -> PathBuf {
        self.root.join("node_modules/@sandbus/sdk")
    }

    /// The directory that Python's package is in.
    pub(crate) fn python(&self) -> PathBuf {
        self.root.join("python")
    }
}

/// Where a file of the contract lies for tools that take one directory: the newest version of the package on top, and
/// the one that it includes among its dependencies.
fn as_unpacked(path: &str) -> PathBuf {
    match (path.strip_prefix("0.2.0/"), path) {
        (Some(newest), _) => newest.into(),
        (None, "plugin.wit") => "deps/sandbus-plugin-0.1.0/plugin.wit".into(),
        (None, dependency) => dependency.into(),
    }
}

/// Differs between contents.
pub(crate) fn digest() -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    [CONTRACT, JAVASCRIPT, PYTHON].hash(&mut hasher);
    hasher.finish()
}
