//! The plugin folder: which files are there, and whether they have changed and are whole.
//!
//! Links are not followed: they could lead out of the folder. A plugin that is a link is not seen. A sidecar that is
//! one is seen and cannot be read, since without its words the plugin would have more rights than it should.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A `.wasm` file and its sidecar, as they were last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    wasm: Stamp,
    sidecar: Option<Stamp>,
}

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() }
    }

    /// A time in the future says nothing, and counts as old.
    fn is_older_than(&self, age: Duration) -> bool {
        self.modified.is_none_or(|modified| modified.elapsed().map_or(true, |elapsed| elapsed >= age))
    }
}

impl Seen {
    /// Whether nothing was written to either file lately.
    pub(super) fn is_settled(&self, quiet: Duration) -> bool {
        self.wasm.is_older_than(quiet) && self.sidecar.as_ref().is_none_or(|sidecar| sidecar.is_older_than(quiet))
    }

    /// Whether there is a sidecar.
    pub(super) fn has_sidecar(&self) -> bool {
        self.sidecar.is_some()
    }
}

/// The plugins of a folder by the stems of their files. Files whose names begin with a dot are left
/// alone, as are all with other endings.
pub(super) fn scan(folder: &Path) -> io::Result<BTreeMap<String, Seen>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let Some(stem) = stem(&entry?.path()) else { continue };
        if let Some(seen) = see(folder, &stem) {
            found.insert(stem, seen);
        }
    }
    Ok(found)
}

/// A plugin's files as they are now; none if it has no regular file.
pub(super) fn see(folder: &Path, stem: &str) -> Option<Seen> {
    let wasm = regular(&wasm_path(folder, stem)).ok()?;
    let sidecar = sidecar_path(folder, stem).symlink_metadata().ok();
    Some(Seen { wasm: Stamp::of(&wasm), sidecar: sidecar.as_ref().map(Stamp::of) })
}

/// What is known of a regular file.
///
/// # Errors
/// If there is none: also for a link to one.
pub(super) fn regular(path: &Path) -> io::Result<Metadata> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    Err(io::Error::other("it is a link or no file at all; put the file itself there"))
}

fn stem(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == "wasm" && !stem.starts_with('.')).then(|| stem.to_owned())
}

pub(super) fn wasm_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.wasm"))
}

pub(super) fn sidecar_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_regular_wasm_files_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.wasm", "a.toml", "b.txt", ".c.wasm", "d.wasm.part"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::os::unix::fs::symlink(path("a.wasm"), path("link.wasm")).unwrap();
        assert!(regular(&path("a.wasm")).is_ok() && regular(&path("link.wasm")).is_err());
        std::fs::create_dir(path("dir.wasm")).unwrap();
        let found = scan(folder.path()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a"]);
        assert!(found["a"].has_sidecar());
        assert!(found["a"].is_settled(Duration::ZERO));
        assert!(!found["a"].is_settled(Duration::from_hours(1)));
    }

    #[test]
    fn a_changed_file_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), "1").unwrap();
        let before = scan(folder.path()).unwrap();
        std::fs::write(folder.path().join("a.toml"), "").unwrap();
        assert_ne!(scan(folder.path()).unwrap(), before);
    }

    #[test]
    fn a_link_in_the_place_of_a_sidecar_is_seen_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), "1").unwrap();
        let without = scan(folder.path()).unwrap();
        let sidecar = sidecar_path(folder.path(), "a");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &sidecar).unwrap();
        let found = scan(folder.path()).unwrap();
        assert!(found["a"].has_sidecar() && found != without);
        assert!(regular(&sidecar).is_err());
        std::fs::remove_file(&sidecar).unwrap();
        assert_eq!(scan(folder.path()).unwrap(), without, "that it is gone is seen as well");
    }
}
