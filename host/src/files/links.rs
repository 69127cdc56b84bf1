//! Symbolic links that may be followed because they lead into known directories, as the links of Kubernetes volumes do.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

/// Directories that links may lead into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkRoots(Arc<[PathBuf]>);

impl LinkRoots {
    /// Links may lead into these directories. A directory need not exist yet.
    #[must_use]
    pub(crate) fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(directories.into_iter().collect())
    }

    /// The file that a path leads to, without links.
    ///
    /// # Errors
    /// If there is no file, or it is outside the directories.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let file = path.canonicalize()?;
        if self.contain(&file) {
            return Ok(file);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it points to a file outside the directories that links may point into",
        ))
    }

    /// Opens a file for reading. Does not wait for the writer of a pipe.
    ///
    /// # Errors
    /// If it cannot be opened, or is outside the directories.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let resolved = self.resolve(path)?;
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(resolved)?;
        // A directory on the path may have been replaced by a link since, so the opened file decides.
        match std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
            Ok(opened) if !self.contain(&opened) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it was replaced while it was opened, and points outside the directories that links may point into",
            )),
            Ok(_) => Ok(file),
            Err(error) => Err(error),
        }
    }

    fn contain(&self, file: &Path) -> bool {
        self.0.iter().filter_map(|root| root.canonicalize().ok()).any(|root| file.starts_with(root))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_into_known_directories_and_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for directory in ["volume", "volume/..2026", "other"] {
            std::fs::create_dir(path(directory)).unwrap();
        }
        std::fs::write(path("volume/..2026/key"), "1").unwrap();
        std::fs::write(path("other/key"), "2").unwrap();
        symlink("..2026", path("volume/..data")).unwrap();
        symlink("..data/key", path("volume/key")).unwrap();
        symlink(path("other/key"), path("volume/out")).unwrap();
        symlink("../other/key", path("volume/up")).unwrap();
        symlink(path("other"), path("volume/directory")).unwrap();
        symlink("nowhere", path("volume/dangling")).unwrap();
        symlink("loop", path("volume/loop")).unwrap();
        // The directory itself may be reached through a link.
        symlink(path("volume"), path("alias")).unwrap();
        let roots = LinkRoots::new([path("alias"), path("missing")]);
        let read = |name: &str| roots.open(&path(name)).and_then(io::read_to_string).map_err(|error| error.kind());
        assert_eq!(read("volume/key").as_deref(), Ok("1"));
        assert_eq!(read("alias/key").as_deref(), Ok("1"));
        for name in ["volume/out", "volume/up", "volume/directory/key", "other/key", "volume/../other/key"] {
            assert_eq!(read(name), Err(io::ErrorKind::PermissionDenied), "{name}");
        }
        assert_eq!(read("volume/dangling"), Err(io::ErrorKind::NotFound));
        assert!(read("volume/loop").is_err());
        assert!(LinkRoots::default().open(&path("volume/key")).is_err());
    }
}
