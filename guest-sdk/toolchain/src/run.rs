//! Running a program and turning its failure into an error that says enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Runs a command to its end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command
        .output()
        .map_err(|error| Error::Start { program: command.get_program().to_string_lossy().into_owned(), error })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed { command: line(command), output: last_lines(&String::from_utf8_lossy(&output.stderr), 12) })
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

/// Adds the path to an error about a file.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = PathBuf::from(path);
    move |error| Error::File { path, error }
}
