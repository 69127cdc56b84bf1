//! Embeds the SDKs, the contract and the project templates into the binary. The binary can then create
//! projects without downloading an SDK, and the versions of SDK and host always match.

#![allow(clippy::print_stdout, reason = "cargo reads a build script's standard output")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The trees, by the names of the statics that they become.
const TREES: [(&str, &str); 7] = [
    ("CONTRACT", "../../wit"),
    ("JAVASCRIPT", "../js"),
    ("PYTHON", "../python"),
    ("GO", "../go"),
    ("RUST_SDK", "../sdk"),
    ("RUST_MACROS", "../macros"),
    ("TEMPLATES", "../templates"),
];

/// Names in a tree that are not embedded.
const LEFT_OUT: [&str; 6] = ["tests", "test", "node_modules", "__pycache__", "target", "package-lock.json"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let mut source = String::new();
    for (name, tree) in TREES {
        let root = here.join(tree);
        writeln!(source, "pub(crate) static {name}: Tree = &[")?;
        // Tests are left out of the SDKs, and belong to the templates.
        list(&root, "", name == "TEMPLATES", &mut source)?;
        writeln!(source, "];")?;
    }
    Ok(std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("trees.rs"), source)?)
}

/// Whether a file or directory is not embedded.
fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name) || name.ends_with("_test.go")
}

fn list(directory: &Path, prefix: &str, all: bool, source: &mut String) -> Result<(), Box<dyn Error>> {
    let mut entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || (!all && is_left_out(&name)) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            list(&path, &format!("{prefix}{name}/"), all, source)?;
        } else {
            // Directories are not watched, because files that tests leave there would cause rebuilds. A new file is
            // noticed through the change of a file that refers to it.
            println!("cargo::rerun-if-changed={}", path.display());
            writeln!(source, "    (\"{prefix}{name}\", include_str!({path:?})),")?;
        }
    }
    Ok(())
}
