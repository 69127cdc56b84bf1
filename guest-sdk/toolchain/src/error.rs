//! The errors of this crate.

use std::path::{Path, PathBuf};

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
        "{path} has no plugin: no Cargo.toml with crate-type = [\"cdylib\"] under [lib], no package.json whose `main` exports a plugin, no pyproject.toml whose module uses sandbus, and no go.mod that requires sandbus; {}", hint_of(script.as_deref())
    )]
    NoProject {
        /// The directory.
        path: PathBuf,
        /// A script in the directory.
        script: Option<PathBuf>,
    },
    /// A file is not the source of a plugin.
    #[error(
        "{path} is not the source of a plugin: a script ends with .js, .mjs, .ts, .mts or .py, and Rust and Go need a project, which `sandbus new NAME` makes{}",
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

/// Adds the path to an error about a file.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = PathBuf::from(path);
    move |error| Error::File { path, error }
}

/// An error about what a manifest says.
pub(crate) fn manifest_error(path: &Path, what: String) -> Error {
    Error::Manifest { path: path.to_owned(), what }
}
