//! The plugin folder: which files are there, and whether they have changed and are whole.

use std::collections::BTreeMap;
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
    /// None for what is no regular file: a link could lead out of the folder.
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Self { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() })
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
}

/// The plugins of a folder by the stems of their files. Files whose names begin with a dot are left
/// alone, as are all with other endings.
pub(super) fn scan(folder: &Path) -> std::io::Result<BTreeMap<String, Seen>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(stem) = stem(&path) else { continue };
        if let Some(wasm) = Stamp::of(&path) {
            let sidecar = Stamp::of(&sidecar_path(folder, &stem));
            found.insert(stem, Seen { wasm, sidecar });
        }
    }
    Ok(found)
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
        std::fs::create_dir(path("dir.wasm")).unwrap();
        let found = scan(folder.path()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a"]);
        assert!(found["a"].sidecar.is_some());
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
}
