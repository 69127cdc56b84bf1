//! Finds the projects at a path, for commands that build them.

mod source_paths;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use sandbus_toolchain::{Discovery, Error, SkippedDirectory, UnitResult};

pub(crate) use self::source_paths::{SourceIndex, SourcePaths};
use crate::console;

/// Finds the projects at a path, and prints which ones are skipped or broken. Expected omissions are printed if it is
/// verbose, or if nothing is found.
///
/// # Errors
/// If there is no usable project.
pub(crate) fn find(path: &Path, verbose: bool) -> Result<Discovery, Error> {
    let mut found = Discovery::of(path)?;
    describe_skipped(&found.skipped, verbose || found.projects.is_empty())
        .iter()
        .for_each(|line| console::print_status(line));
    if found.projects.is_empty() {
        let broken = (!found.broken.is_empty()).then(|| found.broken.remove(0));
        return Err(broken.unwrap_or_else(|| Error::no_project(path)));
    }
    found.broken.iter().for_each(|error| console::print_problem(&error.to_string()));
    Ok(found)
}

/// Prints what compilers reported about a unit, or why its build could not be started.
pub(crate) fn print_messages(unit: &UnitResult) {
    match &unit.report {
        Ok(report) => report.messages.iter().for_each(|message| console::print_compiler_message(message)),
        Err(_) => unit.error().iter().for_each(|error| console::print_problem(error)),
    }
}

/// The skipped paths, in a line for each reason. Expected omissions are omitted unless it is verbose.
pub(crate) fn describe_skipped(skipped: &[SkippedDirectory], verbose: bool) -> Vec<String> {
    /// The largest number of paths in a line.
    const MAX_PATHS: usize = 8;
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for skipped in skipped.iter().filter(|skipped| verbose || !skipped.is_expected()) {
        reasons.entry(&skipped.reason).or_default().push(display_path(&skipped.path));
    }
    let line = |(reason, paths): (&str, Vec<String>)| {
        let more = paths.len().saturating_sub(MAX_PATHS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("skipped {}{more}: {reason}", paths[..paths.len().min(MAX_PATHS)].join(", "))
    };
    reasons.into_iter().map(line).collect()
}

/// A path relative to the working directory if it is below it.
pub(crate) fn display_path(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    display_path_from(&here, path)
}

fn display_path_from(here: &Path, path: &Path) -> String {
    let within = path.strip_prefix(here).unwrap_or(path);
    match within.strip_prefix(".").unwrap_or(within) {
        here if here == Path::new("") => ".".to_owned(),
        within => within.display().to_string(),
    }
}

/// Runs a closure that blocks. Gives a notice if it takes long.
pub(crate) fn run_with_notice<T: Send>(work: impl FnOnce() -> T + Send, notice: impl FnOnce()) -> T {
    const PATIENCE: Duration = Duration::from_secs(1);
    std::thread::scope(|scope| {
        let (running, ended) = mpsc::channel::<()>();
        let worker = scope.spawn(move || {
            let result = work();
            drop(running);
            result
        });
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            notice();
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Joins names with commas.
pub(crate) fn join_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_working_directory() {
        for (path, shown) in [
            ("/home/ada/shop/tests/a.toml", "tests/a.toml"),
            ("./tests/a.toml", "tests/a.toml"),
            ("tests/a.toml", "tests/a.toml"),
            ("../other/a.toml", "../other/a.toml"),
            ("/home/ada/shopping/a.toml", "/home/ada/shopping/a.toml"),
            ("/home/ada/shop", "."),
            (".", "."),
        ] {
            assert_eq!(display_path_from(Path::new("/home/ada/shop"), Path::new(path)), shown);
        }
    }

    #[test]
    fn skipped_directories_have_a_line_for_each_reason() {
        let skipped = |path: &str, reason: &str| SkippedDirectory { path: path.into(), reason: reason.to_owned() };
        let mut all = vec![skipped("/a", "hidden"), skipped("/b", "no main"), skipped("/c", "hidden")];
        assert_eq!(describe_skipped(&all, false), ["skipped /a, /c: hidden", "skipped /b: no main"]);
        for reason in
            ["installed or built by tools", "the root of a workspace", "a workspace without a package of its own"]
        {
            let expected = [skipped("/d", reason)];
            assert_eq!(describe_skipped(&expected, false), [""; 0], "{reason}");
            assert_eq!(describe_skipped(&expected, true), [format!("skipped /d: {reason}")]);
        }
        all = (0..10).map(|number| skipped(&format!("/{number}"), "hidden")).collect();
        assert_eq!(describe_skipped(&all, false), ["skipped /0, /1, /2, /3, /4, /5, /6, /7 and 2 more: hidden"]);
    }
}
