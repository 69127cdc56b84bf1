//! Building guests with cargo, and finding what cargo made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::debian::HOST_LIBRARIES;
use crate::run;
use crate::{Error, Kind, TARGET, Toolchain};

/// One crate that becomes a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The crate's name.
    pub name: String,
    /// The directory of its manifest.
    pub directory: PathBuf,
    /// The directories of packages that it depends on by their paths, and of those that they do.
    pub beside: Vec<PathBuf>,
}

/// One `.wasm` file that a build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The name of the cargo target: the crate's, or an example's.
    pub name: String,
    /// Where the file is.
    pub path: PathBuf,
}

impl Artifact {
    /// The name of the plugin's file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.wasm", self.name.replace('_', "-"))
    }

    /// Puts the file into a folder under its plugin's name, in one step, unless it is there already: an
    /// untouched file is not loaded again by a host that runs on the folder. Returns whether it differed
    /// from what was there.
    ///
    /// # Errors
    /// If the file cannot be read, or the folder cannot be written.
    pub fn place(&self, folder: &Path) -> Result<bool, Error> {
        let name = self.file_name();
        let (to, partial) = (folder.join(&name), folder.join(format!(".{name}.partial")));
        let bytes = std::fs::read(&self.path).map_err(run::at(&self.path))?;
        if std::fs::read(&to).is_ok_and(|present| present == bytes) {
            return Ok(false);
        }
        std::fs::write(&partial, bytes).map_err(run::at(&partial))?;
        std::fs::rename(&partial, &to).map_err(run::at(&to))?;
        Ok(true)
    }
}

/// What a build did.
#[derive(Clone, Debug)]
pub struct BuildReport {
    /// What was made, or was up to date.
    pub artifacts: Vec<Artifact>,
    /// The compiler's messages as it renders them, with colours if asked for.
    pub messages: Vec<String>,
    /// Whether the build succeeded.
    pub succeeded: bool,
}

impl BuildReport {
    /// A build without a message.
    pub(crate) fn made(artifact: Artifact) -> Self {
        Self { artifacts: vec![artifact], messages: Vec::new(), succeeded: true }
    }
}

/// The crates at a path that become plugins: those with a `cdylib` target, of the workspace or the
/// single crate whose manifest is there, and below that path. Where there is no manifest there are none.
///
/// # Errors
/// If cargo cannot describe what is there.
pub fn packages(directory: &Path) -> Result<Vec<Package>, Error> {
    let directory = directory.canonicalize().map_err(run::at(directory))?;
    let root = nearest_manifest(&directory);
    if !root.join("Cargo.toml").is_file() {
        return Ok(Vec::new());
    }
    let metadata = metadata(&root)?;
    let list = metadata["packages"]
        .as_array()
        .ok_or_else(|| Error::Metadata { path: directory.clone(), what: "it lists no packages".to_owned() })?;
    let found = list.iter().filter(|package| is_plugin(package)).filter_map(|package| {
        let directory = directory_of(package)?;
        let (name, beside) = (package["name"].as_str()?.to_owned(), path_dependencies(directory, list));
        Some(Package { name, directory: directory.to_owned(), beside })
    });
    Ok(found.filter(|package| package.directory.starts_with(&directory)).collect())
}

/// Where cargo builds what is at a path.
///
/// # Errors
/// If cargo cannot describe what is there.
pub fn target_directory(directory: &Path) -> Result<PathBuf, Error> {
    let directory = directory.canonicalize().map_err(run::at(directory))?;
    let metadata = metadata(&nearest_manifest(&directory))?;
    let target = metadata["target_directory"].as_str();
    let unnamed = || Error::Metadata { path: directory.clone(), what: "it names no target directory".to_owned() };
    target.map(PathBuf::from).ok_or_else(unnamed)
}

/// The directory itself or one above it that has a manifest; cargo looks for it in the same way.
fn nearest_manifest(directory: &Path) -> PathBuf {
    let mut ancestors = directory.ancestors();
    ancestors.find(|ancestor| ancestor.join("Cargo.toml").is_file()).unwrap_or(directory).to_owned()
}

fn metadata(directory: &Path) -> Result<Value, Error> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(directory).args(["metadata", "--no-deps", "--format-version=1"]);
    serde_json::from_str(&run::output(&mut cargo)?)
        .map_err(|error| Error::Metadata { path: directory.to_owned(), what: error.to_string() })
}

fn directory_of(package: &Value) -> Option<&Path> {
    Path::new(package["manifest_path"].as_str()?).parent()
}

/// The directories of the packages that one depends on by their paths. Of those that are not in the list, theirs are
/// not known.
fn path_dependencies(directory: &Path, list: &[Value]) -> Vec<PathBuf> {
    let (mut found, mut looked) = (vec![directory.to_owned()], 0);
    while let Some(next) = found.get(looked).cloned() {
        looked += 1;
        let package = list.iter().find(|package| directory_of(package) == Some(&next));
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

fn is_plugin(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets.flat_map(|target| target["crate_types"].as_array().into_iter().flatten()).any(|kind| kind == "cdylib")
}

/// Arguments by which cargo builds quickly rather than what runs quickly, with the lines that backtraces name.
pub const QUICK: [&str; 7] = [
    "--release",
    "--config=profile.release.incremental=true",
    "--config=profile.release.lto=false",
    "--config=profile.release.codegen-units=16",
    "--config=profile.release.panic=\"abort\"",
    "--config=profile.release.debug=\"line-tables-only\"",
    "--config=profile.release.strip=\"none\"",
];

/// Builds guests with the given cargo arguments (`-p NAME`, `--profile NAME`, …) in a directory.
/// A compiler error is no error of this function; it is in the report.
///
/// # Errors
/// If cargo cannot be started.
pub fn build(toolchain: &Toolchain, directory: &Path, arguments: &[&str], colour: bool) -> Result<BuildReport, Error> {
    let format = if colour { "--message-format=json-diagnostic-rendered-ansi" } else { "--message-format=json" };
    let mut cargo = toolchain.cargo();
    cargo.current_dir(directory).args(["build", "--quiet", "--target", TARGET, format]).args(arguments);
    let output =
        cargo.stdin(Stdio::null()).output().map_err(|error| Error::Start { program: "cargo".to_owned(), error })?;

    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut messages: Vec<_> = lines.iter().filter_map(rendered_message).collect();
    // What stops cargo before any compiler runs, such as a bad manifest, is on standard error alone.
    if !output.status.success() && messages.is_empty() {
        messages.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(BuildReport {
        artifacts: lines.iter().flat_map(artifacts).collect(),
        messages,
        succeeded: output.status.success(),
    })
}

fn rendered_message(line: &Value) -> Option<String> {
    (line["reason"] == "compiler-message").then(|| line["message"]["rendered"].as_str().map(str::to_owned))?
}

fn artifacts(line: &Value) -> Vec<Artifact> {
    let Some(name) = line["target"]["name"].as_str().filter(|_| line["reason"] == "compiler-artifact") else {
        return Vec::new();
    };
    let files = line["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    files
        .filter(|file| file.ends_with(".wasm"))
        .map(|file| Artifact { name: name.to_owned(), path: PathBuf::from(file) })
        .collect()
}

impl Toolchain {
    /// A cargo that compiles guests. What an outer cargo or rustup left in the environment would lead
    /// it to another compiler, so that is taken out.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        for name in ["CARGO", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            command.env_remove(name);
        }
        if let Kind::Unpacked { usr, linker } = &self.kind {
            command.env("RUSTC", usr.join("bin/rustc"));
            command.env("LD_LIBRARY_PATH", usr.join("lib").join(HOST_LIBRARIES));
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC"] {
                command.env_remove(name);
            }
        }
        command
    }
}
