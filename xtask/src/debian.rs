//! Installs packages of Debian that tests need.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::steps::{run, step};

/// Installs a package. `otherwise` says what to do if that is not possible.
pub(crate) fn install(package: &str, otherwise: &str) -> anyhow::Result<()> {
    step(&format!("installing {package}"), || {
        for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", package]] {
            run(Command::new("apt-get").arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
                .with_context(|| format!("{package} cannot be installed; {otherwise}"))?;
        }
        Ok(())
    })
}

/// Installs `PostgreSQL`, unless it is there. Tests start servers of their own.
pub(crate) fn ensure_postgres() -> anyhow::Result<()> {
    let is_there = Path::new("/usr/lib/postgresql").exists() || run(Command::new("postgres").arg("--version")).is_ok();
    if is_there { Ok(()) } else { install("postgresql", "install PostgreSQL 14 or newer, with its programs in PATH") }
}
