//! What turns a plugin's sources into WebAssembly: each language's own tools, found, set up where they are
//! missing, and run; and the projects that begin a plugin.
//!
//! `sandbus build`, `sandbus dev` and `cargo xtask` build guests through this crate. It never touches a user's
//! project other than by running cargo in it, and by keeping what it built in the project's `.sandbus`.

mod build;
mod build_cache;
mod bundled;
mod cache;
mod debian;
mod discover;
mod errors;
mod hints;
mod javascript;
mod name_conflicts;
mod path_remapping;
mod project;
mod python;
mod python_dependencies;
mod run;
mod rust_sdk;
mod rustup;
mod sidecar_install;
mod standalone_manifest;
mod template;
mod unit;

use std::path::PathBuf;

pub use build::{Artifact, BuildReport, build};
pub use cache::{directory as cache_directory, once as set_up_once};
pub use discover::{Discovery, SkippedDirectory};
pub use errors::causes;
pub use hints::hints;
pub use javascript::JavaScriptEngine;
pub use name_conflicts::name_conflict;
pub use project::{Language, MANIFESTS, Project};
pub use sidecar_install::{FolderOwner, SidecarUpdate};
pub use template::{Handler, Template};
pub use unit::{BuildUnit, Goal};

/// The target that guests are compiled for: a core module that carries its component type, and that
/// imports nothing but what its world names.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where the guest compiler comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolchainSource {
    /// The target if it is there already, else rustup, else Debian's packages.
    #[default]
    Auto,
    /// `rustup target add`, and nothing else.
    Rustup,
    /// Debian's packages, unpacked into the user's cache directory, and nothing else.
    Debian,
}

impl ToolchainSource {
    /// Reads `SANDBUS_GUEST_TOOLCHAIN`: `rustup`, `debian`, or unset for [`ToolchainSource::Auto`].
    ///
    /// # Errors
    /// If the variable holds anything else.
    pub fn from_env() -> Result<Self, Error> {
        match std::env::var("SANDBUS_GUEST_TOOLCHAIN").as_deref() {
            Err(_) | Ok("" | "auto") => Ok(Self::Auto),
            Ok("rustup") => Ok(Self::Rustup),
            Ok("debian") => Ok(Self::Debian),
            Ok(other) => Err(Error::UnknownSource(other.to_owned())),
        }
    }
}

/// A guest compiler that is ready for use.
#[derive(Clone, Debug)]
pub struct Toolchain {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The default toolchain has the target.
    Default,
    /// An unpacked toolchain: its `usr` directory, and the linker to use with it.
    Unpacked { usr: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// Finds the guest compiler, and sets it up if it is missing. `say` is told of each step that may
    /// take a while. Repeating it is cheap, and after an interruption it goes on where it was.
    ///
    /// # Errors
    /// If it cannot be set up; the message says what was tried and what to do.
    pub fn ensure(source: ToolchainSource, say: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        match source {
            ToolchainSource::Rustup => rustup::ensure(say),
            ToolchainSource::Debian => debian::ensure(say),
            ToolchainSource::Auto if rustup::is_installed()? => Ok(Self { kind: Kind::Default }),
            ToolchainSource::Auto => rustup::ensure(say).or_else(|rustup| {
                say("rustup could not add the target; falling back to Debian's packages");
                debian::ensure(say)
                    .map_err(|debian| Error::Neither { rustup: Box::new(rustup), debian: Box::new(debian) })
            }),
        }
    }
}

/// Why a guest compiler could not be set up or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment variable names no source.
    #[error("SANDBUS_GUEST_TOOLCHAIN is `{0}`; set it to `rustup` or `debian`, or unset it")]
    UnknownSource(String),
    /// Neither way worked.
    #[error(
        "the guest compiler could not be set up, neither by rustup ({rustup}) nor from Debian's packages ({debian})"
    )]
    Neither {
        /// What went wrong with rustup.
        rustup: Box<Error>,
        /// What went wrong with Debian's packages.
        debian: Box<Error>,
    },
    /// A program is not there or cannot be started.
    #[error("cannot run `{program}`: {error}; install it or put it on the PATH")]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` failed: {output}")]
    Failed {
        /// The command line.
        command: String,
        /// The end of what it printed.
        output: String,
    },
    /// A file or directory could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// No linker for WebAssembly was found.
    #[error(
        "no linker for WebAssembly was found: neither `rust-lld` in rustup's toolchain nor `wasm-ld` on the PATH; install Debian's package `lld` or a toolchain by rustup"
    )]
    NoLinker,
    /// Neither cache directory is known.
    #[error("neither XDG_CACHE_HOME nor HOME is set; set one, so that the guest compiler has a place")]
    NoCacheDirectory,
    /// There is no project where one was visited for.
    #[error(
        "{path} has no plugin: no Cargo.toml with crate-type = [\"cdylib\"] under [lib], no package.json whose `main` exports a plugin, and no pyproject.toml with src/NAME.py; `sandbus new` makes one"
    )]
    NoProject {
        /// The directory.
        path: PathBuf,
    },
    /// Two plugins would be put into one file.
    #[error("{second} and {first} both make the plugin `{name}`; rename one of them")]
    SameName {
        /// The name.
        name: String,
        /// The directory of the one that is built.
        first: PathBuf,
        /// The directory of the other one.
        second: PathBuf,
    },
    /// A manifest was not understood.
    #[error("{path}: {what}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A new project would overwrite something.
    #[error("{path} exists already; choose another name, or remove it")]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Cargo's description of a workspace was not understood.
    #[error("cargo's metadata of {path} was not understood: {what}")]
    Metadata {
        /// The manifest's directory.
        path: PathBuf,
        /// What was missing.
        what: String,
    },
}
