//! Other people's SDKs, used as their authors intend: CloudEvents as producers and receivers, Standard Webhooks and
//! Svix as verifiers. `cargo xtask test` installs them; the programs are in `tests/sdks`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbus_tests::{Setup, binary};
use serde_json::Value;

/// The directory in which the SDKs are installed.
fn installed() -> PathBuf {
    let beside = || binary().with_file_name("../sdks");
    let directory = std::env::var_os("SANDBUS_TEST_SDKS").map_or_else(beside, PathBuf::from);
    assert!(directory.join("installed").is_file(), "{} has no SDKs; run `cargo xtask test`", directory.display());
    directory.canonicalize().unwrap()
}

/// Runs a program against a host, and returns the number of passed cases per SDK.
fn run(interpreter: &str, program: &str) -> BTreeMap<String, usize> {
    let host = Setup::new().start();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks").join(program);
    let mut command = Command::new(interpreter);
    command.arg(&program).args([host.url(""), host.admin_url("")]).arg(installed());
    let output = command.output().unwrap_or_else(|error| panic!("{interpreter}: {error}"));
    let (said, complaint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} ended with {}:\n{complaint}", program.display(), output.status);
    let (mut passed, mut failed) = (BTreeMap::new(), Vec::new());
    for line in said.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let sdk = case["sdk"].as_str().unwrap().to_owned();
        match case["failure"].as_str() {
            None => *passed.entry(sdk).or_default() += 1,
            Some(failure) => failed.push(format!("{sdk}: {}: {failure}", case["name"])),
        }
    }
    println!("passed: {passed:?}");
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), said.lines().count(), failed.join("\n"));
    passed
}

/// Every case of each SDK has run.
fn counts(passed: &BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    passed.iter().map(|(sdk, count)| (sdk.as_str(), *count)).collect()
}

#[test]
fn the_javascript_sdks_work_with_the_host() {
    let passed = run("node", "interop.mjs");
    assert_eq!(counts(&passed), [("cloudevents (npm)", 73), ("standardwebhooks (npm)", 6), ("svix (npm)", 6)]);
}

#[test]
fn the_python_sdks_work_with_the_host() {
    let passed = run("python3", "interop.py");
    assert_eq!(counts(&passed), [("cloudevents (PyPI)", 70), ("standardwebhooks (PyPI)", 6), ("svix (PyPI)", 6)]);
}
