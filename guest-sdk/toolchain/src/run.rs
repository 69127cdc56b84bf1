//! Runs programs, and describes their failures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::build::{ArtifactForm, BuildReport};
use crate::build_cache::BuildCache;
use crate::project::Project;
use crate::time_limit::output_within;

/// How long a tool may take to make a component. It runs the plugin's modules.
const TOOL_TIME: Duration = Duration::from_mins(5);

/// Runs a command to its end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|error| Error::Start { program: program(command), error })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed { command: line(command), output: last_lines(&String::from_utf8_lossy(&output.stderr), 12) })
}

/// Runs a tool that builds a project's component. The tool's messages are in the report.
pub(crate) fn tool(command: &mut Command, project: &Project, build_cache: &BuildCache) -> Result<BuildReport, Error> {
    let output = output_within(command, TOOL_TIME);
    let Some(output) = output.map_err(|error| Error::Start { program: program(command), error })? else {
        return Ok(BuildReport::failed(format!(
            "making the component of {} took more than {} minutes and was stopped; code that runs when the modules \
             are loaded may never end, such as a loop outside of handlers",
            project.name,
            TOOL_TIME.as_secs() / 60
        )));
    };
    let mut report = BuildReport::made(project.artifact(build_cache.component().to_owned(), ArtifactForm::Component));
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    report.messages = said.into_iter().filter(|text| !text.is_empty()).collect();
    if output.status.success() {
        build_cache.mark_current()?;
    } else {
        report.artifacts.clear();
        report.succeeded = false;
    }
    Ok(report)
}

/// Runs a tool that prints JSON. Returns the value with the tool's messages; if the tool fails, its messages are the
/// inner error.
pub(crate) fn json(command: &mut Command) -> Result<Result<(Value, Option<String>), String>, Error> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::Start { program: program(command), error })?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Ok(Err(said));
    }
    let value = serde_json::from_slice(&output.stdout).map_err(|error| Error::Failed {
        command: line(command),
        output: format!("its output is not JSON: {error}"),
    })?;
    Ok(Ok((value, Some(said).filter(|said| !said.is_empty()))))
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Reads a regular file. Reading a pipe would block.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file; put a file there, or remove it"));
    }
    std::fs::read(path)
}

/// Like [`read`]. None if the file does not exist.
pub(crate) fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
