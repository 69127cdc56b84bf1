//! What the macros say of mistakes: each message points to the user's own line.

use std::process::Command;

/// Compilers word their own part of a message differently from release to release.
const WRITTEN_FOR: &str = "rustc 1.95.";

#[test]
fn mistakes_are_explained_where_they_stand() {
    let version = Command::new("rustc").arg("--version").output().unwrap().stdout;
    if String::from_utf8_lossy(&version).starts_with(WRITTEN_FOR) {
        trybuild::TestCases::new().compile_fail("tests/errors/*.rs");
    }
}
