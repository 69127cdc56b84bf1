//! The host's own files and directories: private to its user, and complete after a crash.
//!
//! They contain payloads, plugin state and webhook secrets in plain text. Their permissions do not depend on the umask.

pub(crate) mod links;
pub(crate) mod sealed;

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The permissions of directories and files: for the owner only.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The permission bits of other users, and the execute bits of files.
const OTHERS: u32 = 0o077;
const OTHERS_AND_EXECUTE: u32 = 0o177;

/// Creates a directory and its missing parents. Each parent is synced, so that the directory survives a power cut.
pub(crate) fn make_directory(directory: &Path) -> io::Result<()> {
    for missing in missing(directory) {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&missing) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                std::fs::set_permissions(&missing, Permissions::from_mode(DIRECTORY_MODE))?;
            }
        }
        sync_directory(parent(&missing))?;
    }
    Ok(())
}

/// The missing directories on a path, outermost first.
fn missing(directory: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<_> =
        directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    missing.reverse();
    missing.into_iter().map(Path::to_owned).collect()
}

/// Syncs the entries of a directory.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The parent of a path; the working directory for a bare file name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Reads a text file of an operator. Neither waits for the writer of a pipe nor reads more than a limit.
///
/// # Errors
/// If it cannot be read, is not a regular file, is too large, or is not UTF-8.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it has more than {max_bytes} bytes")));
    }
    Ok(text)
}

/// Opens a file for writing and creates it if necessary, readable by the owner only. Its content is kept.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    if file.metadata()?.permissions().mode() & OTHERS_AND_EXECUTE != 0 {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

/// Replaces a file atomically and durably: after a crash it has the old or the new content.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directory(parent(path))?;
    let partial = write_partial(path, bytes)?;
    File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, path)?;
    sync_directory(parent(path))
}

/// Replaces a file atomically, but not durably: a power cut may undo it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directory(parent(path))?;
    let partial = write_partial(path, bytes)?;
    std::fs::rename(&partial, path)
}

/// Writes a temporary file next to the final path. Its name contains the process id, since another process may do the
/// same.
fn write_partial(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let mut file = open_private(&partial)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    Ok(partial)
}

/// The space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskSpace {
    /// The number of bytes that the user of this process may still write.
    pub(crate) free: u64,
    /// The size of the file system.
    pub(crate) total: u64,
}

/// The space of the file system that a directory is on. Blocks.
///
/// # Errors
/// If the system cannot tell.
pub(crate) fn disk_space(directory: &Path) -> io::Result<DiskSpace> {
    let space = rustix::fs::statvfs(directory)?;
    Ok(DiskSpace {
        free: space.f_bavail.saturating_mul(space.f_frsize),
        total: space.f_blocks.saturating_mul(space.f_frsize),
    })
}

/// The size of the files in a directory and below it, in bytes; zero if there is no such directory. Symbolic links are
/// not followed. Files that are removed while it is read do not count. Blocks.
///
/// # Errors
/// If a directory cannot be read.
pub(crate) fn directory_bytes(directory: &Path) -> io::Result<u64> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path())?,
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        };
    }
    Ok(bytes)
}

/// The size of an SQLite file, its write-ahead log and the index of that, in bytes. Missing files do not count. Blocks.
pub(crate) fn database_bytes(path: &Path) -> u64 {
    let size_of = |suffix: &&str| {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        std::fs::metadata(PathBuf::from(file)).map_or(0, |metadata| metadata.len())
    };
    ["", "-wal", "-shm"].iter().map(size_of).sum()
}

/// Whether a directory has free space for a few blocks. Only a write can tell, since quotas and reserved blocks count
/// too.
pub(crate) fn has_free_space(directory: &Path) -> io::Result<bool> {
    /// About the size of the smallest commit.
    const BYTES: usize = 64 << 10;
    let written = tempfile::tempfile_in(directory).and_then(|mut file| file.write_all(&[0; BYTES]));
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Ok(false),
        written => written.map(|()| true),
    }
}

/// The result of restricting permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tightened {
    /// The number of files and directories that were accessible to others.
    pub(crate) changed: usize,
    /// The number of files and directories that could not be changed, since they belong to another user.
    pub(crate) refused: usize,
}

/// Removes other users' permissions from the host's own files in a directory: the entries whose names `is_own` accepts,
/// and all below them. The directory itself is restricted only if it contains nothing else, since an operator may have
/// named the wrong directory. Symbolic links are not followed, and files with several hard links are left alone.
pub(crate) fn tighten(directory: &Path, is_own: fn(&OsStr) -> bool) -> Tightened {
    let mut tightened = Tightened::default();
    let Ok(entries) = std::fs::read_dir(directory) else { return tightened };
    let (own, foreign): (Vec<_>, Vec<_>) =
        entries.flatten().map(|entry| entry.path()).partition(|path| path.file_name().is_some_and(is_own));
    if foreign.is_empty()
        && let Ok(metadata) = directory.symlink_metadata()
    {
        tightened.note(directory, &metadata);
    }
    let mut waiting = own;
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_file() && metadata.nlink() > 1 {
            continue;
        }
        tightened.note(&path, &metadata);
        if !metadata.is_dir() {
            continue;
        }
        match std::fs::read_dir(&path) {
            Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => tightened.refused += 1,
        }
    }
    tightened
}

impl Tightened {
    fn note(&mut self, path: &Path, metadata: &Metadata) {
        let excess = match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => OTHERS,
            (_, true) => OTHERS_AND_EXECUTE,
            _ => return,
        };
        let mode = metadata.permissions().mode();
        if mode & excess == 0 {
            return;
        }
        match std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !excess)) {
            Ok(()) => self.changed += 1,
            Err(_) => self.refused += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn created_files_are_private() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("data/generations/a/record.json");
        write_durably(&file, b"1").unwrap();
        assert_eq!((mode(&file), std::fs::read(&file).unwrap()), (0o600, b"1".to_vec()));
        write_durably(&file, b"").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"");
        let names: Vec<_> = std::fs::read_dir(parent(&file)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["record.json"], "nothing is left over");
        for directory in ["data", "data/generations", "data/generations/a"] {
            assert_eq!(mode(&home.path().join(directory)), 0o700, "{directory}");
        }
        std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        drop(open_private(&file).unwrap());
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn each_missing_directory_is_made_from_the_top() {
        let home = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "a/b", "a/b/c"].map(|name| home.path().join(name));
        assert_eq!(missing(&c), [a.clone(), b.clone(), c.clone()]);
        std::fs::create_dir(&a).unwrap();
        assert_eq!(missing(&c), [b, c.clone()]);
        make_directory(&c).unwrap();
        assert!(missing(&c).is_empty() && c.is_dir());
        assert_eq!(missing(Path::new("not-there/below")), [Path::new("not-there"), Path::new("not-there/below")]);
        assert_eq!((parent(Path::new("a")), parent(Path::new("/"))), (Path::new("."), Path::new("/")));
        std::fs::write(home.path().join("file"), "").unwrap();
        assert!(make_directory(&home.path().join("file/below")).is_err());
    }

    #[test]
    fn accessible_files_are_made_private_once() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir_all(path("data/cache")).unwrap();
        std::fs::write(path("outside"), "").unwrap();
        for (name, mode) in [("data/bus.db", 0o644), ("data/cache/x.code", 0o755), ("data/lock", 0o600)] {
            std::fs::write(path(name), "").unwrap();
            std::fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
        }
        for name in ["data", "data/cache", "outside"] {
            std::fs::set_permissions(path(name), Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::symlink(path("outside"), path("data/link")).unwrap();

        let is_own: fn(&OsStr) -> bool = |name| name != "run.sh";
        assert_eq!(tighten(&path("data"), is_own), Tightened { changed: 4, refused: 0 });
        let modes = ["data", "data/cache", "data/bus.db", "data/cache/x.code", "data/lock", "outside"];
        assert_eq!(modes.map(|name| mode(&path(name))), [0o700, 0o700, 0o600, 0o600, 0o600, 0o755]);
        assert_eq!(tighten(&path("data"), is_own), Tightened::default());

        // With other files in it, the directory is somebody else's, too.
        std::fs::write(path("data/run.sh"), "").unwrap();
        std::fs::hard_link(path("outside"), path("data/cache/outside")).unwrap();
        for name in ["data", "data/run.sh", "data/cache"] {
            std::fs::set_permissions(path(name), Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(tighten(&path("data"), is_own), Tightened { changed: 1, refused: 0 });
        let modes = ["data", "data/run.sh", "data/cache", "outside"];
        assert_eq!(modes.map(|name| mode(&path(name))), [0o755, 0o755, 0o700, 0o755]);
    }

    #[test]
    fn sizes_count_all_files_of_a_directory_and_of_a_database() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir_all(path("a/b")).unwrap();
        for (name, bytes) in [("a/b/x.wasm", 5), ("a/record.json", 3), ("bus.db", 10), ("bus.db-wal", 20)] {
            std::fs::write(path(name), vec![0; bytes]).unwrap();
        }
        std::os::unix::fs::symlink(path("bus.db"), path("a/link")).unwrap();
        assert_eq!(directory_bytes(&path("a")).unwrap(), 8);
        assert_eq!(directory_bytes(&path("gone")).unwrap(), 0);
        assert!(directory_bytes(&path("bus.db")).is_err());
        assert_eq!((database_bytes(&path("bus.db")), database_bytes(&path("ledger.db"))), (30, 0));
        let space = disk_space(home.path()).unwrap();
        assert!(0 < space.free && space.free <= space.total, "{space:?}");
    }

    #[test]
    fn a_directory_says_whether_it_has_room() {
        let home = tempfile::tempdir().unwrap();
        assert!(has_free_space(home.path()).unwrap());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(has_free_space(&home.path().join("gone")).is_err());
    }
}
