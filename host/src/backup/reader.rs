//! Reads and verifies an archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path};

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::manifest::{AnyManifest, DATA, FORMAT, Manifest, Member, NAME, PLUGINS, STORE};
use super::source::HashingReader;
use crate::bus;
use crate::files::{self, sealed};

/// The largest manifest.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// A part of an archive.
enum Part<'a> {
    Member { name: String, bytes: u64, content: &'a mut dyn Read },
    Manifest(Vec<u8>),
}

/// Reads the parts of an archive in order.
fn read_parts(file: &Path, mut take: impl FnMut(Part<'_>) -> Result<(), BackupError>) -> Result<(), BackupError> {
    let damaged =
        |error: io::Error| BackupError::unusable(file, format!("it is damaged, incomplete or not a backup ({error})"));
    let opened = File::open(file).map_err(BackupError::of(file))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 18, opened));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.to_str().unwrap_or_default().to_owned();
        if name == NAME {
            let mut bytes = Vec::new();
            entry.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes).map_err(damaged)?;
            take(Part::Manifest(bytes))?;
            continue;
        }
        if !entry.header().entry_type().is_file() || !is_member_name(&name) {
            return Err(BackupError::unusable(file, format!("no backup has the member `{name}`")));
        }
        let bytes = entry.size();
        take(Part::Member { name, bytes, content: &mut entry })?;
    }
    Ok(())
}

/// Whether a member can have a name: a path below `data` or `plugins` that leads nowhere else.
fn is_member_name(name: &str) -> bool {
    let path = Path::new(name);
    let is_below = [DATA, PLUGINS].iter().any(|directory| path.starts_with(directory)) && path.components().count() > 1;
    is_below && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Reads an archive, and compares each member with the manifest. `open` returns where to write the content of a member.
/// The manifest is at the end, so the written content is valid only if this function succeeds.
pub(super) fn read_verified<W: Write>(
    file: &Path,
    mut open: impl FnMut(&str) -> Result<W, BackupError>,
    mut close: impl FnMut(&str, W) -> Result<(), BackupError>,
) -> Result<Manifest, BackupError> {
    let unusable = |what: String| BackupError::unusable(file, what);
    let (mut found, mut manifest) = (Vec::new(), None);
    read_parts(file, |part| match part {
        _ if manifest.is_some() => Err(unusable("it continues after its manifest".to_owned())),
        Part::Manifest(sealed) => {
            manifest = Some(parse(file, &sealed)?);
            Ok(())
        }
        Part::Member { name, bytes, content } => {
            let mut content = HashingReader { inner: content, hasher: Sha256::new(), bytes: 0 };
            let mut output = open(&name)?;
            let failed = |error| BackupError::Member { member: name.clone(), error };
            let copied = io::copy(&mut content, &mut output).map_err(failed)?;
            if copied != bytes {
                return Err(unusable(format!("it ends in the middle of `{name}`, so it is incomplete")));
            }
            close(&name, output)?;
            found.push(Member { name, bytes, sha256: sealed::hex(&content.hasher.finalize()) });
            Ok(())
        }
    })?;
    let manifest: Manifest =
        manifest.ok_or_else(|| unusable("it has no manifest at its end, so it is incomplete".to_owned()))?;
    match difference(&manifest.members, &found) {
        Some(what) => Err(unusable(what)),
        None if !found.iter().any(|member| member.name == STORE) => Err(unusable("it has no store".to_owned())),
        None => Ok(manifest),
    }
}

fn parse(file: &Path, sealed: &[u8]) -> Result<Manifest, BackupError> {
    let damaged = || BackupError::unusable(file, "its manifest is damaged");
    let text = sealed::unseal(Path::new(NAME), sealed).ok_or_else(damaged)?;
    let AnyManifest { format, sandbus } = serde_json::from_slice(text).map_err(|_| damaged())?;
    if format > FORMAT {
        return Err(BackupError::Newer { path: file.to_owned(), format, sandbus });
    }
    serde_json::from_slice(text).map_err(|_| damaged())
}

/// The first difference between what the manifest lists and what the archive has.
fn difference(listed: &[Member], found: &[Member]) -> Option<String> {
    for (index, member) in listed.iter().enumerate() {
        match found.get(index) {
            Some(other) if other == member => {}
            Some(other) if other.name == member.name => {
                return Some(format!("the content of `{}` does not match its hash, so it is damaged", member.name));
            }
            _ => return Some(format!("`{}` is missing", member.name)),
        }
    }
    found.get(listed.len()).map(|member| format!("its manifest does not list `{}`", member.name))
}

/// Verifies the hashes of all members.
///
/// # Errors
/// If the file is not a backup, or is damaged or incomplete.
pub fn verify(file: &Path) -> Result<Manifest, BackupError> {
    read_verified(file, |_| Ok(io::sink()), |_, _| Ok(()))
}

/// Verifies the hashes of all members, and the store: its structure, its indexes, and the checksum of each row. Writes
/// the store to a temporary file.
///
/// # Errors
/// As [`verify`], and if the store is damaged or this version cannot use it.
pub fn check(file: &Path) -> Result<Manifest, BackupError> {
    let scratch = tempfile::tempdir_in(files::parent(file)).or_else(|_| tempfile::tempdir());
    let scratch = scratch.map_err(BackupError::of(files::parent(file)))?;
    let store = scratch.path().join("bus.db");
    let open = |name: &str| -> Result<Box<dyn Write>, BackupError> {
        if name != STORE {
            return Ok(Box::new(io::sink()));
        }
        Ok(Box::new(files::open_private(&store).map_err(BackupError::of(&store))?))
    };
    let manifest = read_verified(file, open, |_, _| Ok(()))?;
    check_store(file, &store, &manifest)?;
    Ok(manifest)
}

/// Verifies the store of a backup.
pub(super) fn check_store(file: &Path, store: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let found =
        bus::check_store_copy(store).map_err(|error| BackupError::unusable(file, format!("its store: {error}")))?;
    if (found.data_version, found.head.0) != (manifest.data_version, manifest.position) {
        return Err(BackupError::unusable(file, "its store is not the one that its manifest describes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_stays_below_its_directory() {
        for name in ["data/bus.db", "data/audit/1.jsonl", "plugins/a.wasm"] {
            assert!(is_member_name(name), "{name}");
        }
        for name in [
            "",
            "data",
            "bus.db",
            "/data/bus.db",
            "data/../bus.db",
            "plugins/../../a",
            "../data/a",
            "database/a",
            "./data/a",
        ] {
            assert!(!is_member_name(name), "{name}");
        }
    }

    #[test]
    fn an_archive_has_what_its_manifest_lists() {
        let member = |name: &str, hash: &str| Member { name: name.to_owned(), bytes: 1, sha256: hash.to_owned() };
        let listed = [member("data/a", "1"), member("data/b", "2")];
        assert_eq!(difference(&listed, &listed), None);
        for (found, expected) in [
            (vec![member("data/a", "1")], "`data/b` is missing"),
            (vec![member("data/b", "2"), member("data/a", "1")], "`data/a` is missing"),
            (vec![member("data/a", "1"), member("data/b", "3")], "the content of `data/b` does not match"),
            ([&listed[..], &[member("data/c", "3")]].concat(), "does not list `data/c`"),
        ] {
            let what = difference(&listed, &found).unwrap();
            assert!(what.contains(expected), "{what}");
        }
    }
}
