//! Builds guests with cargo, and finds the resulting files.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::remedy::remedy;
use crate::artifact::{Artifact, ArtifactForm};
use crate::build_report::BuildReport;
use crate::toolchain::{TARGET, Toolchain};
use crate::{Error, path_remapping};

/// Arguments for a fast build instead of fast code, with line tables for backtraces.
pub(crate) const QUICK: [&str; 9] = [
    "--release",
    "--config=profile.release.incremental=true",
    "--config=profile.release.lto=false",
    "--config=profile.release.codegen-units=16",
    "--config=profile.release.panic=\"abort\"",
    "--config=profile.release.debug=\"line-tables-only\"",
    "--config=profile.release.strip=\"none\"",
    // Halves the time to compile a handler after each save. Dependencies are compiled once, so they are optimized.
    "--config=profile.release.opt-level=0",
    "--config=profile.release.package.\"*\".opt-level=3",
];

/// Arguments for components that are small and quick to instantiate. They override the project's own profile.
pub(crate) const RELEASE: [&str; 5] = [
    "--release",
    "--config=profile.release.lto=true",
    "--config=profile.release.codegen-units=1",
    "--config=profile.release.panic=\"abort\"",
    "--config=profile.release.strip=\"debuginfo\"",
];

/// Builds guests with the given cargo arguments (`-p NAME`, `--profile NAME`, …) in a directory.
/// Compiler errors are part of the report, and not errors of this function.
///
/// # Errors
/// If cargo cannot be started.
pub fn build(toolchain: &Toolchain, directory: &Path, arguments: &[&str], colour: bool) -> Result<BuildReport, Error> {
    build_with_steps(toolchain, directory, arguments, colour, &mut |_| {})
}

/// Like [`build`]. `step` receives a description of each step of cargo.
pub(crate) fn build_with_steps(
    toolchain: &Toolchain,
    directory: &Path,
    arguments: &[&str],
    colour: bool,
    step: &mut dyn FnMut(&str),
) -> Result<BuildReport, Error> {
    let format = if colour { "--message-format=json-diagnostic-rendered-ansi" } else { "--message-format=json" };
    let mut cargo = toolchain.cargo();
    cargo.current_dir(directory).args(["build", "--target", TARGET, format]).args(arguments);
    // Quick builds keep the project's path, so that an author can find the files that a backtrace names.
    let sources = (!arguments.contains(&QUICK[1])).then_some(directory);
    cargo.arg(format!("--config=target.{TARGET}.rustflags={}", path_remapping::list(&path_remapping::flags(sources))));
    let Output { succeeded, stdout, stderr } = run_with_steps(&mut cargo, step)?;
    let lines: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut messages: Vec<_> = lines.iter().filter_map(rendered_message).collect();
    // Errors before any compiler runs, such as a malformed manifest, appear only on standard error.
    if !succeeded && messages.is_empty() {
        let hint = remedy(&stderr).map(|hint| format!("hint: {hint}\n"));
        messages.extend([stderr].into_iter().chain(hint));
    }
    Ok(BuildReport { artifacts: lines.iter().flat_map(artifacts).collect(), messages, succeeded })
}

/// What cargo has printed.
struct Output {
    succeeded: bool,
    stdout: String,
    /// Without the lines that announce cargo's steps.
    stderr: String,
}

fn run_with_steps(cargo: &mut Command, step: &mut dyn FnMut(&str)) -> Result<Output, Error> {
    let start = |error| Error::Start { program: "cargo".to_owned(), error };
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("CARGO_TERM_COLOR", "never");
    let mut child = cargo.spawn().map_err(start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.map(|mut stdout| stdout.read_to_end(&mut bytes));
            read.transpose().map(|_| String::from_utf8_lossy(&bytes).into_owned())
        });
        let mut rest = String::new();
        for line in stderr.map(BufReader::new).into_iter().flat_map(|stderr| stderr.split(b'\n')).map_while(Result::ok)
        {
            let line = String::from_utf8_lossy(&line);
            match step_of(&line) {
                Some(text) if text.starts_with("finished") => {}
                Some(text) => step(&text),
                None => rest.extend([&*line, "\n"]),
            }
        }
        (reader.join().unwrap_or_else(|_| Ok(String::new())), rest)
    });
    let (stdout, succeeded) = (stdout.map_err(start)?, child.wait().map_err(start)?.success());
    Ok(Output { succeeded, stdout, stderr })
}

/// The step that a line of cargo's output announces: a verb that ends at the twelfth column, and its object.
fn step_of(line: &str) -> Option<String> {
    const COLUMN: usize = 12;
    let (verb, what) = (line.get(..COLUMN)?, line.get(COLUMN..)?.strip_prefix(' ')?);
    let is_verb = verb.trim_start().len() > 3 && verb.trim_start().chars().all(char::is_alphabetic);
    // Drops the path of a local package.
    let what = what.split(" (/").next().unwrap_or(what);
    (is_verb && verb.trim_start().starts_with(char::is_uppercase))
        .then(|| format!("{} {what}", verb.trim().to_lowercase()))
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
        .map(|file| Artifact { name: name.to_owned(), path: PathBuf::from(file), form: ArtifactForm::Component })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_cargo_is_distinguished_from_its_warnings() {
        for (line, expected) in [
            ("   Compiling serde v1.0.228", Some("compiling serde v1.0.228")),
            ("   Compiling greeter v0.1.0 (/home/ada/greeter)", Some("compiling greeter v0.1.0")),
            (
                "    Blocking waiting for file lock on build directory",
                Some("blocking waiting for file lock on build directory"),
            ),
            (" Downloading crates ...", Some("downloading crates ...")),
            ("error: failed to parse manifest at `/Cargo.toml`", None),
            ("warning: unused variable", None),
            ("  --> Cargo.toml:3:1", None),
            ("Caused by:", None),
            ("  could not parse input as TOML", None),
            ("   |            ^^^^^^", None),
            ("", None),
        ] {
            assert_eq!(step_of(line).as_deref(), expected, "{line}");
        }
    }
}
