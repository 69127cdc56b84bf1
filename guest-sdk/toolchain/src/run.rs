//! Runs programs, and describes their failures.

mod time_limit;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Error;

/// Runs a command to its end.
pub(crate) fn outcome(command: &mut Command) -> Result<Output, Error> {
    command.output().map_err(|error| Error::Start { program: program(command), error })
}

/// Runs a command to its end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = outcome(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed { command: line(command), output: last_lines(&String::from_utf8_lossy(&output.stderr), 12) })
}

/// Runs a command without input. None if it did not end within a time; it is killed then.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> Result<Option<Output>, Error> {
    time_limit::output_within(command, limit).map_err(|error| Error::Start { program: program(command), error })
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
