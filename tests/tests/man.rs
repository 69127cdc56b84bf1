//! The man pages, checked by the programs that show them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sandbus_tests::binary;

fn pages(directory: &Path) -> Vec<PathBuf> {
    let output = Command::new(binary()).args(["man", "--dir"]).arg(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut pages: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

/// The standard error of a program, if it is installed.
fn complaints(program: &str, arguments: &[&str], pages: &[PathBuf]) -> Option<String> {
    let output = Command::new(program).args(arguments).args(pages).stdout(Stdio::piped()).output().ok()?;
    Some(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        if program == "mandoc" { String::from_utf8_lossy(&output.stdout) } else { "".into() }
    ))
}

#[test]
fn every_command_has_a_page() {
    let home = tempfile::tempdir().unwrap();
    let pages = pages(&home.path().join("man1"));
    let names: Vec<_> = pages.iter().map(|page| page.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    for name in ["sandbus", "sandbus-serve", "sandbus-plugins", "sandbus-plugins-show", "sandbus-dead-letters-redrive"]
    {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    assert!(
        !names.iter().any(|name| name.contains("help") || name.contains("compact") && name != "sandbus-events-compact"),
        "{names:?}"
    );
    for page in &pages {
        let (name, text) = (page.file_stem().unwrap().to_string_lossy(), std::fs::read_to_string(page).unwrap());
        let title = text.lines().find(|line| line.starts_with(".TH ")).unwrap_or_default();
        assert!(title.contains(&*name) && title.contains("sandbus 0."), "{name}: {title}");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(text.lines().any(|line| line == section), "{name} has no {section}");
        }
    }
    let serve = std::fs::read_to_string(home.path().join("man1/sandbus-serve.1")).unwrap();
    assert!(serve.contains("SANDBUS_PLUGINS"), "{serve}");
}

#[test]
fn the_pages_are_well_formed() {
    let home = tempfile::tempdir().unwrap();
    let pages = pages(home.path());
    if let Some(complaints) = complaints("groff", &["-man", "-ww", "-Tutf8"], &pages) {
        assert_eq!(complaints, "");
    }
    if let Some(complaints) = complaints("mandoc", &["-T", "lint", "-W", "error"], &pages) {
        assert_eq!(complaints, "");
    }
}

#[test]
fn one_page_is_printed() {
    let output = Command::new(binary()).arg("man").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains(".TH sandbus 1") && text.contains(".SH SUBCOMMANDS"), "{text}");
}
