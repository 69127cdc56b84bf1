//! Finds the projects at a path, for commands that build them.

use std::collections::BTreeMap;
use std::path::Path;

use sandbus_toolchain::{Discovery, Error, SkippedDirectory, UnitResult};

use crate::console;

/// Finds the projects at a path, and prints which ones are skipped or broken.
///
/// # Errors
/// If there is no usable project.
pub(crate) fn find(path: &Path) -> Result<Discovery, Error> {
    let mut found = Discovery::of(path)?;
    describe_skipped(&found.skipped).iter().for_each(|line| console::print_status(line));
    if found.projects.is_empty() {
        let broken = (!found.broken.is_empty()).then(|| found.broken.remove(0));
        return Err(broken.unwrap_or_else(|| Error::NoProject { path: path.to_owned() }));
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

/// The skipped paths, in a line for each reason.
pub(crate) fn describe_skipped(skipped: &[SkippedDirectory]) -> Vec<String> {
    /// The largest number of paths in a line.
    const MAX_PATHS: usize = 8;
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for skipped in skipped {
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
    match path.strip_prefix(here) {
        Ok(within) if within == Path::new("") => ".".to_owned(),
        Ok(within) => within.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

/// Joins names with commas.
pub(crate) fn join_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_directories_have_a_line_for_each_reason() {
        let skipped = |path: &str, reason: &str| SkippedDirectory { path: path.into(), reason: reason.to_owned() };
        let mut all = vec![skipped("/a", "hidden"), skipped("/b", "no main"), skipped("/c", "hidden")];
        assert_eq!(describe_skipped(&all), ["skipped /a, /c: hidden", "skipped /b: no main"]);
        all = (0..10).map(|number| skipped(&format!("/{number}"), "hidden")).collect();
        assert_eq!(describe_skipped(&all), ["skipped /0, /1, /2, /3, /4, /5, /6, /7 and 2 more: hidden"]);
    }
}
