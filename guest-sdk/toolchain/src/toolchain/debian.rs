//! Installs the guest compiler from Debian's packages, for machines that cannot reach rustup's servers.
//!
//! The packages are downloaded and unpacked into the user's cache directory; nothing is installed system-wide, and no
//! privilege is needed. Debian ships the source of the standard library but no build for the target. So it is built
//! once, in an empty crate, and stored with the compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Kind, TARGET, Toolchain};
use crate::error::at;
use crate::{Error, cache, path_remapping, run};

/// The directory below the cache directory. Its number changes with the recipe below, so that an older result is not
/// reused.
const HOME: &str = "guest-toolchain-debian-3";

/// The unpacked packages, below that directory.
const USR: &str = "root/usr";

/// Only the compiler: Debian's cargo needs further libraries, and the user's cargo works.
const PACKAGES: [&str; 5] = ["rustc-web", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rust-web-src", "libllvm22"];

/// Sets up the compiler, unless it is complete.
pub(super) fn ensure(say: &mut dyn FnMut(&str)) -> Result<Toolchain, Error> {
    let linker = linker()?;
    let home = cache::once(HOME, |home| {
        download(home, &PACKAGES, say)?;
        unpack(home, &PACKAGES, say)?;
        build_standard_library(home, &home.join(USR), &linker, say)?;
        say("the guest compiler is ready");
        Ok(())
    })?;
    Ok(Toolchain { kind: Kind::Unpacked { usr: home.join(USR), linker } })
}

/// Programs of Debian's packages, unpacked into a directory of the user's cache. Returns the root of their files.
/// Nothing is installed, so the packages must not need others.
///
/// # Errors
/// If a package cannot be downloaded or unpacked.
pub fn packages(name: &str, packages: &[&str]) -> Result<PathBuf, Error> {
    let home = cache::once(name, |home| {
        download(home, packages, &mut |_| {})?;
        unpack(home, packages, &mut |_| {})
    })?;
    Ok(home.join("root"))
}

/// Debian's rustc expects the linker under a name that Debian does not ship.
fn linker() -> Result<PathBuf, Error> {
    let sysroot = run::output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    let bundled = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    if bundled.is_file() {
        return Ok(bundled);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("wasm-ld"))
        .find(|candidate| candidate.is_file())
        .ok_or(Error::NoLinker)
}

/// Downloads the packages with separate package lists, which needs no privilege.
fn download(home: &Path, names: &[&str], say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let packages = home.join("packages");
    fs::create_dir_all(&packages).map_err(at(&packages))?;
    let missing: Vec<_> = names.iter().filter(|name| package_file(&packages, name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say("reading Debian's package lists");
    run::output(apt(home)?.arg("update"))?;
    for name in missing {
        say(&format!("downloading Debian's package {name}"));
        run::output(apt(home)?.current_dir(&packages).args(["download", name]))?;
    }
    Ok(())
}

fn package_file(packages: &Path, name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}_");
    let entries = fs::read_dir(packages).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&prefix) && file.ends_with(".deb")
    })
}

/// `apt-get` with lists and cache below `home`. Where Debian's own sources have a separate file, only that file is
/// used, so that no other vendor's server is asked.
fn apt(home: &Path) -> Result<Command, Error> {
    let (lists, cache) = (home.join("apt/lists"), home.join("apt/cache"));
    for directory in [lists.join("partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&directory).map_err(at(&directory))?;
    }
    let mut command = Command::new("apt-get");
    command.arg("--quiet").arg("-oDebug::NoLocking=1").arg("-oAPT::Sandbox::User=root");
    command.arg(format!("-oDir::State::Lists={}", lists.display()));
    command.arg(format!("-oDir::Cache={}", cache.display()));
    let own = "/etc/apt/sources.list.d/debian.sources";
    if Path::new(own).is_file() {
        command.arg(format!("-oDir::Etc::SourceList={own}")).arg("-oDir::Etc::SourceParts=-");
    }
    Ok(command)
}

/// Unpacks into a temporary directory and renames it, so that an interruption leaves nothing half done.
fn unpack(home: &Path, names: &[&str], say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let (root, partial) = (home.join("root"), home.join("root.partial"));
    if root.is_dir() {
        return Ok(());
    }
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    say("unpacking the packages");
    for name in names {
        let file = package_file(&home.join("packages"), name).ok_or_else(|| Error::File {
            path: home.join("packages").join(name),
            error: std::io::ErrorKind::NotFound.into(),
        })?;
        run::output(Command::new("dpkg").arg("-x").arg(file).arg(&partial))?;
    }
    fs::rename(&partial, &root).map_err(at(&root))
}

/// Builds std for the target in an empty crate, and copies its rlibs to rustc's sysroot. Guests then build with plain
/// cargo.
fn build_standard_library(home: &Path, usr: &Path, linker: &Path, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let destination = usr.join("lib/rustlib").join(TARGET).join("lib");
    if destination.is_dir() {
        return Ok(());
    }
    say("building the standard library for wasm32-unknown-unknown (once, a minute or two)");
    let project = home.join("std");
    fs::create_dir_all(project.join("src")).map_err(at(&project))?;
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[profile.release]\npanic = \"abort\"\n";
    fs::write(project.join("Cargo.toml"), manifest).map_err(at(&project))?;
    fs::write(project.join("src/lib.rs"), "").map_err(at(&project))?;
    let toolchain = Toolchain { kind: Kind::Unpacked { usr: usr.to_owned(), linker: linker.to_owned() } };
    let mut cargo = toolchain.cargo();
    cargo.current_dir(&project).env("RUSTC_BOOTSTRAP", "1");
    // Guests are linked with link-time optimization, which needs the bitcode. Source paths are removed.
    let flags = ["-Cembed-bitcode=yes".to_owned(), path_remapping::flag(&usr.join("lib/rustlib/src/rust"), "/rustc")];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo.args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort", "--target-dir", "target"]);
    run::output(&mut cargo)?;

    let partial = home.join("std.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(at(&partial))?;
    let built = project.join("target").join(TARGET).join("release/deps");
    for entry in fs::read_dir(&built).map_err(at(&built))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".rlib") && !name.starts_with("libempty-") {
            fs::copy(entry.path(), partial.join(&*name)).map_err(at(&entry.path()))?;
        }
    }
    let parent = usr.join("lib/rustlib").join(TARGET);
    fs::create_dir_all(&parent).map_err(at(&parent))?;
    fs::rename(&partial, &destination).map_err(at(&destination))
}
