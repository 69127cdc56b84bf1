//! Runs commands against a host.

use std::process::Output;

use crate::Host;

/// What a command printed: its output, and then its errors.
#[must_use]
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a command that must succeed, and returns what it printed.
#[must_use]
pub fn run(host: &Host, arguments: &[&str]) -> String {
    expect_code(host, 0, arguments)
}

/// Runs a command that must end with an exit code, and returns what it printed.
#[must_use]
pub fn expect_code(host: &Host, code: i32, arguments: &[&str]) -> String {
    let output = host.cli(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}
