//! The plugin folder: which files are there, and whether they have changed and are whole.
//!
//! Links are not followed: they could lead out of the folder. What is no plugin although its name says so is not
//! loaded, and the reason is shown. A sidecar that is a link is seen and cannot be read, since without its words the
//! plugin would have more rights than it should.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::plugin::load::source::irregular;

/// A `.wasm` file and its sidecar, as they were last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFingerprint {
    wasm: Stamp,
    sidecar: Option<Stamp>,
}

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// When its content or its metadata changed, in seconds and nanoseconds. Unlike the time of modification, nobody
    /// can set it back (inode(7)): a file that is overwritten in place looks changed whatever its times say.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// A time in the future says nothing, and counts as old.
    fn is_older_than(&self, age: Duration) -> bool {
        self.modified.is_none_or(|modified| modified.elapsed().map_or(true, |elapsed| elapsed >= age))
    }
}

impl FileFingerprint {
    /// Whether nothing was written to either file lately.
    pub(crate) fn is_stable(&self, quiet: Duration) -> bool {
        self.wasm.is_older_than(quiet) && self.sidecar.as_ref().is_none_or(|sidecar| sidecar.is_older_than(quiet))
    }

    /// How many bytes the `.wasm` file has.
    pub(crate) fn wasm_bytes(&self) -> u64 {
        self.wasm.length
    }

    /// Whether there is a sidecar.
    pub(crate) fn has_sidecar(&self) -> bool {
        self.sidecar.is_some()
    }
}

/// What is in a folder.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The plugins, by the stems of their files.
    pub(crate) found: BTreeMap<String, FileFingerprint>,
    /// What looks like a plugin and is not loaded, by its name, with the reason.
    pub(crate) ignored: BTreeMap<String, String>,
}

/// Looks through a folder. Files whose names begin with a dot are left alone, as are all that nobody could take for
/// a plugin.
pub(crate) fn scan(folder: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut sidecars = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') {
            continue;
        }
        match entry.file_type().map(|file_type| entry_kind(&path, file_type)) {
            Ok(EntryKind::Plugin(stem)) => {
                if let Some(fingerprint) = fingerprint(folder, &stem) {
                    scan.found.insert(stem, fingerprint);
                }
            }
            Ok(EntryKind::Sidecar(stem)) => drop(sidecars.insert(stem)),
            Ok(EntryKind::Ignored(reason)) => drop(scan.ignored.insert(name, reason.to_owned())),
            Ok(EntryKind::Other) => {}
            // It has gone since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(scan.ignored.insert(name, format!("it cannot be looked at: {error}"))),
        }
    }
    for stem in sidecars.into_iter().filter(|stem| !scan.found.contains_key(stem)) {
        // A plugin that is ignored has a row of its own.
        if !scan.ignored.contains_key(&format!("{stem}.wasm")) {
            let reason = format!("it is a sidecar, and no plugin {stem}.wasm lies beside it");
            scan.ignored.insert(format!("{stem}.toml"), reason);
        }
    }
    Ok(scan)
}

/// What an entry of the folder is.
enum EntryKind {
    Plugin(String),
    Sidecar(String),
    Ignored(&'static str),
    Other,
}

fn entry_kind(path: &Path, file_type: FileType) -> EntryKind {
    let extension = path.extension().unwrap_or_default();
    let stem = path.file_stem().and_then(OsStr::to_str);
    if !extension.eq_ignore_ascii_case("wasm") {
        return match stem {
            Some(stem) if extension == "toml" => EntryKind::Sidecar(stem.to_owned()),
            _ => EntryKind::Other,
        };
    }
    match (irregular(file_type), stem) {
        (Some(reason), _) => EntryKind::Ignored(reason),
        (None, _) if extension != "wasm" => {
            EntryKind::Ignored("its name does not end in .wasm in lower case; rename it")
        }
        (None, None) => EntryKind::Ignored("its name is not UTF-8; rename it"),
        (None, Some(stem)) => EntryKind::Plugin(stem.to_owned()),
    }
}

/// A plugin's files as they are now; none if it has no regular file.
pub(crate) fn fingerprint(folder: &Path, stem: &str) -> Option<FileFingerprint> {
    let wasm = wasm_path(folder, stem).symlink_metadata().ok().filter(Metadata::is_file)?;
    let sidecar = sidecar_path(folder, stem).symlink_metadata().ok();
    Some(FileFingerprint { wasm: Stamp::of(&wasm), sidecar: sidecar.as_ref().map(Stamp::of) })
}

pub(crate) fn wasm_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.wasm"))
}

pub(crate) fn sidecar_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.toml"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn names<T>(all: &BTreeMap<String, T>) -> Vec<&str> {
        all.keys().map(String::as_str).collect()
    }

    #[test]
    fn only_whole_regular_wasm_files_are_found_and_what_looks_like_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in
            ["a.wasm", "a.toml", "b.txt", ".c.wasm", ".d.wasm.part", "e.wasm.part", "F.WASM", "g.Wasm", "h.toml"]
        {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::write(folder.path().join(OsStr::from_bytes(b"n\xff.wasm")), "").unwrap();
        std::os::unix::fs::symlink(path("a.wasm"), path("link.wasm")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling.wasm")).unwrap();
        std::fs::write(path("link.toml"), "").unwrap();
        std::fs::create_dir(path("dir.wasm")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe.wasm"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let _socket = UnixListener::bind(path("socket.wasm")).unwrap();

        let Scan { found, ignored } = scan(folder.path()).unwrap();
        assert_eq!(names(&found), ["a"]);
        assert!(found["a"].has_sidecar() && found["a"].is_stable(Duration::ZERO));
        assert!(!found["a"].is_stable(Duration::from_hours(1)));
        let expected = [
            ("F.WASM", "lower case"),
            ("dangling.wasm", "symbolic link"),
            ("dir.wasm", "directory"),
            ("g.Wasm", "lower case"),
            ("h.toml", "no plugin h.wasm"),
            ("link.wasm", "symbolic link"),
            ("n\u{fffd}.wasm", "UTF-8"),
            ("pipe.wasm", "named pipe"),
            ("socket.wasm", "socket"),
        ];
        assert_eq!(names(&ignored), expected.map(|(name, _)| name));
        for (name, reason) in expected {
            assert!(ignored[name].contains(reason), "{name}: {}", ignored[name]);
        }
    }

    #[test]
    fn a_changed_file_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), "1").unwrap();
        let before = scan(folder.path()).unwrap().found;
        std::fs::write(folder.path().join("a.toml"), "").unwrap();
        assert_ne!(scan(folder.path()).unwrap().found, before);
    }

    #[test]
    fn a_file_that_is_overwritten_in_place_looks_different_whatever_its_times_say() {
        let folder = tempfile::tempdir().unwrap();
        let (wasm, sidecar) = (wasm_path(folder.path(), "a"), sidecar_path(folder.path(), "a"));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let overwrite = |path: &Path, content: &str| {
            std::fs::write(path, content).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
            fingerprint(folder.path(), "a")
        };
        let _ = overwrite(&wasm, "1");
        let first = overwrite(&sidecar, "1").unwrap();
        for path in [&wasm, &sidecar] {
            let before = fingerprint(folder.path(), "a").unwrap();
            // The kernel's clock moves in steps of some milliseconds.
            let changed =
                std::iter::repeat_with(|| overwrite(path, "2").unwrap()).find(|found| *found != before).unwrap();
            assert_eq!((changed.wasm.length, changed.wasm.modified), (first.wasm.length, Some(old)));
            assert_eq!(changed.wasm.inode, first.wasm.inode);
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_sidecar_is_seen_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), "1").unwrap();
        let found = || scan(folder.path()).unwrap().found;
        let without = found();
        let sidecar = sidecar_path(folder.path(), "a");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &sidecar).unwrap();
        assert!(found()["a"].has_sidecar() && found() != without);
        std::fs::remove_file(&sidecar).unwrap();
        assert_eq!(found(), without, "that it is gone is seen as well");
    }
}
