//! Compiled dependencies for new crates. The SDK and its dependencies are compiled once for each version of SDK and
//! compiler, and copied into the target directory of a crate that was never built. Otherwise a crate's first build
//! would take half a minute instead of a second.
//!
//! Cargo's file names contain a hash of all inputs, so cargo uses only files that match. It identifies crates of a
//! registry by their version, and the vendored SDK by the modification times of its files. The compiled SDK is
//! therefore copied only if the vendored files are identical to the bundled ones.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::cargo::{QUICK, build_with_steps};
use crate::error::at;
use crate::files::write_file;
use crate::template::crate_manifest;
use crate::toolchain::Toolchain;
use crate::{Error, bundled, cache, path_remapping, run};

/// The names of the prepared directories in the user's cache directory.
const PREFIX: &str = "rust-sdk-";

/// How many of them are kept. Each takes some 200 MB.
const MOST: usize = 2;

/// The path of the SDK in the workspace of a new plugin.
pub(crate) const SDK: &str = "vendor/sandbus-sdk";

/// The crate that is built to compile the dependencies. Its own files are left out.
const CRATE: &str = "sandbus-prebuilt";

/// Creates the target directory of a workspace with compiled dependencies. Does nothing if the directory exists, or if
/// the SDK is not where `sandbus new` puts it.
///
/// # Errors
/// If the dependencies cannot be compiled or copied. Cargo then compiles them.
pub(crate) fn install(
    toolchain: &Toolchain,
    workspace: &Path,
    target: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    if target.exists() || !workspace.join(SDK).join("Cargo.toml").is_file() {
        return Ok(());
    }
    let home = ensure(toolchain, say)?;
    lock(&home, workspace)?;
    let with_sdk = bundled::is_rust_sdk(&workspace.join(SDK));
    let partial = target.with_extension("partial");
    let copied =
        copy(&home.join("target"), &partial, with_sdk).and_then(|()| fs::rename(&partial, target).map_err(at(target)));
    if copied.is_err() {
        drop(fs::remove_dir_all(&partial));
    }
    copied
}

/// Compiles the dependencies of a new project, unless they are compiled.
fn ensure(toolchain: &Toolchain, say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    let name = format!("{PREFIX}{:016x}", key(toolchain)?);
    let mut is_new = false;
    let home = cache::once(&name, |home| {
        is_new = true;
        // An interrupted set-up may have left files.
        let (project, target) = (home.join("project"), home.join("target"));
        for leftover in [&project, &target].into_iter().filter(|path| path.exists()) {
            fs::remove_dir_all(leftover).map_err(at(leftover))?;
        }
        bundled::write_rust_sdk(&project.join(SDK))?;
        write_file(&project.join("Cargo.toml"), &manifest())?;
        write_file(&project.join("src/lib.rs"), "use sandbus_sdk as _;\nuse serde as _;\nuse serde_json as _;\n")?;
        let directory = target.to_string_lossy();
        let arguments: Vec<_> = QUICK.into_iter().chain(["--target-dir", &directory]).collect();
        let step = &mut |step: &str| say(&format!("preparing the Rust SDK (once for each version): {step}"));
        let report = build_with_steps(toolchain, &project, &arguments, false, step)?;
        match report.succeeded {
            true => Ok(()),
            false => Err(Error::Failed { command: "cargo build".to_owned(), output: report.messages.join("\n") }),
        }
    })?;
    // Records the time of use for `prune`.
    drop(File::open(home.join("complete")).and_then(|stamp| stamp.set_modified(now())));
    if is_new {
        prune(&cache::directory()?);
    }
    Ok(home)
}

/// The manifest of a new project, with another name.
fn manifest() -> String {
    crate_manifest(CRATE, SDK)
}

/// A hash of all that determines the result.
fn key(toolchain: &Toolchain) -> Result<u64, Error> {
    let mut hasher = DefaultHasher::new();
    let version = |program: &mut Command| run::output(program.arg("-vV"));
    let (cargo, rustc) = (version(&mut toolchain.cargo())?, version(&mut toolchain.rustc())?);
    let flags = path_remapping::flags(None);
    (bundled::rust_sdk_files()?, manifest(), QUICK, cargo, rustc, flags).hash(&mut hasher);
    Ok(hasher.finish())
}

/// Removes the prepared directories that have not been used for the longest time.
fn prune(caches: &Path) {
    let entries = fs::read_dir(caches).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let used = |path: PathBuf| Some((fs::metadata(path.join("complete")).ok()?.modified().ok()?, path));
    let mut ours: Vec<_> = ours.filter_map(|entry| used(entry.path())).collect();
    ours.sort();
    let more = ours.len().saturating_sub(MOST);
    ours.into_iter().take(more).for_each(|(_, path)| drop(fs::remove_dir_all(path)));
}

/// Writes a lock file with the tested versions, unless the project has one. Cargo adjusts it to the project.
fn lock(home: &Path, workspace: &Path) -> Result<(), Error> {
    let path = workspace.join("Cargo.lock");
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    if path.exists() {
        return Ok(());
    }
    let prepared = home.join("project/Cargo.lock");
    let text = fs::read_to_string(&prepared).map_err(at(&prepared))?;
    let own = format!("name = \"{CRATE}\"");
    let text = match name {
        Some(name) => text.replace(&own, &format!("name = \"{name}\"")),
        // The root of a workspace without a package: cargo adds the members.
        None => text.split("\n\n").filter(|package| !package.contains(&own)).collect::<Vec<_>>().join("\n\n"),
    };
    write_file(&path, &text)
}

/// Copies a target directory. Large files are hard-linked; cargo replaces them and never writes into them. Fingerprints
/// get the current time, because cargo rebuilds a crate whose sources are newer than its fingerprint.
fn copy(from: &Path, to: &Path, with_sdk: bool) -> Result<(), Error> {
    const LARGE_BYTES: u64 = 64 << 10;
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let (target, name) = (to.join(&name), name.to_string_lossy().replace('_', "-"));
        let is_of = |crate_name: &str| name.contains(crate_name);
        if is_of(CRATE) || !with_sdk && is_of("sandbus-sdk") || name == "incremental" || name == ".cargo-lock" {
            continue;
        }
        let metadata = entry.metadata().map_err(at(&path))?;
        if metadata.is_dir() {
            copy(&path, &target, with_sdk)?;
            continue;
        }
        // Links are impossible between file systems.
        if metadata.len() < LARGE_BYTES || fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(at(&target))?;
            let is_record = path
                .parent()
                .is_some_and(|parent| parent.parent().is_some_and(|above| above.ends_with(".fingerprint")));
            let time = if is_record { now() } else { metadata.modified().map_err(at(&path))? };
            File::options().write(true).open(&target).and_then(|file| file.set_modified(time)).map_err(at(&target))?;
        }
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "modification times follow the system's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prepared_crate_depends_on_what_a_new_one_does() {
        let manifest: toml::Table = manifest().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(CRATE));
        let dependencies: Vec<_> = manifest["dependencies"].as_table().unwrap().keys().collect();
        assert_eq!(dependencies, ["sandbus-sdk", "serde", "serde_json"]);
        assert!(manifest.contains_key("workspace"), "it stands by itself, as a new project does");
    }

    #[test]
    fn a_lock_file_is_given_to_crates_without_one() {
        let home = tempfile::tempdir().unwrap();
        let (prepared, workspace) = (home.path().join("prepared"), home.path().join("shop"));
        let text = format!("version = 4\n\n[[package]]\nname = \"{CRATE}\"\nversion = \"0.1.0\"\n");
        write_file(&prepared.join("project/Cargo.lock"), &text).unwrap();
        write_file(&workspace.join("Cargo.toml"), "[package]\nname = \"shop\"\n").unwrap();
        let lock = || {
            lock(&prepared, &workspace).unwrap();
            fs::read_to_string(workspace.join("Cargo.lock")).unwrap()
        };
        assert!(lock().contains("name = \"shop\""));
        fs::write(workspace.join("Cargo.lock"), "own").unwrap();
        assert_eq!(lock(), "own");
        fs::remove_file(workspace.join("Cargo.lock")).unwrap();
        fs::write(workspace.join("Cargo.toml"), "[workspace]\n").unwrap();
        assert!(!lock().contains("[[package]]"));
    }

    #[test]
    fn records_are_new_and_files_of_the_sdk_are_copied_if_they_fit() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        let files = [
            "release/.fingerprint/serde-1/lib-serde",
            "release/.fingerprint/sandbus-sdk-1/lib-sandbus_sdk",
            "release/deps/libserde-1.rlib",
            "release/deps/libsandbus_sdk-1.rlib",
            "release/deps/libsandbus_prebuilt.rlib",
            "release/incremental/x",
            "release/.cargo-lock",
        ];
        let old = now() - std::time::Duration::from_hours(1);
        for file in files {
            write_file(&from.join(file), &"x".repeat(100 << 10)).unwrap();
            File::options().write(true).open(from.join(file)).unwrap().set_modified(old).unwrap();
        }
        write_file(&from.join(files[0]), "small").unwrap();
        File::options().write(true).open(from.join(files[0])).unwrap().set_modified(old).unwrap();
        copy(&from, &to, false).unwrap();
        let there = |to: &Path| files.map(|file| to.join(file).exists());
        assert_eq!(there(&to), [true, false, true, false, false, false, false]);
        let modified = |file: &str| fs::metadata(to.join(file)).unwrap().modified().unwrap();
        assert!(modified(files[0]) > old);
        assert_eq!(modified(files[2]), old);
        let again = home.path().join("again");
        copy(&from, &again, true).unwrap();
        assert_eq!(there(&again), [true, true, true, true, false, false, false]);
    }

    #[test]
    fn the_least_recently_used_ones_are_removed() {
        let caches = tempfile::tempdir().unwrap();
        for (name, age) in [("a", 3), ("b", 1), ("c", 2)] {
            let stamp = caches.path().join(format!("{PREFIX}{name}/complete"));
            write_file(&stamp, "").unwrap();
            File::options()
                .write(true)
                .open(&stamp)
                .unwrap()
                .set_modified(now() - std::time::Duration::from_hours(age))
                .unwrap();
        }
        write_file(&caches.path().join("js-1/complete"), "").unwrap();
        prune(caches.path());
        let left = |name: &str| caches.path().join(name).exists();
        assert!(!left("rust-sdk-a") && left("rust-sdk-b") && left("rust-sdk-c") && left("js-1"));
    }
}
