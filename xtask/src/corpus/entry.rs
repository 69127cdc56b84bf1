//! The part of `tests/corpus/components.json` that says how to build a component.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

use crate::steps::root;

/// A component of the list.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub name: String,
    pub registry: Registry,
    pub package: String,
    pub version: String,
    pub source: Source,
    pub in_ci: bool,
}

/// Where a package is published.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Registry {
    #[serde(rename = "crates.io")]
    Crates,
    #[serde(rename = "npm")]
    Npm,
    #[serde(rename = "PyPI")]
    PyPi,
}

/// What a package contains: an example that its own build knows, or a program in its documentation.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Source {
    Example {
        example: String,
        #[serde(default)]
        features: Vec<String>,
        world: Option<String>,
    },
    Program(Program),
}

/// A program in the documentation of a package: a block of code in its README, or in a comment of its source.
#[derive(Debug, Deserialize)]
pub(super) struct Program {
    /// The file in the package.
    pub file: String,
    /// The beginning of the program's first line. It selects the block.
    pub starts_with: String,
    /// What stands before the code of a snippet, such as the head of a handler, and after it.
    #[serde(default)]
    pub before: String,
    #[serde(default)]
    pub after: String,
    /// The features of the crate that the program needs, instead of its default ones.
    pub features: Option<Vec<String>>,
    /// The other packages that the program needs, with their exact versions.
    #[serde(default)]
    pub dependencies: BTreeMap<String, String>,
    /// The directory with the interfaces of a component in JavaScript, in `node_modules`. By default, jco's own are
    /// used.
    pub wit: Option<String>,
    /// The world of a component that is not written in Rust.
    pub world: Option<String>,
}

impl Program {
    pub(super) fn world(&self) -> anyhow::Result<&str> {
        self.world.as_deref().context("the entry lacks its world")
    }
}

/// Reads the list.
pub(super) fn read() -> anyhow::Result<Vec<Entry>> {
    let path = root().join("tests/corpus/components.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is invalid", path.display()))
}
