//! Building guests with cargo, and finding what cargo made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::debian::HOST_LIBRARIES;
use crate::discover::remedy::remedy;
use crate::{Error, Kind, TARGET, Toolchain};
use crate::{path_remapping, run};

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
    pub fn install(&self, folder: &Path) -> Result<bool, Error> {
        let name = self.file_name();
        let (to, partial) = (folder.join(&name), folder.join(format!(".{name}.partial")));
        let bytes = run::read(&self.path).map_err(run::at(&self.path))?;
        if run::read(&to).is_ok_and(|present| present == bytes) {
            return Ok(false);
        }
        std::fs::write(&partial, bytes).map_err(run::at(&partial))?;
        std::fs::rename(&partial, &to).map_err(run::at(&to))?;
        Ok(true)
    }
}

/// What a build did.
#[derive(Clone, Debug, Default)]
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

/// Arguments by which cargo builds quickly rather than what runs quickly, with the lines that backtraces name.
pub(crate) const QUICK: [&str; 7] = [
    "--release",
    "--config=profile.release.incremental=true",
    "--config=profile.release.lto=false",
    "--config=profile.release.codegen-units=16",
    "--config=profile.release.panic=\"abort\"",
    "--config=profile.release.debug=\"line-tables-only\"",
    "--config=profile.release.strip=\"none\"",
];

/// Arguments by which cargo makes what is small and quick to instantiate, whatever a project's own profile says.
pub(crate) const RELEASE: [&str; 5] = [
    "--release",
    "--config=profile.release.lto=true",
    "--config=profile.release.codegen-units=1",
    "--config=profile.release.panic=\"abort\"",
    "--config=profile.release.strip=\"debuginfo\"",
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
    // Where a plugin is at work, backtraces lead to its sources.
    let sources = (!arguments.contains(&QUICK[1])).then_some(directory);
    cargo.arg(format!("--config=target.{TARGET}.rustflags={}", path_remapping::list(&path_remapping::flags(sources))));
    let output =
        cargo.stdin(Stdio::null()).output().map_err(|error| Error::Start { program: "cargo".to_owned(), error })?;

    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut messages: Vec<_> = lines.iter().filter_map(rendered_message).collect();
    // What stops cargo before any compiler runs, such as a bad manifest, is on standard error alone.
    if !output.status.success() && messages.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let hint = remedy(&said).map(|hint| format!("hint: {hint}\n"));
        messages.extend([said].into_iter().chain(hint));
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

/// The SDK has random numbers for getrandom, which asks for them where it is told so.
const ENTROPY: &str = "--cfg getrandom_backend=\"custom\"";

impl Toolchain {
    /// A cargo that compiles guests. What an outer cargo or rustup left in the environment would lead
    /// it to another compiler, so that is taken out.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        for name in ["CARGO", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            command.env_remove(name);
        }
        let name = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
        let flags = std::env::var(name).unwrap_or_default();
        command.env(name, format!("{flags} {ENTROPY}").trim());
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
