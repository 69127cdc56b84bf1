//! The guest compiler as rustup provides it.

use std::path::Path;
use std::process::Command;

use super::{Kind, TARGET, Toolchain};
use crate::{Error, run};

/// Adds the target to the toolchain in use, unless it is there.
pub(super) fn ensure(say: &mut dyn FnMut(&str)) -> Result<Toolchain, Error> {
    if !is_installed()? {
        say("adding the target wasm32-unknown-unknown by rustup");
        run::output(Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    Ok(Toolchain { kind: Kind::Default })
}

/// Whether the toolchain in use has the target's standard library.
pub(super) fn is_installed() -> Result<bool, Error> {
    let libdir = run::output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(Path::new(libdir.trim()).is_dir())
}
