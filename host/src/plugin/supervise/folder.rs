//! The plugin folder: which files it has, and whether they have changed or are still being written.
//!
//! Symbolic links are not followed, because they could lead out of the folder. A file that looks like a plugin and
//! cannot be one is reported with the reason. A sidecar that is a link is found but cannot be read: without its sidecar
//! the plugin would have more rights than its operator grants.
//!
//! A failure to read the folder or one of its entries is an error of the whole scan. It must not look as if files had
//! been removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file_name;
use crate::plugin::load::source::irregular;

/// The identity of a directory. It changes if another directory takes its place, or if a file system is mounted on it
/// or unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    fn of(folder: &Path) -> io::Result<Self> {
        let metadata = folder.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A component's file and its sidecar, as they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFingerprint {
    wasm: Stamp,
    sidecar: Option<Stamp>,
}

/// Metadata that changes when a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// The time of the last change of content or metadata, in seconds and nanoseconds. Unlike the modification time it
    /// cannot be set back (inode(7)), so it reveals a file that was overwritten in place.
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

    /// A time in the future counts as old.
    fn is_older_than(&self, age: Duration) -> bool {
        self.modified.is_none_or(|modified| modified.elapsed().map_or(true, |elapsed| elapsed >= age))
    }
}

impl FileFingerprint {
    /// Whether neither file was written to recently.
    pub(crate) fn is_stable(&self, quiet: Duration) -> bool {
        self.wasm.is_older_than(quiet) && self.sidecar.as_ref().is_none_or(|sidecar| sidecar.is_older_than(quiet))
    }

    /// The size of the component's file.
    pub(crate) fn wasm_bytes(&self) -> u64 {
        self.wasm.length
    }

    /// Whether there is a sidecar.
    pub(crate) fn has_sidecar(&self) -> bool {
        self.sidecar.is_some()
    }
}

/// The content of a plugin folder.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) folder: FolderId,
    /// The plugins, by the stems of their files.
    pub(crate) found: BTreeMap<String, FileFingerprint>,
    /// Files that look like plugins and are ignored, by their printable names, each with the reason.
    pub(crate) ignored: BTreeMap<String, String>,
}

/// Scans a folder. Hidden files, and files that do not look like plugins, are omitted. Of names that differ only in
/// case one is accepted: a `known` one, or else the first.
///
/// # Errors
/// If the folder or one of its entries cannot be read.
pub(crate) fn scan(folder: &Path, known: &BTreeSet<String>) -> io::Result<Scan> {
    let mut scan = Scan { folder: FolderId::of(folder)?, found: BTreeMap::new(), ignored: BTreeMap::new() };
    let mut sidecars = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), file_name::printable(&entry.file_name()));
        if name.starts_with('.') {
            continue;
        }
        let file_type = match entry.file_type() {
            Ok(file_type) => file_type,
            // The file was removed during the scan.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(about(&name, &error)),
        };
        match entry_kind(&path, file_type) {
            EntryKind::Plugin(stem) => {
                if let Some(fingerprint) = fingerprint(folder, &stem)? {
                    scan.found.insert(stem, fingerprint);
                }
            }
            EntryKind::Sidecar(stem) => drop(sidecars.insert(stem)),
            EntryKind::Ignored(reason) => drop(scan.ignored.insert(name, reason.to_owned())),
            EntryKind::Other => {}
        }
    }
    if FolderId::of(folder)? != scan.folder {
        return Err(io::Error::other("the folder was replaced while it was read"));
    }
    let names = scan.found.keys().map(String::as_str);
    for (stem, other) in file_name::case_conflicts(names, known) {
        scan.found.remove(&stem);
        let reason = format!("its name differs from {other}.wasm only in case; rename one of the files");
        scan.ignored.insert(format!("{stem}.wasm"), reason);
    }
    for stem in sidecars.into_iter().filter(|stem| !scan.found.contains_key(stem)) {
        // A plugin that is ignored has its own entry.
        if !scan.ignored.contains_key(&format!("{stem}.wasm")) {
            scan.ignored.insert(format!("{stem}.toml"), format!("it is a sidecar without a plugin {stem}.wasm"));
        }
    }
    Ok(scan)
}

/// The kinds of entries in the folder.
enum EntryKind {
    Plugin(String),
    /// A sidecar, by its printable stem.
    Sidecar(String),
    Ignored(&'static str),
    Other,
}

fn entry_kind(path: &Path, file_type: FileType) -> EntryKind {
    let (extension, stem) = (path.extension().unwrap_or_default(), path.file_stem().unwrap_or_default());
    if !extension.eq_ignore_ascii_case("wasm") {
        let is_sidecar = extension == "toml";
        return if is_sidecar { EntryKind::Sidecar(file_name::printable(stem)) } else { EntryKind::Other };
    }
    match (irregular(file_type), file_name::check_stem(stem)) {
        (Some(reason), _) => EntryKind::Ignored(reason),
        (None, _) if extension != "wasm" => {
            EntryKind::Ignored("its name does not end in .wasm in lower case; rename it")
        }
        (None, Err(reason)) => EntryKind::Ignored(reason),
        (None, Ok(stem)) => EntryKind::Plugin(stem.to_owned()),
    }
}

/// The fingerprint of a plugin's files; `None` if the component's file is missing or is not a regular file.
///
/// # Errors
/// If the system cannot tell.
pub(crate) fn fingerprint(folder: &Path, stem: &str) -> io::Result<Option<FileFingerprint>> {
    let wasm = metadata(&wasm_path(folder, stem))?.filter(Metadata::is_file);
    let sidecar = metadata(&sidecar_path(folder, stem))?;
    Ok(wasm.map(|wasm| FileFingerprint { wasm: Stamp::of(&wasm), sidecar: sidecar.as_ref().map(Stamp::of) }))
}

fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(about(&file_name::printable(path.file_name().unwrap_or_default()), &error)),
    }
}

fn about(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

pub(crate) fn wasm_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.wasm"))
}

pub(crate) fn sidecar_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.toml"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{File, Permissions};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn names<T>(all: &BTreeMap<String, T>) -> Vec<&str> {
        all.keys().map(String::as_str).collect()
    }

    #[test]
    fn regular_wasm_files_are_found_and_lookalikes_are_reported() {
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

        let Scan { found, ignored, .. } = scan(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(names(&found), ["a"]);
        assert!(found["a"].has_sidecar() && found["a"].is_stable(Duration::ZERO));
        assert!(!found["a"].is_stable(Duration::from_hours(1)));
        let expected = [
            ("F.WASM", "lower case"),
            ("dangling.wasm", "symbolic link"),
            ("dir.wasm", "directory"),
            ("g.Wasm", "lower case"),
            ("h.toml", "without a plugin h.wasm"),
            ("link.wasm", "symbolic link"),
            ("n\\xff.wasm", "UTF-8"),
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
        let before = scan(folder.path(), &BTreeSet::new()).unwrap().found;
        std::fs::write(folder.path().join("a.toml"), "").unwrap();
        assert_ne!(scan(folder.path(), &BTreeSet::new()).unwrap().found, before);
    }

    #[test]
    fn a_file_that_is_overwritten_in_place_looks_different_whatever_its_times_say() {
        let folder = tempfile::tempdir().unwrap();
        let (wasm, sidecar) = (wasm_path(folder.path(), "a"), sidecar_path(folder.path(), "a"));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let overwrite = |path: &Path, content: &str| {
            std::fs::write(path, content).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
            fingerprint(folder.path(), "a").unwrap()
        };
        let _ = overwrite(&wasm, "1");
        let first = overwrite(&sidecar, "1").unwrap();
        for path in [&wasm, &sidecar] {
            let before = fingerprint(folder.path(), "a").unwrap().unwrap();
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
        let found = || scan(folder.path(), &BTreeSet::new()).unwrap().found;
        let without = found();
        let sidecar = sidecar_path(folder.path(), "a");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &sidecar).unwrap();
        assert!(found()["a"].has_sidecar() && found() != without);
        std::fs::remove_file(&sidecar).unwrap();
        assert_eq!(found(), without, "its removal is noticed");
    }

    #[test]
    fn names_that_could_harm_are_reported_in_printable_form() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a\nb.wasm", "a\nb.toml", "-c.wasm", "-c.toml", "D.wasm", "d.wasm", "e\u{1b}.toml", "f..wasm"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let long = format!("{}.wasm", "x".repeat(200));
        std::fs::write(folder.path().join(&long), "").unwrap();
        let Scan { found, ignored, .. } = scan(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(names(&found), ["D", "f."]);
        assert_eq!(names(&ignored), ["-c.wasm", "a\\nb.wasm", "d.wasm", "e\\u{1b}.toml", &long]);
        assert!(ignored["d.wasm"].contains("differs from D.wasm only in case"), "{}", ignored["d.wasm"]);
        let known = BTreeSet::from(["d".to_owned()]);
        assert_eq!(names(&scan(folder.path(), &known).unwrap().found), ["d", "f."]);
    }

    /// Runs a closure on a thread that has no privileges. On Linux a user id belongs to a thread (credentials(7)).
    fn unprivileged<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
        let work = move || {
            if rustix::process::getuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            }
            run()
        };
        std::thread::spawn(work).join().unwrap()
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
        for name in ["missing", "file", "loop", "file/below"] {
            assert!(scan(&path(name), &BTreeSet::new()).is_err(), "{name}");
        }
        // A directory that can be listed but not entered (inode(7)): the metadata of its files is not accessible.
        std::fs::create_dir(path("listed")).unwrap();
        std::fs::write(path("listed/a.wasm"), "1").unwrap();
        let (home_mode, listed_mode) = (Permissions::from_mode(0o755), Permissions::from_mode(0o444));
        std::fs::set_permissions(home.path(), home_mode.clone()).unwrap();
        std::fs::set_permissions(path("listed"), listed_mode).unwrap();
        let listed = path("listed");
        let refused = unprivileged(move || scan(&listed, &BTreeSet::new()).map(|scan| scan.found.len()));
        std::fs::set_permissions(path("listed"), home_mode).unwrap();
        assert!(refused.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied), "{refused:?}");
    }

    #[test]
    fn a_replaced_folder_has_another_identity() {
        let home = tempfile::tempdir().unwrap();
        let (folder, former) = (home.path().join("plugins"), home.path().join("former"));
        std::fs::create_dir(&folder).unwrap();
        let before = scan(&folder, &BTreeSet::new()).unwrap().folder;
        assert_eq!(scan(&folder, &BTreeSet::new()).unwrap().folder, before);
        std::fs::rename(&folder, &former).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert_ne!(scan(&folder, &BTreeSet::new()).unwrap().folder, before);
    }
}
