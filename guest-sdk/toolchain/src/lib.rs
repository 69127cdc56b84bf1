//! Builds plugins: finds projects, installs missing tools of their languages, and runs them. Also makes new projects.
//!
//! `sandbus build`, `sandbus dev` and `cargo xtask` build guests through this crate. In a user's project it runs cargo and
//! writes build results to `.sandbus`, and nothing else.

mod build;
mod build_cache;
mod bundled;
mod cache;
mod debian;
mod discover;
mod entry;
mod errors;
mod globs;
mod hints;
mod javascript;
mod name_conflicts;
mod parallel;
mod path_remapping;
mod poetry;
mod prebuilt;
mod prepared;
mod project;
mod python;
mod python_dependencies;
mod python_links;
mod run;
mod rust_sdk;
mod rustup;
mod shared_workspace;
mod sidecar_install;
mod sidecar_overlay;
mod single_file;
mod standalone_manifest;
mod template;
mod time_limit;
mod unit;
mod vendored;
mod workspaces;

use std::path::{Path, PathBuf};

pub use build::{Artifact, ArtifactForm, BuildReport, build};
pub use cache::{directory as cache_directory, once as set_up_once};
pub use debian::packages as debian_packages;
pub use discover::{Discovery, SkippedDirectory};
pub use errors::causes;
pub use hints::hints;
pub use javascript::JavaScriptEngine;
pub use name_conflicts::name_conflict;
pub use parallel::{UnitResult, build_all};
pub use prepared::directory as prepared_runtimes;
pub use project::{Language, MANIFESTS, Project};
pub use shared_workspace::SharedWorkspace;
pub use sidecar_install::{FolderOwner, SidecarUpdate};
pub use sidecar_overlay::{overlay_of, sidecar_text};
pub use single_file::is_script;
pub use template::{Handler, Template};
pub use unit::{BuildProfile, BuildUnit};
pub use vendored::{UpgradeState, VendoredSdk};

/// The compilation target of guests. It yields a core module that contains its component type and imports only the
/// interfaces of its world.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where the guest compiler comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolchainSource {
    /// An installed target, else rustup, else Debian's packages.
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
    /// If the variable has another value.
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
    /// Finds the guest compiler, and sets it up if it is missing. `say` receives a line for each slow step. A repetition is
    /// cheap, and resumes an interrupted set-up.
    ///
    /// # Errors
    /// If the compiler cannot be set up. The message says what was tried and what to do.
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

/// Why a project could not be found, made or built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment variable has an unknown value.
    #[error("SANDBUS_GUEST_TOOLCHAIN is `{0}`; set it to `rustup` or `debian`, or unset it")]
    UnknownSource(String),
    /// Neither source has worked.
    #[error(
        "the guest compiler could not be set up, neither by rustup ({rustup}) nor from Debian's packages ({debian})"
    )]
    Neither {
        /// The error of rustup.
        rustup: Box<Error>,
        /// The error of Debian's packages.
        debian: Box<Error>,
    },
    /// A program cannot be started.
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
    #[error("neither XDG_CACHE_HOME nor HOME is set; set one of them; the guest compiler is installed there")]
    NoCacheDirectory,
    /// There is no project where one was expected.
    #[error(
        "{path} has no plugin: no Cargo.toml with crate-type = [\"cdylib\"] under [lib], no package.json whose `main` exports a plugin, and no pyproject.toml whose module uses sandbus; {}", hint_of(script.as_deref())
    )]
    NoProject {
        /// The directory.
        path: PathBuf,
        /// A script in the directory.
        script: Option<PathBuf>,
    },
    /// A file is not the source of a plugin.
    #[error(
        "{path} is not the source of a plugin: a script ends with .js, .mjs, .ts, .mts or .py, and Rust needs a project, which `sandbus new NAME` makes{}",
        component_hint(path)
    )]
    NotSource {
        /// The file.
        path: PathBuf,
    },
    /// Two plugins would have the same file.
    #[error("{second} and {first} both make the plugin `{name}`; rename one of them")]
    SameName {
        /// The name.
        name: String,
        /// The directory of the first one, which is built.
        first: PathBuf,
        /// The directory of the second one.
        second: PathBuf,
    },
    /// A manifest is invalid.
    #[error("{path}: {what}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The mistake.
        what: String,
    },
    /// The directory of a new project exists.
    #[error("{path} already exists; choose another name, or remove it")]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Cargo's description of a workspace was not understood.
    #[error("cargo's metadata of {path} was not understood: {what}")]
    Metadata {
        /// The manifest's directory.
        path: PathBuf,
        /// The mistake.
        what: String,
    },
}

impl Error {
    /// The directory contains no project.
    #[must_use]
    pub fn no_project(path: &Path) -> Self {
        Self::NoProject { path: path.to_owned(), script: single_file::script_in(path) }
    }
}

/// What to do in a directory without a project.
fn hint_of(script: Option<&Path>) -> String {
    match script {
        Some(script) => {
            format!("give the path of a script, such as {}", script.strip_prefix(".").unwrap_or(script).display())
        }
        None => "`sandbus new` makes one".to_owned(),
    }
}

fn component_hint(path: &Path) -> &'static str {
    match path.extension() {
        Some(extension) if extension == "wasm" => {
            "; a component needs no build: `sandbus test` tests it, and `sandbus serve` runs those in a plugin folder"
        }
        _ => "",
    }
}
